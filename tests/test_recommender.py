"""The base class: ranking, ties, messages, and chunks of bounded size."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gru4rec_lite import recommender
from gru4rec_lite.errors import DataError, GRU4RecError, ParameterError
from gru4rec_lite.recommender import Recommender, chunks
from gru4rec_lite.sessions import Sessions


class Path(Recommender):
    """Scores an item by 10 times its index plus the session's clicks in base 3.

    The scores tell which clicks they were made from, so a mix-up cannot hide.
    """

    def fit(self, sessions):
        self.item_ids = sessions.item_ids
        return self

    def score_after(self, sessions, wanted):
        positions = np.flatnonzero(wanted)[::-1].copy()  # any order is allowed
        for position in positions:
            session = np.searchsorted(sessions.offsets, position, side="right") - 1
            so_far = sessions.items[sessions.offsets[session] : position + 1].tolist()
            code = sum(3**place * item for place, item in enumerate(so_far))
            scores = 1000 * torch.arange(sessions.n_items) + code
            yield np.array([position]), scores[None].double()


def sessions_of(*sessions, ids=(10, 20, 30)):
    rows = [
        (s, ids[item], time)
        for s, items in enumerate(sessions)
        for time, item in enumerate(items)
    ]
    return Sessions.from_frame(
        pd.DataFrame(rows, columns=["SessionId", "ItemId", "Time"])
    )


TRAIN = sessions_of([0, 1, 2], [2, 1])


def test_score_has_a_row_for_each_session():
    sessions = sessions_of([0, 1, 2], [2], [1, 1])
    scores = Path().fit(TRAIN).score(sessions)
    codes = [0 + 3 + 18, 2, 1 + 3]
    assert scores.tolist() == [[1000 * i + code for i in range(3)] for code in codes]


def test_score_aligns_where_that_loses_nothing():
    model = Path().fit(TRAIN)
    only_some = sessions_of([2, 1])
    assert only_some.item_ids.tolist() == [20, 30]
    assert model.score(only_some).tolist() == [[2 + 3, 1005, 2005]]
    as_text = sessions_of([2, 1], ids=("x", "20", "30"))
    assert torch.equal(model.score(as_text), model.score(only_some))
    with pytest.raises(DataError, match=r"1 of 3 clicks are on unknown items; .*align"):
        model.score(sessions_of([2, 1, 0], ids=(40, 20, 30)))


def test_recommend_ranks_best_first():
    table = Path().fit(TRAIN).recommend([10, "30"], k=2)
    assert table.columns.tolist() == ["item", "score"]
    assert table.values.tolist() == [[30, 2006], [20, 1006]]
    assert table["item"].dtype == np.int64
    assert table.index.tolist() == [0, 1]


def test_recommend_gives_no_more_than_there_are():
    assert len(Path().fit(TRAIN).recommend([10], k=99)) == 3
    assert len(Path().fit(TRAIN).recommend([10])) == 3


@pytest.mark.parametrize("items", [20, "20", np.int64(20), [20], (20,), np.array([20])])
def test_recommend_takes_one_item_or_several(items):
    assert Path().fit(TRAIN).recommend(items, k=1).values.tolist() == [[30, 2001]]


def test_recommend_with_text_ids():
    ids = ("camera", "card", "drone")
    model = Path().fit(sessions_of([0, 1, 2], ids=ids))
    assert model.recommend("card", k=1)["item"].tolist() == ["drone"]


def test_equal_scores_stand_in_the_order_of_the_vocabulary():
    class Constant(Path):
        def score_after(self, sessions, wanted):
            positions = np.flatnonzero(wanted)
            yield positions, torch.zeros(len(positions), sessions.n_items)

    n = 1000  # a sort that is not stable shows only in longer lists
    train = sessions_of(range(n), ids=range(n))
    assert Constant().fit(train).recommend([5], k=n)["item"].tolist() == list(range(n))


@pytest.mark.parametrize("k", [0, -1, 1.0, "3", None, True])
def test_recommend_checks_k(k):
    message = f"k={k!r} is not allowed; expected an integer of at least 1"
    with pytest.raises(ParameterError) as caught:
        Path().fit(TRAIN).recommend([10], k=k)
    assert str(caught.value) == message


def test_recommend_names_unknown_items():
    model = Path().fit(TRAIN)
    with pytest.raises(DataError) as caught:
        model.recommend([10, 99, "drone", 10.0, None, False, 7])
    assert str(caught.value) == (
        "unknown items: 99, 'drone', 10.0, ... (6 of 7); "
        "expected some of the 3 known ones: 10, 20, 30"
    )
    for nothing in ([], (), np.array([])):
        with pytest.raises(DataError, match="items is empty; expected at least one"):
            model.recommend(nothing)


def test_before_fit():
    for call in (lambda m: m.recommend([1]), lambda m: m.score(TRAIN)):
        with pytest.raises(
            GRU4RecError, match=r"this Path .* call fit\(sessions\) first"
        ):
            call(Path())
    with pytest.raises(NotImplementedError):
        Recommender().fit(TRAIN)


@given(
    st.lists(st.integers(1, 50), max_size=40),
    st.integers(1, 100),
)
def test_chunks_are_whole_and_bounded(costs, limit):
    positions = np.arange(len(costs)) * 3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recommender, "MAX_SCORES", limit)
        parts = list(chunks(positions, np.array(costs, dtype=np.int64)))
        same = list(chunks(positions, 7))
    for found in (parts, same):
        assert all(len(part) for part in found)
        assert np.concatenate([*found, positions[:0]]).tolist() == positions.tolist()
    cost = dict(zip(positions.tolist(), costs, strict=True))
    for part in parts:
        assert len(part) == 1 or sum(cost[p] for p in part) <= limit + max(costs)
    assert all(len(part) == 1 or 7 * len(part) <= limit + 7 for part in same)

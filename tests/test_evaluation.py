"""Ranks and metrics against plain sorting, and the mistakes that people make here."""

import json
import subprocess
import sys
import weakref
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gru4rec_lite import evaluation
from gru4rec_lite.errors import DataError, GRU4RecError, ParameterError
from gru4rec_lite.evaluation import (
    Report,
    compare,
    count_above_and_equal,
    evaluate,
    mrr_at,
    ranks,
    recall_at,
)
from gru4rec_lite.sessions import Sessions

RULES = ("conservative", "standard", "median")


def sessions_of(*sessions) -> Sessions:
    """Sessions from lists of item IDs, one after the other in time."""
    rows = [
        (number, item, 1000.0 * number + click)
        for number, session in enumerate(sessions)
        for click, item in enumerate(session)
    ]
    return Sessions.from_frame(
        pd.DataFrame(rows, columns=["SessionId", "ItemId", "Time"])
    )


class ByPosition:
    """Any scores at all: `scores(position) -> (I,)`, in shuffled chunks."""

    def __init__(self, item_ids, scores, chunk=3, seed=0):
        self.item_ids = np.asarray(item_ids)
        self.scores, self.chunk, self.seed = scores, chunk, seed

    def score_after(self, sessions, wanted):
        positions = np.flatnonzero(wanted)
        np.random.default_rng(self.seed).shuffle(positions)
        for start in range(0, len(positions), self.chunk):
            chunk = positions[start : start + self.chunk]
            rows = [np.asarray(self.scores(int(p))) for p in chunk]
            yield chunk, torch.from_numpy(np.stack(rows))


class AfterItem(ByPosition):
    """Scores that depend on the last click alone: one row of `table` (I, I)."""

    def __init__(self, item_ids, table, **options):
        super().__init__(item_ids, None, **options)
        self.table = np.asarray(table)

    def score_after(self, sessions, wanted):
        self.scores = lambda p: self.table[sessions.items[p]]
        return super().score_after(sessions, wanted)


def constant(item_ids):
    return ByPosition(item_ids, lambda p: np.zeros(len(item_ids), np.float32))


def by_sorting(scores, target, ties):
    """Rank by writing the ranking down, with the target last or first of its equals."""
    others = [score for item, score in enumerate(scores) if item != target]
    mine = scores[target]
    last = sorted([(-s, 0) for s in others] + [(-mine, 1)]).index((-mine, 1)) + 1
    first = sorted([(-s, 1) for s in others] + [(-mine, 0)]).index((-mine, 0)) + 1
    return {"conservative": last, "standard": first, "median": (first + last) / 2}[ties]


# ---------------------------------------------------------------- ranks and metrics


def five_predictions():
    """Five predictions among items a to e, with ranks that can be counted by hand."""
    after = {  # scores of     a  b  c  d  e
        "a": [0, 9, 5, 5, 1],
        "b": [7, 0, 7, 7, 7],
        "c": [3, 2, 1, 0, 4],
    }
    table = [after.get(item, [0] * 5) for item in "abcde"]
    sessions = sessions_of(["a", "b", "c", "d"], ["a", "c", "a"])
    # (a -> b: first), (b -> c: first of four equals), (c -> d: last)
    # (a -> c: second, and one more as good), (c -> a: second)
    return AfterItem(list("abcde"), np.array(table, np.float32)), sessions


@pytest.mark.parametrize(
    ("ties", "expected"),
    [
        ("conservative", [1, 4, 5, 3, 2]),
        ("standard", [1, 1, 5, 2, 2]),
        ("median", [1, 2.5, 5, 2.5, 2]),
    ],
)
def test_five_predictions_by_hand(ties, expected):
    report = evaluate(*five_predictions(), cutoffs=(2, 4), ties=ties)
    assert report.ranks.tolist() == expected
    assert report.n_predictions == 5 and report.n_sessions == 2
    for k in (2, 4):
        hits = [rank for rank in expected if rank <= k]
        assert report.recall[k] == pytest.approx(len(hits) / 5)
        reciprocal = sum((1 / Fraction(rank) for rank in hits), Fraction(0)) / 5
        assert report.mrr[k] == pytest.approx(float(reciprocal))


def test_one_report_under_all_rules():
    report = evaluate(*five_predictions(), cutoffs=(2,))
    assert report.with_ties("standard").recall == {2: 0.8}
    assert report.with_ties("median").recall == {2: 0.4}
    assert report.with_ties("standard").with_ties("conservative").mrr == report.mrr


EDGES = [-np.inf, -1.0, -0.0, 0.0, 1.0, 2.0, 1e30, np.inf]


@st.composite
def scores_and_targets(draw):
    """Scores with many ties, in any type a recommender may return."""
    n, n_items = draw(st.integers(1, 12)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dtype = draw(
        st.sampled_from(
            [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64]
        )
    )
    kind = draw(st.sampled_from(["ties", "edges", "distinct"]))
    if kind == "ties":
        values = rng.integers(0, draw(st.integers(1, 4)), size=(n, n_items))
    elif kind == "edges" and dtype != torch.int64:
        values = rng.choice(EDGES, size=(n, n_items))
    else:
        values = rng.permuted(np.tile(np.arange(n_items), (n, 1)), axis=1)
    scores = torch.from_numpy(values.astype(np.float64)).to(dtype)
    if draw(st.booleans()):
        scores = scores.T.contiguous().T  # not laid out by rows
    return scores, torch.from_numpy(rng.integers(0, n_items, size=n))


@settings(deadline=None, max_examples=300)
@given(scores_and_targets(), st.sampled_from([1, 8, 64, 2**20]))
def test_counts_and_ranks_equal_sorting(example, block):
    scores, targets = example
    before = scores.clone()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "_BLOCK", block)
        above, equal = count_above_and_equal(scores, targets)
    assert above.dtype == equal.dtype == torch.int64
    assert torch.equal(scores, before)
    for ties in RULES:
        expected = [
            by_sorting(row, target, ties)
            for row, target in zip(scores.double().tolist(), targets, strict=True)
        ]
        assert ranks(above, equal, ties).tolist() == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_neighbouring_scores_are_not_ties(dtype):
    """One unit in the last place decides, down to the smallest number there is."""
    one = torch.ones((), dtype=dtype)
    after = one + torch.finfo(dtype).eps
    scores = torch.stack([one, after, one]).expand(2, 3)
    above, equal = count_above_and_equal(scores, torch.tensor([0, 1]))
    assert above.tolist() == [1, 0] and equal.tolist() == [1, 0]
    large = torch.tensor([[2**60, 2**53, 2**53]]) // 2**10  # integers stay exact, too
    above, equal = count_above_and_equal(large + torch.arange(3), torch.tensor([1]))
    assert (above.item(), equal.item()) == (2, 0)


def test_nan_is_never_below_the_target():
    nan = float("nan")
    scores = torch.tensor([[1.0, nan, 0.0], [nan, 1.0, 0.0]])
    above, equal = count_above_and_equal(scores, torch.tensor([0, 0]))
    assert above.tolist() == [1, 3] and equal.tolist() == [0, -1]


def test_scores_that_need_gradients():
    weight = torch.tensor([[1.0, 2.0, 2.0]], requires_grad=True)
    above, equal = count_above_and_equal(weight, torch.tensor([1]))
    assert (above.item(), equal.item()) == (0, 1)

    class Model:
        item_ids = np.array(list("abc"))

        def score_after(self, sessions, wanted):
            scores = weight * 2
            assert not scores.requires_grad  # or all chunks' graphs would pile up
            yield np.flatnonzero(wanted), scores

    assert evaluate(Model(), sessions_of("ab")).ranks.tolist() == [2]


@pytest.mark.cuda
def test_counting_on_a_gpu_never_waits_for_it():
    scores = torch.randint(0, 50, (64, 3000)).float()
    targets = torch.randint(0, 3000, (64,))
    expected = torch.stack(count_above_and_equal(scores, targets))
    scores, targets = scores.cuda(), targets.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        counted = torch.stack(count_above_and_equal(scores, targets))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(counted.cpu(), expected)


@st.composite
def logs(draw):
    """Sessions of two or more clicks on up to 7 items."""
    session = st.lists(st.integers(10, 16), min_size=2, max_size=6)
    return draw(st.lists(session, min_size=1, max_size=8))


@settings(deadline=None, max_examples=100)
@given(logs(), st.integers(0, 2**32), st.integers(1, 5), st.sampled_from(RULES))
def test_evaluate_equals_a_plain_loop(log, seed, chunk, ties):
    sessions = sessions_of(*log)
    rng = np.random.default_rng(seed)
    table = rng.integers(0, 4, size=(sessions.n_clicks, 7)).astype(np.float32)
    item_ids = np.arange(10, 17)
    recommender = ByPosition(item_ids, lambda p: table[p], chunk=chunk, seed=seed)
    report = evaluate(recommender, sessions, cutoffs=(1, 3, 20), ties=ties)

    expected, click = [], 0
    for session in log:
        for n, target in enumerate(session[1:]):
            expected.append(by_sorting(table[click + n].tolist(), target - 10, ties))
        click += len(session)
    assert report.ranks.tolist() == expected
    assert report.n_predictions == len(expected)
    for k in (1, 3, 20):
        assert report.recall[k] == pytest.approx(np.mean([r <= k for r in expected]))
        gains = [1 / r if r <= k else 0 for r in expected]
        assert report.mrr[k] == pytest.approx(np.mean(gains))
        assert recall_at(expected, k) == pytest.approx(report.recall[k])
        assert mrr_at(expected, k) == pytest.approx(report.mrr[k])


def test_arrays_of_the_report_name_each_prediction():
    report = evaluate(*five_predictions())
    assert report.session.tolist() == [0, 0, 0, 1, 1]
    assert report.session_ids.tolist() == [0, 1]
    assert report.position.tolist() == [1, 2, 3, 1, 2]
    assert report.item_ids[report.target].tolist() == list("bcdca")
    assert report.above.dtype == report.equal.dtype == np.int64


# ------------------------------------------------------------------ famous mistakes


def test_targets_beyond_the_cutoff_add_nothing_to_mrr():
    assert mrr_at([1, 4, 21], k=20) == pytest.approx((1 + 1 / 4) / 3)
    assert mrr_at([21, 22], k=20) == 0
    assert mrr_at([20], k=20) == 1 / 20


def test_ranking_is_over_all_items():
    """A target beaten by 300 of 1,000 items has rank 301, however they are spread."""
    item_ids = np.arange(1000)
    scores = np.zeros(1000, np.float32)
    beating = np.random.default_rng(0).permutation(np.arange(2, 1000))[:300]
    scores[beating], scores[1] = 2, 1
    recommender = ByPosition(item_ids, lambda p: scores)
    report = evaluate(recommender, sessions_of([0, 1]), cutoffs=(300, 301))
    assert report.above.tolist() == [300]
    assert report.recall == {300: 0.0, 301: 1.0}


def test_test_sessions_are_not_filtered_by_support():
    """Every click on a known item counts, however seldom it occurs in the test data."""
    log = [["a", "b", "new", "c"], ["d", "d", "e"], ["new", "a"], ["b", "newer", "new"]]
    report = evaluate(constant(list("abcde")), sessions_of(*log))
    # left: a b c | d d e; one known click is no session.  Each item occurs once or
    # twice, d is clicked twice in a row, and all of it counts.
    assert report.n_predictions == 2 + 2
    assert report.item_ids[report.target].tolist() == ["b", "c", "d", "e"]
    assert report.session_ids.tolist() == [0, 1]
    assert report.n_sessions == 2


def test_removed_clicks_are_counted():
    log = [["a", "b", "new", "c"], ["d", "d", "e"], ["new", "a"], ["b", "newer", "new"]]
    sessions = sessions_of(*log)
    report = evaluate(constant(list("abcde")), sessions)
    assert report.removed == sessions.align(np.array(list("abcde"))).removed
    assert 4 in report.removed.values()  # clicks on new and newer
    complete = evaluate(constant(list("abcde")), sessions_of(["a", "b"]))
    assert sum(complete.removed.values()) == 0


def test_constant_scores_are_perfect_only_under_the_standard_rule():
    item_ids = np.arange(100)
    sessions = sessions_of([1, 2, 3], [4, 5])
    report = evaluate(constant(item_ids), sessions, cutoffs=(20, 100))
    assert report.recall == {20: 0.0, 100: 1.0}
    assert report.with_ties("standard").recall == {20: 1.0, 100: 1.0}
    assert report.with_ties("standard").mrr == {20: 1.0, 100: 1.0}
    assert report.with_ties("median").ranks.tolist() == [50.5] * 3


def test_only_the_very_next_click_counts():
    table = np.zeros((3, 3), np.float32)
    table[0] = [0, 1, 2]  # after a: c first, then b
    report = evaluate(AfterItem(list("abc"), table), sessions_of(["a", "b", "c"]))
    assert report.ranks.tolist() == [2, 3]


def test_markov_chain_on_real_clicks(rsc15):
    """What ties can do: the figures in the README of rsc15-100k, from elsewhere.

    A first-order Markov chain without back-off; where it knows too little, all that
    it never saw ties at zero.
    """
    train = Sessions.read(rsc15 / "train_full.tsv")
    test = Sessions.read(rsc15 / "test.tsv")
    clicks = train.to_frame()
    clicks["next"] = clicks.groupby("SessionId")["ItemId"].shift(-1)
    pairs = clicks.dropna()
    seen = np.zeros((train.n_items, train.n_items), np.float32)  # (I, I)
    rows, columns = (train.indices(pairs[c].astype(int)) for c in ("ItemId", "next"))
    np.add.at(seen, (rows, columns), 1)
    report = evaluate(AfterItem(train.item_ids, seen, chunk=1000), test, (20,))
    assert (report.n_predictions, report.n_sessions) == (10_152, 3_416)
    assert report.recall[20] == pytest.approx(0.5626, abs=5e-5)
    assert report.with_ties("standard").recall[20] == pytest.approx(0.8363, abs=5e-5)
    assert report.with_ties("standard").mrr[20] == pytest.approx(0.4148, abs=5e-5)


# ------------------------------------------------------- chunks, devices, memory


@pytest.mark.parametrize("chunk", [1, 2, 7, 1000])
def test_chunks_and_their_order_change_nothing(chunk):
    log = np.random.default_rng(1).integers(0, 9, size=(20, 5)).tolist()
    table = np.random.default_rng(2).integers(0, 5, size=(9, 9)).astype(np.float32)
    first = evaluate(AfterItem(range(9), table), sessions_of(*log), coverage=True)
    other = AfterItem(range(9), table, chunk=chunk, seed=chunk)
    second = evaluate(other, sessions_of(*log), coverage=True)
    for name in ("above", "equal", "session", "position", "target"):
        assert np.array_equal(getattr(first, name), getattr(second, name))


def test_only_one_chunk_is_kept_in_memory():
    class Watching(ByPosition):
        alive = 0

        def score_after(self, sessions, wanted):
            kept = weakref.WeakSet()
            for chunk, scores in super().score_after(sessions, wanted):
                kept.add(scores)
                yield chunk, scores
                del scores
                self.alive = max(self.alive, len(kept))

    watching = Watching(np.arange(50), lambda p: np.arange(50.0), chunk=1)
    evaluate(watching, sessions_of(list(range(50))), coverage=True)
    assert watching.alive == 1


STREAM = """
import resource, sys
import numpy as np, torch
from gru4rec_lite.evaluation import evaluate
from gru4rec_lite.sessions import Sessions

class Recommender:
    item_ids = np.arange(20_000)

    def score_after(self, sessions, wanted):
        positions = np.flatnonzero(wanted)
        for start in range(0, len(positions), 50):
            yield positions[start : start + 50], one_chunk.clone()

def sessions(n):  # of two clicks
    clicks = np.arange(2 * n)
    return Sessions(clicks, clicks, 2 * np.arange(n + 1), range(n), range(20_000))

torch.set_num_threads(1)
one_chunk = torch.rand(50, 20_000)

def peak():  # bytes on macOS, kilobytes elsewhere
    unit = 1 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20

evaluate(Recommender(), sessions(200), coverage=True)  # whatever is set up once
before = peak()
report = evaluate(Recommender(), sessions(5_000), coverage=True)
assert report.n_predictions == 5_000
print(peak() - before)
"""


def test_memory_does_not_grow_with_the_predictions():
    """Scores of 380 MB pass through in chunks of 4 MB; a few chunks' worth is held.

    In a process of its own, whose peak nothing else has raised before.
    """
    command = [sys.executable, "-c", STREAM]
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 100


def test_vocabulary_of_the_recommender_decides():
    """Item indices differ between the test file and the model; IDs decide."""
    table = np.zeros((26, 26), np.float32)
    table[ord("x") - 97, ord("z") - 97] = 1
    table[ord("x") - 97, ord("m") - 97] = 2
    letters = [chr(97 + n) for n in range(26)]
    report = evaluate(AfterItem(letters, table), sessions_of(["x", "z"]))
    assert report.ranks.tolist() == [2]


# ------------------------------------------------------------------ breakdowns


def test_by_position():
    report = evaluate(*five_predictions())
    frame = report.by_position(k=2, bins=2)
    assert frame.index.tolist() == ["1", "2+"]
    assert frame["predictions"].tolist() == [2, 3]
    assert frame["Recall@2"].tolist() == pytest.approx([1 / 2, 1 / 3])
    assert frame["MRR@2"].tolist() == pytest.approx([1 / 2, 1 / 6])
    frame = report.by_position(k=2, bins=5)
    assert frame["predictions"].tolist() == [2, 2, 1, 0, 0]
    assert frame["Recall@2"].isna().tolist() == [False] * 3 + [True] * 2


def test_by_popularity():
    report = evaluate(*five_predictions())  # targets b c d c a, ranks 1 4 5 3 2
    frame = report.by_popularity([9, 1, 2, 8, 5], k=3, bins=2)
    # supports of the targets: 1 2 8 2 9, halved below 8 wherever the two 2s stay
    # together; e, which is no target, is in the lower half with support 5
    assert frame.index.tolist() == ["1 to 1", "2 to 9"]
    assert frame["items"].tolist() == [1, 4]
    assert frame["predictions"].tolist() == [1, 4]
    assert frame["Recall@3"].tolist() == [1, 1 / 2]
    assert report.by_popularity([1, 1, 1, 1, 1], bins=3)["predictions"].tolist() == [5]


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32), st.integers(1, 8))
def test_breakdowns_add_up_to_the_report(seed, bins):
    rng = np.random.default_rng(seed)
    log = [rng.integers(0, 30, size=rng.integers(2, 9)).tolist() for _ in range(15)]
    table = rng.normal(size=(30, 30)).astype(np.float32)
    report = evaluate(AfterItem(range(30), table), sessions_of(*log))
    support = rng.integers(1, 20, size=30)
    by_popularity = report.by_popularity(support, bins=bins)
    assert by_popularity["items"].sum() == 30
    assert len(by_popularity) <= bins
    for frame in (report.by_position(bins=bins), by_popularity):
        assert frame["predictions"].sum() == report.n_predictions
        hits = (frame["Recall@20"] * frame["predictions"]).sum()
        assert hits == pytest.approx(report.recall[20] * report.n_predictions)
    least = [int(label.split()[0]) for label in by_popularity.index]
    for row, (low, high) in enumerate(zip(least, [*least[1:], 99], strict=True)):
        inside = (support >= low) & (support < high)
        assert by_popularity["items"].iloc[row] == inside.sum()
        assert by_popularity["predictions"].iloc[row] == inside[report.target].sum()


def test_by_popularity_takes_the_training_sessions():
    recommender, sessions = five_predictions()
    train = sessions_of(["b", "a"], ["a", "b"], ["d", "a"], ["z", "z"])  # no c, no e
    report = evaluate(recommender, sessions)
    expected = report.by_popularity([3, 2, 0, 1, 0])
    pd.testing.assert_frame_equal(report.by_popularity(train), expected)
    with pytest.raises(ParameterError, match="support"):
        report.by_popularity([1, 2, 3])


def test_coverage_counts_items_in_any_list():
    rng = np.random.default_rng(3)
    log = rng.integers(0, 40, size=(10, 4)).tolist()
    table = rng.permuted(np.tile(np.arange(40.0, dtype=np.float32), (40, 1)), axis=1)
    recommender = AfterItem(range(40), table)
    report = evaluate(recommender, sessions_of(*log), cutoffs=(2, 5), coverage=True)
    for k in (1, 2, 3, 5):
        shown = {int(item) for session in log for click in session[:-1]
                 for item in np.argsort(-table[click])[:k]}  # fmt: skip
        assert report.coverage(k) == pytest.approx(len(shown) / 40)
    with pytest.raises(ParameterError, match="k=6"):
        report.coverage(6)
    with pytest.raises(ParameterError, match="coverage=True"):
        evaluate(recommender, sessions_of(*log)).coverage(20)


def test_coverage_with_a_cutoff_beyond_the_catalogue():
    report = evaluate(constant(list("abc")), sessions_of("ab"), coverage=True)
    assert report.coverage(20) == 1.0


# ------------------------------------------------------------ intervals, comparison


def report_of(log_of_ranks, name="recommender", n_items=1000) -> Report:
    """A report from ranks, a list for each session."""
    flat = np.concatenate([np.asarray(ranks) for ranks in log_of_ranks])
    lengths = [len(ranks) for ranks in log_of_ranks]
    return Report(
        above=flat.astype(np.int64) - 1,
        equal=np.zeros(len(flat), np.int64),
        session=np.repeat(np.arange(len(lengths)), lengths),
        position=np.concatenate([np.arange(n) + 1 for n in lengths]),
        target=np.zeros(len(flat), np.int64),
        item_ids=np.arange(n_items),
        session_ids=np.arange(len(lengths)),
        cutoffs=(20,),
        ties="conservative",
        removed={},
        name=name,
    )


def test_interval_of_a_share_is_the_binomial_one():
    hits = np.random.default_rng(0).random(3000) < 0.3
    report = report_of([[1 if hit else 99] for hit in hits])
    p = hits.mean()
    half = 1.96 * np.sqrt(p * (1 - p) / 3000)
    low, high = report.interval("recall", 20, resamples=4000)
    assert low == pytest.approx(p - half, abs=half / 10)
    assert high == pytest.approx(p + half, abs=half / 10)
    low, high = report.interval("recall", 20, level=0.5, resamples=4000)
    assert high - low == pytest.approx(2 * half * 0.6745 / 1.96, rel=0.1)


def test_interval_redraws_sessions_not_predictions():
    """Nine predictions of a session that all hit or all miss count as one."""
    hits = np.random.default_rng(0).random(400) < 0.5
    p = hits.mean()
    half = 1.96 * np.sqrt(p * (1 - p) / 400)
    low, high = report_of([[1 if hit else 99] * 9 for hit in hits]).interval()
    assert (high - low) / 2 == pytest.approx(half, rel=0.1)


def test_interval_of_mrr_in_sessions_of_unequal_length():
    """Against the textbook standard error of a ratio of two sums over sessions."""
    rng = np.random.default_rng(5)
    log = [rng.geometric(0.1, size=rng.integers(1, 10)) for _ in range(2000)]
    report = report_of(log)
    gains = [np.where(ranks <= 20, 1 / ranks, 0) for ranks in log]
    ratio = np.concatenate(gains).mean()
    residuals = np.array([g.sum() - ratio * len(g) for g in gains])
    error = residuals.std() * np.sqrt(2000) / report.n_predictions
    low, high = report.interval("mrr", 20, resamples=4000)
    assert (low + high) / 2 == pytest.approx(ratio, abs=error / 5)
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(7)
    inside = 0
    for _ in range(200):
        hits = rng.random(300) < 0.4
        low, high = report_of([[1 if hit else 99] for hit in hits]).interval()
        inside += low <= 0.4 <= high
    assert 0.90 <= inside / 200 <= 0.99


def test_intervals_are_the_same_each_time():
    rng = np.random.default_rng(0)
    report = report_of([rng.integers(1, 60, size=3) for _ in range(50)])
    assert report.interval("mrr", 20) == report.interval("mrr", 20)
    assert report.interval("mrr", 20, seed=1) != report.interval("mrr", 20)
    frame = report.to_frame()
    assert tuple(frame.loc["MRR@20", ["low", "high"]]) == pytest.approx(
        report.interval("mrr", 20)
    )


def test_a_single_session_has_no_interval():
    report = evaluate(constant(list("abc")), sessions_of("abcabc"))
    assert np.isnan(report.interval()).all()
    assert report.as_dict()["recall_interval"] == {"20": [None, None]}
    json.loads(report.to_json(), parse_constant=pytest.fail)


def test_paired_comparison_is_narrower_than_two_intervals():
    """b misses one in fifty of what a hits: seen when paired, not otherwise."""
    rng = np.random.default_rng(0)
    a = np.where(rng.random(2000) < 0.5, 1, 99)
    b = np.where(rng.random(2000) < 0.02, 99, a)
    report_a, report_b = report_of(a[:, None], "a"), report_of(b[:, None], "b")
    low_a, high_b = report_a.interval()[0], report_b.interval()[1]
    assert low_a < high_b  # the intervals overlap
    result = compare(report_a, report_b)
    differences = (a <= 20).astype(float) - (b <= 20)
    error = differences.std() / np.sqrt(2000)
    assert result.difference == pytest.approx(differences.mean())
    assert result.low == pytest.approx(differences.mean() - 1.96 * error, abs=error / 4)
    assert result.high == pytest.approx(
        differences.mean() + 1.96 * error, abs=error / 4
    )
    assert result.low > 0 and result.share_a_better == 1
    assert result == compare(report_a, report_b)
    assert (result.a, result.b) == (report_a.recall[20], report_b.recall[20])


def test_comparison_turns_its_sign_with_the_order():
    rng = np.random.default_rng(1)
    a = report_of(rng.integers(1, 60, size=(200, 3)))
    b = report_of(rng.integers(1, 60, size=(200, 3)))
    one, other = compare(a, b, "mrr", 5), compare(b, a, "mrr", 5)
    assert one.difference == -other.difference
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))
    assert one.share_a_better == pytest.approx(1 - other.share_a_better)
    assert 0 < one.share_a_better < 1
    same = compare(a, a)
    assert (same.difference, same.low, same.high, same.share_a_better) == (0, 0, 0, 0.5)


def test_comparison_refuses_different_predictions():
    table = np.zeros((5, 5), np.float32)
    one = evaluate(AfterItem(list("abcde"), table), sessions_of("abc", "de"))
    other = evaluate(AfterItem(list("abcde"), table), sessions_of("abd", "de"))
    with pytest.raises(DataError, match="same predictions"):
        compare(one, other)
    fewer = evaluate(AfterItem(list("abcde"), table), sessions_of("abc"))
    with pytest.raises(DataError, match="same predictions"):
        compare(one, fewer)
    with pytest.raises(ParameterError, match="with_ties"):
        compare(one, one.with_ties("standard"))
    wider = evaluate(constant(list("abcdef")), sessions_of("abc", "de"))
    with pytest.raises(DataError, match="5 items .* 6"):
        compare(one, wider)
    with pytest.raises(ParameterError, match="metric='hits'"):
        compare(one, one, metric="hits")


# ---------------------------------------------------------- forms and bad arguments


def test_forms_of_the_report():
    report = evaluate(*five_predictions(), cutoffs=[2, 20])
    frame = report.to_frame()
    assert frame.index.tolist() == ["Recall@2", "Recall@20", "MRR@2", "MRR@20"]
    assert frame["value"].tolist() == [*report.recall.values(), *report.mrr.values()]
    assert (frame["low"] <= frame["value"]).all()
    assert (frame["value"] <= frame["high"]).all()
    plain = json.loads(report.to_json())
    assert plain == report.as_dict()
    assert plain["recall"] == {"2": report.recall[2], "20": report.recall[20]}
    assert plain["mrr"] == {"2": report.mrr[2], "20": report.mrr[20]}
    assert (plain["n_predictions"], plain["ties"]) == (5, "conservative")
    assert set(plain["removed"].values()) <= {0}
    assert "Recall@20" in repr(report) and "5 predictions" in repr(report)
    assert "<table" in report._repr_html_() and "AfterItem" in report._repr_html_()
    assert "better in 50.0%" in repr(compare(report, report))


@pytest.mark.parametrize("cutoffs", [0, -1, 2.0, True, "20", (5, 0), (), (1.5,), None])
def test_bad_cutoffs(cutoffs):
    with pytest.raises(ParameterError, match="cutoffs"):
        evaluate(*five_predictions(), cutoffs=cutoffs)


def test_cutoffs_may_be_one_number_or_numpy_ones():
    assert set(evaluate(*five_predictions(), cutoffs=3).recall) == {3}
    report = evaluate(*five_predictions(), cutoffs=np.array([3, 5]))
    assert json.loads(report.to_json())["recall"].keys() == {"3", "5"}


@pytest.mark.parametrize("ties", ["optimistic", None, "Standard", 1])
def test_unknown_rule_for_ties(ties):
    with pytest.raises(ParameterError, match="ties=.*'conservative'"):
        evaluate(*five_predictions(), ties=ties)
    with pytest.raises(ParameterError, match="ties="):
        ranks([0], [0], ties)


def test_bad_arguments_of_the_small_functions():
    report = evaluate(*five_predictions())
    for bad in (0, 1.5, True):
        with pytest.raises(ParameterError, match="k="):
            recall_at([1, 2], bad)
    with pytest.raises(DataError, match="empty"):
        mrr_at([])
    with pytest.raises(ParameterError, match="level"):
        report.interval(level=1)
    with pytest.raises(ParameterError, match="resamples"):
        report.interval(resamples=0)
    with pytest.raises(ParameterError, match="metric"):
        report.interval("precision")
    with pytest.raises(ParameterError, match="bins"):
        report.by_position(bins=0)


def test_nothing_left_to_predict():
    with pytest.raises(DataError, match="none of the 3 items .* known ones"):
        evaluate(constant(list("abc")), sessions_of("xyz"))
    with pytest.raises(DataError, match="no click is left .* 3 clicks on unknown"):
        evaluate(constant(list("abc")), sessions_of("ax", "bx", "yc"))  # one each


def test_nan_scores_are_an_error():
    broken = np.zeros((5, 5), np.float32)
    broken[0, 4] = np.nan  # not even a target: e never follows a
    with pytest.raises(GRU4RecError, match="NaN in 2 of 5 predictions.*diverged"):
        evaluate(AfterItem(list("abcde"), broken), five_predictions()[1])
    infinite = np.full((5, 5), -np.inf, np.float32)
    report = evaluate(AfterItem(list("abcde"), infinite), five_predictions()[1])
    assert report.ranks.tolist() == [5] * 5  # infinite scores are scores, here all tie


def test_what_a_recommender_must_return():
    sessions = sessions_of("abc", "ab")

    class Recommender:
        item_ids = np.array(list("abc"))

        def __init__(self, *chunks):
            self.chunks = chunks

        def score_after(self, sessions, wanted):
            for positions, width in self.chunks:
                yield np.array(positions), torch.zeros(len(positions), width)

    assert evaluate(Recommender(([3, 0], 3), ([1], 3)), sessions).n_predictions == 3
    with pytest.raises(GRU4RecError, match=r"shape \(3, 2\).*expected \(3, 3\)"):
        evaluate(Recommender(([0, 1, 3], 2)), sessions)
    with pytest.raises(GRU4RecError, match="not wanted"):
        evaluate(Recommender(([0, 1, 2], 3)), sessions)
    with pytest.raises(GRU4RecError, match="after 2 clicks; .* each of the 3 wanted"):
        evaluate(Recommender(([0, 1], 3)), sessions)
    with pytest.raises(GRU4RecError, match="after 0 clicks"):
        evaluate(Recommender(), sessions)
    for twice in [([0, 3], 3), ([1, 3], 3)], [([0, 1, 1], 3)], [([0, 1, 3, 3], 3)]:
        with pytest.raises(GRU4RecError, match="twice"):
            evaluate(Recommender(*twice), sessions)


def test_what_evaluate_is_given():
    recommender, sessions = five_predictions()
    with pytest.raises(ParameterError, match="DataFrame; expected Sessions"):
        evaluate(recommender, sessions.to_frame())
    recommender.item_ids = None
    with pytest.raises(GRU4RecError, match="AfterItem is not fitted"):
        evaluate(recommender, sessions)

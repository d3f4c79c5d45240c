"""Every baseline against a reference in plain Python, and the published figures."""

import functools
from collections import Counter
from math import exp, isclose

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gru4rec_lite import baselines, recommender
from gru4rec_lite.baselines import BASELINES, BPRMF, POP, SPOP, ItemKNN, Markov
from gru4rec_lite.errors import DataError, ParameterError
from gru4rec_lite.evaluation import evaluate
from gru4rec_lite.sessions import Sessions

N_ITEMS = 6
session_lists = st.lists(
    st.lists(st.integers(0, N_ITEMS - 1), min_size=1, max_size=7),
    min_size=1,
    max_size=8,
)


def sessions_of(lists, n_items=N_ITEMS):
    """Sessions over a vocabulary of n_items, clicked or not."""
    items = [item for clicks in lists for item in clicks]
    offsets = np.cumsum([0] + [len(clicks) for clicks in lists])
    times = np.arange(len(items))
    ids = np.arange(100, 100 + n_items)
    return Sessions(items, times, offsets, np.arange(len(lists)), ids)


def all_scores(model, sessions, wanted=None):
    """(E, I) array; checks what score_after promises about its chunks."""
    wanted = np.ones(sessions.n_clicks, bool) if wanted is None else wanted
    table = np.full((sessions.n_clicks, sessions.n_items), np.nan)
    for positions, scores in model.score_after(sessions, wanted):
        assert isinstance(scores, torch.Tensor)
        assert scores.shape == (len(positions), sessions.n_items)
        assert np.isnan(table[positions, 0]).all(), "a click scored twice"
        table[positions] = scores.numpy()
    assert np.array_equal(~np.isnan(table[:, 0]), wanted)
    return table


def so_far(lists):
    """The clicks of the session up to each click, click by click."""
    return [clicks[: n + 1] for clicks in lists for n in range(len(clicks))]


def small_chunks(test):
    """Run a test with chunks of a few clicks, as large data would have."""

    @functools.wraps(test)
    def run(*args, **kwargs):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(recommender, "MAX_SCORES", 3 * N_ITEMS)
            patch.setattr(baselines, "BLOCK_ITEMS", 4)
            test(*args, **kwargs)

    return run


# ---- references ----------------------------------------------------------------


def pop_reference(train, history):
    support = Counter(item for clicks in train for item in clicks)
    return [support[item] for item in range(N_ITEMS)]


def below_one(train):
    support = pop_reference(train, None)
    return [count / (max(support) + 1) for count in support]


def spop_reference(train, history):
    return [history.count(i) + p for i, p in enumerate(below_one(train))]


def markov_reference(train, history):
    pairs = Counter(
        p for clicks in train for p in zip(clicks, clicks[1:], strict=False)
    )
    return [pairs[history[-1], i] + p for i, p in enumerate(below_one(train))]


def knn_reference(train, history, n_neighbors, lmbd, alpha):
    i, support = history[-1], pop_reference(train, None)
    scores = []
    for j in range(N_ITEMS):
        together = sum(clicks.count(i) for clicks in train if j in clicks)
        if i == j or not together:
            scores.append(0.0)
            continue
        norm = (support[i] + lmbd) ** alpha * (support[j] + lmbd) ** (1 - alpha)
        scores.append(together / norm)
    best = sorted(range(N_ITEMS), key=lambda j: -scores[j])  # stable
    return [s if j in best[:n_neighbors] else 0 for j, s in enumerate(scores)]


@given(session_lists, session_lists)
@small_chunks
def test_counting_baselines_equal_plain_loops(train, test):
    references = {POP: pop_reference, SPOP: spop_reference, Markov: markov_reference}
    for baseline, reference in references.items():
        model = baseline().fit(sessions_of(train))
        expected = [reference(train, history) for history in so_far(test)]
        found = all_scores(model, sessions_of(test))
        np.testing.assert_allclose(found, expected, rtol=1e-12)


@given(
    session_lists,
    session_lists,
    st.integers(1, N_ITEMS + 1),
    st.floats(0, 30),
    st.floats(0, 1),
)
@small_chunks
def test_item_knn_equals_plain_loops(train, test, n_neighbors, lmbd, alpha):
    model = ItemKNN(n_neighbors, lmbd, alpha).fit(sessions_of(train))
    found = all_scores(model, sessions_of(test))
    for row, history in zip(found, so_far(test), strict=True):
        expected = knn_reference(train, history, N_ITEMS, lmbd, alpha)
        kept = sorted(expected, reverse=True)[:n_neighbors]
        # equal but for rounding: which of two such neighbours is kept is not told
        np.testing.assert_allclose(
            np.sort(row)[::-1][:n_neighbors], kept, rtol=1e-9, atol=1e-15
        )
        assert np.count_nonzero(row) <= n_neighbors
        chosen = row > 0
        np.testing.assert_allclose(row[chosen], np.array(expected)[chosen], rtol=1e-9)


def test_item_knn_worked_example():
    # 0 and 1 share two sessions, 0 and 2 one in which 0 is clicked twice
    train = sessions_of([[0, 1], [1, 0], [0, 2, 0], [3, 3]])
    scores = all_scores(ItemKNN(lmbd=0).fit(train), sessions_of([[0], [2], [3]]))
    np.testing.assert_allclose(scores[0, :4], [0, 2 / 8**0.5, 2 / 4**0.5, 0])
    np.testing.assert_allclose(scores[1, :4], [1 / 4**0.5, 0, 0, 0])
    assert not scores[2].any() and not scores[:, 4:].any()
    nearest = ItemKNN(n_neighbors=1, lmbd=0).fit(train)
    np.testing.assert_allclose(
        all_scores(nearest, sessions_of([[0]]))[0, :3], [0, 0, 1]
    )
    asymmetric = ItemKNN(lmbd=20, alpha=0.75).fit(train)
    expected = 2 / (24**0.75 * 22**0.25)
    assert isclose(all_scores(asymmetric, sessions_of([[0]]))[0, 1], expected)


def test_item_knn_keeps_the_first_of_equal_neighbours():
    train = sessions_of([[0, item] for item in range(1, N_ITEMS)])
    scores = all_scores(ItemKNN(n_neighbors=2).fit(train), sessions_of([[0]]))
    assert np.flatnonzero(scores[0]).tolist() == [1, 2]


def test_popularity_never_outweighs_a_count():
    train = sessions_of([[0]] * 1000 + [[1, 2]])
    assert all_scores(Markov().fit(train), sessions_of([[1]]))[0].argmax() == 2
    assert all_scores(SPOP().fit(train), sessions_of([[1]]))[0].argmax() == 1
    # after an item that nothing followed, popularity alone
    assert all_scores(Markov().fit(train), sessions_of([[2]]))[0].argmax() == 0


@pytest.mark.parametrize("baseline", [SPOP, Markov])
def test_popularity_breaks_all_ties_even_in_large_logs(baseline):
    # 20 million clicks on one item: in float32 such neighbours would be equal
    class Large(Sessions):
        support = np.array([20_000_000, 7, 8, 0, 0, 0])

    train = sessions_of([[0, 1, 0, 2] * 50])
    model = baseline().fit(Large(*vars(train).values()))
    last = all_scores(model, sessions_of([[1, 2] * 50 + [0]]))[-1]
    assert round(last[2]) == round(last[1]) == 50 and last[2] > last[1]


@given(session_lists)
@settings(max_examples=20)
def test_only_clicks_up_to_the_wanted_one_count(test):
    train = [[0, 1, 2], [2, 1, 3], [4, 5, 4]]
    sessions = sessions_of(test)
    for baseline in (POP, SPOP, ItemKNN, Markov, BPRMF):
        model = baseline(verbose=False) if baseline is BPRMF else baseline()
        model.fit(sessions_of(train))
        whole = all_scores(model, sessions)
        cut = [all_scores(model, sessions_of([h]))[-1] for h in so_far(test)]
        np.testing.assert_allclose(whole, cut, rtol=1e-5)
        wanted = np.arange(sessions.n_clicks) % 3 == 1
        some = all_scores(model, sessions, wanted)
        np.testing.assert_allclose(some[wanted], whole[wanted], rtol=1e-5)


def test_fit_leaves_the_sessions_alone():
    train = sessions_of([[3, 1, 3, 0], [2, 2], [5, 4, 0]])
    before = {k: np.copy(v) for k, v in vars(train).items() if k != "removed"}
    for baseline in BASELINES.values():
        model = baseline(verbose=False) if baseline is BPRMF else baseline()
        assert model.fit(train) is model
        list(model.score_after(train, np.ones(train.n_clicks, bool)))
    for name, array in before.items():
        assert np.array_equal(getattr(train, name), array), name


# ---- matrix factorisation ------------------------------------------------------


def test_bpr_mf_step_equals_the_formula():
    """One click, one step: w, h_i and h_j move along the gradient, as in float64."""
    train = sessions_of([[0]], n_items=2)
    rate, pull, n_factors = 0.3, 0.2, 5
    seeds = [
        s
        for s in range(20)
        if _first_draws(s, n_factors)[2] == 1  # seed 's' draws the other item
    ]
    assert seeds
    for seed in seeds[:3]:
        w, h, _ = _first_draws(seed, n_factors)
        push = 1 / (1 + exp(float(w[0] @ (h[0] - h[1]))))
        expected = np.stack(
            [
                h[0] + rate * (push * w[0] - pull * h[0]),
                h[1] + rate * (-push * w[0] - pull * h[1]),
            ]
        )
        model = BPRMF(n_factors, 1, rate, pull, seed=seed, verbose=False).fit(train)
        np.testing.assert_allclose(model.item_factors.numpy(), expected, rtol=1e-4)


def _first_draws(seed, n_factors):
    random = torch.Generator().manual_seed(seed)
    w = n_factors**-0.5 * torch.randn(1, n_factors, generator=random)
    h = n_factors**-0.5 * torch.randn(2, n_factors, generator=random)
    torch.randperm(1, generator=random)
    drawn = torch.randint(2, (1,), generator=random)
    return w.double().numpy(), h.double().numpy(), int(drawn)


def test_bpr_mf_adds_up_what_a_batch_does_to_one_item():
    # the same click many times in one batch moves its factors as often
    train = sessions_of([[0] * 50], n_items=2)
    one = BPRMF(4, 1, 1e-3, 0, batch_size=50, verbose=False).fit(train)
    many = BPRMF(4, 1, 1e-3, 0, batch_size=1, verbose=False).fit(train)
    start = _item_start(train, 4)
    moved = (one.item_factors - start).norm()
    assert moved > 0.5e-3 * 10 and torch.allclose(
        one.item_factors, many.item_factors, atol=float(moved) / 20
    )


def _item_start(train, n_factors):
    random = torch.Generator().manual_seed(0)
    torch.randn(train.n_sessions, n_factors, generator=random)
    return n_factors**-0.5 * torch.randn(train.n_items, n_factors, generator=random)


@given(session_lists)
@settings(max_examples=20)
@small_chunks
def test_bpr_mf_session_is_the_mean_of_its_items(test):
    model = BPRMF(n_factors=3, n_epochs=1, verbose=False).fit(sessions_of([[0, 1, 2]]))
    h = model.item_factors.double().numpy()
    expected = [
        np.mean([h[i] for i in history], axis=0) @ h.T for history in so_far(test)
    ]
    found = all_scores(model, sessions_of(test))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_bpr_mf_never_draws_what_the_session_holds():
    # with every item in the session there is no negative, so nothing is learnt
    train = sessions_of([[0, 1, 2]], n_items=3)
    model = BPRMF(n_factors=4, learning_rate=1.0, verbose=False).fit(train)
    assert torch.equal(model.item_factors, _item_start(train, 4))


def test_bpr_mf_learns_which_items_go_together():
    lists = [[0, 1, 2], [1, 2, 0], [3, 4, 5], [5, 3, 4]] * 20
    model = BPRMF(n_factors=8, n_epochs=30, verbose=False).fit(sessions_of(lists))
    scores = all_scores(model, sessions_of([[0], [4]]))
    assert scores[0, :3].min() > scores[0, 3:].max()
    assert scores[1, 3:].min() > scores[1, :3].max()


def test_bpr_mf_one_seed_one_result():
    train = sessions_of([[0, 1, 2], [3, 4, 5]] * 10)
    runs = [BPRMF(seed=s, verbose=False).fit(train).item_factors for s in (1, 1, 2)]
    assert torch.equal(runs[0], runs[1]) and not torch.equal(runs[0], runs[2])


def test_bpr_mf_shows_progress_on_standard_error(capsys):
    train = sessions_of([[0, 1, 2], [3, 4, 5]])
    BPRMF(n_epochs=3).fit(train)
    out, err = capsys.readouterr()
    assert out == "" and "18/18" in err
    BPRMF(n_epochs=3, verbose=False).fit(train)
    assert capsys.readouterr().err == ""


# ---- messages ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            ItemKNN(n_neighbors=0),
            "n_neighbors=0 is not allowed; expected an integer of",
        ),
        (ItemKNN(n_neighbors=1.5), "n_neighbors=1.5 is not allowed"),
        (
            ItemKNN(lmbd=-1),
            "lmbd=-1 is not allowed; expected a finite number at least 0",
        ),
        (ItemKNN(lmbd=float("inf")), "lmbd=inf is not allowed"),
        (ItemKNN(alpha=1.1), "alpha=1.1 is not allowed; expected a finite number at"),
        (ItemKNN(alpha=float("nan")), "alpha=nan is not allowed"),
        (ItemKNN(alpha="0.5"), "alpha='0.5' is not allowed"),
        (BPRMF(n_factors=0), "n_factors=0 is not allowed"),
        (BPRMF(n_epochs=-1), "n_epochs=-1 is not allowed"),
        (BPRMF(learning_rate=0), "learning_rate=0 is not allowed; expected a finite"),
        (BPRMF(regularization=-0.1), "regularization=-0.1 is not allowed"),
        (BPRMF(batch_size=0), "batch_size=0 is not allowed"),
        (BPRMF(seed=-1), "seed=-1 is not allowed"),
        (BPRMF(seed=None), "seed=None is not allowed"),
        (BPRMF(verbose=2), "verbose=2 is not allowed; expected False, True"),
        (
            BPRMF(learning_rate=1e30, verbose=False),
            "learning_rate=1e+30 is not allowed with these clicks",
        ),
    ],
)
def test_bad_parameters(model, message):
    with pytest.raises(ParameterError) as caught:
        model.fit(sessions_of([[0, 1, 2], [3, 4, 5]]))
    assert message in str(caught.value)
    assert model.item_ids is None  # not half fitted


@pytest.mark.parametrize("name", BASELINES)
def test_bad_sessions(name):
    model = BASELINES[name]()
    with pytest.raises(ParameterError, match="sessions=DataFrame is not allowed"):
        model.fit(pd.DataFrame())
    model = BASELINES[name](**({"verbose": False} if name == "bpr-mf" else {}))
    model.fit(sessions_of([[0, 1, 2]]))
    other = sessions_of([[0, 1]], n_items=2)
    with pytest.raises(DataError, match=r"2 items other than the 6 known.*align"):
        list(model.score_after(other, np.array([True, True])))


@pytest.mark.parametrize("name", BASELINES)
def test_smallest_data(name):
    """One session of one click on the only item: nothing to learn, nothing breaks."""
    model = BASELINES[name](**({"verbose": False} if name == "bpr-mf" else {}))
    table = model.fit(sessions_of([[0]], n_items=1)).recommend([100], k=5)
    assert table["item"].tolist() == [100] and np.isfinite(table["score"]).all()


# ---- figures -------------------------------------------------------------------


@pytest.fixture(scope="module")
def clicks(rsc15):
    return [Sessions.read(rsc15 / f"{name}.tsv") for name in ("train_full", "test")]


@pytest.mark.parametrize(
    ("name", "recall", "mrr"),
    [
        ("pop", 0.0894, 0.0264),
        ("s-pop", 0.3813, 0.2658),
        ("item-knn", 0.4733, 0.1931),
        ("markov", 0.5908, 0.3441),
    ],
)
def test_published_figures(clicks, name, recall, mrr):
    train, test = clicks
    report = evaluate(
        BASELINES[name]().fit(train), test, cutoffs=(20,), ties="standard"
    )
    assert report.n_predictions == 10152
    assert report.recall[20] == pytest.approx(recall, abs=0.0005)
    assert report.mrr[20] == pytest.approx(mrr, abs=0.0005)


def test_item_knn_when_ties_count_against_it(clicks):
    train, test = clicks
    report = evaluate(ItemKNN().fit(train), test, ties="conservative")
    assert report.recall[20] == pytest.approx(0.3982, abs=0.0005)


def test_bpr_mf_reaches_the_published_figure(clicks):
    train, test = clicks
    report = evaluate(BPRMF(verbose=False).fit(train), test, ties="standard")
    assert report.recall[20] >= 0.42 and report.mrr[20] >= 0.264

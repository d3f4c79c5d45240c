"""Losses against their formulas in float64 NumPy, and far out where formulas break."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gru4rec_lite import losses
from gru4rec_lite.losses import LOSSES, elu

OPTIONS = {"bpr-max": [{}, {"bpreg": 0.0}, {"bpreg": 1.85}]}
CASES = [(name, options) for name in LOSSES for options in OPTIONS.get(name, [{}])]
every_loss = pytest.mark.parametrize("name, options", CASES)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def by_formula(name, scores, bpreg=1.0):
    """Mean over rows; row i's positive stands in column i."""
    total = 0.0
    for i, row in enumerate(scores):
        r_i, r_j = row[i], np.delete(row, i)
        w = np.exp(r_j) / np.exp(r_j).sum()
        total += {
            "cross-entropy": -np.log(np.exp(r_i) / np.exp(row).sum()),
            "bpr": -np.mean(np.log(sigmoid(r_i - r_j))),
            "top1": np.mean(sigmoid(r_j - r_i) + sigmoid(r_j**2)),
            "bpr-max": -np.log(np.sum(w * sigmoid(r_i - r_j)))
            + bpreg * np.sum(w * r_j**2),
            "top1-max": np.sum(w * (sigmoid(r_j - r_i) + sigmoid(r_j**2))),
        }[name]
    return total / len(scores)


@st.composite
def score_matrices(draw):
    n_rows = draw(st.integers(1, 6))
    n_columns = draw(st.integers(max(2, n_rows), n_rows + 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return rng.normal(0, draw(st.sampled_from([0.1, 1, 4])), (n_rows, n_columns))


@every_loss
@given(scores=score_matrices())
def test_value(name, options, scores):
    value = LOSSES[name](torch.tensor(scores), **options)
    assert value.shape == ()
    np.testing.assert_allclose(value, by_formula(name, scores, **options), rtol=1e-10)


@every_loss
@settings(max_examples=30)
@given(scores=score_matrices())
def test_gradient_by_autograd(name, options, scores):
    """Against finite differences of the loss itself."""
    scores = torch.tensor(scores, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: LOSSES[name](s, **options), scores)


@every_loss
@settings(max_examples=30)
@given(scores=score_matrices())
def test_gradient_by_formula(name, options, scores):
    """Against finite differences of the formula."""
    tensor = torch.tensor(scores, requires_grad=True)
    (gradient,) = torch.autograd.grad(LOSSES[name](tensor, **options), tensor)
    for place in np.ndindex(scores.shape):
        step = np.zeros_like(scores)
        step[place] = 1e-5
        above = by_formula(name, scores + step, **options)
        below = by_formula(name, scores - step, **options)
        slope = (above - below) / 2e-5
        np.testing.assert_allclose(gradient[place], slope, rtol=1e-4, atol=1e-6)


@every_loss
@settings(max_examples=30)
@given(scores=score_matrices(), data=st.data())
def test_merged_columns_equal_written_out_ones(name, options, scores, data):
    """Any candidate may stand for the same item: its columns are then equal."""
    n_rows, n_columns = scores.shape
    item = data.draw(  # the item of each candidate
        st.lists(
            st.integers(0, n_columns - 1), min_size=n_columns, max_size=n_columns
        ).filter(lambda items: len(set(items)) > 1)
    )
    distinct, place, count = np.unique(item, return_inverse=True, return_counts=True)
    merged = torch.tensor(scores[:, : len(distinct)], requires_grad=True)
    written_out = LOSSES[name](merged[:, torch.tensor(place)], **options)
    value = LOSSES[name](
        merged,
        target=torch.tensor(place[:n_rows]),
        log_count=torch.tensor(np.log(count)),
        **options,
    )
    torch.testing.assert_close(value, written_out, rtol=1e-9, atol=1e-12)
    (expected,) = torch.autograd.grad(written_out, merged)
    (gradient,) = torch.autograd.grad(value, merged)
    torch.testing.assert_close(gradient, expected, rtol=1e-7, atol=1e-12)


@every_loss
@settings(max_examples=30)
@given(scores=score_matrices())
def test_columns_that_are_no_candidates_do_not_count(name, options, scores):
    """Training fills steps up with columns of count 0."""
    n_rows, n_columns = scores.shape
    padded = torch.tensor(np.hstack([scores, scores + 3]), requires_grad=True)
    log_count = torch.zeros(2 * n_columns, dtype=torch.float64)
    log_count[n_columns:] = -torch.inf
    target = torch.arange(n_rows)
    value = LOSSES[name](padded, target=target, log_count=log_count, **options)
    np.testing.assert_allclose(
        value.detach(), by_formula(name, scores, **options), rtol=1e-10
    )
    (gradient,) = torch.autograd.grad(value, padded)
    assert (gradient[:, n_columns:] == 0).all()


EXTREME = [0.0, 1e-30, 1.0, 88.0, 104.0, 1e4, 1e10, 1e16, 1e19, 1e38, 3e38]


@every_loss
@pytest.mark.parametrize("merged", [False, True])
@settings(max_examples=30)
@given(data=st.data())
def test_finite_for_every_float32(name, options, merged, data):
    signs = st.sampled_from(EXTREME + [-x for x in EXTREME])
    n_rows = data.draw(st.integers(1, 4))
    n_columns = data.draw(st.integers(max(2, n_rows), 6))
    rows = st.lists(signs, min_size=n_columns, max_size=n_columns)
    scores = data.draw(st.lists(rows, min_size=n_rows, max_size=n_rows))
    scores = torch.tensor(scores, dtype=torch.float32, requires_grad=True)
    extra = {}
    if merged:
        extra = {"target": torch.arange(n_rows), "log_count": torch.zeros(n_columns)}
    value = LOSSES[name](scores, **options, **extra)
    (gradient,) = torch.autograd.grad(value, scores)
    assert value.isfinite() and gradient.isfinite().all()


@every_loss
def test_smallest_case(name, options):
    """One row, one negative."""
    scores = np.array([[0.3, -0.7]])
    value = LOSSES[name](torch.tensor(scores), **options)
    np.testing.assert_allclose(value, by_formula(name, scores, **options), rtol=1e-12)


@pytest.mark.parametrize("name", ["cross-entropy", "bpr", "bpr-max"])
def test_hopeless_positive_still_learns(name):
    """A positive far below its negatives is pulled up. (TOP1 is flat out there.)"""
    scores = torch.tensor([[-200.0, 200.0, 190.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(LOSSES[name](scores), scores)
    assert gradient[0, 0] < -0.5


@given(st.floats(-50, 50), st.sampled_from([0.0, 0.5, 1.0, 2.0]))
def test_elu(score, alpha):
    expected = score if score > 0 or alpha == 0 else alpha * (np.exp(score) - 1)
    value = elu(torch.tensor([score], dtype=torch.float64), alpha)
    np.testing.assert_allclose(value[0], expected, rtol=1e-9, atol=1e-15)


def test_documented_names():
    assert list(LOSSES) == ["cross-entropy", "bpr", "top1", "bpr-max", "top1-max"]
    for name, function in LOSSES.items():
        assert getattr(losses, name.replace("-", "_")) is function

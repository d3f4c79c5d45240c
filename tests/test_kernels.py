"""Compiled loops against float64, NumPy's functions, and their own tensor versions."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from gru4rec_lite import kernels, losses

float32 = np.float32


@njit
def over(function, x):
    """A function of one number, for an array of them."""
    y = np.empty_like(x)
    for j in range(len(x)):
        y[j] = function(x[j])
    return y


def ranges(*limits):
    rng = np.random.default_rng(0)
    return np.concatenate([rng.uniform(a, b, 20_000) for a, b in limits]).astype("f")


FUNCTIONS = {
    "exp": (np.exp, ranges((-87, 88), (-1, 1))),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), ranges((-80, 80), (-1, 1))),
    "tanh": (np.tanh, ranges((-20, 20), (-0.3, 0.3), (-1e-6, 1e-6))),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_as_exact_as_float32(name):
    exact, x = FUNCTIONS[name]
    y = over(getattr(kernels, name), x)
    np.testing.assert_allclose(y, exact(x.astype(float)), rtol=4e-7, atol=0)


def test_functions_far_out():
    x = np.array([-np.inf, -1e30, -88.5, 0, 1e30, np.inf, np.nan], float32)
    assert over(kernels.exp, x)[:4].tolist() == [0, 0, 0, 1]
    assert (over(kernels.exp, x)[4:6] > 1e38).all()
    np.testing.assert_allclose(
        over(kernels.sigmoid, x), [0, 0, 0, 0.5, 1, 1, np.nan], atol=1e-37
    )
    np.testing.assert_array_equal(over(kernels.tanh, x), np.tanh(x))


@given(st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=70))
def test_largest(numbers):
    assert kernels.largest(np.array(numbers, float32)) == max(map(float32, numbers))


# ---- losses

LOSSES = {
    "softmax": lambda s, t, c, bpreg, alpha: losses.softmax_loss(s, t, c),
    "bpr-max": lambda s, t, c, bpreg, alpha: losses.bpr_max(
        losses.elu(s, alpha), bpreg, t, c
    ),
}


def gradient(name, scores, target, count, bpreg, alpha):
    """Loss, gradient and its sums over rows, as the kernel finds them."""
    g, g_bias = scores.astype(float32), np.empty(scores.shape[1], float32)
    bias = np.linspace(-1, 1, len(g_bias), dtype=float32)  # which the loop adds
    g -= bias
    rows = np.empty(len(g), float32)
    with np.errstate(divide="ignore"):
        log_count = np.log(count).astype(float32)
    more = () if name == "softmax" else (float32(bpreg), float32(alpha))
    function = {
        "softmax": kernels.softmax_gradient,
        "bpr-max": kernels.bpr_max_gradient,
    }
    arrays = (g, bias, log_count, target, rows)
    function[name](len(g), *arrays, float32(1 / len(g)), *more)
    kernels.sum_rows(len(g_bias), g, g_bias)
    return rows.mean(), g, g_bias


def by_autograd(name, scores, target, count, bpreg, alpha):
    scores = torch.tensor(scores, requires_grad=True)
    log_count = torch.from_numpy(count).double().log()
    target = torch.from_numpy(target)
    loss = LOSSES[name](scores, target, log_count, bpreg, alpha)
    return loss.item(), torch.autograd.grad(loss, scores)[0].numpy()


def columns(rng, n_rows, n_columns):
    """Targets, and how often a column is a candidate: never, once, several times."""
    target = rng.integers(n_columns, size=n_rows)
    count = rng.integers(0, 4, n_columns) + np.bincount(target, minlength=n_columns)
    count[(target[0] + 1) % n_columns] += 1  # everybody has a negative
    return target, count.astype(float)


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    n_rows=st.integers(1, 6),
    n_columns=st.integers(2, 50),
    spread=st.sampled_from([0.1, 1, 5]),
    bpreg=st.sampled_from([0.0, 1.0, 1.9]),
    alpha=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_losses(name, seed, n_rows, n_columns, spread, bpreg, alpha):
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, spread, (n_rows, n_columns)).astype(float32).astype(float)
    scores[rng.random(scores.shape) < 0.2] = 0  # as before the first step
    case = (name, scores, *columns(rng, n_rows, n_columns), bpreg, alpha)
    loss, g, g_bias = gradient(*case)
    exact_loss, exact = by_autograd(*case)
    assert loss == pytest.approx(exact_loss, rel=2e-5, abs=1e-5)
    size = max(1, np.abs(exact).max())
    np.testing.assert_allclose(g, exact, rtol=0, atol=2e-6 * size)
    np.testing.assert_allclose(g_bias, exact.sum(0), rtol=0, atol=1e-5 * size)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("positive, others", [(0, 100), (100, 0), (-300, 300), (60, 0)])
def test_losses_far_out(name, positive, others):
    """Where a probability is too small for a float, the gradient still is right."""
    scores = np.full((2, 40), float(others))
    target, count = np.array([3, 5]), np.ones(40)
    scores[[0, 1], target] = positive
    case = (name, scores, target, count, 0.0, 0.0)
    loss, g, _ = gradient(*case)
    exact_loss, exact = by_autograd(*case)
    assert loss == pytest.approx(exact_loss, rel=1e-5, abs=1e-6)
    np.testing.assert_allclose(g, exact, atol=1e-6)


def test_the_slope_of_elu_at_0_is_that_of_pytorch():
    """All scores are 0 before the first step."""
    g, bias = np.zeros((2, 5), float32), np.zeros(5, float32)
    target, rows = np.array([0, 1]), np.empty(2, float32)
    numbers = map(float32, (0.5, 1, 0.5))  # scale, bpreg, alpha
    kernels.bpr_max_gradient(2, g, bias, bias, target, rows, *numbers)
    case = ("bpr-max", np.zeros((2, 5)), target, np.ones(5), 1.0, 0.5)
    np.testing.assert_allclose(g, by_autograd(*case)[1], atol=1e-7)


@pytest.mark.parametrize("name", LOSSES)
def test_nan_is_not_lost(name):
    scores = np.zeros((2, 40))
    scores[1, 7] = np.nan
    case = (name, scores, np.array([3, 5]), np.ones(40), 1.0, 0.5)
    assert np.isnan(gradient(*case)[0])


@pytest.mark.parametrize("name", LOSSES)
def test_columns_that_are_no_candidate_get_no_gradient(name):
    """Exactly none: a row of the item matrix that fills up a step stays 0."""
    rng = np.random.default_rng(0)
    target, count = columns(rng, 4, 30)
    count[count == 0] = 1
    unused = np.setdiff1d(np.arange(30), target)[:5]
    count[unused] = 0
    _, g, g_bias = gradient(name, rng.normal(size=(4, 30)), target, count, 1.0, 0.5)
    assert not g[:, unused].any() and not g_bias[unused].any()


# ---- rows


def test_repeated_places_are_added_up():
    table, rows = np.zeros((4, 3), float32), np.arange(9, dtype=float32).reshape(3, 3)
    kernels.add_rows(3, table, np.array([2, 0, 2]), rows)
    assert table.tolist() == [[3, 4, 5], [0, 0, 0], [6, 8, 10], [0, 0, 0]]


@pytest.mark.parametrize("p", [0.25, 0.5])
def test_dropout(p):
    random = np.array([[0.1, 0.25, 0.9], [0.5, 0.49, 0.0]], float32)
    x, mask = np.full((2, 3), 3, float32), random.copy()
    kernels.dropout(2, x, mask, float32(p))
    np.testing.assert_allclose(mask, (random >= p) / (1 - p))
    np.testing.assert_allclose(x, 3 * mask)


# ---- bfloat16


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=40))
def test_bfloat16_is_rounded_as_pytorch_does(numbers):
    rows = torch.tensor(numbers, dtype=torch.float32)[None]
    # Halfway between two: the even one is meant.
    ties = (rows.bfloat16().view(torch.int16).int() << 16 | 0x8000).view(torch.float32)
    for row in (rows, ties[~ties.isnan()][None]):
        table = torch.zeros_like(row, dtype=torch.bfloat16)
        arrays = map(kernels.array, (table, torch.tensor([0]), row))
        kernels.add_rows(row.shape[1], *arrays)
        assert torch.equal(table, row.bfloat16())


@pytest.mark.parametrize("momentum", [0.0, 0.4])
def test_adagrad_of_a_gradient_in_bfloat16(momentum):
    """As of the same numbers in float32; and as the formula says."""
    rng = np.random.default_rng(0)
    g = torch.from_numpy(rng.normal(size=(3, 40)).astype(float32)).bfloat16()
    start = rng.normal(size=(3, 5, 40)).astype(float32)  # weights, acc, velocity
    start[1:] = abs(start[1:])
    rows, numbers = np.array([4, 0, 2]), map(float32, (0.1, momentum, 1e-6))
    numbers = list(numbers)
    moved = []
    for gradient in (g, g.float()):
        p, acc, velocity = start.copy()
        kernels.adagrad_rows(
            3, p, acc, velocity, rows, kernels.array(gradient), *numbers
        )
        moved.append([p, acc, velocity])
    np.testing.assert_array_equal(*moved)
    p, acc, velocity = start.astype(float)
    exact = g.double().numpy()
    acc[rows] += exact**2
    move = momentum * velocity[rows] - 0.1 * exact / np.sqrt(acc[rows] + 1e-6)
    p[rows] += move
    np.testing.assert_allclose(moved[0][0], p, atol=1e-6)
    np.testing.assert_allclose(moved[0][1], acc, rtol=1e-6)
    if momentum:
        velocity[rows] = move
    np.testing.assert_allclose(moved[0][2], velocity, atol=1e-6)

"""Optimisers against their formulas, and the rows that they must not touch."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference import random_lists, sessions_from, weights_of

from gru4rec_lite import GRU4Rec, storage
from gru4rec_lite.optim import OPTIMIZERS

EPSILON = 1e-6


def by_formula(name, gradients, lr, momentum):
    """The changes of a weight, step by step, in float64."""
    acc = v = m = 0.0
    for t, g in enumerate(gradients, start=1):
        if name == "adagrad":
            acc = acc + g**2
            v = momentum * v - lr * g / np.sqrt(acc + EPSILON)
            yield v
        elif name == "sgd":
            v = momentum * v - lr * g
            yield v
        elif name == "rmsprop":
            acc = 0.9 * acc + 0.1 * g**2
            v = momentum * v - lr * g / np.sqrt(acc + EPSILON)
            yield v
        elif name == "adam":
            m = 0.9 * m + 0.1 * g
            acc = 0.999 * acc + 0.001 * g**2
            yield -lr * (m / (1 - 0.9**t)) / np.sqrt(acc / (1 - 0.999**t) + EPSILON)


@pytest.mark.parametrize("momentum", [0.0, 0.4])
@pytest.mark.parametrize("name", OPTIMIZERS)
@given(
    shape=st.sampled_from([(1,), (7,), (3, 4)]),
    n_steps=st.integers(1, 6),
    lr=st.sampled_from([0.01, 0.2]),
    size=st.sampled_from([1e-4, 1.0, 100.0]),
    dtype=st.sampled_from([torch.float64, torch.float32]),
    seed=st.integers(0, 2**32),
)
def test_moves(name, momentum, shape, n_steps, lr, size, dtype, seed):
    if name == "adam":
        momentum = 0.0
    rule = OPTIMIZERS[name](lr, momentum)
    state = [torch.zeros(shape, dtype=dtype) for _ in range(rule.n_states)]
    gradients = np.random.default_rng(seed).normal(0, size, (n_steps, *shape))
    gradients = gradients.astype(np.float32)  # both get the very same numbers
    expected = by_formula(name, gradients.astype(np.float64), lr, momentum)
    for g in gradients:
        rule.begin_step()
        change = rule.move(torch.tensor(g, dtype=dtype), *state)
        tolerance = 1e-12 if dtype == torch.float64 else 5e-6
        np.testing.assert_allclose(
            change, next(expected), rtol=tolerance, atol=tolerance * lr
        )


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_zero_gradient_moves_nothing(name):
    rule = OPTIMIZERS[name](0.1)
    state = [torch.zeros(3) for _ in range(rule.n_states)]
    rule.begin_step()
    change = rule.move(torch.zeros(3), *state)
    assert (change == 0).all()
    assert all((s == 0).all() for s in state)


MODES = {
    "one-hot": {"constrained_embedding": False},
    "separate": {"constrained_embedding": False, "embedding": 5},
    "shared": {"constrained_embedding": True},
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("n_sample", [0, 7])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_unused_rows_stay_bit_for_bit(tmp_path, name, n_sample, mode):
    """Items that are neither input, target nor drawn keep weights and state."""
    n_items, unused = 60, np.arange(1, 60, 2)  # clicks are on even items only
    lists = [[2 * item for item in session] for session in random_lists(30, 30)]
    everything = sessions_from([*lists, list(range(n_items))])
    clicked = sessions_from(lists, item_ids=everything.item_ids)
    model = GRU4Rec(
        layers=[6], batch_size=4, n_epochs=1, n_sample=n_sample, optimizer=name,
        momentum=0.0 if name == "adam" else 0.3, l2=0.01, grad_clip=1.0,
        device="cpu", **MODES[mode],
    )  # fmt: skip
    model.fit(everything, verbose=False)  # so that no row is zero any more
    before = weights_of(model.network)
    model.fit(clicked, warm_start=True, checkpoint=tmp_path, verbose=False)
    after = weights_of(model.network)
    for matrix in {"output", "output_bias", "input"} & after.keys():
        assert torch.equal(after[matrix][unused], before[matrix][unused])
        moved = (after[matrix] != before[matrix]).reshape(n_items, -1).any(1)
        assert moved[0::2].double().mean() > 0.8  # a lone last slot does not train
    _, tensors = storage.load(tmp_path)
    states = {
        name: tensor
        for name, tensor in tensors.items()
        if not name.startswith("network.") and len(tensor.shape) and len(tensor) == 61
    }
    assert len(states) == OPTIMIZERS[name](0.1, model.momentum).n_states * (
        2 if mode == "shared" else 3
    )
    for state in states.values():
        assert (state[unused] == 0).all()
        assert (state[:-1:2] != 0).any()


def test_repeated_rows_are_added_up_first():
    """Two slots with the same click and target: one move, by the sum of both gradients.

    With Adagrad, two moves by half of it would end elsewhere.
    """
    sessions = sessions_from([[0, 1], [0, 1], [2, 0], [2, 1]])
    twice = sessions_from([[0, 1], [0, 1]], item_ids=sessions.item_ids)
    model = GRU4Rec(
        layers=[4], loss="bpr", batch_size=2, n_epochs=1, n_sample=1, sample_alpha=0.0,
        embedding=3, constrained_embedding=False, precision="float64",
    )  # fmt: skip
    model.fit(sessions, verbose=False)
    before = weights_of(model.network)
    network = model.network.train()
    x = before["input"][[0, 0]].requires_grad_()
    hidden, _ = network(x, network.initial_state(2))
    model.fit(twice, warm_start=True, verbose=False)
    after = weights_of(model.network)
    changed = (after["input"] != before["input"]).any(1)
    assert changed.tolist() == [True, False, False]

    drawn = (after["output_bias"] != before["output_bias"]).nonzero().ravel().tolist()
    negative = [item for item in drawn if item != 1] or [1]
    candidates = [1, 1, *negative]
    output = before["output"][candidates].requires_grad_()
    scores = hidden @ output.T + before["output_bias"][candidates]
    rows = [scores[i, i] - scores[i, [j for j in range(3) if j != i]] for i in (0, 1)]
    cost = -sum(torch.sigmoid(row).log().mean() for row in rows) / 2
    (g_x,) = torch.autograd.grad(cost, [x])
    g = g_x.sum(0)
    expected = before["input"][0].detach() - 0.1 * g / (g**2 + EPSILON).sqrt()
    torch.testing.assert_close(after["input"][0], expected, rtol=0, atol=1e-12)

"""The package equals a slow, plain GRU4Rec over 200 steps, in every mode."""

import numpy as np
import pytest
from reference import (
    Reference,
    largest_difference,
    random_lists,
    sessions_from,
    weights_of,
)

from gru4rec_lite import GRU4Rec
from gru4rec_lite.sampling import NegativeSampler

LISTS = random_lists(n_sessions=40, n_items=30)
SESSIONS = sessions_from(LISTS)
MODES = {
    "one-hot": {"embedding": 0, "constrained_embedding": False},
    "separate": {"embedding": 5, "constrained_embedding": False},
    "shared": {"constrained_embedding": True},
}
LOSSES = {
    "xe": {"loss": "cross-entropy"},
    "xe-logq": {"loss": "cross-entropy", "logq": 0.8},
    "bpr-max": {"loss": "bpr-max", "elu_param": 0.7, "bpreg": 1.3},
}
LAYERS = {"1-layer": [6], "2-layers": [7, 6]}
NEGATIVES = {"in-batch": 0, "drawn": 9}


@pytest.fixture
def drawn(monkeypatch):
    """All negatives that the package draws, (steps, N), in the order of the steps."""
    rows, draw = [], NegativeSampler.draw

    def recording_draw(self, shape, rng):
        items = draw(self, shape, rng)
        rows.extend(items.reshape(-1, items.shape[-1]).tolist())
        return items

    monkeypatch.setattr(NegativeSampler, "draw", recording_draw)
    return rows


def train_both(drawn, n_steps=200, mistake=None, sessions=SESSIONS, **parameters):
    """Train package and reference from the same weights on the same negatives.

    Returns the fitted model and the reference. Both start from the weights after one
    epoch, so that biases are not zero any more; the optimiser starts afresh.
    """
    parameters = {
        "loss": "cross-entropy", "layers": [6], "batch_size": 5, "learning_rate": 0.1,
        "momentum": 0.3, "sample_alpha": 0.6, "n_sample": 0, **parameters,
    }  # fmt: skip
    model = GRU4Rec(**parameters, n_epochs=1, precision="float64", device="cpu")
    model.fit(sessions, verbose=False)
    first = model.history.loc[0, "steps"]
    model.n_epochs = int(np.ceil(n_steps / first))
    start = weights_of(model.network)
    drawn.clear()
    model.fit(sessions, warm_start=True, verbose=False)

    of_network = (
        "layers", "embedding", "constrained_embedding", "feedforward", "cell",
    )  # fmt: skip
    options = {k: v for k, v in parameters.items() if k not in of_network}
    reference = Reference(start, sessions.support, mistake=mistake, **options)
    lists = np.split(sessions.items, sessions.offsets[1:-1])
    negatives = iter(drawn)
    for _ in range(model.n_epochs):
        reference.epoch([session.tolist() for session in lists], negatives)
    assert next(negatives, None) is None  # both took the same number of steps
    assert reference.n_steps >= n_steps
    return model, reference


def losses_of(model, reference):
    """The summed loss of the epochs that both trained."""
    history = model.history.iloc[1:]
    return (history["loss"] * history["steps"]).sum(), sum(reference.losses)


def assert_equal(model, reference):
    assert model.history["steps"].iloc[1:].sum() == reference.n_steps
    assert np.isclose(*losses_of(model, reference), rtol=1e-9)
    assert largest_difference(weights_of(model.network), reference.weights) < 1e-6


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("negatives", NEGATIVES)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("mode", MODES)
def test_equals_the_reference(drawn, mode, loss, negatives, layers):
    model, reference = train_both(
        drawn, **MODES[mode], **LOSSES[loss],
        n_sample=NEGATIVES[negatives], layers=LAYERS[layers],
    )  # fmt: skip
    assert_equal(model, reference)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("loss", ["bpr", "top1", "top1-max"])
@pytest.mark.parametrize("activation", ["linear", "tanh"])
def test_other_losses_equal_the_reference(drawn, mode, loss, activation):
    n_sample = 9 if activation == "tanh" else 0
    model, reference = train_both(
        drawn, **MODES[mode], loss=loss, n_sample=n_sample, activation=activation
    )
    assert_equal(model, reference)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "rule, momentum", [("adagrad", 0.0), ("sgd", 0.3), ("rmsprop", 0.3), ("adam", 0.0)]
)
def test_optimisers_equal_the_reference(drawn, mode, rule, momentum):
    """Above all: rows that a step does not use keep weights and optimiser state."""
    model, reference = train_both(
        drawn, **MODES[mode], n_sample=3, optimizer=rule, momentum=momentum,
        learning_rate=0.01,
    )  # fmt: skip
    assert_equal(model, reference)


@pytest.mark.parametrize(
    "parameters",
    [
        {"feedforward": [8, 4]},
        {"feedforward": [4], "constrained_embedding": False, "embedding": "layersize"},
        {"grad_clip": 0.3, "l2": 0.01, "n_sample": 9},
        {"l2": 0.01, "constrained_embedding": False, "embedding": 4, "n_sample": 9},
        {"batch_size": 100},  # more slots than sessions
        {"batch_size": 1, "n_sample": 4},
        {"batch_size": 2},
        {"sample_alpha": 0.0, "logq": 1.0, "n_sample": 9},
        {"sample_alpha": 1.0, "logq": 1.0, "n_sample": 9},
        {"n_sample": 200, "logq": 0.5},  # nearly every item, many times over
    ],
    ids=lambda p: "-".join(p),
)
def test_special_cases_equal_the_reference(drawn, parameters):
    model, reference = train_both(drawn, **parameters)
    assert_equal(model, reference)

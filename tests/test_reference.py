"""The package equals a slow, plain GRU4Rec, step by step, in every mode."""

import pytest
from reference import random_lists, sessions_from, train_package

SESSIONS = sessions_from(random_lists(n_sessions=40, n_items=30))
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


def compare(n_steps=200, **parameters):
    training = train_package(SESSIONS, n_steps, **parameters)
    reference = training.repeat()
    assert training.n_steps == reference.n_steps >= n_steps
    assert training.loss == pytest.approx(sum(reference.losses), rel=1e-9)
    assert training.largest_difference(reference) < 1e-6


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("negatives", NEGATIVES)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("mode", MODES)
def test_equals_the_reference(mode, loss, negatives, layers):
    compare(
        n_sample=NEGATIVES[negatives], layers=LAYERS[layers],
        **MODES[mode], **LOSSES[loss],
    )  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("loss", ["bpr", "top1", "top1-max"])
@pytest.mark.parametrize("activation, n_sample", [("linear", 0), ("tanh", 9)])
def test_other_losses_equal_the_reference(mode, loss, activation, n_sample):
    compare(60, loss=loss, activation=activation, n_sample=n_sample, **MODES[mode])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "rule, momentum", [("adagrad", 0.0), ("sgd", 0.3), ("rmsprop", 0.3), ("adam", 0.0)]
)
def test_optimisers_equal_the_reference(mode, rule, momentum):
    """Above all: rows that a step does not use keep weights and optimiser state."""
    compare(
        60, n_sample=3, optimizer=rule, momentum=momentum, learning_rate=0.01,
        **MODES[mode],
    )  # fmt: skip


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
    ids=str,
)
def test_special_cases_equal_the_reference(parameters):
    compare(60, **parameters)

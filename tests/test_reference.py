"""The package equals a slow, plain GRU4Rec, step by step, in every mode."""

from contextlib import contextmanager, nullcontext
from unittest.mock import patch

import pytest
import torch
from reference import random_lists, sessions_from, train_package, weights_of

from gru4rec_lite import GRU4Rec, compiled, gru4rec, optim, training
from gru4rec_lite.fast import CompiledStep, FastStep
from gru4rec_lite.training import RecordedStep

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


# The step is written several times, for speed. All of them are the same step.


@contextmanager
def without_kernels(block=optim.BLOCK):
    """As where there is no numba."""
    with patch.object(compiled, "kernels", None), patch.object(optim, "BLOCK", block):
        yield


def recorded_step(self, new_step=GRU4Rec._new_step):
    return RecordedStep(new_step(self))


def rehearse_only(self, step):
    """In place of a CUDA graph, which does the same again as often as asked."""
    step()
    return step


WAYS = {
    "autograd": lambda: patch.object(FastStep, "fits", lambda network: False),
    "not compiled": lambda: without_kernels(),
    "small blocks": lambda: without_kernels(block=40),
    "short chunks": lambda: patch.object(gru4rec, "CHUNK", 3),
    "recorded": lambda: patch.object(GRU4Rec, "_new_step", recorded_step),
}


@pytest.mark.parametrize("mode", ["one-hot", "shared"])
@pytest.mark.parametrize("loss", ["xe-logq", "bpr-max"])
@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_step_equals_the_reference(way, loss, mode):
    with WAYS[way](), patch.object(RecordedStep, "_capture", rehearse_only):
        compare(60, n_sample=9, layers=[7, 6], **MODES[mode], **LOSSES[loss])


def train_both(name, **settings):
    """The weights that one of the WAYS to step gives, and the usual one."""
    found = []
    for way in (WAYS[name](), nullcontext()):
        model = GRU4Rec(
            layers=[7, 6], n_sample=9, batch_size=5, device="cpu", **settings
        )
        with way:
            found.append(weights_of(model.fit(SESSIONS, verbose=False).network))
    return found


@pytest.mark.parametrize("loss", ["xe", "bpr-max"])
@pytest.mark.parametrize("mode", MODES)
def test_gradients_through_dropout(mode, loss):
    """By hand as by autograd, with the same random numbers."""
    autograd, by_hand = train_both(
        "autograd", n_epochs=2, precision="float64", dropout_p_embed=0.3,
        dropout_p_hidden=0.4, **MODES[mode], **LOSSES[loss],
    )  # fmt: skip
    for name, weights in autograd.items():
        torch.testing.assert_close(by_hand[name], weights, rtol=0, atol=1e-9)


@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("loss", [*LOSSES, "bpr"])
@pytest.mark.parametrize("mode", MODES)
def test_compiled_step_equals_autograd_in_float64(mode, loss, layers):
    """float32 against float64, with the same dropout: 60 steps, a few digits less."""
    models, kinds = {}, set()
    new_step, rand = GRU4Rec._new_step, torch.rand

    def noted(self):
        step = new_step(self)
        kinds.add(type(step))
        return step

    def same_random(*shape, **options):  # the same numbers, however precise
        return rand(*shape, **options | {"dtype": torch.float32})

    ways = {"float32": nullcontext(), "float64": WAYS["autograd"]()}
    for precision, way in ways.items():
        model = GRU4Rec(
            layers=layers, n_epochs=2, n_sample=9, batch_size=5, precision=precision,
            dropout_p_embed=0.3, dropout_p_hidden=0.4, learning_rate=0.05, momentum=0.3,
            device="cpu", **MODES[mode], **LOSSES.get(loss, {"loss": loss}),
        )  # fmt: skip
        with (
            way,
            patch.object(GRU4Rec, "_new_step", noted),
            patch("torch.rand", same_random),
        ):
            models[precision] = model.fit(SESSIONS, verbose=False)
    assert kinds == {CompiledStep, training.Step}
    exact = weights_of(models["float64"].network)
    for name, weights in weights_of(models["float32"].network).items():
        torch.testing.assert_close(weights.double(), exact[name], rtol=0, atol=2e-5)
    assert models["float32"].history["loss"].tolist() == pytest.approx(
        models["float64"].history["loss"].tolist(), rel=1e-5
    )


@pytest.mark.parametrize("loss", ["xe-logq", "bpr-max"])
@pytest.mark.parametrize("mode", MODES)
def test_compiled_step_equals_tensor_operations_in_bfloat16(mode, loss):
    """Both round the same numbers; what differs is the order of sums."""
    tensors, loops = train_both(
        "not compiled", n_epochs=1, precision="bfloat16", learning_rate=0.05,
        **MODES[mode], **LOSSES[loss],
    )  # fmt: skip
    for name, weights in tensors.items():
        torch.testing.assert_close(loops[name], weights, rtol=0, atol=2e-3)


@pytest.mark.cuda
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("mode", MODES)
def test_cuda_equals_the_reference(mode, loss):
    compare(n_sample=9, device="cuda", **MODES[mode], **LOSSES[loss])

"""The recommender: repeatable, interruptible, strict about what it is given."""

import platform
import subprocess
import sys
import warnings
from unittest.mock import patch

import numpy as np
import pytest
import torch
from reference import random_lists, sessions_from, weights_of

from gru4rec_lite import DataError, GRU4Rec, GRU4RecError, ParameterError, evaluate
from gru4rec_lite import gru4rec as module
from gru4rec_lite.network import Network
from gru4rec_lite.sampling import NegativeSampler
from gru4rec_lite.settings import presets

SESSIONS = sessions_from(random_lists(n_sessions=60, n_items=25, seed=3))
SMALL = {
    "layers": [8], "batch_size": 6, "n_epochs": 2, "n_sample": 10, "learning_rate": 0.1,
    "device": "cpu",
}  # fmt: skip


def fitted(sessions=SESSIONS, **parameters):
    return GRU4Rec(**{**SMALL, **parameters}).fit(sessions, verbose=False)


@pytest.fixture(scope="module")
def model():
    return fitted()


def same_weights(a, b):
    a, b = a.network.state_dict(), b.network.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


# ---- one seed, one model

RANDOM = {"dropout_p_embed": 0.2, "dropout_p_hidden": 0.3, "session_order": "shuffle"}


@pytest.mark.parametrize(
    "parameters", [{}, RANDOM, {"cell": "lstm", **RANDOM}], ids=str
)
def test_one_seed_one_model(parameters):
    first = fitted(**parameters, seed=5)
    torch.rand(3), np.random.rand(3)
    second = fitted(**parameters, seed=5)
    assert same_weights(first, second)
    assert first.history["loss"].tolist() == second.history["loss"].tolist()
    assert not same_weights(first, fitted(**parameters, seed=6))


def test_fit_again_starts_anew():
    model = fitted(**RANDOM)
    again = fitted(**RANDOM)
    again.fit(SESSIONS, verbose=False)
    assert same_weights(model, again)
    assert len(again.history) == 2


def test_global_random_numbers_are_left_alone():
    torch.manual_seed(3)
    before, before_numpy = torch.get_rng_state(), np.random.get_state()[1].copy()
    model = fitted(**RANDOM)
    evaluate(model, SESSIONS)
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == before_numpy).all()


def test_epochs_draw_different_negatives():
    drawn, draw = [], NegativeSampler.draw

    def recording_draw(self, shape, rng):
        drawn.append(draw(self, shape, rng))
        return drawn[-1]

    with patch.object(NegativeSampler, "draw", recording_draw):
        fitted(n_epochs=2)
    first, second = np.split(np.concatenate(drawn), 2)
    assert not np.array_equal(first, second)


# ---- learning


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"logq": 1.0},
        {"constrained_embedding": False},
        {"constrained_embedding": False, "embedding": "layersize"},
        {"loss": "bpr"},
        {"loss": "top1"},
        {"loss": "bpr-max", "elu_param": 0.5},
        {"loss": "top1-max"},
        {"cell": "lstm"},
        {"cell": "rnn"},
        {"feedforward": [24]},
        {"layers": [24, 24]},
        {"optimizer": "sgd", "learning_rate": 0.2, "momentum": 0.9},
        {"optimizer": "rmsprop", "learning_rate": 0.01},
        {"optimizer": "adam", "learning_rate": 0.02, "n_sample": 0},
        {"dropout_p_embed": 0.1, "dropout_p_hidden": 0.1},
        {"session_order": "shuffle"},
        {"precision": "bfloat16"},
    ],
    ids=str,
)
def test_learns_what_always_follows(parameters):
    """Items in a fixed circle: the next click is certain once one has seen one."""
    rng = np.random.default_rng(0)
    lists = [
        [(start + k) % 12 for k in range(6)] for start in rng.integers(12, size=150)
    ]
    model = fitted(
        sessions_from(lists),
        **{"layers": [24], "n_epochs": 8, "learning_rate": 0.2, "n_sample": 8}
        | parameters,
    )
    assert evaluate(model, sessions_from(lists), cutoffs=(1,)).recall[1] > 0.95
    losses = model.history["loss"]
    assert losses.iloc[-1] < losses.iloc[0]


def test_depends_on_more_than_the_last_click():
    """2 is followed by 3 after 0, and by 4 after 1: order 1 cannot tell, a GRU can."""
    model = fitted(sessions_from([[0, 2, 3], [1, 2, 4]] * 60), layers=[16], n_epochs=15)
    ids = model.item_ids
    for first, last in [(0, 3), (1, 4)]:
        assert model.recommend([ids[first], ids[2]], k=1)["item"][0] == ids[last]


@pytest.mark.parametrize("name", [name for name in presets if "2016" in name])
@pytest.mark.parametrize("activation", ["linear", "tanh"])
def test_2016_presets_train(name, activation):
    if presets[name]["loss"] == "cross-entropy":
        activation = "linear"
    model = fitted(**{**presets[name], "n_epochs": 1, "activation": activation})
    assert np.isfinite(model.history["loss"]).all()
    assert all(w.isfinite().all() for w in weights_of(model.network).values())


@pytest.mark.parametrize("name", [name for name in presets if "2016" not in name])
def test_other_presets_train(name):
    """With fewer units and negatives, to be quick."""
    smaller = {"n_epochs": 1, "n_sample": 30, "layers": [12]}
    model = fitted(**{**presets[name], **smaller})
    assert all(w.isfinite().all() for w in weights_of(model.network).values())


@pytest.mark.parametrize("loss", ["cross-entropy", "bpr-max"])
@pytest.mark.parametrize(
    "other",
    [{}, {"cell": "lstm"}, {"l2": 0.01, "grad_clip": 0.1}, {"optimizer": "rmsprop"}],
    ids=str,
)
def test_bfloat16_is_near_float32(loss, other):
    settings = {"loss": loss, "n_epochs": 3, **other}
    whole = fitted(**settings)
    half = fitted(**settings, precision="bfloat16")
    np.testing.assert_allclose(half.history["loss"], whole.history["loss"], rtol=0.05)
    assert not same_weights(half, whole)
    assert half.network.output.dtype == torch.float32


def test_float32_is_near_float64():
    single, double = fitted(), fitted(precision="float64")
    np.testing.assert_allclose(
        single.history["loss"], double.history["loss"], rtol=1e-3
    )


# ---- order of sessions


def orders_of(**parameters):
    """The order that each epoch's schedule was made with, None for as they stand."""
    orders, session_parallel = [], module.session_parallel

    def recording(offsets, batch_size, order=None, **options):
        orders.append(None if order is None else tuple(order.tolist()))
        return session_parallel(offsets, batch_size, order, **options)

    with patch.object(module, "session_parallel", recording):
        fitted(n_epochs=3, **parameters)
    return orders


def test_sessions_stand_in_order_of_time_or_are_shuffled_each_epoch():
    assert set(orders_of()) <= {None, tuple(range(SESSIONS.n_sessions))}
    orders = orders_of(session_order="shuffle")
    assert len(set(orders)) == len(orders) == 3
    for order in orders:
        assert sorted(order) == list(range(SESSIONS.n_sessions))
    assert orders == orders_of(session_order="shuffle")
    assert orders != orders_of(session_order="shuffle", seed=1)


# ---- warm start


def test_warm_start_keeps_all_weights_and_adds_rows_for_new_items():
    """With a learning rate too small to move anything, to see where it starts."""
    old = fitted(sessions_from([[0, 1, 2, 3]] * 8, item_ids=[10, 30, 50, 70]))
    before = weights_of(old.network)
    new_sessions = sessions_from([[0, 1, 2]] * 8, item_ids=[20, 30, 80])
    old.learning_rate = 1e-30
    old.fit(new_sessions, warm_start=True, verbose=False)
    assert old.item_ids.tolist() == [10, 20, 30, 50, 70, 80]
    after = weights_of(old.network)
    for name, weights in before.items():
        if name in ("output", "output_bias", "input"):
            assert torch.equal(after[name][[0, 2, 3, 4]], weights)
        else:
            assert torch.equal(after[name], weights)
    new_rows = after["output"][[1, 5]]
    assert (new_rows != 0).all() and (new_rows.abs() <= np.sqrt(6 / (6 + 8))).all()
    assert len(old.history) == 4


@pytest.mark.parametrize("mode", [{}, {"constrained_embedding": False}], ids=str)
def test_warm_start_leaves_items_alone_that_new_sessions_lack(mode):
    model = fitted(sessions_from([[0, 1, 2, 3]] * 8, item_ids=[*"aceg"]), **mode)
    before = weights_of(model.network)
    model.fit(sessions_from([[0, 1, 2]] * 8, item_ids=[*"bdg"]), True, verbose=False)
    assert model.item_ids.tolist() == [*"abcdeg"]
    after = weights_of(model.network)
    for name in {"output", "output_bias", "input"} & before.keys():
        assert torch.equal(after[name][[0, 2, 4]], before[name][[0, 1, 2]])  # a, c, e
    assert not torch.equal(after["output"][5], before["output"][3])  # g
    assert set(model.recommend(["a", "d"], k=9)["item"]) == set("abcdeg")


def test_warm_start_without_a_model_is_a_cold_start(model):
    warm = GRU4Rec(**SMALL).fit(SESSIONS, warm_start=True, verbose=False)
    assert same_weights(warm, model)


def test_warm_start_on_other_kind_of_item_ids():
    """Numbers so far, now one with a letter: all are text then. Or the other way."""
    model = fitted(sessions_from([[0, 1, 2]] * 8, item_ids=[1, 9, 12]))
    before = weights_of(model.network)
    model.learning_rate = 1e-30
    others = sessions_from([[0, 1, 2]] * 8, item_ids=["12", "9", "9b"])
    model.fit(others, warm_start=True, verbose=False)
    assert model.item_ids.tolist() == ["1", "12", "9", "9b"]
    assert torch.equal(model.network.output[[0, 2, 1]], before["output"])
    numbers = sessions_from([[0, 1]] * 8, item_ids=[9, 10])
    model.fit(numbers, warm_start=True, verbose=False)
    assert model.item_ids.tolist() == ["1", "10", "12", "9", "9b"]
    assert torch.equal(model.network.output[[0, 3, 2]], before["output"])
    assert len(model.recommend([9, "9b"], k=9)) == 5


@pytest.mark.parametrize(
    "change",
    [{"layers": [5]}, {"cell": "rnn"}, {"constrained_embedding": False}],
    ids=str,
)
def test_warm_start_with_another_network(change):
    model = fitted()
    for name, value in change.items():
        setattr(model, name, value)
    with pytest.raises(ParameterError, match="warm_start"):
        model.fit(SESSIONS, warm_start=True, verbose=False)
    assert len(model.recommend([SESSIONS.item_ids[0]])) == 20


# ---- callback, history, interruption


def test_callback_after_each_epoch_does_not_disturb(model):
    calls = []

    def callback(trained):
        calls.append(len(trained.history))
        trained.recommend([trained.item_ids[0]])
        evaluate(trained, SESSIONS)
        trained.session().click(trained.item_ids[1]).recommend()

    watched = GRU4Rec(**SMALL, **RANDOM).fit(SESSIONS, callback=callback, verbose=False)
    assert calls == [1, 2]
    assert same_weights(watched, fitted(**RANDOM))


def test_scores_in_a_callback_are_without_dropout():
    def callback(trained):
        live = trained.session().click(trained.item_ids[0]).recommend(25)
        once = trained.recommend([trained.item_ids[0]], 25)
        np.testing.assert_allclose(live["score"], once["score"], rtol=1e-5)

    GRU4Rec(**SMALL, dropout_p_hidden=0.9).fit(
        SESSIONS, callback=callback, verbose=False
    )


def test_history(model):
    history = model.history
    assert history.columns.tolist() == ["epoch", "loss", "steps", "events", "seconds"]
    assert history["epoch"].tolist() == [1, 2]
    pairs = SESSIONS.n_clicks - SESSIONS.n_sessions
    assert history["events"].tolist() == [pairs, pairs]
    assert (history["seconds"] > 0).all()


def check_usable(model, tmp_path):
    assert len(model.recommend([SESSIONS.item_ids[0]], k=5)) == 5
    assert evaluate(model, SESSIONS).n_predictions > 0
    model.save(tmp_path / "model")
    assert same_weights(GRU4Rec.load(tmp_path / "model", device="cpu"), model)


def test_interrupt_from_a_callback(tmp_path):
    def callback(model):
        if len(model.history) == 2:
            raise KeyboardInterrupt

    model = GRU4Rec(**{**SMALL, "n_epochs": 5})
    with pytest.warns(UserWarning, match="interrupted"):
        assert model.fit(SESSIONS, callback=callback, verbose=False) is model
    assert len(model.history) == 2
    assert same_weights(model, fitted())
    check_usable(model, tmp_path)


@pytest.mark.parametrize("call", [1, 2, 3])
def test_interrupt_within_an_epoch(tmp_path, call):
    calls, draw = [], NegativeSampler.draw

    def interrupted_draw(self, shape, rng):
        calls.append(1)
        if len(calls) == call:
            raise KeyboardInterrupt
        return draw(self, shape, rng)

    model = GRU4Rec(**SMALL)
    with patch.object(NegativeSampler, "draw", interrupted_draw):
        with pytest.warns(UserWarning, match="interrupted in epoch 1"):
            model.fit(SESSIONS, verbose=False)
    assert len(model.history) == 0 and model.interrupted
    check_usable(model, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(SESSIONS, verbose=False)
    assert same_weights(model, fitted()) and not model.interrupted


@pytest.mark.parametrize("loss", ["cross-entropy", "bpr-max"])
def test_diverging_loss(loss):
    model = GRU4Rec(
        **{**SMALL, "learning_rate": 3e38}, loss=loss, optimizer="sgd", bpreg=5.0
    )
    with pytest.raises(GRU4RecError, match=r"diverged.*learning_rate=3e\+38"):
        model.fit(SESSIONS, verbose=False)


def test_gradient_clipping_keeps_training_together():
    wild = {"optimizer": "sgd", "learning_rate": 30.0, "n_epochs": 3}
    calm = fitted(**wild, grad_clip=0.01)
    assert calm.history["loss"].iloc[-1] < 10


# ---- what it is given

BAD = [
    ("layers", []),
    ("layers", [0]),
    ("layers", [-5]),
    ("layers", [2.5]),
    ("layers", 100),
    ("layers", "100"),
    ("layers", None),
    ("loss", "crossentropy"),
    ("loss", None),
    ("batch_size", 0),
    ("batch_size", -1),
    ("batch_size", 2.0),
    ("batch_size", True),
    ("n_epochs", 0),
    ("n_epochs", "3"),
    ("learning_rate", 0),
    ("learning_rate", -0.1),
    ("learning_rate", float("nan")),
    ("learning_rate", float("inf")),
    ("momentum", -0.1),
    ("momentum", 1.0),
    ("momentum", float("nan")),
    ("dropout_p_embed", 1.0),
    ("dropout_p_embed", -0.5),
    ("dropout_p_hidden", 1),
    ("dropout_p_hidden", float("nan")),
    ("n_sample", -1),
    ("n_sample", 2.5),
    ("sample_alpha", float("nan")),
    ("sample_alpha", float("inf")),
    ("sample_alpha", -0.5),
    ("sample_alpha", "0.5"),
    ("embedding", -1),
    ("embedding", "layer"),
    ("embedding", 2.5),
    ("constrained_embedding", "yes"),
    ("constrained_embedding", None),
    ("bpreg", -1.0),
    ("bpreg", float("nan")),
    ("elu_param", -1.0),
    ("logq", -1.0),
    ("feedforward", [0]),
    ("feedforward", 5),
    ("cell", "gruu"),
    ("optimizer", "adamw"),
    ("activation", "relu"),
    ("grad_clip", -1.0),
    ("l2", float("inf")),
    ("session_order", "random"),
    ("seed", -1),
    ("seed", 1.5),
    ("seed", None),
    ("device", "banana"),
    ("precision", "float16"),
]


@pytest.mark.parametrize("name, value", BAD, ids=lambda v: repr(v))
def test_bad_parameters(name, value):
    """The error names the parameter, its value and what is allowed."""
    model = GRU4Rec(**{**SMALL, name: value})
    with pytest.raises(ParameterError) as error:
        model.fit(SESSIONS, verbose=False)
    message = str(error.value)
    shown = value[0] if isinstance(value, list) and value else value
    assert f"{name}={shown!r}" in message and "expected" in message
    assert "\n" not in message
    assert model.item_ids is None  # nothing was begun


@pytest.mark.parametrize(
    "parameters, named",
    [
        ({"batch_size": 1, "n_sample": 0}, "batch_size=1"),
        ({"loss": "bpr", "logq": 1.0}, "logq=1.0"),
        ({"loss": "bpr", "elu_param": 1.0}, "elu_param=1.0"),
        ({"loss": "cross-entropy", "activation": "tanh"}, "activation='tanh'"),
        ({"optimizer": "adam", "momentum": 0.5}, "momentum=0.5"),
    ],
    ids=str,
)
def test_bad_combinations(parameters, named):
    with pytest.raises(ParameterError, match="expected") as error:
        fitted(**parameters)
    assert named in str(error.value)


def test_sessions_that_teach_nothing():
    with pytest.raises(DataError, match="1 different item"):
        fitted(sessions_from([[0, 0, 0], [0, 0]]))
    with pytest.raises(DataError, match="two clicks"):
        fitted(sessions_from([[0], [1]]))
    with pytest.raises(DataError, match="n_sample"):
        fitted(sessions_from([[0, 1, 2], [1]]), n_sample=0)


@pytest.mark.parametrize(
    "parameters",
    [
        {"batch_size": 500},
        {"batch_size": 500, "n_sample": 0},
        {"batch_size": 1, "n_sample": 1},
        {"batch_size": 2, "n_sample": 0},
        {"n_sample": 5000},
        {"sample_alpha": 1000.0},
        {"layers": (4, 3), "feedforward": (5,)},
        {"layers": [1], "seed": 2**63 - 1},
    ],
    ids=str,
)
def test_unusual_parameters_work(parameters):
    model = fitted(**parameters)
    assert np.isfinite(model.history["loss"]).all()


def test_two_items_suffice():
    model = fitted(sessions_from([[0, 1], [1, 0], [0, 1, 0]]))
    assert len(model.recommend([100], k=20)) == 2


def test_arguments_are_stored_as_given():
    layers = (7,)
    model = GRU4Rec(layers=layers, seed="nonsense")
    assert model.layers is layers and model.seed == "nonsense"
    assert (
        repr(GRU4Rec(layers=[7], momentum=0.5)) == "GRU4Rec(layers=[7], momentum=0.5)"
    )


def test_not_fitted():
    for use in (
        lambda: GRU4Rec().recommend([1]),
        lambda: GRU4Rec().session(),
        lambda: GRU4Rec().save("nowhere"),
        lambda: evaluate(GRU4Rec(), SESSIONS),
    ):
        with pytest.raises(GRU4RecError, match="fit"):
            use()


# ---- scores


def naive_scores(model, sessions):
    """Scores after every click, (E, I): the network run on one session at a time."""
    network, rows = model.network.eval(), []
    with torch.no_grad():
        for start, stop in zip(
            sessions.offsets[:-1], sessions.offsets[1:], strict=True
        ):
            state = network.initial_state(1)
            for item in sessions.items[start:stop].tolist():
                hidden, state = network(network.input_table[[item]], state)
                rows.append(network.scores(hidden)[0])
    return torch.stack(rows)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"layers": [6, 8], "constrained_embedding": False, "dropout_p_hidden": 0.5},
        {"cell": "lstm", "feedforward": [5], "dropout_p_embed": 0.5},
    ],
    ids=str,
)
@pytest.mark.parametrize("batch, rows", [(512, 2**23), (7, 60)])
@pytest.mark.parametrize("share", [1.0, 0.3, 0.0])
def test_score_after_equals_one_session_at_a_time(parameters, batch, rows, share):
    model = fitted(n_epochs=1, **parameters)
    expected = naive_scores(model, SESSIONS)
    wanted = np.random.default_rng(0).random(SESSIONS.n_clicks) < share
    seen = []
    with (
        patch.object(module, "SCORING_BATCH", batch),
        patch.object(module, "MAX_SCORES", rows),
    ):
        for positions, scores in model.score_after(SESSIONS, wanted):
            assert scores.shape == (len(positions), SESSIONS.n_items)
            assert scores.numel() <= rows and not scores.is_inference()
            seen.extend(positions.tolist())
            torch.testing.assert_close(
                scores, expected[positions], rtol=1e-4, atol=1e-5
            )
    assert sorted(seen) == np.flatnonzero(wanted).tolist()


def test_scoring_leaves_no_trace(model):
    """Two models scored in turn, and scoring given up half-way."""
    wanted = np.ones(SESSIONS.n_clicks, dtype=bool)
    other = fitted(seed=1, n_epochs=1)
    setting = torch.backends.mkldnn.matmul.fp32_precision

    def check():
        assert not torch.is_inference_mode_enabled()
        assert torch.backends.mkldnn.matmul.fp32_precision == setting

    with patch.object(module, "MAX_SCORES", 200):
        first, second = (m.score_after(SESSIONS, wanted) for m in (model, other))
        for _ in range(3):
            next(first), next(second)
            check()
        first.close()
        check()
        second.close()
        check()
    model.score(SESSIONS)
    check()
    fitted(n_epochs=1)
    check()


def test_score_is_that_after_the_last_click(model):
    expected = naive_scores(model, SESSIONS)[SESSIONS.offsets[1:] - 1]
    torch.testing.assert_close(model.score(SESSIONS), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_live_session_agrees_with_recommend(cell):
    model = fitted(cell=cell, layers=[6, 8], dropout_p_hidden=0.5)
    clicks = SESSIONS.item_ids[[3, 1, 4, 1, 5]].tolist()
    live = model.session()
    for n, click in enumerate(clicks, start=1):
        ranking = live.click(click).recommend(k=25)
        expected = model.recommend(clicks[:n], k=25)
        assert ranking["item"].tolist() == expected["item"].tolist()
        np.testing.assert_allclose(ranking["score"], expected["score"], rtol=1e-4)
    assert live.recommend(3)["item"].tolist() == expected["item"].tolist()[:3]


def test_live_sessions_do_not_mix(model):
    a, b = model.session(), model.session()
    first, second = SESSIONS.item_ids[:2]
    a.click(first), b.click(second), a.click(second)
    expected = model.recommend([first, second])
    assert a.recommend()["item"].tolist() == expected["item"].tolist()


def test_live_session_errors(model):
    live = model.session()
    with pytest.raises(DataError, match="click"):
        live.recommend()
    with pytest.raises(DataError, match="unknown"):
        live.click("banana")
    live.click(SESSIONS.item_ids[0])
    with pytest.raises(ParameterError, match="k=0"):
        live.recommend(0)
    assert len(live.recommend(1000)) == SESSIONS.n_items


@pytest.mark.parametrize("k", [1, 3, 7, 20, 40])
def test_equal_scores_stand_in_the_order_of_the_vocabulary(k):
    sessions = sessions_from(random_lists(40, 40))
    model = fitted(sessions)
    with torch.no_grad():
        model.network.output[:40] = 0
        model.network.output_bias[:40] = torch.arange(40) % 4
    expected = [item for rest in (3, 2, 1, 0) for item in range(rest, 40, 4)][:k]
    expected = sessions.item_ids[expected].tolist()
    assert model.recommend([100], k)["item"].tolist() == expected
    assert model.session().click(100).recommend(k)["item"].tolist() == expected


def test_network_is_the_documented_one(model):
    assert isinstance(model.network, Network)
    assert model.network.output.shape == (SESSIONS.n_items + 1, 8)
    assert not model.network.training


REPEATED_WORK = """
import resource
import numpy as np
from gru4rec_lite.memory import keep_freed

def page_faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        arrays = [np.ones(2**18) for _ in range(8)]
        del arrays
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(page_faults())
keep_freed()
page_faults()
print(page_faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator")
def test_freed_memory_is_not_fetched_from_the_system_again():
    done = subprocess.run(
        [sys.executable, "-c", REPEATED_WORK],
        capture_output=True,
        text=True,
        check=True,
    )
    before, after = map(int, done.stdout.split())
    assert after < before / 10

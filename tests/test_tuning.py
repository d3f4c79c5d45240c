"""The parameter search: what it proposes, when it stops, how it goes on."""

import sys

import numpy as np
import optuna
import pandas as pd
import pytest

from gru4rec_lite import GRU4Rec, GRU4RecError, ParameterError, Sessions, tuning
from gru4rec_lite.tuning import search, suggest

FAST = {"layers": [8], "n_epochs": 2, "n_sample": 16, "device": "cpu"}


def walks(n_sessions, seed):
    """Sessions that walk up a ring of 20 items, now and then with a jump."""
    rng = np.random.default_rng(seed)
    rows = []
    for session in range(n_sessions):
        item = int(rng.integers(20))
        for click in range(int(rng.integers(2, 7))):
            rows.append((session, item, 1000.0 * session + click))
            item = (item + (1 if rng.random() < 0.8 else int(rng.integers(20)))) % 20
    return Sessions.from_frame(
        pd.DataFrame(rows, columns=["SessionId", "ItemId", "Time"])
    )


@pytest.fixture(scope="module")
def train():
    return walks(200, 0)


@pytest.fixture(scope="module")
def valid():
    return walks(60, 1)


def test_every_proposal_is_allowed_and_fixed_parameters_stay_fixed():
    fixed = {"layers": [32], "batch_size": 17, "n_sample": 5}
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    losses = set()
    for _ in range(60):
        settings = suggest(study.ask(), 1000, fixed)
        GRU4Rec(**settings).validate()
        assert fixed.items() <= settings.items()
        losses.add(settings["loss"])
        for value in settings.values():
            if isinstance(value, float):
                assert value == round(value, 3)  # can be typed after --set
    assert losses == {"cross-entropy", "bpr-max"}


def test_no_more_negatives_than_items_and_none_if_none_are_wanted():
    trial = optuna.create_study().ask()
    assert suggest(trial, 300, {})["n_sample"] == 300
    assert suggest(trial, 10**6, {})["n_sample"] == 2048
    assert "sample_alpha" not in suggest(trial, 300, {"n_sample": 0})


@pytest.mark.parametrize(
    "fixed, implied",
    [
        ({"logq": 1.0}, ("loss", "cross-entropy")),
        ({"elu_param": 0.5}, ("loss", "bpr-max")),
        ({"activation": "tanh"}, ("loss", "bpr-max")),
        ({"optimizer": "adam"}, ("momentum", 0.0)),
    ],
)
def test_a_fixed_parameter_decides_what_goes_with_it(fixed, implied):
    name, value = implied
    for seed in range(8):
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
        settings = suggest(study.ask(), 100, tuning._with_implied(fixed))
        assert settings[name] == value
        GRU4Rec(**settings).validate()


def test_a_search_that_goes_on_ends_in_the_same_result(train, valid, tmp_path):
    storage = f"sqlite:///{tmp_path}/tune.db"
    lines = []
    search(train, valid, 2, storage, FAST, seed=3)
    continued = search(train, valid, 4, storage, FAST, seed=3, report=lines.append)
    assert [line.split(":")[0] for line in lines] == ["trial 3/4", "trial 4/4"]
    at_once = search(train, valid, 4, None, FAST, seed=3)
    assert continued == at_once
    assert at_once["trials"] == 4 and not at_once["interrupted"]
    # nothing left to do: no trial, the same answer
    again = search(train, valid, 4, storage, FAST, seed=3, report=lines.append)
    assert again == at_once and len(lines) == 2

    # the answer is what these settings give
    model = GRU4Rec(**at_once["settings"]).fit(train, verbose=False)
    report = tuning.evaluate(model, valid, 20, progress=False)
    assert report.recall[20] == at_once["value"]

    # and the storage is not taken for another search
    for change, said in [
        ({"fixed": FAST | {"n_epochs": 3}}, "other fixed parameters"),
        ({"fixed": FAST, "metric": "mrr"}, "other metric"),
        ({"fixed": FAST, "seed": 4}, "other seed"),
    ]:
        with pytest.raises(ParameterError, match=said):
            search(train, valid, 4, storage, **({"seed": 3} | change))
    with pytest.raises(ParameterError, match="other training clicks"):
        search(walks(200, 5), valid, 4, storage, FAST, seed=3)


def test_a_trial_below_the_median_is_stopped_after_an_epoch(train, valid, monkeypatch):
    epochs = []

    class Scores:
        def __init__(self, value):
            self.recall = {20: value}

    def falling(model, *_, **__):
        """Each trial is worse than all before it."""
        if len(model.history) == 1:
            epochs.append(0)
        epochs[-1] += 1
        return Scores(1 / len(epochs))

    monkeypatch.setattr(tuning, "evaluate", falling)
    lines = []
    result = search(train, valid, 6, None, FAST, report=lines.append)
    assert epochs == [2, 2, 2, 2, 1, 1]  # the first four set the standard
    assert result["pruned"] == 2 and result["trials"] == 6 and result["value"] == 1
    assert "stopped after epoch 1" in lines[-1] and "0.1667" in lines[-1]


def test_divergence_is_a_bad_trial_and_not_the_end(train, valid, monkeypatch):
    fit, calls = GRU4Rec.fit, []

    def diverge(self, *args, **kwargs):
        calls.append(self)
        if len(calls) % 2:
            raise GRU4RecError("the loss is nan in epoch 1")
        return fit(self, *args, **kwargs)

    monkeypatch.setattr(GRU4Rec, "fit", diverge)
    result = search(train, valid, 2, None, FAST)
    assert result["trials"] == 2 and result["pruned"] == 1
    calls.clear()
    with pytest.raises(GRU4RecError, match="none of 1 trials came to its end"):
        search(train, valid, 1, None, FAST)


def test_ctrl_c_ends_the_search_with_the_best_so_far(train, valid, monkeypatch):
    evaluate, calls = tuning.evaluate, []

    def interrupted(*args, **kwargs):
        calls.append(1)
        if len(calls) > FAST["n_epochs"]:
            raise KeyboardInterrupt
        return evaluate(*args, **kwargs)

    monkeypatch.setattr(tuning, "evaluate", interrupted)
    with pytest.warns(UserWarning, match="interrupted"):
        result = search(train, valid, 5, None, FAST)
    assert result["interrupted"] and result["trials"] == 1 and result["value"] > 0


def test_it_finds_something_better_than_it_starts_with(train, valid):
    values = []
    result = search(
        train, valid, 8, None, FAST | {"n_epochs": 1}, metric="mrr",
        report=lambda line: values.append(float(line.split("mrr@20 ")[1][:6])),
    )  # fmt: skip
    assert len(values) == 8 and len(set(values)) > 4
    assert result["value"] == pytest.approx(max(values), abs=1e-4)
    assert result["value"] > values[0]


@pytest.mark.parametrize(
    "arguments, said",
    [
        ({"trials": 0}, "trials=0"),
        ({"metric": "auc"}, "metric='auc'.*'recall', 'mrr'"),
        ({"fixed": {"learning_rate": -1}}, "learning_rate=-1"),
        ({"seed": -1}, "seed=-1"),
        ({"storage": "nonsense"}, "storage='nonsense'.*sqlite:///tune.db"),
        ({"storage": "sqlite:////no/such/place/t.db"}, "unable to open"),
    ],
)
def test_bad_arguments(train, valid, arguments, said):
    with pytest.raises(ParameterError, match=said) as error:
        search(train, valid, **arguments)
    assert "\n" not in str(error.value)


def test_without_optuna(train, valid, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(GRU4RecError, match=r"pip install 'gru4rec-lite\[tune\]'"):
        search(train, valid)

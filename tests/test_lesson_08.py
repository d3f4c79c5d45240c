"""The loop of lesson 08: equal to the package, every mistake different; its figures."""

from copy import copy
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch

pytest.importorskip("seaborn")

from reference import random_lists, sessions_from

from gru4rec_lite import GRU4Rec, ParameterError, evaluate, load_shop
from gru4rec_lite.course import lesson_08, measured
from gru4rec_lite.course.lesson_08 import BPR_MAX, MISTAKES, SETTINGS, Careless

SESSIONS = sessions_from(random_lists(n_sessions=60, n_items=30, seed=1))
SMALL = {"layers": [6], "batch_size": 5, "n_sample": 16, "dropout_p_hidden": 0.3}
FAMILIES = {
    "cross-entropy": {**SETTINGS, **SMALL},
    "bpr-max": {**BPR_MAX, **SMALL},
}


@cache
def trained(mistake=None, loss="cross-entropy", momentum=0.2):
    settings = {**FAMILIES[loss], "momentum": momentum}
    model = Careless([mistake] if mistake else [], dtype=torch.float64, **settings)
    return model.fit(SESSIONS)


@pytest.mark.parametrize("loss", FAMILIES)
def test_without_mistakes_it_gives_the_packages_numbers(loss):
    ours = trained(loss=loss)
    package = GRU4Rec(**FAMILIES[loss], precision="float64", device="cpu")
    package.fit(SESSIONS, verbose=False)
    network = package.network
    assert torch.allclose(ours.weights["output"], network.output[:-1], atol=1e-6)
    assert torch.allclose(ours.weights["bias"], network.output_bias[:-1], atol=1e-6)
    for name, w in network.cells[0].state_dict().items():
        assert torch.allclose(ours.weights[name], w, atol=1e-6)
    expected = package.history["loss"] * package.history["steps"]
    assert sum(ours.losses) == pytest.approx(expected.sum(), abs=1e-6)
    assert torch.allclose(ours.score(SESSIONS), package.score(SESSIONS), atol=1e-6)
    reports = [evaluate(model, SESSIONS, (1, 5)) for model in (ours, package)]
    assert reports[0].recall == reports[1].recall


def changes_training(mistake, loss):
    names = lesson_08.OF_TESTING + ["test sorted by item"]
    names += ["test sessions in training", "random split"]
    if loss == "bpr-max":
        names += ["softmax twice", "no logq", "logq without alpha"]
    else:
        names += ["max loss without softmax"]
    return mistake not in names


@pytest.mark.parametrize("loss", FAMILIES)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_every_mistake_of_training_makes_another_model(mistake, loss):
    right, wrong = trained(loss=loss), trained(mistake, loss)
    difference = (right.weights["output"] - wrong.weights["output"]).abs().max()
    assert (difference > 1e-3) == changes_training(mistake, loss)


def test_momentum_alone_moves_rows_that_are_not_in_use():
    right, wrong = trained(momentum=0.0), trained("all rows moved", momentum=0.0)
    assert torch.equal(right.weights["output"], wrong.weights["output"])


def test_state_not_carried_forgets_and_the_right_model_does_not():
    items = SESSIONS.item_ids
    for mistake, same in (("state not carried", True), (None, False)):
        model = trained(mistake)
        tables = [model.recommend([first, items[2]], 30) for first in items[:2]]
        assert tables[0].equals(tables[1]) == same


def test_mistakes_of_testing_change_the_report():
    model = trained()
    right = evaluate(model, SESSIONS).recall[20]
    told = {m: lesson_08.reported(model, SESSIONS, m) for m in lesson_08.OF_TESTING}
    assert model.mistakes == set()  # it was a copy that made them
    report = evaluate(model, SESSIONS)
    last = SESSIONS.offsets[1:][SESSIONS.lengths > 1] - 1
    ranks = report.ranks[np.append(np.diff(report.session) > 0, True)]
    assert len(ranks) == len(last)
    assert np.array_equal(report.target[np.append(np.diff(report.session) > 0, True)],
                          SESSIONS.items[last])  # fmt: skip
    assert told["only the last click tested"] == np.mean(ranks <= 20)
    assert told["tied scores"] >= right


@pytest.mark.parametrize(
    "mistake", ["state kept in testing", "dropout in testing", "tied scores"]
)
def test_mistakes_of_testing_change_the_scores(mistake):
    many = sessions_from(random_lists(n_sessions=400, n_items=30, seed=2))
    model = copy(trained())  # more sessions than slots: some follow others
    right = model.score(many)
    model.mistakes = {mistake}
    assert not torch.allclose(model.score(many).double(), right, atol=1e-4)


def test_sampled_ranks_follow_from_all_ranks():
    shop = load_shop()
    few = lesson_08.first_sessions(shop.test, 200)
    model = Careless(layers=[8], n_epochs=1, n_sample=16).fit(
        lesson_08.first_sessions(shop.train, 500)
    )
    told = lesson_08.reported(model, few, "100 sampled negatives")
    rng = np.random.default_rng(1)  # by drawing items one by one
    hits = []
    for _, scores, targets in all_scores(model, few):
        for row, target in zip(scores, targets, strict=True):
            others = np.delete(np.arange(len(row)), target)
            drawn = rng.choice(others, 100, replace=False)
            hits.append((row[drawn] >= row[target]).sum() < 20)
    assert told == pytest.approx(np.mean(hits), abs=0.04)


def all_scores(model, sessions):
    wanted = np.ones(sessions.n_clicks, bool)
    wanted[sessions.offsets[1:] - 1] = False
    for at, scores in model.score_after(sessions, wanted):
        yield at, scores.numpy(), sessions.items[at + 1]


def test_unknown_mistakes_are_named():
    with pytest.raises(ParameterError, match="typing.*state kept"):
        Careless("typing").fit(SESSIONS)


def test_splits_keep_every_session():
    shop = load_shop()
    train, test = lesson_08._random_split(shop.train, shop.test)
    assert train.n_sessions == shop.train.n_sessions
    assert test.n_sessions == shop.test.n_sessions
    ids = np.concatenate([train.session_ids, test.session_ids])
    before = np.concatenate([shop.train.session_ids, shop.test.session_ids])
    assert np.array_equal(np.sort(ids), np.sort(before))
    assert train.n_clicks + test.n_clicks == shop.train.n_clicks + shop.test.n_clicks


# ---- the measured files ----------------------------------------------------------


def test_every_mistake_is_measured():
    curves = measured.read("lesson_08_curves")
    assert set(curves["label"]) == set(lesson_08.trainings())
    table = measured.read("lesson_08_mistakes")
    assert set(table["mistake"]) == set(MISTAKES)
    training = table[~table["mistake"].isin(lesson_08.OF_TESTING)]
    for row in training.itertuples():
        again = lesson_08.compare(curves, {}, None, row.mistake, row.loss)
        assert again["change"] == pytest.approx(row.change, abs=1e-5)


@pytest.mark.slow
def test_a_row_of_each_file_can_be_measured_again():
    """The first epoch of a training; a mistake of testing follows from a model."""
    shop = load_shop()
    model, seen = lesson_08.observe(shop, "no mistake", n_epochs=1)
    curves = measured.read("lesson_08_curves").set_index("label")
    kept = curves.loc["cross-entropy, no mistake, seed 0"]
    for epochs in ("0.25", "0.50", "0.75", "1.00"):
        assert seen[f"recall {epochs}"] == pytest.approx(
            kept[f"recall {epochs}"], abs=0.015
        )
        assert seen[f"loss {epochs}"] == pytest.approx(kept[f"loss {epochs}"], abs=0.05)

    # After one epoch instead of two: the change is about the same.
    table = measured.read("lesson_08_mistakes").set_index("label")
    row = table.loc["cross-entropy, 100 sampled negatives"]
    told = lesson_08.reported(model, shop.test, "100 sampled negatives")
    assert told == pytest.approx(row["with_0"], abs=0.02)


# ---- figures ---------------------------------------------------------------------


def some_curves():
    rows = []
    for mistake in ("no mistake", "state kept"):
        for seed in (0, 1):
            row = {"mistake": mistake, "loss": "cross-entropy", "seed": seed}
            for epochs in (0.5, 1.0):
                row[f"loss {epochs:.2f}"] = 6 - epochs + seed
                row[f"recall {epochs:.2f}"] = 0.5 if mistake == "no mistake" else 0.4
            rows.append(row)
    return pd.DataFrame(rows)


def some_changes():
    return pd.DataFrame(
        {
            "mistake": ["state kept", "softmax twice"],
            "loss": "cross-entropy",
            "change": [-0.01, -0.6],
            "change_0": [-0.02, -0.59],
            "change_1": [0.0, -0.61],
            "with_0": [0.4, 0.1],
            "with_1": [0.5, 0.1],
        }
    )


FIGURES = {
    "pair": lambda: lesson_08.pair(some_curves(), "state kept"),
    "costs": lambda: lesson_08.costs(some_changes(), 0.01),
    "lines": lambda: lesson_08.lines(pd.DataFrame({"a": [0.1, 0.2]}), "x", "y"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_axes_are_labelled(name):
    for axes in FIGURES[name]().axes:
        assert axes.get_xlabel() and axes.get_ylabel()


def test_pair_draws_the_mean_of_the_seeds():
    loss, recall = lesson_08.pair(some_curves(), "state kept").axes
    right, wrong = recall.lines
    assert right.get_ydata().tolist() == [0.5, 0.5]
    assert wrong.get_ydata().tolist() == pytest.approx([0.4, 0.4])
    assert loss.lines[0].get_ydata().tolist() == [6.0, 5.5]
    assert loss.lines[0].get_xdata().tolist() == [0.5, 1.0]


def test_costs_puts_the_dearest_on_top():
    (axes,) = lesson_08.costs(some_changes(), 0.01).axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["softmax twice", "state kept"] and axes.yaxis_inverted()


def test_noise_is_twice_the_standard_error():
    assert lesson_08.noise(some_changes()) == pytest.approx(2 * 0.1 / 2)


def test_page_has_a_row_for_each_mistake():
    again = some_changes().iloc[:1].assign(loss="bpr-max", change=0.02)
    text = lesson_08.page(pd.concat([some_changes(), again])).data
    assert "| *state kept*: " in text and "| −1.0 / +2.0 |" in text
    assert "| *softmax twice*: " in text and "| −60.0 |" in text
    assert MISTAKES["softmax twice"].symptom in text


def test_chooser_redraws_and_tells_the_symptom(monkeypatch):
    drawn = []
    monkeypatch.setattr(lesson_08, "display", drawn.append)
    curves = pd.concat([some_curves(), some_curves().replace("state kept", "no logq")])
    chooser = lesson_08.Chooser(curves.drop_duplicates(), start="state kept")
    assert repr(chooser) == "Chooser(2 mistakes)"
    assert MISTAKES["state kept"].symptom in chooser.symptom.value
    chooser.mistake.value = ("no logq", "cross-entropy")
    assert MISTAKES["no logq"].symptom in chooser.symptom.value
    before, after = drawn
    assert before is not after
    assert after.axes[1].lines[1].get_label() == "no logq"

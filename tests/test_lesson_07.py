"""The experiments and figures of lesson 07."""

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("seaborn")

from gru4rec_lite.course import lesson_07, measured

LINES = pd.DataFrame({"a": [1.0, 2.0], "b": [2.0, 3.0]}, index=[1, 2])


@pytest.fixture(scope="module")
def sweep():
    return measured.read("lesson_07_sweep")


def test_axes_are_labelled(sweep):
    figures = [
        lesson_07.lines(LINES, "x", "y", percent=True, level=(1.5, "level")),
        lesson_07.learning_curves(LINES["a"], LINES, (1.0, "level")),
        lesson_07.sweep_curves(sweep, "bpr", "momentum"),
        lesson_07.ratios(lesson_07.speeds()),
    ]
    for figure in figures:
        assert all(axes.get_xlabel() and axes.get_ylabel() for axes in figure.axes)
    for figure in (
        lesson_07.panels({"one": LINES, "two": LINES}, "x", (0.5, "level")),
        lesson_07.heat_maps(sweep),
    ):
        assert all(axes.get_xlabel() for axes in figure.axes)
        assert figure.axes[0].get_ylabel()
    assert len(lesson_07.one_step().axes[0].patches) == 7


def test_panels_say_what_was_not_reported():
    table = pd.DataFrame({"recall": [0.5, np.nan]}, index=["a", "b"])
    axes = lesson_07.panels({"only": table}, "x").axes[0]
    assert [text.get_text() for text in axes.texts] == ["0.500", "not reported"]


def test_sweep_holds_every_setting(sweep):
    rows = lesson_07.sweep_rows()
    assert list(sweep["label"]) == list(rows)
    wanted = pd.DataFrame(rows.values())
    pd.testing.assert_frame_equal(sweep[wanted.columns], wanted, check_dtype=False)


def test_curves_show_one_line_a_value(sweep):
    for loss in lesson_07.LOSSES:
        for parameter in lesson_07.BASE:
            axes = lesson_07.sweep_curves(sweep, loss, parameter).axes[0]
            n_values = len(lesson_07.at_base(sweep, loss, parameter))
            assert len(axes.lines) == n_values >= 3
    first = lesson_07.sweep_curves(sweep, "top1", "learning_rate").axes[0].lines[0]
    row = sweep.set_index("label").loc["top1 0.01 50 0.0 0.0"]
    expected = [row[f"recall@20 pass {n}"] for n in range(1, 5)]
    assert list(first.get_ydata()) == pytest.approx(expected)


def test_heat_maps_show_the_last_pass_and_frame_the_best(sweep):
    axes = lesson_07.heat_maps(sweep).axes[0]
    part = lesson_07.at_base(sweep, "top1", "learning_rate", "batch_size")
    shown = [text.get_text() for text in axes.texts]
    assert shown == [f"{value:.2f}" for value in part[lesson_07.LAST]]
    column, row = np.floor(axes.patches[-1].get_xy()).astype(int)
    best = part.loc[part[lesson_07.LAST].idxmax()]
    assert lesson_07.LEARNING_RATES[row] == best["learning_rate"]
    assert lesson_07.BATCH_SIZES[column] == best["batch_size"]


def test_speeds_are_those_of_the_document():
    table = lesson_07.speeds()
    assert (table.loc["textbook loop"] == 1).all()
    assert table.shape == (6, 2) and (table >= 1).all().all()


@pytest.mark.slow
def test_cheapest_row_of_the_losses_repeats():
    table = measured.read("lesson_07_losses").set_index("label")
    assert list(table.index) == list(lesson_07.losses_rows())
    again = lesson_07.measure_loss("cross-entropy", 100)
    kept = table.loc["cross-entropy 100"]
    for name in ("recall@20", "mrr@20"):
        assert again[name] == pytest.approx(kept[name], abs=0.01)
    for name in ("batch_size", "learning_rate", "momentum", "dropout", "epochs"):
        assert again[name] == kept[name]


@pytest.mark.slow
def test_a_row_of_the_sweep_repeats(sweep):
    row = sweep.set_index("label").loc["cross-entropy 0.03 500 0.0 0.0"]
    again = lesson_07.measure_setting("cross-entropy", 0.03, 500, 0.0, 0.0)
    for n in range(1, lesson_07.N_EPOCHS + 1):
        name = f"recall@20 pass {n}"
        assert again[name] == pytest.approx(row[name], abs=0.01)

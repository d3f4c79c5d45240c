"""The figures of lesson 09, and its measurements: one row of each is repeated."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

pytest.importorskip("seaborn")

from gru4rec_lite import evaluate, load_shop, losses
from gru4rec_lite.course import lesson_09, measured

ROOT = Path(__file__).resolve().parents[1]
SCORES = pd.Series({"right": 1.0, "near": 2.5, "far": -4.0})
PUSHES = pd.DataFrame({"a": [0.5, -0.5, 0.0], "b": [0.1, -0.1, np.nan]}, SCORES.index)
LINE = pd.DataFrame({"a": [0.5, 0.1], "b": [0.2, 0.3]}, index=[1, 2])
WAY = pd.DataFrame(
    {"value": [0.4, 0.35, 0.6], "low": [0.39, 0.34, 0.59], "high": [0.41, 0.36, 0.61]},
    index=["first", "worse", "better"],
)
NEGATIVES = np.linspace(-5, 2, 20)
FORCE = {"a": (0.4, -np.ones(20) / 20), "b": (0.2, -np.arange(20) / 200)}
FIGURES = {
    "against_n": lambda: lesson_09.against_n([(LINE, "y", True), (LINE, "y", False)]),
    "regularisation": lambda: lesson_09.regularisation(NEGATIVES, 1.0, 0.5),
    "waterfall": lambda: lesson_09.waterfall(WAY, 0.7),
    "heat": lambda: lesson_09.heat(LINE.rename_axis(index="i", columns="c")),
}


@pytest.mark.parametrize("name", FIGURES)
def test_axes_are_labelled(name):
    axes = FIGURES[name]().axes
    if name == "heat":
        assert axes.pop().get_ylabel() == "Recall@20"  # the colour bar
    for one in axes:
        assert one.get_xlabel() and one.get_ylabel()


def test_panels_that_share_an_axis_are_labelled_too():
    figure = lesson_09.beside(SCORES, PUSHES, "push")
    assert [axes.get_xlabel() for axes in figure.axes] == ["score", "push", "push"]
    figure = lesson_09.by_data({"one": WAY, "two": WAY})
    assert all(axes.get_xlabel() for axes in figure.axes)
    assert figure.axes[0].get_ylabel()
    left, right = lesson_09.force(0.0, NEGATIVES, FORCE).axes
    assert left.get_xlabel() and left.get_ylabel() and right.get_xlabel()


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_bars_beside_the_scores_write_their_values():
    _, first, second = lesson_09.beside(SCORES, PUSHES, "push").axes
    assert texts(first) == ["+0.50", "-0.50", "+0.00"]
    assert texts(second) == ["+0.10", "-0.10", ""]


def test_force_adds_up_the_pushes_of_each_bin_and_counts_who_is_ahead():
    left, right = lesson_09.force(0.0, NEGATIVES, FORCE).axes
    ahead = (NEGATIVES > 0).sum()
    assert left.get_title() == f"20 negatives, {ahead} ahead"
    x, total = left.lines[0].get_data()
    expected = [((NEGATIVES > m - 0.5) & (NEGATIVES < m + 0.5)).sum() / 20 for m in x]
    assert total == pytest.approx(expected)
    assert sum(total) == pytest.approx(1)
    assert [bar.get_width() for bar in right.patches] == [0.4, 0.2]


def test_waterfall_goes_from_each_row_to_the_next():
    axes = lesson_09.waterfall(WAY, 0.7).axes[0]
    ends = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in axes.patches]
    assert np.array(ends) == pytest.approx(np.array([(0.4, 0.35), (0.35, 0.6)]))
    assert axes.patches[0].get_hatch() and not axes.patches[1].get_hatch()
    assert {"40.0%", "35.0%  (-5.0)", "60.0%  (+25.0)", "oracle 70.0%"} <= set(
        texts(axes)
    )
    assert axes.yaxis_inverted()


def test_heat_marks_the_best_of_each_column():
    axes = lesson_09.heat(LINE).axes[0]
    bold = [text.get_text() for text in axes.texts if text.get_weight() == "bold"]
    assert sorted(bold) == ["30.0%", "50.0%"]


def test_regularisation_draws_the_gradient_of_the_loss():
    left, right = lesson_09.regularisation(NEGATIVES, 2.0, 1.0).axes
    drawn = [line.get_ydata() for line in left.lines]
    for pushes, (bpreg, alpha) in zip(drawn, [(0, 0), (2, 0), (2, 1)], strict=False):
        row = torch.tensor([[1.0, *NEGATIVES]], dtype=torch.float64).requires_grad_()
        losses.bpr_max(losses.elu(row, alpha), bpreg=bpreg).backward()
        assert pushes == pytest.approx(row.grad[0, 1:].numpy(), abs=1e-6)
    assert not np.allclose(drawn[0], drawn[1]) and not np.allclose(drawn[1], drawn[2])
    x, y = right.lines[1].get_data()
    assert y == pytest.approx(np.where(x > 0, x, np.exp(x) - 1), abs=1e-6)


# ---- the measurements ------------------------------------------------------------


@pytest.fixture(scope="module")
def shop():
    return load_shop()


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import lesson_09 as module  # benchmarks/lesson_09.py

    return module


def test_files_hold_every_row_of_the_benchmark(benchmark):
    for name, rows in {
        "waterfall": benchmark.WATERFALL,
        "losses": benchmark.BY_LOSS,
        "regularisation": benchmark.REGULARISATION,
    }.items():
        assert list(measured.read(f"lesson_09_{name}")["label"]) == list(rows)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "rows", "label"),
    [
        ("losses", "BY_LOSS", "cross-entropy, logq, N = 0"),
        ("regularisation", "REGULARISATION", "bpreg = 0.0, elu_param = 0.0"),
        ("waterfall", "WATERFALL", "2016 model"),
        ("waterfall", "WATERFALL", "oracle"),
    ],
)
def test_one_row_is_as_in_the_file(benchmark, shop, name, rows, label):
    row = measured.read(f"lesson_09_{name}").set_index("label").loc[label]
    settings = getattr(benchmark, rows)[label]["settings"]
    if settings is None:
        model, tolerance = shop.oracle, 1e-5
    else:
        recent = shop.train_part.split_last_days(14)[1]
        sessions = shop.train if name == "waterfall" else recent
        # The rate that was chosen: one training instead of all.
        model = benchmark.fitted(settings, row["learning_rate"], sessions)[0]
        tolerance = 0.015  # another processor rounds, and so trains, differently
    report = evaluate(model, shop.test)
    assert report.recall[20] == pytest.approx(row["recall@20"], abs=tolerance)
    assert report.mrr[20] == pytest.approx(row["mrr@20"], abs=tolerance)

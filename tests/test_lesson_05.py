"""The figures of lesson 05."""

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("seaborn")

from gru4rec_lite.course import lesson_05

SUPPORT = np.array([100, 50, 20, 10, 5, 5, 5, 5, 5, 5])
SCORES = pd.Series({"right": 1.0, "near": 2.5, "far": -4.0})
LINE = pd.DataFrame({"a": [1.0, 2.0], "b": [2.0, 3.0]}, index=[10, 100])
FIGURES = {
    "cost": lambda: lesson_05.cost(LINE),
    "batch_scores": lambda: lesson_05.batch_scores(np.eye(3), "abc", "xyz"),
    "popularity": lambda: lesson_05.popularity(SUPPORT, SUPPORT * 3),
    "sampling": lambda: lesson_05.sampling(SUPPORT, [0, 1]),
    "lines": lambda: lesson_05.lines([(LINE, "x", "y"), (LINE, "x", "y")]),
}


@pytest.mark.parametrize("name", FIGURES)
def test_axes_are_labelled(name):
    for axes in FIGURES[name]().axes:
        assert axes.get_xlabel() and axes.get_ylabel()


def test_panels_that_share_an_axis_are_labelled_too():
    figure = lesson_05.pushes(SCORES)
    assert [axes.get_xlabel() for axes in figure.axes] == ["score"] + ["push"] * 3
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == list(SCORES.index)
    figure = lesson_05.learnt_popularity(SUPPORT, {"a": SUPPORT, "b": SUPPORT})
    assert all(axes.get_xlabel() for axes in figure.axes)
    assert figure.axes[0].get_ylabel()


def test_sampling_shows_shares_that_add_up_and_follow_alpha():
    def fifths(alpha):
        axes = lesson_05.sampling(SUPPORT, [alpha]).axes[1]
        return [bar.get_height() for bar in axes.patches]

    assert fifths(0) == pytest.approx([0.2] * 5)
    expected = [150 / 210, 30 / 210, 10 / 210, 10 / 210, 10 / 210]
    assert fifths(1) == pytest.approx(expected)


def test_pushes_are_the_gradients_written_out():
    def sigma(x):
        return 1 / (1 + np.exp(-x))

    right, negative = SCORES.iloc[0], SCORES.iloc[1:].to_numpy()
    table = lesson_05.push(SCORES)
    p = np.exp(SCORES) / np.exp(SCORES).sum()
    xe = np.append(1 - p.iloc[0], -p.iloc[1:])
    assert table["cross-entropy"].to_numpy() == pytest.approx(xe)

    down = sigma(negative - right) / 2
    bpr = np.append(down.sum(), -down)
    assert table["bpr"].to_numpy() == pytest.approx(bpr)

    ahead = sigma(negative - right)
    ahead = ahead * (1 - ahead) / 2
    own = sigma(negative**2)
    own = own * (1 - own) * 2 * negative / 2
    top1 = np.append(ahead.sum(), -ahead - own)
    assert table["top1"].to_numpy() == pytest.approx(top1)


def test_pushes_follow_the_scores():
    shown = [
        [bar.get_width() for bar in lesson_05.pushes(scores).axes[1].patches]
        for scores in (SCORES, SCORES.replace({1.0: -6.0}))
    ]
    assert shown[1][0] > shown[0][0] > 0

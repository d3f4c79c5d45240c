"""Lesson 06: its figures, its sampled metrics, its stored measurement."""

import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("seaborn")

from gru4rec_lite import Sessions
from gru4rec_lite.course import lesson_06, measured
from gru4rec_lite.evaluation import TIES, Report, mrr_at, recall_at

BENCHMARK = Path(__file__).resolve().parents[1] / "benchmarks" / "lesson_06.py"
RANKS = {"POP": np.array([1, 3, 30, 60]), "Markov": np.array([2, 2, 45, 60])}
LINES = pd.DataFrame({"POP": [0.1, 0.2], "Markov": [0.3, 0.4]}, index=[1, 2])
BREAKDOWN = {"POP": pd.DataFrame({"Recall@20": [0.1, 0.2]}, index=["1", "2+"])}


def report(above, equal):
    n = len(above)
    return Report(
        above=np.array(above), equal=np.array(equal), session=np.arange(n),
        position=np.ones(n, int), target=np.arange(n), item_ids=np.arange(100),
        session_ids=np.arange(n), cutoffs=(20,), ties="conservative", removed={},
    )  # fmt: skip


REPORTS = {"POP": report([0, 30], [0, 2]), "Markov": report([5, 10], [15, 1])}
INTERVALS = pd.DataFrame({"value": [0.2], "low": [0.1], "high": [0.4]}, index=["POP"])
FIGURES = {
    "five": lambda: lesson_06.five([1, 300], ["a", "b"]),
    "intervals": lambda: lesson_06.intervals(INTERVALS, "Recall@20", ceiling=0.5),
    "lines": lambda: lesson_06.lines(LINES, "x", "y", at=1, ceiling=0.5, log=True),
    "tie_rules": lambda: lesson_06.tie_rules(
        pd.DataFrame(0.5, index=["POP"], columns=TIES)
    ),
    "sampled_curves": lambda: lesson_06.sampled_curves(RANKS, 100, 10),
    "luck": lambda: lesson_06.luck(np.array([0.1, 0.3]), np.array([0.2, 0.2])),
    "paired": lambda: lesson_06.paired(
        np.array([0.1, 0.2, 0.3]), np.array([0.2, 0.3, 0.35]), ["a", "b"]
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_axes_are_labelled(name, tmp_path):
    figure = FIGURES[name]()
    for axes in figure.axes:
        assert axes.get_xlabel() and axes.get_ylabel()
    figure.savefig(tmp_path / "figure.png")  # nothing fails when it is drawn


def test_panels_that_share_an_axis_are_labelled_too():
    table = pd.DataFrame({"a": [1, 2], "b": [3, 4]}, index=["POP", "Markov"])
    for figure in (
        lesson_06.places({"one": table, "two": table}),
        lesson_06.at_cutoff(REPORTS, 20, "median"),
        lesson_06.breakdown([("first", BREAKDOWN), ("second", BREAKDOWN)]),
    ):
        assert len(figure.axes) == 2
        assert all(axes.get_xlabel() for axes in figure.axes)
        assert figure.axes[0].get_ylabel()


def test_intervals_show_value_and_ends():
    axes = lesson_06.intervals(INTERVALS, "Recall@20").axes[0]
    assert [bar.get_width() for bar in axes.patches] == [0.2]
    ends = axes.containers[1].lines[2][0].get_segments()[0][:, 0]
    assert ends == pytest.approx([0.1, 0.4])


def test_bars_follow_cutoff_and_rule():
    def shown(k, ties):
        axes = lesson_06.at_cutoff(REPORTS, k, ties).axes
        return [[bar.get_width() for bar in one.patches] for one in axes]

    for k in (5, 20):
        for ties in TIES:
            found = [r.with_ties(ties).ranks for r in REPORTS.values()]
            recalls, mrrs = shown(k, ties)
            assert recalls == pytest.approx([recall_at(r, k) for r in found])
            assert mrrs == pytest.approx([mrr_at(r, k) for r in found])
    assert shown(20, "standard") != shown(20, "conservative")


def test_recall_curve_is_recall_at_every_k():
    curve = lesson_06.recall_curve(RANKS["POP"], longest=50)
    assert list(curve.index) == list(range(1, 51))
    assert [curve[k] for k in (1, 2, 3, 30, 50)] == [0.25, 0.25, 0.5, 0.75, 0.75]


def test_sampled_recall_is_what_drawing_gives():
    n_items, n, rng = 100, 10, np.random.default_rng(0)
    for name, ranks in RANKS.items():
        hits = []
        for rank in ranks:
            above = np.arange(n_items - 1) < rank - 1  # of the other items
            drawn = [rng.choice(above, n, replace=False).sum() for _ in range(4000)]
            hits.append(np.mean(np.array(drawn) < 3))
        table = lesson_06.sampled_recall(RANKS, n_items, n, k=[1, 3])
        assert table.loc[3, name] == pytest.approx(np.mean(hits), abs=0.01)


def test_sampled_recall_among_all_is_recall():
    table = lesson_06.sampled_recall(RANKS, 100, [10, 99], k=20)
    for name, ranks in RANKS.items():
        assert table.loc[99, name] == pytest.approx(recall_at(ranks, 20))


def test_curves_follow_the_number_of_sampled_items():
    heights = [
        lesson_06.sampled_curves(RANKS, 100, n).axes[0].lines[0].get_ydata()[4]
        for n in (10, 90)
    ]
    assert heights[0] > heights[1]


def test_luck_marks_the_best():
    axes = lesson_06.luck(np.array([0.1, 0.3, 0.2]), np.array([0.5, 0.4, 0.6])).axes[0]
    assert axes.lines[1].get_xydata().tolist() == [[0.3, 0.4]]


def measure_again(label, data):
    script = runpy.run_path(str(BENCHMARK))
    found = script["measure"](**script["rows"](data)[label])
    stored = measured.read(script["NAME"]).set_index("label").loc[label]
    for name, value in found.items():
        assert value == pytest.approx(stored[name], abs=1e-3), name
    return found


def test_stored_tie_rules_of_the_shop(tmp_path):
    assert measure_again("shop", tmp_path)["predictions"] == 13657


@pytest.mark.slow
def test_stored_tie_rules_of_real_clicks(rsc15):
    found = measure_again("rsc15-100k", rsc15)
    test = Sessions.read(rsc15 / "test.tsv")
    assert found["predictions"] <= test.n_clicks - test.n_sessions

"""Do the figures show what they are given, and do the widgets answer a click?"""

import importlib.util
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from gru4rec_lite import DataError, GRU4Rec, ParameterError, Sessions
from gru4rec_lite.course import plots
from gru4rec_lite.course.widgets import ClickThrough
from gru4rec_lite.shop import Oracle, simulate

LESSONS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))
WIDGET = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(autouse=True)
def style():
    with matplotlib.rc_context():
        plots.use_style()
        yield


@pytest.fixture(scope="module")
def shop():
    """A few days' worth of shop: clicks as a frame, sessions, catalogue."""
    log, catalogue = simulate(sessions=1500)
    return log, Sessions.from_frame(log).filter(), catalogue


@pytest.fixture(scope="module")
def recommenders(shop):
    sessions = shop[1]
    model = GRU4Rec(layers=[8], n_epochs=1, n_sample=64, device="cpu")
    return model.fit(sessions, verbose=False), Oracle().fit(sessions)


def every_figure(log, sessions):
    """One call of each function of plots that draws."""
    table = pd.DataFrame({"item": ["a", "b"], "score": [0.4, 0.1]})
    heat = pd.DataFrame([[0.9, 0.1], [0.2, 0.8]], index=["p", "q"], columns=["r", "s"])
    held = np.arange(sessions.n_clicks) % 3 == 0
    pauses = np.diff(sessions.times)[sessions.lengths.cumsum()[0] : 500]
    return {
        "bars": plots.bars(pd.Series({"a": 3.0, "b": 1.0}).rename_axis("x"), "n"),
        "rankings": plots.rankings({"one": table, "two": table}),
        "click_path": plots.click_path(["camera-lumo-x2", "tent"], [30]),
        "shares": plots.shares(heat.rename_axis(index="i", columns="c")),
        "sessions_in_time": plots.sessions_in_time(log, 5),
        "length_histogram": plots.length_histogram(sessions.lengths),
        "long_tail": plots.long_tail(sessions.support, 3),
        "when": plots.when(sessions.times),
        "pause_histogram": plots.pause_histogram(abs(pauses) + 1),
        "flat_layout": plots.flat_layout(sessions.items, sessions.offsets, 3),
        "splits": plots.splits(sessions, {"a": held, "b": ~held}),
    }


# ---- figures ---------------------------------------------------------------------


def test_every_figure_is_labelled_opaque_and_shown_only_once(shop, tmp_path):
    drawn = every_figure(*shop[:2])
    drawing = {
        name
        for name, value in vars(plots).items()
        if getattr(value, "__module__", "") == plots.__name__ and name[0] != "_"
    } - {"use_style", "new_figure", "thousands"}
    assert drawing == set(drawn), "a figure that this test does not draw"
    for name, figure in drawn.items():
        assert isinstance(figure, Figure), name
        assert figure.get_facecolor() == (1, 1, 1, 1), name
        panels = [axes for axes in figure.axes if axes.axison]
        for axes in panels:
            assert axes.get_xlabel() or axes.get_ylabel(), name
        if panels:
            assert panels[0].get_xlabel() and panels[0].get_ylabel(), name
        figure.savefig(tmp_path / f"{name}.png")  # nothing fails when it is drawn
        width = plt.imread(tmp_path / f"{name}.png").shape[1]
        assert width <= 900, f"{name} is wider than the column of a notebook"
    assert plt.get_fignums() == []  # else the notebook would show them twice


def test_colours_differ_in_greyscale():
    def lightness(colour):  # CIE L*, 0 to 100
        rgb = np.array(to_rgb(colour))
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return 116 * (linear @ [0.2126, 0.7152, 0.0722]) ** (1 / 3) - 16

    values = sorted(map(lightness, plots.COLOURS))
    assert np.diff(values).min() > 10


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_bars_and_shares_write_their_values():
    bars = plots.bars(pd.Series({"a": 0.5, "b": 0.25}), "x", percent=True, mark=["b"])
    assert texts(bars) == ["50.0%", "25.0%"]
    first, second = bars.axes[0].patches
    assert [first.get_width(), second.get_width()] == [0.5, 0.25]
    assert first.get_facecolor() != second.get_facecolor()
    assert bars.axes[0].yaxis_inverted()  # the first stands at the top
    heat = plots.shares(pd.DataFrame([[0.125, 0.875]], index=["row"]))
    assert texts(heat) == ["12.5%", "87.5%"]


def test_rankings_put_the_best_at_the_top():
    table = pd.DataFrame({"item": ["best", "second"], "score": [0.4, 0.1]})
    axes = plots.rankings({"only": table}).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["best", "second"]
    assert axes.yaxis_inverted()
    assert [bar.get_width() for bar in axes.patches] == [0.4, 0.1]


def test_click_path_ends_with_the_question():
    items = ["camera-lumo-x2", "tent-nordo-duo"]
    with_pauses = texts(plots.click_path(items, pauses=[42.2, 300]))
    assert [text.replace("\n", " ") for text in with_pauses if text] == [
        "camera lumo x2",
        "tent nordo duo",
        "42 s later",
        "?",
        "5 min later",
    ]
    assert "?" not in texts(plots.click_path(items, question=False))


def test_length_histogram_counts_sessions():
    figure = plots.length_histogram(np.array([1, 1, 2, 5, 30, 40]), longest=20)
    heights = [int(bar.get_height()) for bar in figure.axes[0].patches]
    assert heights[:5] == [2, 1, 0, 0, 1] and heights[-1] == 2
    assert len(heights) == 21


def test_long_tail_says_what_a_minimum_leaves():
    support = np.array([1, 70, 9, 20])
    titles = [axes.get_title("left") for axes in plots.long_tail(support, 10).axes]
    assert titles == ["2 of 4 items", "90.0% of the clicks"]
    titles = [axes.get_title("left") for axes in plots.long_tail(support, 1).axes]
    assert titles == ["4 of 4 items", "100.0% of the clicks"]
    assert plots.long_tail(support, 71).axes[0].get_title("left") == "0 of 4 items"


def test_when_counts_hours_and_days():
    start = pd.Timestamp("2025-11-01").timestamp()  # a Saturday
    hours, days = plots.when(np.array([0, 1.5, 24 + 1.6, 48 + 23]) * 3600 + start).axes
    counts = [int(bar.get_height()) for bar in hours.patches]
    assert (counts[0], counts[1], counts[23], sum(counts)) == (1, 2, 1, 4)
    drawn = days.patches[:3]
    assert [int(bar.get_height()) for bar in drawn] == [2, 1, 1]
    saturday, sunday, monday = (bar.get_facecolor() for bar in drawn)
    assert saturday == sunday != monday


def test_flat_layout_shows_items_and_offsets():
    shown = texts(plots.flat_layout(np.array([7, 8, 9]), np.array([0, 2, 3]), n=2))
    assert {"7", "8", "9", "session 0", "session 1"} <= set(shown)
    assert "offsets[1]\n= 2" in shown and "offsets[2]\n= 3" in shown


def test_splits_mark_the_clicks_kept_for_testing(shop):
    sessions = shop[1]
    n = min(5, sessions.n_sessions)
    drawn = plots.splits(sessions, {"all": np.ones(sessions.n_clicks, bool)}, n)
    markers = Counter(line.get_marker() for line in drawn.axes[0].lines)
    chosen = np.linspace(0, sessions.n_sessions - 1, n).astype(int)
    assert markers["X"] == sessions.lengths[chosen].sum() + 1  # and one in the legend
    assert markers["o"] == 1


# ---- the click-through -----------------------------------------------------------


@pytest.fixture
def widget(shop, recommenders):
    start = recommenders[0].item_ids[0]
    return ClickThrough(*recommenders, shop[2], start, k=6)


def check(widget):
    """What it shows is what the two recommenders say about the clicks so far."""
    for buttons, recommender in (
        (widget.guesses, widget.model),
        (widget.truths, widget.oracle),
    ):
        expected = recommender.recommend(widget.clicks, k=len(buttons))
        assert [button.item for button in buttons] == expected["item"].tolist()
        assert [b.description for b in buttons] == [
            widget.names[button.item] for button in buttons
        ]
    both = {b.item for b in widget.guesses} & {b.item for b in widget.truths}
    for button in (*widget.guesses, *widget.truths):
        assert (button.button_style == "info") == (button.item in both)
    for item in widget.clicks:
        assert widget.names[item] in widget.path.value


def test_a_click_ranks_anew(widget):
    check(widget)
    before = [b.item for b in widget.guesses], [b.item for b in widget.truths]
    for button in (widget.guesses[2], widget.truths[3], widget.guesses[0]):
        clicked = button.item
        button.click()
        assert widget.clicks[-1] == clicked
        check(widget)
    after = [b.item for b in widget.guesses], [b.item for b in widget.truths]
    assert len(widget.clicks) == 4
    assert after[0] != before[0] and after[1] != before[1]


def test_a_new_session_forgets_the_old_one(widget):
    first = [b.item for b in widget.guesses]
    widget.guesses[1].click()
    widget.restart(widget.clicks[0])
    assert [b.item for b in widget.guesses] == first
    other = next(kind for kind in widget.kind.options if kind != widget.kind.value)
    widget.kind.value = other
    assert widget.clicks == [widget.first[other]]
    widget.truths[0].click()
    widget.again.click()
    assert widget.clicks == [widget.first[other]]
    check(widget)


def test_shares_are_probabilities(widget):
    for bars in (widget.guess_bars, widget.truth_bars):
        shares = [float(re.search(r"([\d.]+)%</div>", bar.value)[1]) for bar in bars]
        assert shares == sorted(shares, reverse=True)
        assert 0 < shares[0] and sum(shares) <= 100


def test_names_are_no_markup(shop, recommenders):
    start = recommenders[0].item_ids[0]
    catalogue = shop[2].copy()
    catalogue.loc[catalogue["item"] == start, "name"] = "<b>bold</b> & co"
    widget = ClickThrough(*recommenders, catalogue, start)
    assert "&lt;b&gt;bold&lt;/b&gt; &amp; co" in widget.path.value
    assert repr(widget) == "ClickThrough(k=8)"  # what nbval compares


def test_bad_arguments_are_named(shop, recommenders):
    start = recommenders[0].item_ids[0]
    with pytest.raises(ParameterError, match="k=0"):
        ClickThrough(*recommenders, shop[2], start, k=0)
    with pytest.raises(DataError, match="toaster"):
        ClickThrough(*recommenders, shop[2], "toaster")


def test_the_library_does_not_import_the_course():
    code = (
        "import sys, gru4rec_lite.cli; "
        "print([m for m in sys.modules if m.startswith('gru4rec_lite.course') "
        "or m in ('matplotlib', 'seaborn', 'ipywidgets')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


# ---- the lessons -----------------------------------------------------------------


def cells(path, kind):
    return [c for c in nbformat.read(path, 4).cells if c.cell_type == kind]


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.name)
def test_lesson_keeps_to_the_rules(path):
    code, prose = cells(path, "code"), cells(path, "markdown")
    for cell in code:
        lines = cell.source.split("\n")
        assert len(lines) <= 30, cell.source
        assert max(map(len, lines)) <= 88, cell.source
        if "nbval-ignore-output" in cell.metadata.get("tags", []):
            assert "assert " in cell.source, cell.source
    outputs = [out.get("data", {}) for cell in code for out in cell.outputs]
    assert sum("image/png" in data for data in outputs) >= 3
    assert sum(WIDGET in data for data in outputs) >= 1
    text = "\n".join(cell.source for cell in prose)
    assert "Recap" in text and "## Sources" in text and "minutes" in text
    for link in re.findall(r"\]\(([^):]+)\)", text):
        assert (path.parent / link).is_file(), f"{link} is not there"


def test_lesson_00_says_what_is_missing(monkeypatch, capsys):
    source = cells(LESSONS[0], "code")[0].source
    exec(source, {})
    assert "MISSING" not in capsys.readouterr().out

    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name in ("torch", "ipywidgets") else find_spec(name),
    )
    with pytest.raises(AssertionError) as error:
        exec(source, {})
    out = capsys.readouterr().out
    assert re.findall(r"^(\S+) +MISSING$", out, re.M) == ["torch", "ipywidgets"]
    assert "torch, ipywidgets" in str(error.value) and "make lab" in str(error.value)

"""The lessons' figures: one style, one function a figure.

Every function takes arrays or tables and returns a matplotlib Figure, which a notebook
shows when it is the last line of a cell.  The five colours differ in lightness as well
as in hue: they can be told apart by colour-blind eyes and in a greyscale print.
Figures have a white background of their own, so they can be read in a dark theme, too.
"""

import textwrap

import numpy as np
import seaborn as sns
from IPython import get_ipython
from IPython.core.pylabtools import select_figure_formats
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from matplotlib.ticker import FuncFormatter, PercentFormatter

NAVY, TEAL, VERMILION, AMBER, SKY = COLOURS = (
    "#08306b", "#00695c", "#d55e00", "#e6ab02", "#c6dbef",
)  # fmt: skip
GREY = "#6b6b6b"  # what is left out, or only there for comparison
WIDTH = 8.0  # inches, at 100 dots an inch: the width of JupyterLab's column
HOUR, DAY = 3600, 86400  # seconds


def use_style() -> None:
    """Set the course's style for all figures of a notebook; to be called once."""
    sns.set_theme(
        style="whitegrid",
        palette=COLOURS,
        rc={
            "figure.dpi": 100,
            "figure.facecolor": "white",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": "#444444",
            "axes.labelsize": 10,
            "axes.titlesize": 11,
            "axes.titlelocation": "left",
            "font.size": 10,
            "grid.color": "#e0e0e0",
            "legend.fontsize": 10,
            "legend.frameon": False,
            "xtick.labelsize": 9,
            "ytick.labelsize": 9,
        },
    )
    if shell := get_ipython():  # without pyplot, nobody tells it how to show a figure
        select_figure_formats(shell, {"png"})


def new_figure(columns: int = 1, height: float = 3.2, **options):
    """(figure, axes): axes side by side, one or an array of them.

    Not by pyplot, which would show the figure a second time, and keep it in memory.
    """
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots(1, columns, **options)


def thousands(axis) -> None:
    """Write 20,000 for 20000 along an axis (`axes.xaxis` or `axes.yaxis`)."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


# ---- for every lesson ------------------------------------------------------------


def bars(values, xlabel: str, title: str = "", percent: bool = False, mark=()):
    """Horizontal bars, the first at the top, each with its value.

    values : Series; its index names the bars
    percent : the values are fractions, to be shown in percent
    mark : names of bars in a second colour
    """
    figure, axes = new_figure(height=0.9 + 0.36 * len(values))
    names = [str(name) for name in values.index]
    colours = [VERMILION if name in mark else NAVY for name in names]
    drawn = axes.barh(names, values, color=colours, height=0.65)
    write = "{:.1%}" if percent else "{:,.0f}"
    axes.bar_label(drawn, [write.format(value) for value in values], padding=4)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.grid(axis="y", visible=False)
    axes.set(xlabel=xlabel, ylabel=values.index.name or "", title=title)
    if percent:
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    else:
        thousands(axes.xaxis)
    return figure


def rankings(lists: dict, xlabel: str = "probability of being clicked next"):
    """Ranked items side by side, one panel a list.

    lists : title to DataFrame with columns item and score (a probability), best first
    """
    longest = max(map(len, lists.values()))
    figure, panels = new_figure(
        len(lists), height=1.2 + 0.3 * longest, squeeze=False, sharex=True
    )
    for axes, (title, table), colour in zip(
        panels[0], lists.items(), COLOURS, strict=False
    ):
        axes.barh(table["item"], table["score"], color=colour, height=0.65)
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.tick_params(axis="y", labelsize=9)
        axes.set(xlabel=xlabel, title=title)
    panels[0, 0].set_ylabel("item, best first")
    return figure


def click_path(items, pauses=(), question: bool = True):
    """One session as a chain of clicks, read from left to right.

    items : item IDs
    pauses : seconds between them, one fewer than items; none to leave them out
    question : end with the click that is not known yet
    """
    labels = [textwrap.fill(item.replace("-", " "), 11) for item in items]
    labels += ["?"] * question
    steps = [f"{_duration(pause)}\nlater" for pause in pauses]
    figure, axes = new_figure(height=1.5)
    for n, label in enumerate(labels):
        unknown = question and n == len(items)
        axes.add_patch(
            FancyBboxPatch(
                (n - 0.34, -0.4), 0.68, 0.8,
                boxstyle="round,pad=0,rounding_size=0.08",
                facecolor="white" if unknown else SKY, edgecolor=NAVY,
                linestyle="--" if unknown else "-",
            )
        )  # fmt: skip
        size = 16 if unknown else 8.5
        axes.text(n, 0, label, ha="center", va="center", fontsize=size)
        if n > 0:
            axes.annotate(
                "", (n - 0.35, 0), (n - 0.65, 0),
                arrowprops={"arrowstyle": "->", "color": NAVY},
            )  # fmt: skip
            if n <= len(steps):
                axes.text(n - 0.5, 0.1, steps[n - 1], ha="center", fontsize=7.5)
    axes.set(xlim=(-0.4, max(len(labels), 6) - 0.6), ylim=(-0.5, 0.6))
    axes.set_axis_off()
    return figure


def shares(table, title: str = ""):
    """A table of fractions as a heat map with the numbers in it.

    table : DataFrame; the names of its index and columns label the axes
    """
    figure, axes = new_figure(height=1.4 + 0.45 * len(table))
    sns.heatmap(
        table, annot=True, fmt=".1%", cmap="Blues", vmin=0, ax=axes, linewidths=1,
        cbar_kws={"label": "share", "format": PercentFormatter(1, 0)},
    )  # fmt: skip
    axes.set(xlabel=table.columns.name, ylabel=table.index.name, title=title)
    axes.tick_params(axis="x", rotation=30)
    axes.tick_params(axis="y", rotation=0)
    for label in axes.get_xticklabels():
        label.set_ha("right")
    return figure


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


# ---- lesson 01: sessions ---------------------------------------------------------


def sessions_in_time(log, n: int = 12):
    """The first n sessions of a log, a row each: a dot a click, over minutes.

    log : DataFrame with columns SessionId and Time (seconds), in time order
    """
    figure, axes = new_figure(height=3.4)
    for s, session in enumerate(log["SessionId"].drop_duplicates().head(n)):
        times = log["Time"][log["SessionId"] == session]
        minutes = (times - log["Time"].iloc[0]) / 60
        axes.plot(minutes, np.full(len(minutes), s + 1), color=NAVY, marker="o", lw=1)
    axes.set_yticks(range(1, n + 1))
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set(xlabel="minutes since the first click", ylabel="session")
    return figure


def length_histogram(lengths, longest: int = 20):
    """How many sessions have how many clicks; those over `longest` in one bar."""
    counts = np.bincount(np.minimum(lengths, longest + 1), minlength=longest + 2)
    figure, axes = new_figure()
    colours = [GREY] + [NAVY] * longest
    axes.bar(range(1, longest + 2), counts[1:], color=colours)
    mean = np.mean(lengths)
    axes.axvline(mean, color=VERMILION, ls="--")
    axes.text(mean + 0.2, counts.max(), f"mean {mean:.2f}", color=VERMILION, va="top")
    ticks = [1, *range(5, longest, 5), longest + 1]
    axes.set_xticks(ticks, [*map(str, ticks[:-1]), f"more\nthan {longest}"])
    thousands(axes.yaxis)
    axes.set(xlabel="clicks in the session", ylabel="sessions")
    axes.grid(axis="x", visible=False)
    return figure


def long_tail(support, min_support: int = 1):
    """Clicks of each item by rank, and the share of all clicks of the first ranks.

    support : clicks per item (I,)
    min_support : items with fewer clicks are shown as left out
    """
    counts = np.sort(np.asarray(support))[::-1]
    rank = np.arange(1, len(counts) + 1)
    kept = counts >= min_support
    figure, (left, right) = new_figure(2, height=3.4)
    left.loglog(rank[kept], counts[kept], color=NAVY, lw=2.5, label="kept")
    right.plot(rank[kept], counts.cumsum()[kept] / counts.sum(), color=NAVY, lw=2.5)
    if not kept.all():
        rest = slice(max(kept.sum() - 1, 0), None)
        cumulated = counts.cumsum() / counts.sum()
        left.loglog(rank[rest], counts[rest], color=GREY, ls=":", lw=2.5, label="out")
        right.plot(rank[rest], cumulated[rest], color=GREY, ls=":", lw=2.5)
        left.legend(loc="lower left")
    left.set(
        xlabel="rank of the item", ylabel="clicks", xlim=(0.9, 1.2 * len(rank)),
        title=f"{kept.sum():,} of {len(kept):,} items",
    )  # fmt: skip
    thousands(left.xaxis)
    thousands(left.yaxis)
    right.set(
        xlabel="rank of the item", ylabel="clicks up to this rank", ylim=(0, 1.02),
        title=f"{counts[kept].sum() / counts.sum():.1%} of the clicks",
    )  # fmt: skip
    thousands(right.xaxis)
    right.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    return figure


def when(times):
    """Clicks by hour of the day (UTC), and day by day.

    times : Unix seconds (E,)
    """
    figure, (left, right) = new_figure(2, height=3.0)
    hours = (times % DAY // HOUR).astype(int)
    left.bar(range(24), np.bincount(hours, minlength=24), color=NAVY)
    left.set(xlabel="hour of the day", ylabel="clicks", xticks=range(0, 24, 4))
    days = (times // DAY).astype(int)
    days -= days.min()
    clicks = np.bincount(days)
    date = np.arange(len(clicks)) + 1
    # 1 January 1970, day 0 of Unix time, was a Thursday.
    weekend = (int(times.min() // DAY) + date - 1 + 3) % 7 >= 5
    right.bar(date, clicks, color=np.where(weekend, VERMILION, NAVY))
    right.bar([1], [0], color=VERMILION, label="weekend")
    right.legend(loc="upper center")
    right.set(xlabel="day of the log", ylabel="clicks", ylim=(0, 1.2 * clicks.max()))
    for axes in (left, right):
        thousands(axes.yaxis)
        axes.grid(axis="x", visible=False)
    return figure


def pause_histogram(pauses):
    """How long visitors wait between two clicks, on a logarithmic axis.

    pauses : seconds, all above zero
    """
    figure, axes = new_figure()
    bins = np.geomspace(min(pauses), max(pauses), 50)
    axes.hist(pauses, bins=bins, color=NAVY)
    axes.set_xscale("log")
    median = np.median(pauses)
    axes.axvline(median, color=VERMILION, ls="--")
    height = axes.get_ylim()[1]
    axes.set_ylim(0, 1.1 * height)
    text = f"median {median:.0f} s"
    axes.text(0.93 * median, 1.02 * height, text, color=VERMILION, ha="right")
    ticks = [tick for tick in (1, 10, 60, 600, 1800) if tick <= 1.01 * max(pauses)]
    axes.set_xticks(ticks, [_duration(tick) for tick in ticks])
    axes.minorticks_off()
    thousands(axes.yaxis)
    axes.set(xlabel="pause before the next click", ylabel="pauses")
    return figure


def flat_layout(items, offsets, n: int = 3):
    """The arrays of the first n sessions as they lie in memory.

    items : index of the item of each click (E,)
    offsets : where each session starts (S + 1,)
    """
    end = int(offsets[n])
    figure, axes = new_figure(height=2.3)
    for p in range(end):
        s = np.searchsorted(offsets, p, side="right") - 1
        fill = SKY if s % 2 == 0 else "white"
        axes.add_patch(Rectangle((p, 0), 1, 1, facecolor=fill, edgecolor=NAVY))
        axes.text(p + 0.5, 0.5, items[p], ha="center", va="center", fontsize=8)
        axes.text(p + 0.5, 1.12, p, ha="center", fontsize=8, color=GREY)
    for s, at in enumerate(offsets[: n + 1]):
        axes.annotate(
            f"offsets[{s}]\n= {at}", (at, 0), (at, -0.55), ha="center", va="top",
            fontsize=8, color=VERMILION,
            arrowprops={"arrowstyle": "->", "color": VERMILION},
        )  # fmt: skip
        if s < n:
            middle = (at + offsets[s + 1]) / 2
            axes.text(middle, 1.55, f"session {s}", ha="center", fontsize=9)
    axes.text(-0.35, 0.5, "items", ha="right", va="center")
    axes.text(-0.35, 1.25, "place", ha="right", va="center", color=GREY, fontsize=8)
    axes.set(xlim=(-1.6, end + 0.8), ylim=(-1.4, 1.9))
    axes.set_axis_off()
    return figure


def splits(sessions, test: dict, n: int = 14):
    """The same few sessions under several ways to split: what trains, what tests.

    sessions : their clicks in time order, drawn as one row each
    test : title to bool (E,), True for the clicks that are kept for testing
    """
    figure, panels = new_figure(len(test), height=3.6, sharey=True, squeeze=False)
    chosen = np.linspace(0, sessions.n_sessions - 1, n).astype(int)
    for axes, (title, tested) in zip(panels[0], test.items(), strict=True):
        for row, s in enumerate(chosen):
            clicks = slice(sessions.offsets[s], sessions.offsets[s + 1])
            for p, held in enumerate(tested[clicks]):
                look = (
                    {"color": VERMILION, "marker": "X", "ms": 8}
                    if held
                    else {"color": NAVY, "marker": "o", "ms": 6}
                )
                axes.plot(p + 1, row + 1, ls="", **look)
        axes.grid(axis="y", visible=False)
        axes.set(title=title, xlabel="click of the session")
    panels[0, 0].invert_yaxis()
    panels[0, 0].set(ylabel="session, from old to new", yticks=[])
    for label, colour, marker in (("training", NAVY, "o"), ("test", VERMILION, "X")):
        panels[0, -1].plot([], [], ls="", color=colour, marker=marker, label=label)
    figure.legend(loc="outside upper right", ncols=2)
    return figure

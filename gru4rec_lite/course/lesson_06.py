"""Figures of lesson 06, evaluation."""

import numpy as np
import pandas as pd
from matplotlib.ticker import PercentFormatter
from scipy.stats import hypergeom

from . import plots

# Colour, dashes and marker of each recommender: the same in all figures.
LOOKS = {
    "POP": (plots.GREY, ":", "s"),
    "S-POP": (plots.GREY, "--", "D"),
    "Item-KNN": (plots.AMBER, "-", "^"),
    "BPR-MF": (plots.TEAL, "-.", "v"),
    "Markov": (plots.NAVY, "--", "o"),
    "GRU4Rec": (plots.VERMILION, "-", "X"),
    "oracle": ("black", "-", "*"),
    "plain Markov, ties for": (plots.NAVY, ":", "s"),
    "plain Markov, ties against": (plots.TEAL, "-.", "v"),
}
NEW = (plots.NAVY, "-", "o")


def _look(name):
    colour, dash, marker = LOOKS.get(name, NEW)
    return {"color": colour, "ls": dash, "marker": marker, "label": name}


def _percent(axis):
    axis.set_major_formatter(PercentFormatter(1, decimals=0))


def five(ranks, targets, k=20):
    """The ranks of one session's targets, and what each adds to the two metrics.

    ranks : (P,) integers; targets : their names
    """
    ranks = np.asarray(ranks)
    figure, axes = plots.new_figure(height=1.2 + 0.42 * len(ranks))
    hit = ranks <= k
    colours = [plots.NAVY if h else plots.GREY for h in hit]
    names = [f"{n}. {target}" for n, target in enumerate(targets, start=1)]
    axes.hlines(names, 1, ranks, color=colours, lw=2)
    for name, rank, h, colour in zip(names, ranks, hit, colours, strict=True):
        axes.plot(rank, name, "o" if h else "X", color=colour, ms=9)
        says = f"rank {rank}: hit, 1/{rank}" if h else f"rank {rank}: miss, 0"
        axes.annotate(
            says, (rank, name), (9, 0), textcoords="offset points", va="center",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )  # fmt: skip
    axes.axvline(k, color=plots.VERMILION, ls="--")
    axes.text(k * 1.05, -0.75, f"k = {k}", color=plots.VERMILION, va="center")
    axes.set_xscale("log")
    axes.set(xlim=(0.9, ranks.max() * 6), ylim=(len(ranks) - 0.5, -1.1))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.grid(axis="y", visible=False)
    axes.set(xlabel="rank of the item clicked next", ylabel="prediction")
    return figure


def places(panels, k=20):
    """Where an item stands in each recommender's list; a panel each table.

    panels : title to DataFrame of ranks, a row each recommender, a column each context
    """
    figure, axes = plots.new_figure(len(panels), height=3.6, sharey=True)
    # Large to small: where ranks agree, the marks stand one upon the other.
    looks = ((plots.AMBER, "s", 13), (plots.VERMILION, "D", 8), (plots.NAVY, "o", 4.5))
    for one, (title, table) in zip(axes, panels.items(), strict=True):
        rows = np.arange(len(table))
        one.hlines(rows, table.min(axis=1), table.max(axis=1), color=plots.GREY, lw=1)
        for (name, ranks), (colour, marker, size) in zip(
            table.items(), looks, strict=False
        ):
            one.plot(ranks, rows, marker, color=colour, ms=size, label=name)
        one.axvline(k, color="#444444", ls=":", lw=1)
        one.set_yticks(rows, table.index)
        one.set_xscale("log")
        one.xaxis.set_major_formatter("{x:g}")
        one.set(xlabel="rank (log scale)", title=title, xlim=(0.8, 200))
        one.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=1)
    axes[0].invert_yaxis()
    axes[0].set_ylabel("recommender")
    return figure


def intervals(table, xlabel, ceiling=None):
    """Values with their intervals, one row each; a dashed line at the ceiling.

    table : DataFrame with columns value, low, high
    """
    figure, axes = plots.new_figure(height=1.0 + 0.36 * len(table))
    rows = np.arange(len(table))
    if ceiling is not None:
        axes.axvline(ceiling, color=plots.VERMILION, ls="--")
    value = table["value"]
    sides = np.abs(table[["low", "high"]].T - value).to_numpy()  # (2, rows)
    axes.barh(rows, value, color=plots.SKY, height=0.6)
    axes.errorbar(
        value, rows, xerr=sides, fmt="o", ms=4, color=plots.NAVY, capsize=4, lw=2
    )
    for row, (mean, high) in enumerate(zip(value, table["high"], strict=True)):
        axes.annotate(
            f"{mean:.1%}", (high, row), (6, 0), textcoords="offset points", va="center"
        )
    axes.set_yticks(rows, table.index)
    axes.invert_yaxis()
    axes.set(xlim=(0, table["high"].max() * 1.15))
    axes.grid(axis="y", visible=False)
    _percent(axes.xaxis)
    axes.set(xlabel=xlabel, ylabel="recommender")
    return figure


def lines(table, xlabel, ylabel, at=None, ceiling=None, log=False, ymax=None):
    """One line each recommender.

    table : DataFrame; its index is x, a column each recommender, values are fractions
    at : x of a dashed vertical line; ceiling : y of a horizontal one
    """
    figure, axes = plots.new_figure(height=3.6)
    few = len(table) <= 12
    for name in table.columns[np.argsort(-table.iloc[-1].to_numpy())]:
        look = _look(name)
        if not few:
            look["marker"] = ""
        axes.plot(table.index, table[name], lw=2.2, ms=7, **look)
    if at is not None:
        axes.axvline(at, color="#444444", ls=":", lw=1.5)
    if ceiling is not None:
        axes.axhline(ceiling, color="black", lw=2, label="oracle")
    if log:
        axes.set_xscale("log")
        if few:
            axes.set_xticks(table.index, minor=False)
            axes.set_xticks([], minor=True)
        plots.thousands(axes.xaxis)
    _percent(axes.yaxis)
    axes.set(xlabel=xlabel, ylabel=ylabel, ylim=(0, ymax))
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def tie_rules(table, k=20):
    """Recall under each rule for ties: a group each recommender, a bar each rule.

    table : DataFrame, a row each recommender, a column each rule
    """
    figure, axes = plots.new_figure(height=3.4)
    width = 0.8 / table.shape[1]
    looks = zip(
        (plots.VERMILION, plots.AMBER, plots.NAVY), ("//", "..", ""), strict=True
    )
    for n, ((rule, values), (colour, hatch)) in enumerate(
        zip(table.items(), looks, strict=True)
    ):
        x = np.arange(len(table)) + (n - (table.shape[1] - 1) / 2) * width
        drawn = axes.bar(
            x, values, width, color=colour, hatch=hatch, edgecolor="white", label=rule
        )
        axes.bar_label(drawn, [f"{v:.0%}" for v in values], fontsize=8, padding=1)
    axes.set_xticks(np.arange(len(table)), table.index)
    axes.set(xlabel="recommender", ylabel=f"Recall@{k}", ylim=(0, 1.08))
    axes.grid(axis="x", visible=False)
    _percent(axes.yaxis)
    axes.legend(title="ties", loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def at_cutoff(reports, k, ties):
    """Recall@k and MRR@k of several reports under one rule for ties, as bars.

    reports : name to Report
    """
    figure, axes = plots.new_figure(2, height=1.0 + 0.36 * len(reports), sharey=True)
    for one, metric in zip(axes, ("recall", "mrr"), strict=True):
        values = [metric_at(report, metric, k, ties) for report in reports.values()]
        colour = plots.NAVY if metric == "recall" else plots.TEAL
        drawn = one.barh(list(reports), values, color=colour, height=0.65)
        one.bar_label(drawn, [f"{v:.1%}" for v in values], padding=3, fontsize=9)
        label = {"recall": "Recall", "mrr": "MRR"}[metric]
        one.set(xlabel=f"{label}@{k}, ties {ties}", xlim=(0, 1.15))
        one.grid(axis="y", visible=False)
        _percent(one.xaxis)
    axes[0].invert_yaxis()
    axes[0].set_ylabel("recommender")
    return figure


def metric_at(report, metric, k, ties):
    """Recall@k or MRR@k of a report under a rule for ties; k need not be a cutoff."""
    ranks = report.with_ties(ties).ranks
    gain = 1.0 if metric == "recall" else 1 / ranks
    return float(np.where(ranks <= k, gain, 0.0).mean())


def recall_curve(ranks, longest=100):
    """Recall@k for k = 1, 2, ... up to `longest`, from ranks (P,)."""
    counts = np.bincount(ranks[ranks <= longest], minlength=longest + 1)[1:]
    k = pd.Index(range(1, longest + 1), name="k")
    return pd.Series(counts.cumsum() / len(ranks), index=k)


def sampled_recall(ranks, n_items, n_negatives, k=20):
    """Recall@k expected when each target is ranked among sampled items only.

    ranks : name to ranks (P,) among all items
    n_negatives, k : integers, one of them possibly several, which become the index

    Of the n_items - 1 other items, rank - 1 stand above the target; n_negatives are
    drawn without replacement. How many of those above are among the drawn follows the
    hypergeometric distribution. Returns a DataFrame, a column each name.
    """
    drawn, places = np.broadcast_arrays(np.atleast_1d(n_negatives), np.atleast_1d(k))
    hit = hypergeom.cdf(
        places[:, None] - 1, n_items - 1, np.arange(n_items), drawn[:, None]
    )  # (rows, I): probability of a hit with 0, 1, ... items above the target
    share = {
        name: np.bincount(found - 1, minlength=n_items) / len(found)
        for name, found in ranks.items()
    }  # (I,) each
    index = drawn if np.size(n_negatives) > 1 else places
    return pd.DataFrame({name: hit @ p for name, p in share.items()}, index=index)


def sampled_curves(ranks, n_items, n_negatives, longest=50):
    """Recall@k against k when ranked among n_negatives sampled items and the target.

    ranks : name to ranks (P,) among all items
    """
    table = sampled_recall(ranks, n_items, n_negatives, np.arange(1, longest + 1))
    figure = lines(table, "k", "Recall@k", at=20, ymax=1.02)
    title = f"ranked among {n_negatives:,} sampled items and the target"
    figure.axes[0].set_title(title)
    return figure


def luck(chosen_on, elsewhere):
    """Each recommender's Recall where the best was chosen, and where it was not.

    chosen_on, elsewhere : (n,) Recall of n recommenders on two sets of sessions
    """
    figure, axes = plots.new_figure(height=3.6)
    best = np.argmax(chosen_on)
    axes.plot(chosen_on, elsewhere, "o", color=plots.NAVY, alpha=0.7, label="a try")
    axes.plot(
        chosen_on[best], elsewhere[best], "X", ms=13, color=plots.VERMILION,
        label="the one chosen",
    )  # fmt: skip
    mean = {"color": "#444444", "ls": "--", "lw": 1}
    axes.axvline(chosen_on.mean(), **mean, label="average of all")
    axes.axhline(elsewhere.mean(), **mean)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=1))
    axes.set(
        xlabel="Recall@20 on the sessions looked at when choosing",
        ylabel="Recall@20 on other sessions",
    )
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def paired(a, b, names):
    """Resampled values of two recommenders, and the differences on the same draws.

    a, b : (resamples,) values; names : of a and of b
    """
    figure, (left, right) = plots.new_figure(2, height=3.0)
    bins = np.linspace(min(a.min(), b.min()), max(a.max(), b.max()), 41)
    looks = zip((a, b), names, (plots.NAVY, plots.AMBER), ("", "//"), strict=True)
    for values, name, colour, hatch in looks:
        left.hist(
            values, bins, color=colour, hatch=hatch, alpha=0.6, edgecolor="white",
            label=name,
        )  # fmt: skip
    left.set(xlabel="Recall@20", ylabel="resamples", title="each for itself")
    left.legend(loc="upper left", fontsize=8)
    left.set_ylim(top=left.get_ylim()[1] * 1.3)
    right.hist(b - a, 30, color=plots.TEAL, edgecolor="white")
    right.axvline(0, color=plots.VERMILION, ls="--", lw=2)
    right.set(
        xlabel="difference of Recall@20", ylabel="resamples",
        title="second minus first, on the same visitors",
    )  # fmt: skip
    for axes in (left, right):
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    return figure


def breakdown(panels, k=20):
    """Recall by position and by popularity: panels side by side, a line each.

    panels : list of (xlabel, name to DataFrame of one breakdown)
    """
    figure, axes = plots.new_figure(len(panels), height=3.8, sharey=True)
    for one, (xlabel, tables) in zip(axes, panels, strict=True):
        for name, table in tables.items():
            look = _look(name)
            one.plot(table.index, table[f"Recall@{k}"], lw=2, ms=7, **look)
        one.tick_params(axis="x", rotation=30 if max(map(len, table.index)) > 3 else 0)
        one.set(xlabel=xlabel, ylim=(0, 1))
        _percent(one.yaxis)
    axes[0].set_ylabel(f"Recall@{k}")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure

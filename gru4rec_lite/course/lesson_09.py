"""Figures of lesson 09, top-k gains."""

import numpy as np
import torch
from matplotlib.colors import to_rgb
from matplotlib.ticker import MultipleLocator, PercentFormatter

from .. import losses
from . import plots

DASHES = ("-", "--", "-.", ":")
MARKERS = "oXsD"
BINS = np.arange(-7.5, 6.0)  # of scores, one wide


def against_n(panels):
    """Panels side by side, lines over the number of negatives.

    panels : list of (table, ylabel, logarithmic); the table's index is N, a column a
        line
    """
    figure, axes = plots.new_figure(len(panels), height=3.2, squeeze=False)
    for one, (table, ylabel, logarithmic) in zip(axes[0], panels, strict=True):
        looks = zip(plots.COLOURS, DASHES, MARKERS, strict=False)
        for (name, line), (colour, dash, marker) in zip(
            table.items(), looks, strict=False
        ):
            one.plot(line, color=colour, ls=dash, marker=marker, ms=5, lw=2, label=name)
        one.set_xscale("log", base=2)
        one.xaxis.set_major_formatter("{x:.0f}")
        if logarithmic:
            one.set_yscale("log")
            one.yaxis.set_major_formatter("{x:g}")
        else:
            one.set_ylim(0)
        one.set(xlabel="N, number of negatives", ylabel=ylabel)
        if table.shape[1] > 1:
            one.legend()
    return figure


def beside(scores, table, xlabel, limits=(-1.3, 1.3)):
    """The scores of one row as bars, and beside them a column each of the table.

    scores : Series, the positive first; its index names the candidates.
    table : DataFrame with the same index; NaN where there is nothing to draw
    """
    figure, panels = plots.new_figure(
        1 + table.shape[1], height=1.3 + 0.34 * len(scores), sharey=True
    )
    colours = [plots.VERMILION] + [plots.NAVY] * (len(scores) - 1)
    panels[0].barh(scores.index, scores, color=colours, height=0.65)
    panels[0].set(xlabel="score", title="scores", xlim=(-6.5, 6.5))
    panels[0].invert_yaxis()
    signed = "+" if limits[0] < 0 else ""
    for axes, (name, values) in zip(panels[1:], table.items(), strict=True):
        drawn = axes.barh(scores.index, values.fillna(0), color=colours, height=0.65)
        labels = [
            "" if np.isnan(v) else f"{v + 0.0:{signed}.2f}" for v in values.round(2)
        ]  # + 0.0: no −0.00
        axes.bar_label(drawn, labels, padding=2, fontsize=8)
        axes.set(xlabel=xlabel, title=name, xlim=limits)
    for axes in panels:
        axes.axvline(0, color="#444444", lw=0.8)
        axes.grid(axis="y", visible=False)
    return figure


def force(positive, negatives, pushes):
    """Where the force goes: pushes on the negatives, added up by their score.

    negatives : (N,) their scores
    pushes : name of a loss to (push on the positive, pushes on the negatives (N,))
    """
    figure, (left, right) = plots.new_figure(2, height=3.3, width_ratios=[2.2, 1])
    middle = (BINS[1:] + BINS[:-1]) / 2
    looks = zip(plots.COLOURS, DASHES, MARKERS, strict=False)
    for (name, (_, down)), (colour, dash, marker) in zip(
        pushes.items(), looks, strict=False
    ):
        total, _ = np.histogram(negatives, BINS, weights=-np.asarray(down))
        left.plot(
            middle, total, color=colour, ls=dash, marker=marker, ms=5, lw=2, label=name
        )
    left.axvline(positive, color="#444444", lw=1.2)
    left.annotate(
        "the positive", (positive, 1), (-4, -3), xycoords=("data", "axes fraction"),
        textcoords="offset points", rotation=90, ha="right", va="top", fontsize=9,
    )  # fmt: skip
    ahead = int((np.asarray(negatives) > positive).sum())
    left.set(
        xlabel="score of the negatives", ylabel="push downwards, added up",
        ylim=(-0.12, 1.05), title=f"{len(negatives):,} negatives, {ahead:,} ahead",
    )  # fmt: skip
    left.legend(loc="upper left")
    drawn = right.barh(
        list(pushes), [up for up, _ in pushes.values()], height=0.6,
        color=plots.COLOURS[: len(pushes)],
    )  # fmt: skip
    right.bar_label(drawn, [f"{up:.3f}" for up, _ in pushes.values()], padding=3)
    right.invert_yaxis()
    right.grid(axis="y", visible=False)
    right.set(xlabel="push on the positive, upwards", xlim=(0, 1.3))
    return figure


def regularisation(negatives, bpreg, elu_param, positive=1.0):
    """What bpreg and elu_param do to the pushes of BPR-max, and ELU to the scores.

    negatives : (N,) scores of a row's negatives, in rising order
    """
    figure, (left, right) = plots.new_figure(2, height=3.3)
    variants = {
        "neither": (0.0, 0.0),
        f"bpreg = {bpreg:g}": (bpreg, 0.0),
        f"and elu_param = {elu_param:g}": (bpreg, elu_param),
    }
    looks = ((plots.GREY, "--"), (plots.NAVY, "-"), (plots.VERMILION, "-."))
    for (name, (weight, alpha)), (colour, dash) in zip(
        variants.items(), looks, strict=True
    ):
        row = torch.tensor([[positive, *negatives]], requires_grad=True)  # (1, 1 + N)
        losses.bpr_max(losses.elu(row, alpha), bpreg=weight).backward()
        push = row.grad[0, 1:].numpy()
        left.plot(negatives, push, color=colour, ls=dash, lw=2.5, label=name)
    left.axhline(0, color="#444444", lw=0.8)
    left.set(xlabel="score of a negative", ylabel="push on it, downwards")
    left.legend(loc="upper left")
    x = torch.linspace(-5, 3, 161)
    right.plot(x, x, color=plots.GREY, ls="--", lw=2.5, label="without ELU")
    right.plot(
        x, losses.elu(x, elu_param), color=plots.VERMILION, ls="-.", lw=2.5,
        label=f"elu_param = {elu_param:g}",
    )  # fmt: skip
    right.set(xlabel="score of the network", ylabel="score that the loss sees")
    right.legend(loc="upper left")
    return figure


def waterfall(table, ceiling):
    """From the first row to the last: each row's figure, and what it added.

    table : rows in order; its index names them; columns value, low, high
    ceiling : what no model can exceed
    """
    figure, axes = plots.new_figure(height=1.3 + 0.5 * len(table))
    before = None
    for y, (value, low, high) in enumerate(
        table[["value", "low", "high"]].itertuples(index=False)
    ):
        if before is not None:
            up = value >= before
            axes.barh(
                y, value - before, 0.5, left=before,
                color=plots.SKY if up else "white", hatch="" if up else "///",
                edgecolor=plots.NAVY if up else plots.VERMILION,
            )  # fmt: skip
            axes.plot([before, before], [y - 1, y + 0.25], color=plots.GREY, lw=1)
        axes.errorbar(
            value, y, xerr=[[value - low], [high - value]], fmt="o", ms=6, capsize=3,
            color="black", lw=1.5,
        )  # fmt: skip
        text = f"{value:.1%}"
        if before is not None:
            text += f"  ({100 * (value - before):+.1f})"
        axes.annotate(
            text, (max(high, before or 0), y), (6, 0), textcoords="offset points",
            va="center", fontsize=9, bbox={"fc": "white", "ec": "none", "pad": 1},
        )  # fmt: skip
        before = value
    axes.axvline(ceiling, color=plots.TEAL, ls="--", lw=2)
    axes.annotate(
        f"oracle {ceiling:.1%}", (ceiling, -0.5), (-5, 2), ha="right", va="bottom",
        textcoords="offset points", fontsize=9, color=plots.TEAL,
    )  # fmt: skip
    axes.set_yticks(range(len(table)), table.index)
    axes.set_ylim(len(table) - 0.4, -1.0)
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_locator(MultipleLocator(0.05))
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set(xlabel="Recall@20 on the test days, with 95 % interval")
    axes.set_ylabel("what was changed, in this order")
    return figure


def heat(table, label="Recall@20", limits=(None, None)):
    """A table of fractions as a heat map, its best of each column framed.

    table : DataFrame; the names of its index and columns label the axes
    limits : of the colours; those of the table unless given
    """
    figure, axes = plots.new_figure(height=1.2 + 0.42 * len(table))
    values = table.to_numpy()
    image = axes.imshow(
        values, cmap="Blues", aspect="auto", vmin=limits[0], vmax=limits[1]
    )
    for i, j in np.ndindex(values.shape):
        shade = to_rgb(image.cmap(image.norm(values[i, j])))
        best = values[i, j] == values[:, j].max()
        axes.text(
            j, i, f"{values[i, j]:.1%}", ha="center", va="center",
            color="white" if np.dot(shade, (0.3, 0.59, 0.11)) < 0.5 else "black",
            weight="bold" if best else "normal",
        )  # fmt: skip
    axes.set_xticks(range(values.shape[1]), table.columns)
    axes.set_yticks(range(len(table)), table.index)
    axes.grid(visible=False)
    axes.set(xlabel=table.columns.name, ylabel=table.index.name)
    figure.colorbar(image, label=label, format=PercentFormatter(1, 0))
    return figure


def by_data(tables):
    """Figures with their intervals, a panel each data set.

    tables : title to DataFrame; its index names the models; columns value, low, high
    """
    longest = max(map(len, tables.values()))
    figure, panels = plots.new_figure(
        len(tables), height=1.1 + 0.4 * longest, squeeze=False, sharey=True
    )
    looks = zip(plots.COLOURS, MARKERS, strict=False)
    for axes, (title, table), (colour, marker) in zip(
        panels[0], tables.items(), looks, strict=False
    ):
        ends = [table["value"] - table["low"], table["high"] - table["value"]]
        axes.errorbar(
            table["value"], table.index, xerr=ends, fmt=marker, ms=6, capsize=3,
            color=colour, lw=1.5,
        )  # fmt: skip
        for name, value in table["value"].items():
            axes.annotate(
                f"{value:.1%}", (value, name), (0, 5), ha="center",
                textcoords="offset points", fontsize=8,
            )  # fmt: skip
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set(xlabel="Recall@20, with 95 % interval", title=title)
    panels[0, 0].set_ylabel("model")
    panels[0, 0].set_ylim(longest - 0.5, -0.8)
    return figure

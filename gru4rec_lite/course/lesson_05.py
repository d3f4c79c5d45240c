"""Figures of lesson 05, output sampling and ranking losses."""

import numpy as np
import pandas as pd
import torch
from matplotlib.patches import Rectangle

from .. import losses
from . import plots

DASHES = ("-", "--", "-.", ":")
MARKERS = "oXsD"


def cost(seconds):
    """Time against the number of items, both logarithmic.

    seconds : DataFrame; its index is the number of items, a column each way to score
    """
    figure, axes = plots.new_figure(height=3.2)
    looks = zip(plots.COLOURS, DASHES, MARKERS, strict=False)
    for (name, line), (colour, dash, marker) in zip(
        seconds.items(), looks, strict=False
    ):
        axes.loglog(line * 1000, color=colour, ls=dash, marker=marker, lw=2, label=name)
    plots.thousands(axes.xaxis)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set(xlabel="items in the shop", ylabel="milliseconds a step")
    axes.legend()
    return figure


def batch_scores(scores, inputs, targets):
    """The scores of a batch: rows are slots, columns the slots' targets. (B, B)

    The positives, on the diagonal, are framed.
    """
    n = len(scores)
    figure, axes = plots.new_figure(height=1.8 + 0.42 * n)
    scores = np.asarray(scores)
    axes.imshow(scores, cmap="Blues", aspect="auto")
    middle = (scores.min() + scores.max()) / 2
    for i in range(n):
        for j in range(n):
            axes.text(
                j, i, f"{scores[i, j]:.1f}", ha="center", va="center",
                color="white" if scores[i, j] > middle else "black",
            )  # fmt: skip
        axes.add_patch(
            Rectangle(
                (i - 0.47, i - 0.45),
                0.94,
                0.9,
                fill=False,
                lw=2.5,
                edgecolor=plots.VERMILION,
            )  # fmt: skip
        )
    axes.set_xticks(range(n), targets, rotation=30, ha="right")
    axes.set_yticks(range(n), inputs)
    axes.grid(visible=False)
    axes.set(xlabel="target of each slot", ylabel="last click of each slot")
    axes.set_title("scores; framed: the right item of each row")
    return figure


def popularity(support, negatives):
    """How often each item was a negative against its support, on log axes."""
    figure, axes = plots.new_figure(height=3.4)
    seen = negatives > 0
    axes.loglog(
        support[seen], negatives[seen], "o", ms=4, alpha=0.5, color=plots.NAVY,
        label="an item",
    )  # fmt: skip
    ends = np.array([support.min(), support.max()])
    line = ends * negatives.sum() / support.sum()
    axes.loglog(
        ends, line, color=plots.VERMILION, lw=2, label="in proportion to support"
    )
    plots.thousands(axes.xaxis)
    plots.thousands(axes.yaxis)
    axes.set(xlabel="support (clicks of the item)", ylabel="times it was a negative")
    axes.legend()
    return figure


def sampling(support, alphas):
    """Drawing with probability ∝ support^alpha: by rank, and by fifths of the items.

    alphas : list of numbers, a line each
    """
    figure, (left, right) = plots.new_figure(2, height=3.4)
    ordered = np.sort(support)[::-1]
    rank = np.arange(1, len(ordered) + 1)
    width = 0.8 / len(alphas)
    looks = zip(plots.COLOURS, DASHES, ("", "//", "..", "xx"), strict=False)
    for k, (alpha, (colour, dash, hatch)) in enumerate(
        zip(alphas, looks, strict=False)
    ):
        weight = ordered.astype(float) ** alpha
        p = weight / weight.sum()
        left.loglog(rank, p, color=colour, ls=dash, lw=2.5, label=f"α = {alpha:g}")
        fifths = [part.sum() for part in np.array_split(p, 5)]
        right.bar(
            np.arange(5) + (k - (len(alphas) - 1) / 2) * width, fifths, width,
            color=colour, hatch=hatch, edgecolor="white", label=f"α = {alpha:g}",
        )  # fmt: skip
    left.set(
        xlabel="item, most popular first", ylabel="probability of a draw",
        ylim=(1e-6, 0.1),
    )  # fmt: skip
    plots.thousands(left.xaxis)
    right.set_xticks(range(5), ["top\nfifth", "2nd", "3rd", "4th", "last\nfifth"])
    right.set(xlabel="fifths of the items", ylabel="share of the draws", ylim=(0, 1))
    right.yaxis.set_major_formatter("{x:.0%}")
    right.grid(axis="x", visible=False)
    left.legend(loc="lower left")
    return figure


def lines(panels):
    """Panels side by side, each with lines over x.

    panels : list of (table, xlabel, ylabel); the table's index is x, a column a line
    """
    figure, axes = plots.new_figure(len(panels), height=3.2, squeeze=False)
    for one, (table, xlabel, ylabel) in zip(axes[0], panels, strict=True):
        looks = zip(plots.COLOURS, DASHES, strict=False)
        for (name, line), (colour, dash) in zip(table.items(), looks, strict=False):
            one.plot(line, color=colour, ls=dash, lw=2.5, label=name)
        one.axhline(0, color="#444444", lw=0.8)
        one.set(xlabel=xlabel, ylabel=ylabel)
        if table.shape[1] > 1:
            one.legend(loc="upper right")
    return figure


def push(scores):
    """What each loss does to the scores of one row: minus the gradient.

    scores : Series, the positive first; its index names the candidates.
    Returns a DataFrame, a column each loss.
    """
    pushes = {}
    for name in ("cross-entropy", "bpr", "top1"):
        row = torch.tensor(scores.to_numpy(float)[None], requires_grad=True)  # (1, C)
        losses.LOSSES[name](row).backward()
        pushes[name] = -row.grad[0].numpy()
    return pd.DataFrame(pushes, index=scores.index)


def pushes(scores):
    """The scores of one row, and how each loss pushes them, as bars.

    scores : as for `push`
    """
    names = {"cross-entropy": "cross-entropy", "bpr": "BPR", "top1": "TOP1"}
    table = push(scores).rename(columns=names)
    figure, panels = plots.new_figure(4, height=1.3 + 0.34 * len(scores), sharey=True)
    colours = [plots.VERMILION] + [plots.NAVY] * (len(scores) - 1)
    panels[0].barh(scores.index, scores, color=colours, height=0.65)
    panels[0].set(xlabel="score", title="scores", xlim=(-6.5, 6.5))
    panels[0].invert_yaxis()
    for axes, (name, values) in zip(panels[1:], table.items(), strict=True):
        drawn = axes.barh(scores.index, values, color=colours, height=0.65)
        labels = [f"{v + 0.0:+.2f}" for v in values.round(2)]  # no −0.00
        axes.bar_label(drawn, labels, padding=2, fontsize=8)
        axes.set(xlabel="push", title=name, xlim=(-1.5, 1.5))
    for axes in panels:
        axes.axvline(0, color="#444444", lw=0.8)
        axes.grid(axis="y", visible=False)
    return figure


def learnt_popularity(support, scores):
    """What each model believes about popularity: its score against log support.

    scores : title to scores (I,)
    """
    figure, panels = plots.new_figure(len(scores), height=3.2, sharey=True)
    x = np.log(support)
    for axes, (title, y) in zip(panels, scores.items(), strict=True):
        y = np.asarray(y) - np.average(y, weights=support)
        axes.plot(x, y, "o", ms=3, alpha=0.4, color=plots.NAVY, label="an item")
        truth = x - np.average(x, weights=support)
        order = np.argsort(x)
        axes.plot(
            x[order], truth[order], color=plots.VERMILION, lw=2,
            label="log popularity",
        )  # fmt: skip
        axes.set(xlabel="log of the support", title=title)
    panels[0].set_ylabel("learnt score (centred)")
    panels[0].legend(loc="upper left")
    return figure

"""The figures of lesson 02: what recurrent cells keep and forget."""

import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from .plots import AMBER, GREY, NAVY, TEAL, VERMILION, WIDTH, new_figure

LOOKS = (
    {"color": NAVY, "ls": "-", "marker": "o"},
    {"color": VERMILION, "ls": "--", "marker": "s"},
    {"color": TEAL, "ls": "-.", "marker": "^"},
    {"color": AMBER, "ls": ":", "marker": "D"},
)


def fading(curves: dict, title: str = ""):
    """How much of the first state is left, click by click, on a logarithmic axis.

    curves : label to (T + 1,) sizes, the first of them 1
    """
    figure, axes = new_figure(height=3.6)
    for (label, sizes), look in zip(curves.items(), LOOKS, strict=False):
        axes.semilogy(np.maximum(sizes, 1e-30), label=label, ms=4, markevery=3, **look)
    axes.axhline(1, color=GREY, lw=1)
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, 1e-12), min(high, 1e12))
    axes.set(xlabel="clicks since then", ylabel="what is left of it", title=title)
    figure.legend(loc="outside right center")
    return figure


def one_unit(inputs, states: dict):
    """The state of a single unit over some clicks, a panel for each setting.

    inputs : (T,) what each click says to the unit
    states : title to (T,) the state after each click
    """
    rows = -(-len(states) // 2)
    figure = Figure(figsize=(WIDTH, 0.6 + 2.1 * rows), layout="constrained")
    columns = min(2, len(states))
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    inputs, clicks = np.asarray(inputs), np.arange(1, len(inputs) + 1)
    for axes, (title, state) in zip(panels.flat, states.items(), strict=False):
        said = axes.bar(clicks, inputs, color=GREY, alpha=0.45, width=0.5)
        (kept,) = axes.plot(clicks, np.asarray(state), color=NAVY, marker="o", lw=2)
        axes.axhline(0, color=GREY, lw=1)
        axes.set(title=title, ylim=(-1.25, 1.25), xticks=clicks)
    for axes in panels[-1]:
        axes.set_xlabel("click")
    for axes in panels[:, 0]:
        axes.set_ylabel("value")
    names = ["input x", "state h'"]
    figure.legend([said, kept], names, loc="outside upper right", ncols=2)
    return figure


def gate_maps(gates: dict, clicks):
    """Gate values over a session as heat maps: a row each unit, a column each click.

    gates : title to (T, H) values between 0 and 1; units are sorted by their mean in
        the first of them
    clicks : (T,) labels
    """
    figure, panels = new_figure(len(gates), height=4.6, sharey=True, squeeze=False)
    order = np.argsort(np.asarray(next(iter(gates.values()))).mean(axis=0))[::-1]
    for axes, (title, values) in zip(panels[0], gates.items(), strict=True):
        sns.heatmap(
            np.asarray(values).T[order], ax=axes, vmin=0, vmax=1, cmap="cividis",
            yticklabels=False, cbar=axes is panels[0, -1], cbar_kws={"label": "gate"},
        )  # fmt: skip
        axes.set(xlabel="click", title=title)
        axes.set_xticks(np.arange(len(clicks)) + 0.5, clicks, rotation=40, ha="right")
        axes.tick_params(axis="x", labelsize=9)
    panels[0, 0].set_ylabel("hidden unit, those that keep most at the top")
    return figure


def compared(recall, ceiling: float):
    """Recall@20 of each cell as a dot, the oracle's as a line.

    recall : Series; its index names the cells
    """
    figure, axes = new_figure(height=0.9 + 0.5 * len(recall))
    axes.plot(recall.to_numpy(), recall.index, "o", color=NAVY, ms=9)
    for name, value in recall.items():
        axes.annotate(
            f"{value:.3f}", (value, name), (0, 8), textcoords="offset points",
            ha="center",
        )  # fmt: skip
    axes.axvline(ceiling, color=VERMILION, ls="--")
    axes.text(
        ceiling, 0.5, f"oracle {ceiling:.3f} ", color=VERMILION, ha="right",
        va="center", transform=axes.get_xaxis_transform(),
    )  # fmt: skip
    axes.margins(x=0.15, y=0.35)
    axes.invert_yaxis()
    axes.set(xlabel="Recall@20 on the test days", ylabel="cell")
    return figure

"""The figures of lesson 03: the network's parts, its parameters, its item vectors."""

import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import MaxNLocator, PercentFormatter

from .plots import (
    AMBER,
    GREY,
    NAVY,
    SKY,
    TEAL,
    VERMILION,
    WIDTH,
    new_figure,
    thousands,
)

LIKE = {"facecolor": "white", "edgecolor": GREY}  # boxes that hold no weights


def n_parameters(network) -> dict:
    """What a Network learns, block by block in reading order: name to number.

    The item matrices have one row more than there are items, for padding; it is left
    out. A shared matrix counts once, as output.
    """
    blocks = {"input": 0 if network.shared else network.input[:-1].numel()}
    for kind, layers in (("GRU", network.cells), ("feed-forward", network.feedforward)):
        for n, layer in enumerate(layers, start=1):
            blocks[f"{kind} {n}"] = sum(p.numel() for p in layer.parameters())
    blocks["output"] = network.output[:-1].numel() + network.n_items
    return blocks


def architecture(network):
    """A Network as a chain of boxes, with the shapes of what flows between them."""
    count = n_parameters(network)
    one_hot = not network.shared and not hasattr(network.cells[0], "weight_ih")
    width = network.input_table.shape[1]
    shapes = ["(B,)", f"(B, {width})"]
    shapes += [f"(B, {cell.hidden_size})" for cell in network.cells]
    shapes += [f"(B, {layer.out_features})" for layer in network.feedforward]
    shapes += [f"(B, {network.n_items:,})"]
    texts = ["item\nclicked", "one-hot:\nrow of W" if one_hot else "embedding\nrow x"]
    texts += [name.replace(" ", "\nlayer ", 1) for name in list(count)[1:-1]]
    texts += ["scores of\nall items"]
    numbers = [None, *count.values()]

    figure, axes = new_figure(height=3.1)
    last = len(texts) - 1
    for n, (text, shape, number) in enumerate(zip(texts, shapes, numbers, strict=True)):
        look = LIKE if not number else {"facecolor": SKY, "edgecolor": NAVY}
        axes.add_patch(
            FancyBboxPatch(
                (n - 0.36, -0.4), 0.72, 0.8, boxstyle="round,pad=0,rounding_size=0.08",
                lw=1.5, **look,
            )
        )  # fmt: skip
        axes.text(n, 0, text, ha="center", va="center", fontsize=9)
        axes.text(n, -0.5, shape, ha="center", va="top", fontsize=8, color=GREY)
        if number:
            axes.text(
                n, -0.72, f"{number:,}\nweights", ha="center", va="top", fontsize=8,
                color=NAVY,
            )  # fmt: skip
        if n:
            axes.annotate(
                "", (n - 0.37, 0), (n - 0.63, 0),
                arrowprops={"arrowstyle": "->", "color": NAVY, "lw": 1.5},
            )  # fmt: skip
        if text.startswith("GRU"):
            axes.annotate(
                "", (n - 0.2, 0.42), (n + 0.2, 0.42),
                arrowprops={
                    "arrowstyle": "->", "color": VERMILION, "lw": 1.5,
                    "connectionstyle": "arc3,rad=0.9",
                },
            )  # fmt: skip
            label = "state, kept for\nthe next click"
            axes.text(n, 0.82, label, ha="center", fontsize=8, color=VERMILION)
    if network.shared:
        axes.plot([1, 1, last, last], [-1.2, -1.4, -1.4, -1.2], color=TEAL, ls="--")
        axes.text(
            (1 + last) / 2, -1.37, "one shared matrix", ha="center", va="bottom",
            fontsize=9, color=TEAL,
        )  # fmt: skip
    axes.set(xlim=(-0.5, max(last, 4) + 0.5), ylim=(-1.5, 1.3))
    axes.set_axis_off()
    total = sum(count.values())
    axes.set_title(f"{total:,} weights in all", fontsize=10, loc="left")
    return figure


def lookup(one_hot, matrix):
    """One-hot vector times matrix, drawn: only one row has a part in the result.

    one_hot (I,), matrix (I, D); both small.
    """
    one_hot, matrix = np.asarray(one_hot), np.asarray(matrix)
    figure = Figure(figsize=(WIDTH, 2.6), layout="constrained")
    n_items, width = matrix.shape
    panels = figure.subplots(1, 3, width_ratios=[n_items, width + 1, width + 1])
    row = one_hot[None] @ matrix
    parts = ((one_hot[None], "one-hot", ".0f"), (matrix, "times W", ".1f"))
    for axes, (values, title, fmt) in zip(
        panels, [*parts, (row, "is a row of W", ".1f")], strict=True
    ):
        sns.heatmap(
            values, ax=axes, annot=True, fmt=fmt, cbar=False, cmap="Blues", vmin=-2.5,
            vmax=4, linewidths=1, annot_kws={"color": "black", "fontsize": 9},
        )  # fmt: skip
        axes.set(title=title, yticks=[], xlabel="number")
    panels[0].set_xlabel("item")
    panels[1].set_yticks(np.arange(n_items) + 0.5, range(n_items), rotation=0)
    panels[1].set_ylabel("item")
    at = int(one_hot.argmax())
    panels[1].add_patch(_frame((0, at), width))
    panels[2].add_patch(_frame((0, 0), width))
    for axes in (panels[0], panels[2]):
        axes.set_box_aspect(1 / values.shape[1] if axes is panels[2] else 1 / n_items)
    return figure


def _frame(corner, width):
    return FancyBboxPatch(
        corner, width, 1, boxstyle="square,pad=0", fill=False, lw=2.5,
        edgecolor=VERMILION, clip_on=False,
    )  # fmt: skip


def top_lists(lists: dict, n_items: int):
    """Ranked items side by side, each with its probability; dashed: one in n_items.

    lists : title to DataFrame with columns item and score (a probability), best first
    """
    longest = max(map(len, lists.values()))
    figure, panels = new_figure(
        len(lists), height=1.2 + 0.3 * longest, squeeze=False, sharex=True
    )
    looks = zip(panels[0], lists.items(), (NAVY, TEAL), strict=False)
    for axes, (title, table), colour in looks:
        bars = axes.barh(table["item"], table["score"], color=colour, height=0.65)
        axes.bar_label(bars, [f"{p:.2%}" for p in table["score"]], padding=4, size=9)
        axes.axvline(1 / n_items, color=VERMILION, ls="--")
        axes.invert_yaxis()
        axes.margins(x=0.3)
        axes.grid(axis="y", visible=False)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.tick_params(axis="y", labelsize=9)
        axes.set(xlabel="probability", title=title)
    panels[0, 0].set_ylabel("item, best first")
    return figure


def parameter_bars(tables: dict):
    """Weights of several networks as stacked bars, a panel for each table.

    tables : title to DataFrame, a row each network, a column each part
    """
    longest = max(map(len, tables.values()))
    figure, panels = new_figure(
        len(tables), height=1.5 + 0.4 * longest, sharey=True, squeeze=False
    )
    looks = ((NAVY, ""), (AMBER, "///"), (SKY, "..."))
    for axes, (title, table) in zip(panels[0], tables.items(), strict=True):
        left = np.zeros(len(table))
        for part, (colour, hatch) in zip(table, looks, strict=False):
            size = table[part].to_numpy() / 1e6
            axes.barh(
                table.index, size, left=left, color=colour, hatch=hatch, height=0.6,
                edgecolor="white", label=part,
            )  # fmt: skip
            left += size
        axes.set(xlabel="million weights", title=title)
        axes.grid(axis="y", visible=False)
    panels[0, 0].invert_yaxis()
    panels[0, 0].set_ylabel("input")
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside upper right",
                  ncols=3)  # fmt: skip
    return figure


def item_map(maps: dict, department, shown):
    """Items as points, those of some departments in colour, a panel for each map.

    maps : title to (I, 2) points
    department : (I,) names
    shown : names of at most four departments
    """
    figure, panels = new_figure(len(maps), height=4.2, squeeze=False)
    department = np.asarray(department)
    looks = ((NAVY, "o"), (VERMILION, "s"), (TEAL, "^"), (AMBER, "D"))
    for axes, (title, points) in zip(panels[0], maps.items(), strict=True):
        points = np.asarray(points)
        rest = ~np.isin(department, list(shown))
        axes.scatter(*points[rest].T, s=8, color="#c4c4c4", label="others")
        for name, (colour, marker) in zip(shown, looks, strict=False):
            chosen = points[department == name]
            axes.scatter(
                *chosen.T, s=16, color=colour, marker=marker, label=name, alpha=0.8
            )
        axes.set(
            xlabel="first direction", ylabel="second direction", title=title,
            xticklabels=[], yticklabels=[],
        )  # fmt: skip
    handles = panels[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=5, markerscale=1.5)
    return figure


def alike(table):
    """Share of items whose nearest item is of the same kind, before and after.

    table : DataFrame of fractions, a row each kind, columns before and after training
    """
    figure, axes = new_figure(height=0.9 + 0.6 * len(table))
    rows = np.arange(len(table))
    for n, (name, colour) in enumerate(zip(table, (AMBER, NAVY), strict=True)):
        drawn = axes.barh(
            rows + 0.35 * n, table[name], height=0.32, color=colour, label=name
        )
        axes.bar_label(drawn, [f"{v:.0%}" for v in table[name]], padding=4)
    axes.set_yticks(rows + 0.175, table.index)
    axes.invert_yaxis()
    axes.set(xlabel="share of all items", xlim=(0, 1.1), ylabel="nearest item has same")
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.grid(axis="y", visible=False)
    figure.legend(loc="outside upper right", ncols=2)
    return figure


def layers_compared(table):
    """Recall@20 against the number of weights, a labelled dot for each network.

    table : DataFrame with columns weights and recall; its index names the networks
    """
    figure, axes = new_figure(height=3.0)
    axes.plot(table["weights"], table["recall"], "o", color=NAVY, ms=9)
    for name, row in table.iterrows():
        axes.annotate(
            f"{name}\n{row['recall']:.3f}", (row["weights"], row["recall"]), (8, 0),
            textcoords="offset points", va="center",
        )  # fmt: skip
    axes.margins(x=0.3, y=0.35)
    thousands(axes.xaxis)
    axes.set(xlabel="weights besides the items' vectors", ylabel="Recall@20")
    return figure

"""Experiments and figures of lesson 07, training GRU4Rec.

The experiments are too long for a lesson. ``benchmarks/lesson_07.py`` runs them, the
lesson reads what came out and repeats a row.
"""

import time
from itertools import product

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.patches import FancyBboxPatch, Rectangle

from .. import GRU4Rec, evaluate, load_shop, presets
from . import measured, plots

# ---- experiments -----------------------------------------------------------------

LOSSES = {"top1": "TOP1", "bpr": "BPR", "cross-entropy": "cross-entropy"}
PRESET = {"top1": "top1", "bpr": "bpr", "cross-entropy": "xe"}
UNITS = (100, 1000)


def losses_rows():
    """Losses by hidden units, as the third table of the 2016 paper has them."""
    return {
        f"{LOSSES[loss]} {units}": {"loss": loss, "units": units}
        for units, loss in product(UNITS, LOSSES)
    }


def measure_loss(loss, units, n_epochs=2):
    """The 2016 settings of a loss, trained on the shop and tested on its last days.

    Returns the settings, Recall@20, MRR@20 and the processor seconds of training.
    """
    shop = load_shop()
    settings = presets[f"rsc15-2016-{PRESET[loss]}"]
    model = GRU4Rec(**{**settings, "layers": [units], "n_epochs": n_epochs})
    model.device = "cpu"
    start = time.process_time()
    model.fit(shop.train, verbose=False)
    seconds = time.process_time() - start
    report = evaluate(model, shop.test)
    return {
        "loss": loss, "units": units, "batch_size": model.batch_size,
        "learning_rate": model.learning_rate, "momentum": model.momentum,
        "dropout": model.dropout_p_hidden, "epochs": n_epochs,
        "recall@20": report.recall[20], "mrr@20": report.mrr[20], "seconds": seconds,
    }  # fmt: skip


LEARNING_RATES = (0.01, 0.03, 0.1, 0.3)
BATCH_SIZES = (50, 150, 500)
DROPOUTS = (0.0, 0.2, 0.5)
MOMENTA = (0.0, 0.2, 0.5)
BASE = {"learning_rate": 0.1, "batch_size": 50, "dropout": 0.0, "momentum": 0.0}
N_EPOCHS = 4


def sweep_rows():
    """For each loss: learning rate by batch size, then dropout by momentum."""
    grids = [
        {"learning_rate": LEARNING_RATES, "batch_size": BATCH_SIZES},
        {"dropout": DROPOUTS, "momentum": MOMENTA},
    ]
    rows = {}
    for grid, loss in product(grids, LOSSES):
        for values in product(*grid.values()):
            row = {"loss": loss, **BASE, **dict(zip(grid, values, strict=True))}
            rows[" ".join(f"{value}" for value in row.values())] = row
    return rows


def sweep_sessions():
    """Ten days to train on, and the two days after them to compare settings on."""
    before, valid = load_shop().train.split_last_days(2)
    _, train = before.split_last_days(10)
    return train, valid


def measure_setting(
    loss, learning_rate, batch_size, dropout, momentum, n_epochs=N_EPOCHS
):
    """One setting of the 2016 model, 100 units: Recall@20 after each pass."""
    train, valid = sweep_sessions()
    recalls = {}

    def after_each_pass(model):
        passes = len(model.history)
        recalls[f"recall@20 pass {passes}"] = evaluate(model, valid).recall[20]

    settings = {**presets["rsc15-2016-top1"], "loss": loss, "n_epochs": n_epochs}
    model = GRU4Rec(**settings)
    model.learning_rate, model.batch_size = learning_rate, batch_size
    model.dropout_p_hidden, model.momentum = dropout, momentum
    model.device = "cpu"
    model.fit(train, callback=after_each_pass, verbose=False)
    return {
        "loss": loss, "learning_rate": learning_rate, "batch_size": batch_size,
        "dropout": dropout, "momentum": momentum, **recalls,
        "training loss": model.history["loss"].iloc[-1],
        "seconds": model.history["seconds"].sum(),
    }  # fmt: skip


# ---- published figures -------------------------------------------------------------

# Recall@20 and MRR@20 on RSC15 and on VIDEO: tables 1 and 3 of Hidasi et al. 2016
# (arXiv 1511.06939). The last one was not reported: training was not reliable.
PUBLISHED = pd.DataFrame(
    [
        ("POP", 0.0050, 0.0012, 0.0499, 0.0117),
        ("S-POP", 0.2672, 0.1775, 0.1301, 0.0863),
        ("Item-KNN", 0.5065, 0.2048, 0.5508, 0.3381),
        ("BPR-MF", 0.2574, 0.0618, 0.0692, 0.0374),
        ("TOP1 100", 0.5853, 0.2305, 0.6141, 0.3511),
        ("BPR 100", 0.6069, 0.2407, 0.5999, 0.3260),
        ("cross-entropy 100", 0.6074, 0.2430, 0.6372, 0.3720),
        ("TOP1 1000", 0.6206, 0.2693, 0.6624, 0.3891),
        ("BPR 1000", 0.6322, 0.2467, 0.6311, 0.3136),
        ("cross-entropy 1000", 0.5777, 0.2153, np.nan, np.nan),
    ],
    columns=["model", "RSC15 recall", "RSC15 mrr", "VIDEO recall", "VIDEO mrr"],
).set_index("model")


def speeds():
    """The table of docs/performance.md: programs, and their ratios to the textbook."""
    lines = (measured.DOCS / "performance.md").read_text(encoding="utf-8").split("\n")
    start = next(i for i, line in enumerate(lines) if line.startswith("| program |"))
    rows = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        program, _, ratio_a, _, ratio_b = (c.strip() for c in line.split("|")[1:-1])
        name = program.replace("`", "").replace(", which is GRU4Rec.fit", "")
        rows[name] = {"size (a)": float(ratio_a), "size (b)": float(ratio_b)}
    return pd.DataFrame(rows).T


# ---- figures -----------------------------------------------------------------------

LOOKS = [
    {"color": colour, "ls": dash, "marker": marker, "lw": 2, "ms": 6}
    for colour, dash, marker in zip(
        plots.COLOURS[:4], ("-", "--", "-.", ":"), "oXsD", strict=True
    )
]
HATCHES = ("", "//", "..")


def one_step():
    """What happens in a training step, from the schedule to the new weights."""
    boxes = [
        ("schedule", "04", "B clicks,\nB targets"),
        ("rows of\nthe input", "03", "(B, H)"),
        ("GRU", "02", "hidden\n(B, H)"),
        ("scores", "05", "candidates\n(B, B + N)"),
        ("loss", "05", "a number"),
        ("gradients", "", "of the rows\nin use"),
        ("update", "07", "new weights"),
    ]
    figure, axes = plots.new_figure(height=1.9)
    for n, (name, lesson, shape) in enumerate(boxes):
        axes.add_patch(
            FancyBboxPatch(
                (n - 0.38, -0.4), 0.76, 0.8,
                boxstyle="round,pad=0,rounding_size=0.08", edgecolor=plots.NAVY,
                facecolor=plots.AMBER if name == "update" else plots.SKY,
            )
        )  # fmt: skip
        axes.text(n, 0, name, ha="center", va="center", fontsize=9)
        axes.text(n, -0.5, shape, ha="center", va="top", fontsize=8)
        if lesson:
            axes.text(n, 0.5, f"lesson {lesson}", ha="center", fontsize=8)
        if n:
            arrow = {"arrowstyle": "->", "color": plots.NAVY}
            axes.annotate("", (n - 0.38, 0), (n - 0.62, 0), arrowprops=arrow)
    axes.plot([6, 6, 1, 1], [-1, -1.35, -1.35, -1.1], color=plots.VERMILION, ls="--")
    arrow = {"arrowstyle": "->", "color": plots.VERMILION}
    axes.annotate("", (1, -0.95), (1, -1.2), arrowprops=arrow)
    axes.text(3.5, -1.65, "the next step", ha="center", fontsize=8)
    axes.set(xlim=(-0.45, 6.45), ylim=(-1.85, 0.75))
    axes.set_axis_off()
    return figure


def lines(table, xlabel, ylabel, percent=False, level=None, markers=True, title=""):
    """Lines over x, one a column of a DataFrame whose index is x.

    level : (y, text), a horizontal line to compare with
    """
    figure, axes = plots.new_figure(height=3.2)
    _draw_lines(axes, table, percent, markers)
    if level is not None:
        axes.axhline(level[0], color=plots.GREY, ls="--", lw=1.5, label=level[1])
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    if table.shape[1] > 1 or level is not None:
        axes.legend()
    return figure


def _draw_lines(axes, table, percent, markers=True):
    for (name, line), look in zip(table.items(), LOOKS, strict=False):
        look = look if markers else {**look, "marker": ""}
        axes.plot(line, **look, label=name)
    if markers:
        axes.set_xticks(list(table.index))
    if percent:
        axes.yaxis.set_major_formatter("{x:.0%}")


def learning_curves(loss, recall, level=None):
    """Training loss, and Recall@20 on clicks seen and not seen, over the passes.

    loss : Series; recall : DataFrame; level : (y, text), a line to compare with
    """
    figure, (left, right) = plots.new_figure(2, height=3.2)
    _draw_lines(left, loss.to_frame(), percent=False)
    left.set(xlabel="pass", ylabel="training loss")
    _draw_lines(right, recall, percent=True)
    if level is not None:
        right.axhline(level[0], color=plots.GREY, ls="--", lw=1.5, label=level[1])
    right.set(xlabel="pass", ylabel="Recall@20", ylim=(0, None))
    right.legend(loc="center right")
    return figure


def panels(tables, xlabel, level=None):
    """Horizontal bars side by side, a panel a table; rows are models, columns bars.

    tables : title to DataFrame, all with the same rows and columns
    level : (y, text), a line in the first panel
    """
    first = next(iter(tables.values()))
    n = first.shape[1]
    figure, row = plots.new_figure(
        len(tables), height=1.2 + 0.34 * first.size, sharey=True, sharex=True,
        squeeze=False,
    )  # fmt: skip
    row = row[0]
    for axes, (title, table) in zip(row, tables.items(), strict=True):
        for k, (name, values) in enumerate(table.items()):
            at = np.arange(len(table)) + (k - (n - 1) / 2) * 0.8 / n
            drawn = axes.barh(
                at, values.fillna(0), 0.75 / n, edgecolor="white", label=name,
                color=(plots.NAVY, plots.AMBER, plots.TEAL)[k], hatch=HATCHES[k],
            )  # fmt: skip
            text = ["not reported" if np.isnan(v) else f"{v:.3f}" for v in values]
            axes.bar_label(drawn, text, padding=3, fontsize=8)
        axes.set_yticks(range(len(table)), table.index)
        axes.margins(x=0.25)
        axes.xaxis.set_major_formatter("{x:.1f}")
        axes.grid(axis="y", visible=False)
        axes.set(title=title, xlabel=xlabel)
    row[0].invert_yaxis()
    row[0].set_ylabel(first.index.name or "model")
    if level is not None:
        row[0].axvline(level[0], color=plots.VERMILION, ls="--", lw=1.5)
        row[0].set_title(f"{row[0].get_title('left')} (dashed: {level[1]})")
    if n > 1:
        names = first.columns.name or ""
        figure.legend(
            *row[0].get_legend_handles_labels(), ncols=n, title=names,
            title_fontsize=10, loc="outside upper right",
        )  # fmt: skip
    return figure


def heat_maps(sweep, rows="learning_rate", columns="batch_size", of="recall"):
    """A map for each loss: Recall@20 after the last pass, two parameters varied.

    sweep : the table lesson_07_sweep; all other parameters stay as in BASE
    """
    maps = {
        loss: at_base(sweep, loss, rows, columns).pivot(
            index=rows, columns=columns, values=LAST
        )
        for loss in LOSSES
    }
    low = min(table.min().min() for table in maps.values())
    high = max(table.max().max() for table in maps.values())
    figure, axes = plots.new_figure(3, height=2.9, sharey=True)
    for one, (loss, table) in zip(axes, maps.items(), strict=True):
        sns.heatmap(
            table, ax=one, annot=True, fmt=".2f", cmap="Blues", linewidths=1,
            vmin=low, vmax=high, cbar=False,
        )  # fmt: skip
        best = np.unravel_index(np.argmax(table.to_numpy()), table.shape)
        one.add_patch(
            Rectangle(
                (best[1] + 0.04, best[0] + 0.04),
                0.92,
                0.92,
                fill=False,
                lw=3,
                edgecolor=plots.VERMILION,
            )  # fmt: skip
        )
        one.set(title=LOSSES[loss], xlabel=columns, ylabel="")
        one.tick_params(axis="y", rotation=0)
    axes[0].set_ylabel(rows)
    return figure


LAST = f"recall@20 pass {N_EPOCHS}"


def at_base(sweep, loss, *varied):
    """The sweep's rows of a loss in which only the named parameters are varied."""
    kept = sweep["loss"] == loss
    for name, value in BASE.items():
        if name not in varied:
            kept &= sweep[name] == value
    return sweep[kept].sort_values(list(varied))


def sweep_curves(sweep, loss, parameter):
    """Recall@20 after each pass, one line a value of one parameter."""
    rows = at_base(sweep, loss, parameter).set_index(parameter)
    passes = range(1, N_EPOCHS + 1)
    table = rows[[f"recall@20 pass {n}" for n in passes]].T.set_axis(passes)
    table.columns = [f"{parameter} {value:g}" for value in rows.index]
    figure, axes = plots.new_figure(height=3.2)
    _draw_lines(axes, table, percent=True)
    axes.set(xlabel="pass", ylabel="Recall@20", title=LOSSES[loss])
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def ratios(table):
    """How many times faster than the textbook loop each program is."""
    figure, axes = plots.new_figure(height=1.2 + 0.5 * len(table))
    n = table.shape[1]
    for k, (name, values) in enumerate(table.items()):
        at = np.arange(len(table)) + (k - (n - 1) / 2) * 0.8 / n
        drawn = axes.barh(
            at, values, 0.75 / n, label=name, edgecolor="white",
            color=(plots.NAVY, plots.AMBER)[k], hatch=HATCHES[k],
        )  # fmt: skip
        axes.bar_label(drawn, [f"{v:.1f} ×" for v in values], padding=3, fontsize=9)
    axes.set_yticks(range(len(table)), table.index)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.grid(axis="y", visible=False)
    axes.set(xlabel="mini-batches a second, textbook loop = 1", ylabel="program")
    axes.legend(loc="upper right")
    return figure

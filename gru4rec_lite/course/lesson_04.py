"""Figures and the stepper of lesson 04, session-parallel mini-batches."""

import ipywidgets as widgets
import numpy as np
import pandas as pd
from IPython.display import display
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from . import plots


def padding(lengths):
    """Sessions in the rows of one rectangle: clicks, and what is filled up.

    lengths : clicks of each session
    """
    longest = max(lengths)
    figure, axes = plots.new_figure(height=1.1 + 0.26 * len(lengths))
    for row, length in enumerate(lengths):
        for column in range(longest):
            real = column < length
            axes.add_patch(
                Rectangle(
                    (column, row),
                    0.9,
                    0.9,
                    lw=0.8,
                    edgecolor=plots.NAVY,
                    facecolor=plots.NAVY if real else "white",
                    hatch=None if real else "////",
                )  # fmt: skip
            )
    axes.set(xlim=(-0.2, longest + 0.1), ylim=(len(lengths), -0.1))
    axes.set(xlabel="place in the session", ylabel="session in the batch")
    ticks = [0, *range(4, longest, 5)]
    axes.set_xticks([t + 0.45 for t in ticks], [str(t + 1) for t in ticks])
    axes.set_yticks([])
    axes.grid(visible=False)
    boxes = [
        Patch(facecolor=plots.NAVY, edgecolor=plots.NAVY, label="click"),
        Patch(facecolor="white", edgecolor=plots.NAVY, hatch="////", label="padding"),
    ]
    figure.legend(handles=boxes, loc="outside upper right", ncols=2)
    return figure


# ---- the schedule ----------------------------------------------------------------


def slots(schedule, names, session):
    """A schedule as a table: slots are rows, steps are columns.

    names : what was clicked (E,); session : number of each click's session (E,)
    """
    figure, axes = plots.new_figure(height=1.0 + 0.62 * schedule.position.shape[1])
    _draw_slots(axes, schedule, names, session)
    return figure


def _draw_slots(axes, schedule, names, session, at=None):
    n_steps, n_slots = schedule.position.shape
    wide = n_steps > 9  # no room to name what was clicked
    for step, slot in zip(*np.nonzero(schedule.position >= 0), strict=True):
        p, reset = schedule.position[step, slot], schedule.reset[step, slot]
        axes.add_patch(
            Rectangle(
                (step, slot),
                1,
                1,
                edgecolor="white",
                lw=1.5,
                facecolor=plots.SKY if session[p] % 2 else "#efefef",
            )  # fmt: skip
        )
        if reset:  # a bar in front of the first click: the state is set to zero
            axes.plot([step + 0.03] * 2, [slot + 0.04, slot + 0.96], lw=4,
                      color=plots.VERMILION, solid_capstyle="butt")  # fmt: skip
        text = (f"{session[p]}" if wide else f"session {session[p]}") if reset else ""
        axes.text(step + 0.09, slot + 0.2, text, fontsize=8, weight="bold", va="center")
        if not wide:
            axes.text(step + 0.09, slot + 0.5, names[p], fontsize=7.5, va="center")
            axes.text(
                step + 0.09, slot + 0.8, f"→ {names[p + 1]}", fontsize=7.5,
                va="center", color="#444444",
            )  # fmt: skip
    if at is not None:
        frame = {"fill": False, "edgecolor": "black", "lw": 2.5, "zorder": 3}
        axes.add_patch(Rectangle((at, 0.02), 1, n_slots - 0.04, **frame))
    axes.set(xlim=(-0.05, n_steps + 0.05), ylim=(n_slots, 0))
    every = 1 if n_steps <= 20 else 5
    ticks = range(0, n_steps, every)
    axes.set_xticks([t + 0.5 for t in ticks], [str(t) for t in ticks])
    axes.set_yticks(np.arange(n_slots) + 0.5, [str(slot) for slot in range(n_slots)])
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.set(xlabel="step (bar: a session starts, its state is zero)", ylabel="slot")


def snapshot(schedule, names, session, states, step):
    """The schedule with one step framed, and the hidden states that enter it.

    states : (T, B, H), zero where a session starts, NaN where a slot is closed
    """
    n_slots = schedule.position.shape[1]
    figure = Figure(figsize=(plots.WIDTH, 1.9 + 1.0 * n_slots), layout="constrained")
    top, bottom = figure.subplots(2, 1, height_ratios=[2, 1.2])
    _draw_slots(top, schedule, names, session, at=step)
    bottom.imshow(states[step], cmap="PuOr", vmin=-1, vmax=1, aspect="auto")
    for slot, state in enumerate(states[step]):
        if schedule.position[step, slot] < 0 or schedule.reset[step, slot]:
            closed = schedule.position[step, slot] < 0
            note = "closed" if closed else "all zero: a new session"
            middle = (len(state) - 1) / 2
            bottom.text(middle, slot, note, ha="center", va="center", fontsize=9)
            continue
        for unit, value in enumerate(state):
            bottom.text(
                unit, slot, f"{round(float(value), 1) + 0.0:+.1f}", fontsize=9,
                ha="center", va="center",
                color="white" if abs(value) > 0.6 else "black",
            )  # fmt: skip
    bottom.set_yticks(range(n_slots))
    bottom.set_xticks(range(states.shape[2]))
    bottom.grid(visible=False)
    title = f"hidden states that enter step {step}"
    bottom.set(xlabel="hidden unit", ylabel="slot", title=title)
    return figure


def batch_table(schedule, names, session, step):
    """What every slot gives to the network in one step, as a DataFrame."""
    rows = []
    for slot, (p, reset) in enumerate(
        zip(schedule.position[step], schedule.reset[step], strict=True)
    ):
        if p >= 0:
            rows.append((slot, session[p], names[p], names[p + 1], bool(reset)))
    columns = ["slot", "session", "input", "target", "reset"]
    return pd.DataFrame(rows, columns=columns).set_index("slot")


class Stepper(widgets.VBox):
    """Goes through a schedule step by step: picture, table of the batch, states.

    Arguments as for `snapshot`. Attributes: play and slider, the two controls.
    """

    def __init__(self, schedule, names, session, states):
        last = schedule.n_steps - 1
        self.slider = widgets.IntSlider(0, 0, last, description="step")
        self.play = widgets.Play(min=0, max=last, interval=1500)
        widgets.jslink((self.play, "value"), (self.slider, "value"))

        def draw(step):
            display(snapshot(schedule, names, session, states, step))
            display(batch_table(schedule, names, session, step))

        self.shown = widgets.interactive_output(draw, {"step": self.slider})
        super().__init__([widgets.HBox([self.play, self.slider]), self.shown])

    def __repr__(self):
        return f"Stepper({self.slider.max + 1} steps)"


def open_slots(n_open, last=60):
    """How many slots are open in the last steps of an epoch.

    n_open : open slots at each step (T,)
    """
    figure, axes = plots.new_figure(height=2.8)
    steps = np.arange(len(n_open))[-last:]
    axes.step(steps, n_open[-last:], where="mid", color=plots.NAVY, lw=2)
    axes.fill_between(steps, n_open[-last:], step="mid", color=plots.SKY)
    axes.set(xlabel="step", ylabel="open slots", ylim=(0, None))
    plots.thousands(axes.xaxis)
    return figure


# ---- what breaks, and what is cut off --------------------------------------------


def by_click(values, xlabel, ylabel, percent=False):
    """Lines over whole numbers, one a column of a DataFrame: with a marker each."""
    figure, axes = plots.new_figure(height=3.0)
    looks = zip(plots.COLOURS, "oXsD", ("-", "--", "-.", ":"), strict=False)
    for (name, line), (colour, marker, dash) in zip(
        values.items(), looks, strict=False
    ):
        axes.plot(line, color=colour, marker=marker, ls=dash, lw=2, label=name)
    axes.set(xlabel=xlabel, ylabel=ylabel, ylim=(0, None), xticks=list(values.index))
    if values.shape[1] > 1:
        axes.legend()
    if percent:
        axes.yaxis.set_major_formatter("{x:.0%}")
    return figure


def curves(losses, window=50):
    """Training loss over steps, as a moving mean.

    losses : title to list of losses, one a step
    """
    figure, axes = plots.new_figure(height=3.2)
    looks = zip(plots.COLOURS, ("-", "--", "-."), strict=False)
    for (title, values), (colour, dash) in zip(losses.items(), looks, strict=False):
        smooth = np.convolve(values, np.ones(window) / window, "valid")
        axes.plot(
            np.arange(len(smooth)) + window, smooth, color=colour, ls=dash, lw=2,
            label=title,
        )  # fmt: skip
    axes.set(xlabel="step", ylabel=f"loss, mean of {window} steps")
    plots.thousands(axes.xaxis)
    axes.legend()
    return figure


def grouped(table, xlabel):
    """Groups of horizontal bars: a row of the table each, one bar a column."""
    figure, axes = plots.new_figure(height=1.0 + 0.24 * table.size)
    n = table.shape[1]
    looks = zip((plots.NAVY, plots.VERMILION, plots.AMBER), ("", "", "//"), strict=True)
    for k, ((name, values), (colour, hatch)) in enumerate(
        zip(table.items(), looks, strict=False)
    ):
        at = np.arange(len(table)) + (k - (n - 1) / 2) * 0.8 / n
        drawn = axes.barh(
            at, values, 0.75 / n, color=colour, hatch=hatch, edgecolor="white",
            label=name,
        )  # fmt: skip
        axes.bar_label(drawn, [f"{v:.1%}" for v in values], padding=3, fontsize=8)
    axes.set_yticks(range(len(table)), table.index)
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.grid(axis="y", visible=False)
    axes.set(xlabel=xlabel, ylabel=table.index.name or "")
    axes.legend(loc="lower right")
    return figure

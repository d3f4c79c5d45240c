"""The figures and the stepper of lesson 04."""

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("ipywidgets")

from gru4rec_lite.batching import session_parallel
from gru4rec_lite.course import lesson_04

OFFSETS = np.array([0, 4, 6, 9])  # sessions of 4, 2 and 3 clicks
NAMES = np.array(list("abcdefghi"))
SESSION = np.repeat([0, 1, 2], [4, 2, 3])
SCHEDULE = session_parallel(OFFSETS, 2)
STATES = np.zeros((SCHEDULE.n_steps, 2, 4))

TABLE = pd.DataFrame({"one": [0.2, 0.4], "two": [0.1, 0.3]}, index=["x", "y"])
FIGURES = {
    "padding": lambda: lesson_04.padding([4, 2, 3]),
    "slots": lambda: lesson_04.slots(SCHEDULE, NAMES, SESSION),
    "snapshot": lambda: lesson_04.snapshot(SCHEDULE, NAMES, SESSION, STATES, 1),
    "open_slots": lambda: lesson_04.open_slots(SCHEDULE.n_open),
    "by_click": lambda: lesson_04.by_click(TABLE.reset_index(drop=True), "x", "y"),
    "curves": lambda: lesson_04.curves({"loss": np.arange(60.0)}),
    "grouped": lambda: lesson_04.grouped(TABLE.rename_axis("kind"), "share"),
}


def texts(axes):
    return [text.get_text() for text in axes.texts]


@pytest.mark.parametrize("name", FIGURES)
def test_axes_are_labelled(name):
    for axes in FIGURES[name]().axes:
        assert axes.get_xlabel() and axes.get_ylabel()


def test_slots_name_each_input_with_its_target_once():
    (axes,) = lesson_04.slots(SCHEDULE, NAMES, SESSION).axes
    shown = [text for text in texts(axes) if text.startswith("→")]
    assert sorted(shown) == [f"→ {name}" for name in "bcdfhi"]  # none starts a session
    starts = [text for text in texts(axes) if text.startswith("session")]
    assert sorted(starts) == ["session 0", "session 1", "session 2"]


def test_snapshot_says_where_the_state_is_zero_and_where_a_slot_is_closed():
    schedule = session_parallel(np.array([0, 3, 5]), 2)  # the second closes first
    states = np.full((2, 2, 4), 0.25)
    start, later = (
        texts(lesson_04.snapshot(schedule, NAMES, SESSION, states, step).axes[1])
        for step in (0, 1)
    )
    assert start == ["all zero: a new session"] * 2
    assert later == ["+0.2"] * 4 + ["closed"]


def test_batch_table_leaves_closed_slots_out():
    schedule = session_parallel(np.array([0, 3, 5]), 2)
    session = np.array([0, 0, 0, 1, 1])
    table = lesson_04.batch_table(schedule, NAMES, session, 0)
    assert table.values.tolist() == [[0, "a", "b", True], [1, "d", "e", True]]
    table = lesson_04.batch_table(schedule, NAMES, session, 1)
    assert table.values.tolist() == [[0, "b", "c", False]]


def test_stepper_draws_the_step_of_its_slider(monkeypatch):
    drawn = []
    monkeypatch.setattr(lesson_04, "display", drawn.append)
    stepper = lesson_04.Stepper(SCHEDULE, NAMES, SESSION, STATES)
    assert repr(stepper) == f"Stepper({SCHEDULE.n_steps} steps)"
    stepper.slider.value = 2
    before, table, after, next_table = drawn
    assert before.axes[1].get_title() == "hidden states that enter step 0"
    assert after.axes[1].get_title() == "hidden states that enter step 2"
    assert table["input"].tolist() == ["a", "e"]
    assert next_table["input"].tolist() == ["c", "h"]

"""The schedule of session-parallel mini-batches against a slow simulation."""

from collections import deque

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gru4rec_lite.batching import session_parallel


@st.composite
def schedules(draw):
    """Arguments of session_parallel, and the sessions' lengths."""
    lengths = draw(st.lists(st.integers(1, 9), max_size=25))
    order = draw(st.none() | st.permutations(range(len(lengths))))
    arguments = {
        "offsets": np.cumsum([0, *lengths]),
        "batch_size": draw(st.integers(1, 8)),
        "order": None if order is None else np.array(order, int),
        "min_open": draw(st.integers(1, 3)),
    }
    return arguments, lengths


def simulate(offsets, batch_size, order, min_open):
    """Positions and resets of each step, slot after slot, click after click."""
    order = range(len(offsets) - 1) if order is None else order
    waiting = deque(range(offsets[s], offsets[s + 1]) for s in order)
    slots = [deque() for _ in range(batch_size)]
    positions, resets = [], []
    while True:
        position, reset = [-1] * batch_size, [False] * batch_size
        for b, slot in enumerate(slots):
            while len(slot) < 2 and waiting:  # a last click has no next one
                slot.clear()
                slot.extend(waiting.popleft())
                reset[b] = True
            if len(slot) > 1:
                position[b] = slot.popleft()
            else:
                reset[b] = False
        if sum(p >= 0 for p in position) < min_open:
            break
        positions.append(position)
        resets.append(reset)
    shape = (len(positions), batch_size)
    return np.reshape(positions, shape), np.reshape(resets, shape).astype(bool)


@given(schedules())
def test_equals_the_simulation(example):
    arguments, _ = example
    schedule = session_parallel(**arguments)
    position, reset = simulate(**arguments)
    np.testing.assert_array_equal(schedule.position, position)
    np.testing.assert_array_equal(schedule.reset, reset)
    np.testing.assert_array_equal(schedule.n_open, (position >= 0).sum(1))
    assert schedule.n_steps == len(position)
    assert schedule.n_pairs == (position >= 0).sum()


@given(schedules())
def test_every_pair_occurs_once(example):
    arguments, lengths = example
    schedule = session_parallel(**{**arguments, "min_open": 1})
    last = np.cumsum(lengths, dtype=int) - 1  # a last click is never an input
    inputs = np.setdiff1d(np.arange(sum(lengths)), last)
    found = np.sort(schedule.position[schedule.position >= 0])
    np.testing.assert_array_equal(found, inputs)


@given(schedules())
def test_a_session_keeps_its_slot_and_resets_where_it_starts(example):
    arguments, lengths = example
    schedule = session_parallel(**{**arguments, "min_open": 1})
    first = arguments["offsets"][:-1]
    for session, length in enumerate(lengths):
        cells = [
            np.argwhere(schedule.position == click)[0].tolist()
            for click in range(first[session], first[session] + length - 1)
        ]
        steps, slots = [c[0] for c in cells], [c[1] for c in cells]
        assert len(set(slots)) <= 1
        assert steps == list(range(steps[0], steps[0] + len(steps))) if steps else True
    starts = np.isin(schedule.position, first) & (schedule.position >= 0)
    np.testing.assert_array_equal(schedule.reset, starts)


@given(schedules())
def test_slots_only_close(example):
    arguments, _ = example
    schedule = session_parallel(**arguments)
    is_open = schedule.position >= 0
    assert not (is_open[1:] & ~is_open[:-1]).any()
    assert (schedule.n_open >= arguments["min_open"]).all()


def test_small_example():
    """Two slots, sessions of 3, 2, 1, 4 and 2 clicks: the third has no pair.

    clicks 0 1 2 | 3 4 | 5 | 6 7 8 9 | 10 11
    """
    schedule = session_parallel([0, 3, 5, 6, 10, 12], batch_size=2)
    assert schedule.position.tolist() == [[0, 3], [1, 6], [10, 7], [-1, 8]]
    assert schedule.reset.tolist() == [
        [True, True], [False, True], [True, False], [False, False],
    ]  # fmt: skip
    assert schedule.n_open.tolist() == [2, 2, 2, 1]
    lone = session_parallel([0, 3, 5, 6, 10, 12], batch_size=2, min_open=2)
    assert lone.position.tolist() == schedule.position[:3].tolist()


def test_slots_freed_together_are_taken_from_the_lowest():
    schedule = session_parallel(np.arange(0, 14, 2), 3, order=[5, 4, 3, 2, 1, 0])
    assert schedule.position.tolist() == [[10, 8, 6], [4, 2, 0]]


def test_more_slots_than_sessions():
    schedule = session_parallel([0, 2, 5], batch_size=4)
    assert schedule.position.tolist() == [[0, 2, -1, -1], [-1, 3, -1, -1]]


@pytest.mark.parametrize("offsets", [[0], [0, 1], [0, 1, 2, 3]])
def test_nothing_to_learn_from(offsets):
    schedule = session_parallel(offsets, batch_size=3)
    assert schedule.n_steps == schedule.n_pairs == 0
    assert schedule.position.shape == (0, 3)

"""Session-parallel mini-batches (lesson 04).

B slots stand side by side. Each holds one session; at every step each slot emits one
pair, the current click and the one after it. When a slot's session has no further
pair, the next session in order takes the slot and its hidden state starts from zero.
Source: Hidasi et al. 2016 (arXiv 1511.06939), section 3.1.1 and figure 2.

The whole schedule is computed before training, as arrays. Which session goes where
depends only on the sessions' lengths, so nothing is decided while the network runs.
"""

from heapq import heapreplace
from typing import NamedTuple

import numpy as np


class Schedule(NamedTuple):
    """Where every slot stands at every step: T steps, B slots.

    ``position`` (T, B): the click that goes in, as an index into ``Sessions.items``;
    the target is the click at ``position + 1``. -1 where the slot is closed.
    ``reset`` (T, B): True where a session starts, so the hidden state is zeroed first.
    ``n_open`` (T,): open slots. It never grows: slots close only when no sessions wait.
    """

    position: np.ndarray
    reset: np.ndarray
    n_open: np.ndarray

    @property
    def n_steps(self):
        return len(self.n_open)

    @property
    def n_pairs(self):
        return int(self.n_open.sum())


def session_parallel(offsets, batch_size, order=None, min_open=1):
    """The schedule of session-parallel mini-batches.

    Parameters
    ----------
    offsets : (S + 1,) array. Session s is the clicks offsets[s] to offsets[s + 1] - 1.
    batch_size : B, the number of slots.
    order : (S,) array of session numbers, the order in which sessions take slots.
        By default as they stand. Sessions of one click have no pair and are passed
        over.
    min_open : stop as soon as fewer slots than this are open. Without extra negatives
        a single open slot has nothing to rank its target against, hence 2.

    Returns
    -------
    Schedule
    """
    offsets = np.asarray(offsets, dtype=np.int64)
    order = np.arange(len(offsets) - 1) if order is None else np.asarray(order)
    n_pairs = np.diff(offsets)[order] - 1
    order, n_pairs = order[n_pairs > 0], n_pairs[n_pairs > 0]

    start = _start_cells(n_pairs, batch_size)  # (S,) flat cells: step * B + slot
    n_steps = int((start // batch_size + n_pairs).max(initial=0))

    position = np.full(n_steps * batch_size, -1, _index_type(offsets[-1]))
    reset = np.zeros(n_steps * batch_size, bool)
    # A session's next pair lies one step, that is B cells, further on.
    nth = np.arange(n_pairs.sum()) - np.repeat(np.cumsum(n_pairs) - n_pairs, n_pairs)
    position[np.repeat(start, n_pairs) + nth * batch_size] = (
        np.repeat(offsets[:-1][order], n_pairs) + nth
    )
    reset[start] = True

    position, reset = position.reshape(-1, batch_size), reset.reshape(-1, batch_size)
    n_open = (position >= 0).sum(1)
    keep = int((n_open >= min_open).sum())
    return Schedule(position[:keep], reset[:keep], n_open[:keep])


def _start_cells(n_pairs, batch_size):
    """The cell where each session starts. The slot that is free first takes it."""
    free = list(range(batch_size))  # a heap of each slot's next free cell
    start = []
    for n in n_pairs.tolist():
        start.append(free[0])
        heapreplace(free, free[0] + n * batch_size)
    return np.array(start, dtype=np.int64)


def _index_type(largest):
    return np.int32 if largest <= np.iinfo(np.int32).max else np.int64

"""Checks of lesson 04: session-parallel mini-batches."""

import numpy as np

from ...batching import session_parallel
from .checking import ask, compare, exercise

HAND_MADE = [  # session lengths, slots
    ([2, 2], 1),
    ([3, 2, 2], 2),
    ([2, 4, 3, 2, 3], 2),
]


def examples():
    """Hand-made ones, then random ones: (offsets, B)."""
    rng = np.random.default_rng(4)
    random = [(rng.integers(2, 7, size=12), int(rng.integers(2, 6))) for _ in range(5)]
    for lengths, slots in HAND_MADE + random:
        yield np.concatenate([[0], np.cumsum(lengths)]), slots


@exercise("4.1")
def reset_mask(answer):
    for offsets, slots in examples():
        position = session_parallel(offsets, slots).position
        starts = np.isin(position, offsets[:-1])  # (T, B), a closed slot is -1
        example = {"position": position, "offsets": offsets}
        ends = np.isin(position + 1, offsets[1:] - 1)
        first = starts & (np.arange(len(starts)) == 0)[:, None]
        compare(
            answer, ask(answer, example), starts, example,
            usual={
                "True and False are the wrong way round: it is True where a session "
                "starts": ~starts,
                "it resets where a session ends, one step before the next one "
                "starts": ends,
                "only the first step is reset; a slot's hidden state must also be "
                "zeroed when the next session takes the slot": first,
                "nothing is ever reset": np.zeros_like(starts),
            },
        )  # fmt: skip

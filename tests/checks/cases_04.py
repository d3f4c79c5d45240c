"""Right and wrong answers to the exercises of lesson 04."""

import numpy as np


def reset_mask_by_loop(position, offsets):
    mask = np.zeros(position.shape, dtype=bool)
    for t in range(len(position)):
        for b in range(position.shape[1]):
            mask[t, b] = position[t, b] >= 0 and position[t, b] in list(offsets[:-1])
    return mask


def reset_mask_by_change(position, offsets):
    session = np.searchsorted(offsets, position, side="right")
    before = np.vstack([np.full(position.shape[1], -1), session[:-1]])
    return (session != before) & (position >= 0)


def upside_down(position, offsets):
    return ~np.isin(position, offsets[:-1])


def at_the_end(position, offsets):
    return np.isin(position + 1, offsets[1:] - 1)


def only_at_first(position, offsets):
    mask = np.zeros(position.shape, bool)
    mask[0] = True
    return mask


def as_numbers(position, offsets):
    return np.isin(position, offsets[:-1]).astype(float)


RIGHT = {"reset_mask": [reset_mask_by_loop, reset_mask_by_change]}
WRONG = {
    "reset_mask": [
        (upside_down, "wrong way round"),
        (at_the_end, "where a session ends"),
        (only_at_first, "only the first step"),
        (as_numbers, "booleans are expected"),
    ],
}

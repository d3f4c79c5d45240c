"""Negatives for the ranking losses (lesson 05).

Scoring all I items at every step is too dear. A row is ranked instead against the other
slots' targets, which are popular items by nature, and N more items drawn with
probability ∝ support^alpha, shared by all slots of the step.
Source: Hidasi & Karatzoglou 2018 (arXiv 1706.03847), section 3.1.
"""

import numpy as np

from . import compiled


class NegativeSampler:
    """Draws items with replacement, with probability ∝ support^alpha.

    alpha = 0 draws uniformly, alpha = 1 by popularity.

    Walker's alias method: I equal boxes hold at most two items each. A draw picks a
    box, then one of its two items. Constant time a draw, however many items there are.

    Parameters
    ----------
    support : (I,) array, clicks per item.
    alpha : float.
    """

    def __init__(self, support, alpha):
        self.alpha = alpha
        support = np.asarray(support, float)
        weight = (support / support.max()) ** alpha  # at most 1: no overflow
        self.probability = weight / weight.sum()  # (I,)
        self.share, self.alias = _alias_table(self.probability)

    def draw(self, shape, rng):
        """Items, an int32 array of the given shape. rng: a NumPy Generator."""
        inside = rng.random(shape)
        if compiled.kernels is not None:
            items = np.empty(inside.shape, np.int32)
            arrays = (inside.ravel(), self.share, self.alias, items.ravel())
            compiled.kernels.alias_draw(items.size, *arrays)
            return items
        inside *= len(self.share)
        box = inside.astype(np.int32)
        inside -= box
        return np.where(inside < self.share[box], box, self.alias[box])


def _alias_table(probability):
    """share[i]: how much of box i is item i; alias[i]: the item in the rest of it."""
    n = len(probability)
    share = probability * n
    alias = np.arange(n, dtype=np.int32)
    level = share.tolist()
    small = [i for i in range(n) if level[i] < 1]
    large = [i for i in range(n) if level[i] >= 1]
    while small and large:
        poor, rich = small.pop(), large[-1]
        alias[poor] = rich
        share[poor] = level[poor]
        level[rich] -= 1 - level[poor]
        if level[rich] < 1:
            small.append(large.pop())
    share[small + large] = 1  # what is left differs from 1 by rounding only
    return share, alias


def merge(items, pad, width=1, multiple=1):
    """The distinct items of each step, and how often each occurs.

    Every row of an item matrix is then read, multiplied and updated once a step, and
    the gradients of repeated items are added up by the matrix product itself.

    Parameters
    ----------
    items : (T, R) int32 array, R items for each of T steps.
    pad : a number above every item, which fills the shorter steps.
    width, multiple : U is that of the step with the most distinct items, but at least
        ``width``, and a multiple of ``multiple``.

    Returns
    -------
    rows : (T, U) int64 array, distinct items in rising order, then ``pad``.
    count : (T, U) int64 array, occurrences in ``items``; 0 where padded.
    """
    items = np.sort(items, axis=1)  # (T, R)
    first = np.ones(items.shape, bool)
    np.not_equal(items[:, 1:], items[:, :-1], out=first[:, 1:])
    n_distinct = np.count_nonzero(first, axis=1)  # (T,)
    width = max(width, -(-int(n_distinct.max()) // multiple) * multiple)  # U
    rows = np.full((len(items), width), pad, np.int64)
    count = np.zeros(rows.shape, np.int64)
    if compiled.kernels is not None:
        compiled.kernels.count_runs(len(items), items, rows, count)
        return rows, count
    # All steps in one go: where each run of equal items begins, and where it goes to.
    begin = np.flatnonzero(first)
    skipped = np.arange(len(items)) * width - (n_distinct.cumsum() - n_distinct)
    place = np.arange(len(begin)) + np.repeat(skipped, n_distinct)
    rows.ravel()[place] = items.ravel()[begin]
    count.ravel()[place] = np.diff(begin, append=first.size)
    return rows, count


def places(rows, items):
    """Column of each item in its step's ``rows``. (T, U), (T, B) -> (T, B)"""
    # Lifted apart by step, all rows together are one sorted list: one search finds all.
    n_steps, width = rows.shape
    step = np.arange(n_steps)[:, None]
    lift = step * (rows.max() + 1)
    found = np.searchsorted((rows + lift).ravel(), (items + lift).ravel())
    return found.reshape(items.shape) - step * width

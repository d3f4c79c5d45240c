"""Negatives: exact probabilities, frequencies, merged columns."""

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.stats import chisquare

from gru4rec_lite import compiled
from gru4rec_lite.sampling import NegativeSampler, merge, places

SUPPORT = np.array([1000, 400, 300, 100, 50, 50, 20, 10, 5, 1])


def by_formula(support, alpha):
    weight = [float(s) ** alpha for s in support]
    return np.array(weight) / sum(weight)


@given(
    st.lists(st.integers(0, 10**6), min_size=1, max_size=60).filter(any),
    st.sampled_from([0.0, 0.2, 0.5, 1.0, 2.0]),
)
def test_alias_table_is_exact(support, alpha):
    """Box i holds item i with share[i], alias[i] with the rest: add up the boxes."""
    sampler = NegativeSampler(np.array(support), alpha)
    assert (sampler.share >= 0).all() and (sampler.share <= 1 + 1e-12).all()
    held = np.copy(sampler.share)
    np.add.at(held, sampler.alias, 1 - sampler.share)
    expected = by_formula(support, alpha)
    np.testing.assert_allclose(sampler.probability, expected, rtol=1e-12)
    np.testing.assert_allclose(held / len(support), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_frequencies(alpha):
    """Chi-square: the drawn items fit this alpha, and no other."""
    rng = np.random.default_rng(7)
    drawn = NegativeSampler(SUPPORT, alpha).draw((200, 1000), rng)
    counts = np.bincount(drawn.ravel(), minlength=len(SUPPORT))
    for other in (0.0, 0.5, 1.0):
        expected = by_formula(SUPPORT, other) * drawn.size
        p = chisquare(counts, expected).pvalue
        assert p > 0.001 if other == alpha else p < 1e-9


def test_draws_are_independent():
    """Pairs of draws that follow each other fit the product of the probabilities."""
    rng = np.random.default_rng(8)
    drawn = NegativeSampler(SUPPORT[:4], 0.5).draw(200_000, rng)
    pairs = np.bincount(drawn[::2] * 4 + drawn[1::2], minlength=16)
    single = by_formula(SUPPORT[:4], 0.5)
    assert chisquare(pairs, np.outer(single, single).ravel() * 100_000).pvalue > 0.001


def test_unclicked_items_are_never_drawn():
    sampler = NegativeSampler(np.array([0, 5, 0, 1, 0]), 0.5)
    drawn = sampler.draw(10_000, np.random.default_rng(0))
    assert set(drawn.tolist()) == {1, 3}


def test_shape_type_and_stream():
    sampler = NegativeSampler(SUPPORT, 0.5)
    whole = sampler.draw((6, 4), np.random.default_rng(3))
    assert whole.shape == (6, 4) and whole.dtype == np.int32
    rng = np.random.default_rng(3)
    parts = [sampler.draw((n, 4), rng) for n in (1, 3, 2)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("n_items", [1, 2, 3, 7, 100, 4097, 99_999])
def test_largest_random_number_stays_inside(n_items):
    class Largest:
        def random(self, shape):
            return np.full(shape, np.nextafter(1, 0))

    drawn = NegativeSampler(np.ones(n_items), 1.0).draw((3,), Largest())
    assert ((drawn >= 0) & (drawn < n_items)).all()


item_rows = arrays(
    np.int32,
    array_shapes(min_dims=2, max_dims=2, max_side=12),
    elements=st.integers(0, 9),
)


@given(item_rows)
def test_merge_equals_unique(items):
    rows, count = merge(items, pad=10)
    assert rows.shape == count.shape
    for t, row in enumerate(items):
        distinct, occurrences = np.unique(row, return_counts=True)
        n = len(distinct)
        np.testing.assert_array_equal(rows[t, :n], distinct)
        np.testing.assert_array_equal(count[t, :n], occurrences)
        assert (rows[t, n:] == 10).all() and (count[t, n:] == 0).all()


@given(item_rows, st.data())
def test_places_finds_every_item(items, data):
    rows, _ = merge(items, pad=10)
    columns = data.draw(st.integers(1, items.shape[1]))
    some = items[:, :columns]
    found = places(rows, some)
    np.testing.assert_array_equal(np.take_along_axis(rows, found, 1), some)


# ---- with and without numba


def without_numba():
    return patch.object(compiled, "kernels", None)


@given(st.integers(1, 300), st.integers(0, 2**32), st.sampled_from([0.0, 0.5, 1.0]))
def test_compiled_draws_are_those_of_numpy(n_items, seed, alpha):
    support = np.random.default_rng(seed).integers(0, 100, n_items) + 1
    sampler = NegativeSampler(support, alpha)
    drawn = sampler.draw((3, 50), np.random.default_rng(seed))
    with without_numba():
        by_numpy = sampler.draw((3, 50), np.random.default_rng(seed))
    np.testing.assert_array_equal(drawn, by_numpy)
    assert drawn.dtype == by_numpy.dtype


@given(
    arrays(np.int32, array_shapes(min_dims=2, max_dims=2), elements=st.integers(0, 9)),
    st.integers(1, 12),
    st.integers(1, 4),
)
def test_compiled_merging_is_that_of_numpy(items, width, multiple):
    merged = merge(items, 10, width, multiple)
    with without_numba():
        by_numpy = merge(items, 10, width, multiple)
    for found, expected in zip(merged, by_numpy, strict=True):
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype

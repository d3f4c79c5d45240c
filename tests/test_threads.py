"""Loops on PyTorch's threads: every number once, the same whatever the threads."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from gru4rec_lite import threads

on_team = pytest.mark.skipif(
    threads.on_threads is not threads._on_team, reason="PyTorch has no OpenMP here"
)


@pytest.fixture(autouse=True)
def as_before():
    n = torch.get_num_threads()
    yield
    torch.set_num_threads(n)


@njit
def note(first, last, times, part):
    for i in range(first, last):
        times[i] += 1
        part[i] = first


@njit
def noted(n, times, part):
    threads.on_threads(note, n, (times, part))


@given(n=st.integers(0, 300), n_threads=st.integers(1, 5))
def test_every_number_is_taken_once(n, n_threads):
    torch.set_num_threads(n_threads)
    times, part = np.zeros(n, int), np.zeros(n, int)
    noted(n, times, part)
    assert (times == 1).all()


@on_team
@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_threads_are_as_many_as_pytorch_uses(n_threads):
    torch.set_num_threads(n_threads)
    times, part = np.zeros(90, int), np.zeros(90, int)
    noted(90, times, part)
    assert np.unique(part).tolist() == list(range(0, 90, 90 // n_threads))


LOOPS = """
import hashlib
import numpy as np
from gru4rec_lite import kernels

rng = np.random.default_rng(0)


def some(*shape):
    return rng.normal(size=shape).astype("f")


share, rows, target = np.float32(0.1), rng.permutation(50)[:7], rng.integers(9, size=7)
losses, flat, one = np.empty(7, "f"), np.zeros(9, "f"), np.float32(1)
tables = [abs(some(50, 9)) for _ in range(3)]
weights = [abs(some(500)) for _ in range(3)]
scores = [some(7, 9), some(7, 9)]
a, u, h, after = some(7, 30), some(7, 30), some(7, 10), some(7, 10)
gates = some(7, 40)
g_input, g_state, total, mask = some(7, 30), some(7, 30), some(30), abs(some(7, 10))
kernels.softmax_gradient(7, scores[0], some(9), flat, target, losses, share)
kernels.bpr_max_gradient(7, scores[1], some(9), flat, target, losses, share, one, one)
kernels.gru_gates(7, a, u, some(30), some(30), h, gates, after)
kernels.gru_gradient(7, some(7, 10), h, gates, g_input, g_state)
kernels.sum_rows(30, g_input, total)
kernels.dropout(7, after, mask, share)
kernels.add_rows(9, tables[0], rows[target % 3], some(7, 9))
kernels.adagrad(500, *weights, some(500), share, share, share)
kernels.adagrad_rows(7, *tables, rows, some(7, 9), share, share, share)
everything = [*scores, losses, after, g_input, g_state, total, *weights, *tables]
digest = hashlib.sha256(b"".join(x.tobytes() for x in everything)).hexdigest()
"""


def digest():
    names = {}
    exec(LOOPS, names)
    return names["digest"]


@on_team
def test_what_comes_out_does_not_depend_on_the_threads():
    found = set()
    for n_threads in (1, 2, 3, 5):
        torch.set_num_threads(n_threads)
        found.add(digest())
    assert len(found) == 1


WITHOUT_TEAM = """
import ctypes, numba, torch

def no_library(*_):
    raise OSError

ctypes.CDLL, kept = no_library, ctypes.CDLL
from gru4rec_lite import threads
ctypes.CDLL = kept
assert threads.on_threads is threads._alone
"""


@pytest.mark.slow
def test_one_thread_where_pytorch_has_no_team():
    """The same numbers, also when the other kind was compiled and kept before."""
    expected = digest()
    program = WITHOUT_TEAM + LOOPS + "print(digest)"
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True
        )
        assert done.stdout.split() == [expected], done.stderr
    assert digest() == expected

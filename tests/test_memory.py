"""Zeros in large pages are zeros, aligned, and asked for as such."""

import re
from pathlib import Path

import pytest
import torch

from gru4rec_lite import memory

SMAPS = Path("/proc/self/smaps")


@pytest.mark.parametrize("shape", [(0, 3), (5,), (2, 3, 4), (3000, 700)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_zeros(shape, dtype):
    x = memory.zeros(shape, dtype)
    assert torch.equal(x, torch.zeros(shape, dtype=dtype))
    assert x.is_contiguous() and x.data_ptr() % 64 == 0
    x += 1  # is its own to write to
    assert x.sum() == x.numel()


def flags(address):
    """What the system was told about the memory at an address."""
    for mapping in re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", SMAPS.read_text())[1:]:
        start, end = (int(x, 16) for x in mapping.split()[0].split("-"))
        if start <= address < end:
            return re.search(r"VmFlags:(.*)", mapping)[1].split()


@pytest.mark.skipif(
    not Path("/sys/kernel/mm/transparent_hugepage").exists(), reason="no large pages"
)
def test_large_pages_are_asked_for():
    """hg: told to use huge pages."""
    n = 2**23  # 32 MB
    x, y = memory.zeros((n,), torch.float32), torch.zeros(n)
    assert "hg" in flags(x.data_ptr() + n)
    assert "hg" not in flags(y.data_ptr() + n)


@pytest.mark.cuda
def test_zeros_on_a_gpu():
    x = memory.zeros((2, 3), torch.float32, torch.device("cuda"))
    assert x.is_cuda and not x.any()

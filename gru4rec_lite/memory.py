"""Memory on a CPU, where fetching it costs as much as computing on it."""

import math

import numpy as np
import torch

CPU = torch.device("cpu")
ALIGNMENT = 64  # bytes: a vector register, and a line of the cache


def zeros(shape, dtype, device=CPU):
    """torch.zeros, on a CPU in large pages where the system has them.

    For arrays over 4 MB NumPy asks the system for pages of 2 MB instead of 4 KB, and
    PyTorch does not. There are fewer of them to fetch, and to look up at every access.
    """
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    n_bytes = math.prod(shape) * dtype.itemsize
    memory = np.zeros(n_bytes + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    memory = torch.from_numpy(memory[start : start + n_bytes])
    return memory.view(dtype).view(shape)


def keep_freed():
    """Let the C library keep what is freed, instead of handing it back to the system.

    Every step frees some megabytes and fetches them again, page by page, if the system
    has them. glibc looks at the largest block freed so far, up to 32 MB, and from then
    on keeps twice as much. Others are not affected.
    """
    np.empty(31 * 2**20, np.uint8)  # freed at once

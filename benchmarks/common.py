"""What the benchmarks share: generated clicks, alternating runs, rates, a table."""

import json
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from multiprocessing import get_context

import numpy as np
import pandas as pd
import torch

from gru4rec_lite import Sessions


def generated_sessions(n_items, n_clicks, seed=0):
    """Clicks with a long tail and something to learn: 6 in 10 follow a fixed rule.

    Sessions have 4.8 clicks on average; popularity is ∝ 1 / (rank + 10).
    """
    rng = np.random.default_rng(seed)
    lengths = 1 + rng.geometric(0.26, size=int(n_clicks / 4.5))
    n_sessions = int(np.searchsorted(np.cumsum(lengths), n_clicks)) + 1
    lengths = lengths[:n_sessions]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    cumulative = np.cumsum(1 / (np.arange(n_items) + 10.0))
    draws = rng.random(offsets[-1]) * cumulative[-1]
    items = np.searchsorted(cumulative, draws).astype(np.int32)  # (E,)
    follows = rng.random(offsets[-1]) < 0.6
    for step in range(1, lengths.max()):
        at = offsets[:-1][lengths > step] + step
        at = at[follows[at]]
        items[at] = (items[at - 1] * np.int64(7) + 3) % n_items
    return Sessions(
        items=items,
        times=np.arange(offsets[-1], dtype=np.float64),
        offsets=offsets,
        session_ids=np.arange(n_sessions),
        item_ids=np.arange(n_items),
    )


def alternate(programs, repeats):
    """Seconds of each run, by turns: a noisy machine is then noisy for all."""
    seconds = {name: [] for name in programs}
    for _ in range(repeats):
        for name, program in programs.items():
            seconds[name].append(timed(program)[0])
    return seconds


def alternate_processes(programs, repeats):
    """What each run gives, by turns, every program in a process of its own.

    What one does to the allocator, to the caches of libraries, or to threads is then
    not done to the others. The first run of each warms up and does not count.

    programs : by name, a function that can be pickled, and its arguments.
    """
    results = {name: [] for name in programs}
    with ExitStack() as stack:
        new = partial(ProcessPoolExecutor, 1, mp_context=get_context("spawn"))
        workers = {name: stack.enter_context(new()) for name in programs}
        for _ in range(1 + repeats):
            for name, (function, *arguments) in programs.items():
                job = workers[name].submit(function, *arguments)
                results[name].append(job.result())
    return {name: runs[1:] for name, runs in results.items()}


def timed(program):
    """Seconds that a call takes, and what it gives. GPUs are waited for."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    result = program()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start, result


def best_seconds(function, repeats=20):
    """The shortest of several runs: what the machine can do when nobody disturbs it."""
    function()
    return min(alternate({"f": function}, repeats)["f"])


def product_rate(n, k, m, device, dtype=torch.float32):
    """Floating-point operations a second of an (n, k) by (k, m) product."""
    a = torch.randn(n, k, device=device, dtype=dtype)
    b = torch.randn(k, m, device=device, dtype=dtype)
    return 2 * n * k * m / best_seconds(lambda: a @ b)


def copy_rate(n_bytes, device):
    """Bytes read and written a second when copying an array of this size."""
    a = torch.zeros(int(n_bytes) // 4, device=device)
    b = torch.empty_like(a)
    return 2 * 4 * len(a) / best_seconds(lambda: b.copy_(a))


def peak_memory(device):
    """Peak bytes: of this process, or of the GPU's memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def show(rows, as_json, **result):
    """A table for people, or one line of JSON."""
    if as_json:
        print(json.dumps({"rows": rows, **result}))
        return
    print(pd.DataFrame(rows).to_string(index=False, float_format="{:,.2f}".format))
    for name, value in result.items():
        print(f"{name}: {value}")

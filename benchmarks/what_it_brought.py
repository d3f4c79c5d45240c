"""What each idea brought: the textbook loop, then one idea after the other.

    python benchmarks/what_it_brought.py [--sizes a b] [--json]

The same sizes as train_speed.py, on the CPU; all programs run by turns, each in a
process of its own.
"""

import argparse
from contextlib import ExitStack
from statistics import median
from unittest.mock import patch

import torch
from common import alternate_processes, show, timed
from textbook import train
from train_speed import SIZES, clicks, distinct_rows, parameters

from gru4rec_lite import GRU4Rec, compiled, kernels, precision
from gru4rec_lite.fast import FastStep

TEXTBOOK = "textbook loop"
CPU = torch.device("cpu")

# What is left out again, from the first idea to the last.
WITHOUT_ONEDNN = patch.object(precision, "_onednn_is_accurate", lambda: False)
WITHOUT_HAND = patch.object(FastStep, "fits", staticmethod(lambda network: False))
WITHOUT_COMPILED = [patch.object(compiled, "kernels", None)]


def on_one_thread(shared):
    """A loop that is shared out to threads, as it is without."""
    loop = shared.py_func.__globals__["loop"]
    return lambda n, *arguments: loop(0, n, *arguments)


WITHOUT_THREADS = [
    patch.object(kernels, name, on_one_thread(loop))
    for name, loop in vars(kernels).items()
    if hasattr(loop, "py_func") and loop.py_func.__code__ is kernels._share.__code__
]
IDEAS = {
    "schedule, sampling, merged candidates": [
        WITHOUT_ONEDNN, WITHOUT_HAND, *WITHOUT_COMPILED,
    ],
    "+ products through oneDNN": [WITHOUT_HAND, *WITHOUT_COMPILED],
    "+ gradients by hand": WITHOUT_COMPILED,
    "+ compiled loops": WITHOUT_THREADS,
    "+ on all threads (GRU4Rec.fit)": [],
}  # fmt: skip


def run(name, size, share):
    """Train once with some ideas. (seconds, steps)"""
    p, sessions = parameters(size), clicks(size, CPU, share)

    def textbook():
        return train(sessions, p, CPU)[1]

    def ours():
        with ExitStack() as stack:
            for patched in IDEAS[name]:
                stack.enter_context(patched)
            model = GRU4Rec(**p, device="cpu").fit(sessions, verbose=False)
        return int(model.history["steps"].iloc[-1])

    return timed(textbook if name == TEXTBOOK else ours)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--share", type=float, default=1.0, help="of the steps")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = []
    for size in args.sizes:
        programs = {name: (run, name, size, args.share) for name in (TEXTBOOK, *IDEAS)}
        rates = {
            name: 1 / median(seconds / steps for seconds, steps in runs)
            for name, runs in alternate_processes(programs, args.repeats).items()
        }
        for name, rate in rates.items():
            ratio = rate / rates[TEXTBOOK]
            rows.append(
                {"size": size, "program": name, "batches/s": rate, "ratio": ratio}
            )
        p = SIZES[size]
        used = distinct_rows(clicks(size, CPU, args.share), p)
        total = 2 * p["batch_size"] + p["n_sample"]
        print(f"({size}) item rows a step: {used} distinct, {total} in all")
    show(rows, args.json, threads=torch.get_num_threads())


if __name__ == "__main__":
    main()

"""What each idea brought: the textbook loop, then one idea after the other.

    python benchmarks/what_it_brought.py [--sizes a b] [--json]

The same sizes as train_speed.py, on the CPU; all programs run by turns.
"""

import argparse
from contextlib import ExitStack
from statistics import median
from unittest.mock import patch

import torch
from common import alternate, generated_sessions, show
from textbook import train
from train_speed import ITEMS, SIZES, STEPS, distinct_rows

from gru4rec_lite import GRU4Rec, fast, optim, precision, training
from gru4rec_lite.fast import FastStep

# What is left out again, from the first idea to the last.
WITHOUT_ONEDNN = patch.object(precision, "_onednn_is_accurate", lambda: False)
WITHOUT_HAND = patch.object(FastStep, "fits", staticmethod(lambda network: False))
WITHOUT_COMPILED = [
    patch.object(module, "kernels", None) for module in (fast, optim, training)
]
IDEAS = {
    "schedule, sampling, merged candidates": [
        WITHOUT_ONEDNN, WITHOUT_HAND, *WITHOUT_COMPILED,
    ],
    "+ products through oneDNN": [WITHOUT_HAND, *WITHOUT_COMPILED],
    "+ gradients by hand": WITHOUT_COMPILED,
    "+ compiled loops (GRU4Rec.fit)": [],
}  # fmt: skip


def programs(p, sessions, steps):
    def textbook():
        steps["textbook loop"] = train(sessions, p, torch.device("cpu"))[1]

    def ours(name, left_out):
        with ExitStack() as stack:
            for patched in left_out:
                stack.enter_context(patched)
            model = GRU4Rec(**p, device="cpu").fit(sessions, verbose=False)
        steps[name] = model.history["steps"].iloc[-1]

    found = {"textbook loop": textbook}
    for name, left_out in IDEAS.items():
        found[name] = lambda name=name, left_out=left_out: ours(name, left_out)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--share", type=float, default=1.0, help="of the steps")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = []
    for size in args.sizes:
        p = {"seed": 0, "dropout_p_embed": 0.0, "n_epochs": 1, **SIZES[size]}
        n_clicks = args.share * STEPS["cpu"][size] * p["batch_size"] * 1.35
        sessions, steps = generated_sessions(ITEMS[size], n_clicks), {}
        seconds = alternate(programs(p, sessions, steps), args.repeats)
        rates = {name: steps[name] / median(s) for name, s in seconds.items()}
        for name, rate in rates.items():
            ratio = rate / rates["textbook loop"]
            rows.append(
                {"size": size, "program": name, "batches/s": rate, "ratio": ratio}
            )
        print(f"({size}) item rows a step: {distinct_rows(sessions, p)} distinct, "
              f"{2 * p['batch_size'] + p['n_sample']} in all")  # fmt: skip
    show(rows, args.json, threads=torch.get_num_threads())


if __name__ == "__main__":
    main()

"""Training speed: GRU4Rec.fit against the textbook loop, in the same run.

    python benchmarks/train_speed.py [--device cuda] [--sizes a b] [--json]

Size (a) is small (B = 32, N = 2048, H = 100, cross-entropy, 3,000 items), (b) large
(B = 128, N = 2048, H = 512, BPR-max, 43,000 items). Both programs run by turns, each in
a process of its own, from sessions to a trained model: set-up, schedule and sampling
included. The first run of each warms up and does not count. The limit is the time that
a step's matrix products and the bytes of its item rows would take at the rates measured
in this process.
"""

import argparse
from functools import cache
from statistics import median

import numpy as np
import torch
from common import (
    alternate_processes,
    copy_rate,
    generated_sessions,
    peak_memory,
    product_rate,
    show,
    timed,
)
from textbook import train

from gru4rec_lite import GRU4Rec
from gru4rec_lite.precision import fast_products
from gru4rec_lite.sampling import NegativeSampler, merge

SIZES = {
    "a": dict(
        layers=[100], loss="cross-entropy", batch_size=32, n_sample=2048, logq=1.0,
        sample_alpha=0.5, dropout_p_hidden=0.4, learning_rate=0.2, momentum=0.2,
    ),
    "b": dict(
        layers=[512], loss="bpr-max", batch_size=128, n_sample=2048, elu_param=0.5,
        bpreg=1.0, sample_alpha=0.4, dropout_p_embed=0.5, dropout_p_hidden=0.05,
        learning_rate=0.05, momentum=0.4,
    ),
}  # fmt: skip
ITEMS = {"a": 3_000, "b": 43_000}
# An epoch on real clicks has about 3,000 steps at (a) and 7,000 at (b); set-up takes
# the same share of the time, or a larger one, here.
STEPS = {"cpu": {"a": 3000, "b": 1000}, "cuda": {"a": 6000, "b": 2500}}


def distinct_rows(sessions, p, n_steps=64):
    """Item rows that a step reads, on average over some steps."""
    rng = np.random.default_rng(0)
    sampler = NegativeSampler(sessions.support, p["sample_alpha"])
    drawn = sampler.draw((n_steps, p["n_sample"]), rng)
    clicked = rng.choice(sessions.items, (n_steps, 2 * p["batch_size"]))
    _, count = merge(np.concatenate([drawn, clicked], axis=1), sessions.n_items)
    return int((count > 0).sum(axis=1).mean())


def limit_seconds(p, rows, device, dtype):
    """Seconds that the products and the item rows of one step take at full rate."""
    b, h = p["batch_size"], p["layers"][0]
    scores = 3 * 2 * b * h * rows  # forward, and backward to both factors
    gates = 2 * b * h * 3 * h * (2 + 2 + 1)  # x and state; both weights; x again
    n_states = 2 if p["momentum"] else 1
    # Weights, their gradient and the optimiser's state: read once, written once.
    moved = 2 * 4 * h * rows * (1 + n_states)
    product = max(
        product_rate(b, h, rows, device, dtype), product_rate(rows, b, h, device, dtype)
    )
    return (scores + gates) / product + moved / copy_rate(4 * h * rows, device)


def run(program, size, device, precision):
    """Train once. (seconds, steps, loss, peak bytes so far)"""
    p, sessions = parameters(size), clicks(size, device)

    def textbook():
        return train(sessions, p, device)

    def ours():
        model = GRU4Rec(**p, device=str(device), precision=precision)
        epoch = model.fit(sessions, verbose=False).history.iloc[-1]
        return epoch["loss"], int(epoch["steps"])

    seconds, (loss, steps) = timed(textbook if program == "textbook" else ours)
    return seconds, steps, loss, peak_memory(device)


def parameters(size):
    return {"seed": 0, "dropout_p_embed": 0.0, "n_epochs": 1, **SIZES[size]}


@cache
def clicks(size, device, share=1.0):
    """Sessions for about ``STEPS`` steps, or a share of them."""
    n_clicks = share * STEPS[device.type][size] * SIZES[size]["batch_size"] * 1.35
    return generated_sessions(ITEMS[size], n_clicks)


def measure(size, device, repeats, precision):
    """Rows of the table, the ratio, and the share of the limit."""
    programs = {
        name: (run, name, size, device, precision) for name in ("textbook", "ours")
    }
    runs = alternate_processes(programs, repeats)
    rows, per_step = [], {}
    for name, done in runs.items():
        seconds = median(r[0] for r in done)
        _, steps, loss, peak = done[-1]
        per_step[name] = seconds / steps
        rows.append(
            {
                "size": size, "program": name, "precision": precision,
                "batches/s": steps / seconds,
                "events/s": SIZES[size]["batch_size"] * steps / seconds,
                "seconds": seconds, "slowest": max(r[0] for r in done), "loss": loss,
                "peak MB": peak / 1e6,
            }
        )  # fmt: skip
    used = distinct_rows(clicks(size, device), SIZES[size])
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    with fast_products():
        limit = limit_seconds(SIZES[size], used, device, dtype)
    return rows, per_step["textbook"] / per_step["ours"], limit / per_step["ours"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", type=torch.device)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows, ratio, share = [], {}, {}
    for size in args.sizes:
        more, ratio[size], share[size] = measure(
            size, args.device, args.repeats, args.precision
        )
        rows += more
    show(
        rows, args.json, ratio=ratio, limit_share=share, threads=torch.get_num_threads()
    )


if __name__ == "__main__":
    main()

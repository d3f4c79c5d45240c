"""What training costs as the data grow: clicks, items, hidden units; a figure.

    python benchmarks/scaling.py [--device cuda] [--figure docs/scaling.png] [--json]

One thing is varied at a time around 10^5 clicks, 10^4 items, 100 units; B = 32,
N = 2048.
Seconds an epoch for clicks, where set-up counts; mini-batches a second for the others.
"""

import argparse
import time

import torch
from common import generated_sessions, peak_memory, show

from gru4rec_lite import GRU4Rec
from gru4rec_lite.batching import session_parallel

CLICKS = [10**5, 10**6, 10**7]
ITEMS = [10**3, 10**4, 10**5, 10**6]
UNITS = [50, 100, 200, 400, 800]


def train(n_clicks, n_items, units, device):
    """(seconds in all, mini-batches a second) of one epoch."""
    sessions = generated_sessions(n_items, n_clicks)
    start = time.perf_counter()
    model = GRU4Rec(layers=[units], n_epochs=1, logq=1.0, device=str(device))
    model.fit(sessions, verbose=False)
    seconds = time.perf_counter() - start
    epoch = model.history.iloc[-1]
    return seconds, epoch["steps"] / epoch["seconds"]


def schedule_seconds(n_clicks):
    sessions = generated_sessions(1000, n_clicks)
    start = time.perf_counter()
    session_parallel(sessions.offsets, 32)
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", type=torch.device)
    parser.add_argument("--figure", default="docs/scaling.png")
    parser.add_argument("--quick", action="store_true", help="leave out the largest")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    cut = slice(-1) if args.quick else slice(None)
    rows = []
    for varied, values in (("items", ITEMS), ("units", UNITS), ("clicks", CLICKS)):
        for value in values[cut]:
            setting = {"clicks": 10**5, "items": 10**4, "units": 100, varied: value}
            seconds, rate = train(*setting.values(), args.device)
            rows.append(
                {
                    "varied": varied, "value": value, "seconds": seconds,
                    "batches/s": rate, "peak GB": peak_memory(args.device) / 1e9,
                }
            )  # fmt: skip
    draw(rows, args.figure)
    schedule = {n: schedule_seconds(n) for n in CLICKS[cut]}
    show(rows, args.json, schedule_seconds=schedule, figure=args.figure)


def draw(rows, path):
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    figure = Figure(figsize=(9, 3), layout="constrained")
    panels = figure.subplots(1, 3)
    labels = {
        "items": ("items I", "batches/s", "mini-batches a second"),
        "units": ("hidden units H", "batches/s", "mini-batches a second"),
        "clicks": ("clicks E", "seconds", "seconds an epoch"),
    }
    for axes, (varied, (x, y, name)) in zip(panels, labels.items(), strict=True):
        some = [row for row in rows if row["varied"] == varied]
        values, costs = [r["value"] for r in some], [r[y] for r in some]
        axes.plot(values, costs, "o-", color="#08306b")
        for value, cost in zip(values, costs, strict=True):
            axes.annotate(
                f"{cost:,.3g}" if cost < 100 else f"{cost:,.0f}", (value, cost),
                xytext=(0, 7), textcoords="offset points", ha="center", fontsize=8,
            )  # fmt: skip
        axes.set(xscale="log", yscale="log", xlabel=x, ylabel=name)
        axes.set_xticks(values, [_short(value) for value in values])
        axes.set_ylim(min(costs) / 2, max(costs) * 2)
        axes.margins(x=0.12)
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.grid(color="#e0e0e0")
    figure.savefig(path, dpi=100)


def _short(n):
    return f"{n:,}" if n < 10**4 else f"$10^{len(str(n)) - 1}$"


if __name__ == "__main__":
    main()

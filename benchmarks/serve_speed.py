"""Serving speed: a click in, a new ranking out, on one core with 40,000 items.

    python benchmarks/serve_speed.py [--json]

LiveSession keeps the hidden state between clicks. Beside it, in the same run, recommend
which reads the whole session again at every click.
"""

import argparse
import time

import numpy as np
import torch
from common import generated_sessions, show

from gru4rec_lite import GRU4Rec

ITEMS = 40_000


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clicks", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    sessions = generated_sessions(ITEMS, 20_000)
    clicks = np.random.default_rng(0).choice(sessions.items, args.clicks).tolist()
    rows, middle = [], {}
    for units in (100, 512):
        model = GRU4Rec(layers=[units], n_epochs=1, device="cpu")
        model.fit(sessions, verbose=False)
        seconds = {"LiveSession": [], "recommend": []}
        live = model.session()
        for n, item in enumerate(clicks):
            start = time.perf_counter()
            live.click(item).recommend(20)
            seconds["LiveSession"].append(time.perf_counter() - start)
            start = time.perf_counter()
            model.recommend(clicks[max(0, n - 9) : n + 1], 20)  # the last ten clicks
            seconds["recommend"].append(time.perf_counter() - start)
        for name, values in seconds.items():
            p50, p99 = np.percentile(np.array(values[10:]) * 1e3, [50, 99])
            rows.append({"units": units, "way": name, "ms p50": p50, "ms p99": p99})
            middle[f"{name}-{units}"] = round(float(p50), 3)
    show(rows, args.json, milliseconds=middle)


if __name__ == "__main__":
    main()

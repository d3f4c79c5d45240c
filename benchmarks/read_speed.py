"""Reading speed: Sessions.read and the schedule on 10 million generated clicks.

    python benchmarks/read_speed.py [--clicks 10000000] [--json]

Beside it, in the same run, what pandas alone needs to read the file with the same types
and to sort it, which every program has to do in some way.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from common import generated_sessions, peak_memory, show

from gru4rec_lite import Sessions
from gru4rec_lite.batching import session_parallel


def write_clicks(path, n_clicks):
    """Clicks as a log has them: sessions overlap in time, and their rows mix."""
    sessions = generated_sessions(40_000, n_clicks)
    rng = np.random.default_rng(0)
    start = rng.random(sessions.n_sessions) * 30 * 86400
    times = np.repeat(start, np.diff(sessions.offsets))
    times += rng.exponential(60, len(times)).cumsum() % 3600
    frame = pd.DataFrame(
        {
            "SessionId": np.repeat(
                rng.permutation(sessions.n_sessions), np.diff(sessions.offsets)
            ),
            "ItemId": sessions.items.astype(np.int64) + 214_000_000,
            "Time": (1.396e9 + times).round(3),
        }
    )
    frame.sort_values("Time").to_csv(path, sep="\t", index=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clicks", type=int, default=10_000_000)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = []

    def note(step, start):
        seconds = time.perf_counter() - start
        peak = peak_memory(torch.device("cpu")) / 1e9
        rows.append({"step": step, "seconds": seconds, "peak GB so far": peak})

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clicks.tsv"
        # In a process of its own, so that its memory is not counted here.
        import multiprocessing

        writer = multiprocessing.get_context("spawn").Process(
            target=write_clicks, args=(path, args.clicks)
        )
        writer.start()
        writer.join()

        start = time.perf_counter()
        sessions = Sessions.read(path)
        note("Sessions.read", start)
        start = time.perf_counter()
        schedule = session_parallel(sessions.offsets, args.batch_size)
        note("schedule", start)
        ours = sum(row["seconds"] for row in rows)
        ours_gb = rows[-1]["peak GB so far"]
        del schedule

        start = time.perf_counter()
        frame = pd.read_csv(path, sep="\t", dtype={"Time": float})
        frame = frame.sort_values(["SessionId", "Time"], kind="stable")
        note("pandas: read and sort alone", start)
    show(
        rows, args.json, clicks=sessions.n_clicks, seconds=ours, peak_gb=ours_gb,
        ratio=rows[-1]["seconds"] / ours,
    )  # fmt: skip


if __name__ == "__main__":
    main()

"""Ranking speed: evaluate() against the textbook way, in the same run.

    python benchmarks/evaluate_speed.py [--device cuda] [--json]

60,000 predictions, 43,000 items, 512 hidden units. The textbook way
reads the sessions side by side with nn.GRUCell, scores all items after each click and
counts those above the target. The limit is the time of the matrix products alone, at
the rate measured in this process.
"""

import argparse
from statistics import median

import numpy as np
import torch
from common import alternate, generated_sessions, peak_memory, product_rate, show
from torch import nn

from gru4rec_lite import GRU4Rec, evaluate
from gru4rec_lite.precision import fast_products
from gru4rec_lite.recommender import MAX_SCORES

ITEMS, UNITS, PREDICTIONS = 43_000, 512, 60_000


@torch.no_grad()
def textbook(model, sessions, batch_size=128):
    """Recall@20 with ties against, the way one would first write it."""
    network = model.network
    device = network.output.device
    cell = nn.GRUCell(UNITS, UNITS, device=device)
    cell.load_state_dict(network.cells[0].state_dict())
    weights, bias = network.output[:-1], network.output_bias[:-1]
    items, offsets = sessions.items, sessions.offsets
    hits = n = 0
    for first in range(0, sessions.n_sessions, batch_size):
        at = offsets[first : first + batch_size + 1]
        at, end = at[:-1].copy(), at[1:] - 1
        state = torch.zeros(len(at), UNITS, device=device)
        while len(at):
            x = weights[torch.as_tensor(items[at], device=device).long()]
            target = torch.as_tensor(items[at + 1], device=device).long()
            state = cell(x, state)
            scores = state @ weights.T + bias
            wanted = scores[torch.arange(len(at), device=device), target][:, None]
            rank = (scores >= wanted).sum(1)
            hits += (rank <= 20).sum().item()
            n += len(at)
            at += 1
            go_on = np.flatnonzero(at < end)
            at, end, state = at[go_on], end[go_on], state[torch.as_tensor(go_on)]
    return hits / n


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", type=torch.device)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--predictions", type=int, default=PREDICTIONS)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()

    train = generated_sessions(ITEMS, 20_000)
    sessions = generated_sessions(ITEMS, args.predictions * 1.26, seed=1)
    model = GRU4Rec(
        layers=[UNITS], loss="bpr-max", n_epochs=1, batch_size=128,
        device=str(args.device),
    ).fit(train, verbose=False)  # fmt: skip
    result = {}

    def ours():
        result["ours"] = evaluate(model, sessions, progress=False)

    def by_the_book():
        result["textbook"] = textbook(model, sessions)

    seconds = alternate({"textbook": by_the_book, "ours": ours}, args.repeats)
    n = result["ours"].n_predictions
    assert abs(result["ours"].recall[20] - result["textbook"]) < 1e-3
    with fast_products():
        # The best of two shapes: of one chunk, and of what stays in the cache.
        rate = max(
            product_rate(MAX_SCORES // ITEMS, UNITS, ITEMS, args.device),
            product_rate(1024, UNITS, 4096, args.device),
        )
    operations = 2 * n * UNITS * ITEMS + 2 * sessions.n_clicks * UNITS * 6 * UNITS
    took = {name: median(s) for name, s in seconds.items()}
    rows = [
        {
            "program": name, "seconds": took[name], "predictions/s": n / took[name],
            "Recall@20": recall, "peak MB": peak_memory(args.device) / 1e6,
        }
        for name, recall in
        (("textbook", result["textbook"]), ("ours", result["ours"].recall[20]))
    ]  # fmt: skip
    show(
        rows,
        args.json,
        ratio=took["textbook"] / took["ours"],
        limit_share=operations / rate / took["ours"],
        threads=torch.get_num_threads(),
    )


if __name__ == "__main__":
    main()

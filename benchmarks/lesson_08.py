"""Mistakes of lesson 08 on the shop: docs/lesson_08_curves.csv and _mistakes.csv.

    python benchmarks/lesson_08.py

Trains `lesson_08.Careless` for two epochs with every mistake, for each loss in which
it is looked at; with cross-entropy for two seeds: 57 trainings, about 15 minutes on one
core. The second file is made from the first, and from two models evaluated with
mistakes. Goes on where it was interrupted; delete the files to measure anew.
"""

import torch

from gru4rec_lite import load_shop
from gru4rec_lite.course import lesson_08, measured

torch.set_num_threads(1)  # matrices this small gain nothing from more


def main():
    shop = load_shop()

    def curve(mistake, loss, seed):
        _, seen = lesson_08.observe(shop, mistake, loss, seed)
        return {"mistake": mistake, "loss": loss, "seed": seed, **seen}

    curves = measured.extend("lesson_08_curves", lesson_08.trainings(), curve)
    pairs = {(one["mistake"], one["loss"]) for one in lesson_08.trainings().values()}
    rows = {
        f"{loss}, {mistake}": {"mistake": mistake, "loss": loss}
        for loss in ("cross-entropy", "bpr-max")
        for mistake in lesson_08.MISTAKES
        if (mistake, loss) in pairs or loss == "cross-entropy"
    }
    del rows["cross-entropy, max loss without softmax"]
    models = {}

    def change(mistake, loss):
        if mistake in lesson_08.OF_TESTING and not models:
            for seed in curves["seed"].unique():
                models[seed] = lesson_08.Careless(seed=seed).fit(shop.train)
        return lesson_08.compare(curves, models, shop.test, mistake, loss)

    measured.extend("lesson_08_mistakes", rows, change)


if __name__ == "__main__":
    main()

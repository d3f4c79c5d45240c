"""All recommenders on the shop, and on rsc15-100k where at hand: docs/results.md.

    python benchmarks/results.py [--data ../shared/data/rsc15-100k] [--out docs]

Writes results-shop.csv, results-rsc15.csv and results.md, with the machine they ran on.
Recall@20 and MRR@20 with bootstrap 95 % intervals over sessions, under the standard
tie rule (as most published figures) and the conservative one.
"""

import argparse
import datetime
import os
import platform
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from gru4rec_lite import BASELINES, GRU4Rec, Sessions, evaluate, load_shop, presets
from gru4rec_lite.course.plots import rankings

BPR_MAX = dict(
    loss="bpr-max", layers=[100], batch_size=32, constrained_embedding=True,
    dropout_p_embed=0.1, dropout_p_hidden=0.2, learning_rate=0.05, momentum=0.2,
    n_sample=512, sample_alpha=0.3, bpreg=1.0, elu_param=1.0, n_epochs=10,
)  # fmt: skip
ONE_HOT = dict(
    loss="cross-entropy", layers=[100], batch_size=32, constrained_embedding=False,
    dropout_p_hidden=0.4, learning_rate=0.1, n_sample=0, n_epochs=5,
)  # fmt: skip
V1 = [name for name in presets if "2016" in name]


def baselines():
    return {name: kind() for name, kind in BASELINES.items()}


def on_rsc15():
    models = baselines()
    for seed in (0, 1, 2):
        models[f"GRU4Rec rsc15, seed {seed}"] = GRU4Rec(**presets["rsc15"], seed=seed)
    models["GRU4Rec BPR-max"] = GRU4Rec(**BPR_MAX)
    models["GRU4Rec retailrocket"] = GRU4Rec(**presets["retailrocket"])
    models["GRU4Rec one-hot, in-batch"] = GRU4Rec(**ONE_HOT)
    return models | {f"GRU4Rec {name}": GRU4Rec(**presets[name]) for name in V1}


def on_shop():
    models = baselines() | {"GRU4Rec shop": GRU4Rec(**presets["shop"])}
    models["GRU4Rec BPR-max"] = GRU4Rec(**BPR_MAX)
    models["GRU4Rec TOP1-max"] = GRU4Rec(**{**BPR_MAX, **TOP1_MAX})
    return models | {f"GRU4Rec {name}": GRU4Rec(**presets[name]) for name in V1}


TOP1_MAX = {"loss": "top1-max", "elu_param": 0.0}


def measure(models, train, test):
    rows = []
    for name, model in models.items():
        start = time.perf_counter()
        if model.item_ids is None:
            model.fit(train)
        seconds = time.perf_counter() - start
        report = evaluate(model, test)
        row = {"recommender": name, "predictions": report.n_predictions}
        for ties in ("standard", "conservative"):
            under = report.with_ties(ties)
            for metric in ("recall", "mrr"):
                low, high = under.interval(metric, 20)[:2]
                row |= {
                    f"{metric}@20 {ties}": getattr(under, metric)[20],
                    f"{metric}@20 {ties} low": low,
                    f"{metric}@20 {ties} high": high,
                }
        rows.append(row | {"training seconds": seconds})
        print(f"{name}: {row['recall@20 standard']:.4f}", flush=True)
    return pd.DataFrame(rows)


def draw_next_click(models, path):
    """README's picture: what follows a camera and a memory card, known and learnt."""
    clicks = ["camera-lumo-x2", "memory-card-arc-64"]
    known, learnt = models["oracle"].recommend(clicks, 6), models["GRU4Rec shop"]
    learnt = learnt.recommend(clicks, len(learnt.item_ids))
    learnt["score"] = np.exp(learnt["score"]) / np.exp(learnt["score"]).sum()
    figure = rankings({"oracle": known, "GRU4Rec": learnt.head(6)})
    figure.suptitle("After " + ", ".join(clicks))
    figure.savefig(path, dpi=100)


def as_markdown(table):
    """A table for people: figure and half its interval's width."""
    lines = [
        "| recommender | Recall@20 | MRR@20 | Recall@20, ties against | training s |"
    ]
    lines.append("| --- | --- | --- | --- | --- |")
    for _, row in table.iterrows():
        cells = [row["recommender"]]
        for column in (
            "recall@20 standard",
            "mrr@20 standard",
            "recall@20 conservative",
        ):
            half = (row[f"{column} high"] - row[f"{column} low"]) / 2
            cells.append(f"{row[column]:.4f} ± {half:.4f}")
        cells.append(f"{row['training seconds']:.1f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def machine():
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} threads, Python {platform.python_version()}, "
        f"PyTorch {torch.__version__}, {datetime.date.today()}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = os.environ.get("GRU4REC_LITE_DATA", "../shared/data/rsc15-100k")
    parser.add_argument("--data", type=Path, default=Path(default))
    parser.add_argument("--out", type=Path, default=Path("docs"))
    args = parser.parse_args()
    args.out.mkdir(exist_ok=True)

    shop = load_shop()
    tables = {"shop": (on_shop() | {"oracle": shop.oracle}, shop.train, shop.test)}
    if args.data.is_dir():
        train = Sessions.read(args.data / "train_full.tsv")
        test = Sessions.read(args.data / "test.tsv")
        tables["rsc15"] = on_rsc15(), train, test
    else:
        print(f"{args.data}: not there; its table stays as it is")

    text = [INTRODUCTION.format(machine=machine())]
    for name, (models, train, test) in tables.items():
        table = measure(models, train, test)
        if name == "shop":
            draw_next_click(models, args.out / "next_click.png")
        table.to_csv(args.out / f"results-{name}.csv", index=False, float_format="%.6f")
    for name, title in TITLES.items():
        path = args.out / f"results-{name}.csv"
        if path.exists():
            table = pd.read_csv(path)
            n = table["predictions"].iloc[0]
            text += [f"## {title}\n\n{n:,} predictions.\n", as_markdown(table), ""]
    (args.out / "results.md").write_text("\n".join(text), encoding="utf-8")


INTRODUCTION = """# Measured results

Made by `make results` on this machine: {machine}.

Every click but the last of a test session is one prediction, ranked against all items.
± is half of the bootstrap 95 % interval over sessions. The first two columns use the
standard tie rule (ties count for the target), which most published figures use; the
third counts ties against it. The settings stand in `benchmarks/results.py`.
"""
TITLES = {
    "shop": "The shop in data/",
    "rsc15": "RSC15, the first week of April 2014 (rsc15-100k)",
}


if __name__ == "__main__":
    main()

"""What lesson 09 reads: from the 2016 to the 2018 model, losses, regularisation.

    python benchmarks/lesson_09.py

Half an hour on one core; goes on where it was interrupted. Writes into docs/

- lesson_09_waterfall.csv: Recall@20 on the shop's test days, one change after the
  other, with 95 % intervals. Three passes with 100 hidden units; the learning rate of
  each row is the better of two on the validation days.
- lesson_09_losses.csv: losses × number of negatives. Fifty hidden units, three passes
  over the last two weeks; the better of two learning rates.
- lesson_09_regularisation.csv: bpreg × elu_param of BPR-max, trained in the same way.

Choices are made on the validation days; the figures are those of the test days.
"""

import time

from results import BPR_MAX

from gru4rec_lite import GRU4Rec, evaluate, load_shop, presets
from gru4rec_lite.course import measured

RATES = [0.03, 0.1]
FEW_RATES = [0.05, 0.2]
MODEL_2016 = {**presets["rsc15-2016-top1"], "n_epochs": 3}
MAX_LOSS = {**MODEL_2016, "loss": "bpr-max", "bpreg": 1.0, "elu_param": 1.0}
NEGATIVES = {**MAX_LOSS, "n_sample": 512, "sample_alpha": 1.0}
ALPHA = {**NEGATIVES, "sample_alpha": 0.3}
SHARED = {**ALPHA, "constrained_embedding": True}
OLD_LOSS = {**SHARED, "loss": "top1", "elu_param": 0.0}

WATERFALL = {
    "2016 model": {"settings": MODEL_2016, "rates": RATES},
    "BPR-max": {"settings": MAX_LOSS, "rates": RATES},
    "512 negatives": {"settings": NEGATIVES, "rates": RATES},
    "alpha 0.3": {"settings": ALPHA, "rates": RATES},
    "shared embedding": {"settings": SHARED, "rates": RATES},
    "tuned": {"settings": BPR_MAX, "rates": [BPR_MAX["learning_rate"]]},
    # Not a step: all of them up to the shared embedding, but the loss of 2016.
    "shared embedding, TOP1": {"settings": OLD_LOSS, "rates": RATES},
    "oracle": {"settings": None, "rates": []},
}

SMALL = {
    "layers": [50], "batch_size": 32, "n_epochs": 3, "constrained_embedding": True,
    "sample_alpha": 0.3,
}  # fmt: skip
LOSSES = {
    "cross-entropy": {"loss": "cross-entropy"},
    "cross-entropy, logq": {"loss": "cross-entropy", "logq": 1.0},
    "BPR": {"loss": "bpr"},
    "TOP1": {"loss": "top1"},
    "BPR-max": {"loss": "bpr-max", "bpreg": 1.0, "elu_param": 1.0},
    "TOP1-max": {"loss": "top1-max"},
}
BY_LOSS = {
    f"{name}, N = {n}": {
        "settings": {**SMALL, **loss, "n_sample": n}, "rates": FEW_RATES,
    }
    for n in (0, 32, 256, 2048)
    for name, loss in LOSSES.items()
}  # fmt: skip
REGULARISATION = {
    f"bpreg = {bpreg}, elu_param = {alpha}": {
        "settings": {
            **SMALL, **LOSSES["BPR-max"], "n_sample": 256, "bpreg": bpreg,
            "elu_param": alpha,
        },
        "rates": FEW_RATES[:1],
    }
    for bpreg in (0.0, 1.0, 2.0)
    for alpha in (0.0, 1.0)
}  # fmt: skip
SHOWN = [
    "loss", "n_sample", "sample_alpha", "constrained_embedding", "layers",
    "batch_size", "n_epochs", "learning_rate", "momentum", "dropout_p_embed",
    "dropout_p_hidden", "bpreg", "elu_param", "logq",
]  # fmt: skip


def settings_of(model):
    """The settings as columns: one value each."""
    columns = {name: getattr(model, name) for name in SHOWN}
    return columns | {"layers": "/".join(map(str, columns["layers"]))}


def on_the_month(shop):
    """A measure of one row: the rate is chosen, then all training days are used."""

    def measure(settings, rates):
        if settings is None:
            return figures(evaluate(shop.oracle, shop.test))
        tried = {}
        for rate in rates if len(rates) > 1 else []:
            model = fitted(settings, rate, shop.train_part)[0]
            tried[rate] = evaluate(model, shop.valid).recall[20]
        best = max(tried, key=tried.get) if tried else rates[0]
        model, seconds = fitted(settings, best, shop.train)
        report = evaluate(model, shop.test)
        return settings_of(model) | figures(report) | {"seconds": seconds}

    return measure


def on_two_weeks(shop):
    """A measure of one row of the small models: the better of the rates."""
    recent = shop.train_part.split_last_days(14)[1]

    def measure(settings, rates):
        tried = []
        for rate in rates:
            model, seconds = fitted(settings, rate, recent)
            tried.append((evaluate(model, shop.valid).recall[20], model, seconds))
        valid, model, seconds = max(tried, key=lambda one: one[0])
        report = evaluate(model, shop.test)
        row = settings_of(model) | {"valid_recall@20": valid}
        return row | figures(report) | {"seconds": seconds}

    return measure


def fitted(settings, rate, sessions):
    model = GRU4Rec(**{**settings, "learning_rate": rate}, device="cpu")
    start = time.perf_counter()
    model.fit(sessions, verbose=False)
    return model, time.perf_counter() - start


def figures(report):
    """Recall@20 and MRR@20 with their intervals."""
    row = {"predictions": report.n_predictions}
    for metric in ("recall", "mrr"):
        low, high = report.interval(metric, 20)
        value = getattr(report, metric)[20]
        row |= {f"{metric}@20": value, f"{metric}_low": low, f"{metric}_high": high}
    return row


def main():
    shop = load_shop()
    measured.extend("lesson_09_waterfall", WATERFALL, on_the_month(shop))
    measured.extend("lesson_09_regularisation", REGULARISATION, on_two_weeks(shop))
    measured.extend("lesson_09_losses", BY_LOSS, on_two_weeks(shop))


if __name__ == "__main__":
    main()

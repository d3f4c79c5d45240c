"""Published parameter settings by name, as `GRU4Rec(**presets["rsc15"])` takes them.

The first six are the best settings that the authors published for public datasets; the
``rsc15-2016-…`` ones are from the 2016 paper (arXiv 1511.06939, table 2). ``shop`` was
tuned on the validation days of the shop in data/.
"""


def _v2(loss, layers, batch, embed, hidden, lr, momentum, alpha, **more):
    """A setting of the 2018 model: shared embedding and 2048 extra negatives."""
    return {
        "loss": loss, "constrained_embedding": True, "embedding": 0, "layers": layers,
        "batch_size": batch, "dropout_p_embed": embed, "dropout_p_hidden": hidden,
        "learning_rate": lr, "momentum": momentum, "n_sample": 2048,
        "sample_alpha": alpha, "n_epochs": 10, **more,
    }  # fmt: skip


def _v1(loss, batch, hidden, lr, momentum):
    """A setting of the 2016 model: one-hot input, 100 units, in-batch negatives."""
    return {
        "loss": loss, "constrained_embedding": False, "embedding": 0, "layers": [100],
        "batch_size": batch, "dropout_p_hidden": hidden, "learning_rate": lr,
        "momentum": momentum, "n_sample": 0, "n_epochs": 10,
    }  # fmt: skip


presets = {
    "rsc15": _v2("cross-entropy", [100], 32, 0.0, 0.4, 0.2, 0.2, 0.5, logq=1.0),
    "yoochoose": _v2("cross-entropy", [480], 48, 0.0, 0.2, 0.07, 0.0, 0.2, logq=1.0),
    "rees46": _v2("cross-entropy", [512], 240, 0.45, 0.0, 0.065, 0.0, 0.5, logq=1.0),
    "coveo": _v2(
        "bpr-max", [512], 144, 0.35, 0.0, 0.05, 0.4, 0.2, bpreg=1.85, elu_param=1.0
    ),
    "retailrocket": _v2(
        "bpr-max", [224], 80, 0.5, 0.05, 0.05, 0.4, 0.4, bpreg=1.95, elu_param=0.5
    ),
    "diginetica": _v2(
        "bpr-max", [512], 128, 0.5, 0.3, 0.05, 0.15, 0.3, bpreg=0.9, elu_param=1.0
    ),
    "rsc15-2016-top1": _v1("top1", 50, 0.5, 0.01, 0.0),
    "rsc15-2016-bpr": _v1("bpr", 50, 0.2, 0.05, 0.2),
    "rsc15-2016-xe": _v1("cross-entropy", 500, 0.0, 0.01, 0.0),
    "shop": {
        **_v2("cross-entropy", [100], 64, 0.0, 0.2, 0.1, 0.0, 0.5, logq=1.0),
        "n_sample": 512,
        "n_epochs": 4,
    },
}

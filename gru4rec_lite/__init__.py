"""GRU4Rec (Hidasi et al., 2016 and 2018) in a package that can be read in an evening.

One module, one lesson: sessions (01), network (02, 03), batching (04), sampling and
losses (05, 09), evaluation and baselines (06), optim, training and gru4rec (07).
"""

from importlib import import_module

# Names and the modules they live in. A module is imported when it is first asked for:
# PyTorch takes seconds to load, and ``gru4rec-lite --help`` does not need it.
_HOME = {
    "BASELINES": "baselines",
    "BPRMF": "baselines",
    "POP": "baselines",
    "SPOP": "baselines",
    "ItemKNN": "baselines",
    "Markov": "baselines",
    "DataError": "errors",
    "GRU4RecError": "errors",
    "ModelFileError": "errors",
    "ParameterError": "errors",
    "compare": "evaluation",
    "evaluate": "evaluation",
    "GRU4Rec": "gru4rec",
    "Sessions": "sessions",
    "presets": "settings",
    "load_shop": "shop",
}
__all__ = sorted(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{_HOME[name]}", __name__), name)
    return value


def __dir__():
    return sorted([*globals(), *__all__])

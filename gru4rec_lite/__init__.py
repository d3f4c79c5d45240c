"""GRU4Rec (Hidasi et al., 2016 and 2018) in a package that can be read in an evening.

One module, one lesson: sessions (01), network (02, 03), batching (04), sampling and
losses (05, 09), evaluation and baselines (06), optim, training and gru4rec (07).
"""

from .baselines import BASELINES, BPRMF, POP, SPOP, ItemKNN, Markov
from .errors import DataError, GRU4RecError, ModelFileError, ParameterError
from .evaluation import compare, evaluate
from .gru4rec import GRU4Rec
from .sessions import Sessions
from .settings import presets
from .shop import load_shop

__all__ = [
    "BASELINES",
    "BPRMF",
    "POP",
    "SPOP",
    "DataError",
    "GRU4Rec",
    "GRU4RecError",
    "ItemKNN",
    "Markov",
    "ModelFileError",
    "ParameterError",
    "Sessions",
    "compare",
    "evaluate",
    "load_shop",
    "presets",
]

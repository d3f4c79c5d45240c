"""Mistakes that reimplementations of GRU4Rec are known for, each made on purpose.

The package must equal the plain reference, and must differ from the reference with the
mistake: the first alone would also pass if the mistake made no difference to these
sessions. Those of evaluation are in test_evaluation.py. Source: Hidasi & Czapp 2023
(arXiv 2307.14956).
"""

import numpy as np
import pytest
from reference import MISTAKES, random_lists, sessions_from, train_package
from scipy.stats import chisquare

SESSIONS = sessions_from(random_lists(n_sessions=30, n_items=20, seed=1))
SHOWS_IN = {  # settings in which the mistake would change the result
    "state kept": [{}, {"layers": [5, 6]}],
    "wrong slot reset": [{}, {"layers": [5, 6]}],
    "positive among negatives": [
        {"loss": "cross-entropy"},
        {"loss": "bpr"},
        {"loss": "top1"},
        {"loss": "bpr-max", "elu_param": 0.5},
        {"loss": "top1-max", "n_sample": 9},
    ],
    "mean over open slots": [{}, {"batch_size": 20, "n_sample": 5}],
    "rows overwritten": [
        {"constrained_embedding": False},
        {"constrained_embedding": False, "embedding": 4},
        {"n_sample": 9},
    ],
    "negatives apart": [{"n_sample": 9}, {"n_sample": 9, "loss": "bpr-max"}],
    "targets apart": [{"n_sample": 9}, {"n_sample": 9, "loss": "bpr-max"}],
    "logq without alpha": [{"n_sample": 9, "logq": 1.0}],
    "all rows moved": [{}, {"constrained_embedding": False}],
}
CASES = [(mistake, case) for mistake in SHOWS_IN for case in SHOWS_IN[mistake]]


def test_every_mistake_is_tried():
    assert SHOWS_IN.keys() == MISTAKES.keys()


@pytest.mark.parametrize("mistake, parameters", CASES, ids=str)
def test_mistake_is_not_made(mistake, parameters):
    training = train_package(SESSIONS, 40, **parameters)
    assert training.largest_difference(training.repeat()) < 1e-6
    assert training.largest_difference(training.repeat(mistake)) > 1e-2


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_negatives_follow_support_to_the_alpha(alpha):
    """Not popularity alone, and not uniform: chi-square over what training drew."""
    training = train_package(SESSIONS, 200, n_sample=100, sample_alpha=alpha)
    counts = np.bincount(np.ravel(training.negatives), minlength=20)
    for other in (0.0, 0.5, 1.0):
        weight = SESSIONS.support.astype(float) ** other
        p = chisquare(counts, weight / weight.sum() * counts.sum()).pvalue
        assert p > 0.001 if other == alpha else p < 1e-9


def test_negatives_are_drawn_anew_at_each_step():
    training = train_package(SESSIONS, 40, n_sample=30)
    assert len(set(map(tuple, training.negatives))) == len(training.negatives)

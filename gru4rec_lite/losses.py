"""Ranking losses: cross-entropy, BPR, TOP1, and their max versions (lessons 05, 09).

Each is a function ``f(scores, **options) -> scalar tensor``, the mean over rows.
``scores`` is (B, C): row i scores the C candidates of this step for slot i, and its
positive (the item clicked next) stands in column i. All other columns are negatives.

Sources: Hidasi et al. 2016 (arXiv 1511.06939), section 3.1.3, for cross-entropy, BPR
(after Rendle et al. 2009) and TOP1; Hidasi & Karatzoglou 2018 (arXiv 1706.03847),
sections 3.2 to 3.4, for the max losses and score regularisation.

Merged columns. Popular items are drawn several times in a step. Their columns are equal,
so training computes each once and says how often it counts: ``target`` (B,) is then
the column of each row's positive and ``count`` (C,) the number of candidates that a column
stands for. The value is the same as with the columns written out.

r_i is the positive's score, r_j a negative's, σ the logistic function, and w_j the
softmax over a row's negatives.
"""

import torch
import torch.nn.functional as F


def cross_entropy(scores, target=None):
    """Cross-entropy over the candidates: −log softmax(r)_i.

    For merged columns add log(count) to the scores first: a column that counts twice adds
    twice to the softmax's sum.
    """
    if target is None:
        target = torch.arange(len(scores), device=scores.device)
    return F.cross_entropy(_finite(scores), target)


def bpr(scores, target=None, count=None):
    """Bayesian personalised ranking: −mean_j log σ(r_i − r_j)."""
    scores, positive, weight = _split(scores, target, count)
    return -_mean(weight, F.logsigmoid(positive - scores))


def top1(scores, target=None, count=None):
    """TOP1: mean_j [σ(r_j − r_i) + σ(r_j²)].

    The first term is a smooth relative rank, the second pulls negatives' scores to 0.
    """
    scores, positive, weight = _split(scores, target, count)
    cost = torch.sigmoid(scores - positive) + torch.sigmoid(scores.square())
    return _mean(weight, cost)


def bpr_max(scores, bpreg=1.0, target=None, count=None):
    """BPR-max: −log Σ_j w_j σ(r_i − r_j) + bpreg · Σ_j w_j r_j².

    The log of the sum is computed as a logsumexp, so that a target far below every
    negative costs a large finite number instead of log 0.
    """
    scores, positive, weight = _split(scores, target, count)
    log_w = _log_softmax(scores, weight)
    ranking = torch.logsumexp(log_w + F.logsigmoid(positive - scores), 1)  # (B,)
    penalty = (log_w.exp() * scores.square()).sum(1)  # (B,)
    return (bpreg * penalty - ranking).mean()


def top1_max(scores, target=None, count=None):
    """TOP1-max: Σ_j w_j [σ(r_j − r_i) + σ(r_j²)]."""
    scores, positive, weight = _split(scores, target, count)
    cost = torch.sigmoid(scores - positive) + torch.sigmoid(scores.square())
    return (_log_softmax(scores, weight).exp() * cost).sum(1).mean()


def elu(scores, alpha):
    """r if r > 0 else alpha · (exp(r) − 1): keeps good scores, flattens bad ones."""
    return F.elu(scores, alpha) if alpha > 0 else scores


LOSSES = {
    "cross-entropy": cross_entropy,
    "bpr": bpr,
    "top1": top1,
    "bpr-max": bpr_max,
    "top1-max": top1_max,
}


def _split(scores, target, count):
    """Scores (B, C), the positive's (B, 1), and how often a column is a negative (B, C)."""
    scores = _finite(scores)
    n_rows, n_columns = scores.shape
    if target is None:
        target = torch.arange(n_rows, device=scores.device)
    if count is None:
        count = scores.new_ones(n_columns)
    own = target[:, None]  # (B, 1)
    weight = count.to(scores.dtype).expand(n_rows, n_columns)
    one = scores.new_ones(1, 1).expand(n_rows, 1)
    return scores, scores.gather(1, own), weight.scatter_add(1, own, -one)


def _mean(weight, cost):
    """Mean over each row's negatives, then over rows."""
    return ((weight * cost).sum(1) / weight.sum(1)).mean()


def _log_softmax(scores, weight):
    """log w_j over each row's negatives; −inf where a column is none of them."""
    return torch.log_softmax(scores + weight.log(), 1)  # (B, C)


def _finite(scores):
    """Held where differences, squares and sums of them still fit a float32."""
    return scores.clamp(-1e16, 1e16)

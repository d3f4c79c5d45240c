"""Ranking losses: cross-entropy, BPR, TOP1, and their max versions (lessons 05, 09).

Each is a function ``f(scores, **options) -> scalar tensor``, the mean over rows.
``scores`` is (B, C): row i scores the C candidates of this step for slot i, and its
positive (the item clicked next) stands in column i. All other columns are negatives.

Sources: Hidasi et al. 2016 (arXiv 1511.06939), section 3.1.3, for cross-entropy, BPR
(after Rendle et al. 2009) and TOP1; Hidasi & Karatzoglou 2018 (arXiv 1706.03847),
sections 3.2 to 3.4, for the max losses and score regularisation.

Merged columns. Popular items are drawn several times in a step. Their columns are
equal, so training computes each once and says how often it counts: ``target`` (B,) is
then the column of each row's positive and ``log_count`` (C,) the log of the number of
candidates that a column stands for. The value is the same as with all columns written
out.

r_i is the positive's score, r_j a negative's, σ the logistic function, and w_j the
softmax over a row's negatives.
"""

import torch
import torch.nn.functional as F


def cross_entropy(scores, target=None, log_count=None):
    """Cross-entropy over the candidates: −log softmax(r)_i."""
    return softmax_loss(_finite(scores), target, log_count)


def softmax_loss(scores, target=None, log_count=None):
    """Cross-entropy for training, which trusts that the scores are not beyond 1e16."""
    target = _columns(scores, target)
    if log_count is None:
        return F.cross_entropy(scores, target)
    # A column that counts twice adds twice to the sum, but a row has one positive only.
    merged = F.cross_entropy(scores + log_count, target)
    return merged + log_count.index_select(0, target).mean()


def bpr(scores, target=None, log_count=None):
    """Bayesian personalised ranking: −mean_j log σ(r_i − r_j)."""
    scores, positive, log_weight = _split(scores, target, log_count)
    return -_mean(log_weight, F.logsigmoid(positive - scores))


def top1(scores, target=None, log_count=None):
    """TOP1: mean_j [σ(r_j − r_i) + σ(r_j²)].

    The first term is a smooth relative rank, the second pulls negatives' scores to 0.
    """
    scores, positive, log_weight = _split(scores, target, log_count)
    cost = torch.sigmoid(scores - positive) + torch.sigmoid(scores.square())
    return _mean(log_weight, cost)


def bpr_max(scores, bpreg=1.0, target=None, log_count=None):
    """BPR-max: −log Σ_j w_j σ(r_i − r_j) + bpreg · Σ_j w_j r_j²."""
    return _BPRMax.apply(scores, bpreg, _columns(scores, target), log_count)


class _BPRMax(torch.autograd.Function):
    """BPR-max with its gradient by hand, which costs half of autograd's.

    With P = Σ_j w_j σ(r_i − r_j), the share q_j = w_j σ(r_i − r_j) / P of negative j in
    it, and the penalty Q = Σ_j w_j r_j², the gradient is, for a negative and for the
    positive,

        w_j (1 + bpreg (r_j² + 2 r_j − Q)) − q_j σ(r_i − r_j)
        Σ_j q_j σ(r_i − r_j) − 1

    Where the target is far below the negatives, P is 0 in floating point, and −log P
    infinite. But e^r_j σ(r_i − r_j) = e^r_i σ(r_j − r_i), hence q_j ∝ c_j σ(r_j − r_i),
    with c_j the times that j is a negative; and the sum of these is not 0 there.
    """

    @staticmethod
    def forward(context, scores, bpreg, target, log_count):
        scores, positive, log_weight = _split(scores, target, log_count)
        own = target[:, None]
        others = log_weight.gather(1, own).exp()  # (B, 1) c of the positive's column
        log_weight += scores  # (B, C), −inf: no negative
        highest = log_weight.amax(1, keepdim=True)  # (B, 1)
        w = torch.softmax(log_weight, 1)
        log_norm = highest - w.amax(1, keepdim=True).log()  # log Σ_j c_j e^r_j

        s = torch.sigmoid(scores - positive)  # (B, C) σ(r_j − r_i)
        q = s.clone() if log_count is None else s * log_count.exp()
        q.scatter_(1, own, 0.5 * others)  # c_j σ(r_j − r_i)
        total = q.sum(1, keepdim=True)  # (B, 1)
        lost = torch.linalg.vecdot(w, s)[:, None]  # 1 − P
        log_p = torch.where(
            lost < 0.5, torch.log1p(-lost), positive - log_norm + total.log()
        )
        # Where the target is far above all negatives, that sum may be 0, and q is w.
        none = total < 1e-30
        q = torch.where(none, w, q)
        pull = torch.addcmul(q, q, s, value=-1)
        pull.div_(total.masked_fill_(none, 1))  # q_j σ(r_i − r_j)

        square = scores.square()
        penalty = torch.linalg.vecdot(w, square)[:, None]  # (B, 1)
        g = square.add_(scores, alpha=2)
        g = torch.add(1 - bpreg * penalty, g, alpha=bpreg).mul_(w).sub_(pull)
        g.scatter_add_(1, own, pull.sum(1, keepdim=True) - 1)
        context.save_for_backward(g)
        return (bpreg * penalty - log_p).mean()

    @staticmethod
    def backward(context, gradient):
        (g,) = context.saved_tensors
        return g * (gradient / len(g)), None, None, None


def top1_max(scores, target=None, log_count=None):
    """TOP1-max: Σ_j w_j [σ(r_j − r_i) + σ(r_j²)]."""
    scores, positive, log_weight = _split(scores, target, log_count)
    cost = torch.sigmoid(scores - positive) + torch.sigmoid(scores.square())
    return (torch.softmax(scores + log_weight, 1) * cost).sum(1).mean()


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


def _split(scores, target, log_count):
    """Scores (B, C), positive's (B, 1), log of times a column is a negative (B, C).

    A row's own positive is one candidate less in its column: −inf where none is left.
    """
    scores = _finite(scores)
    own = _columns(scores, target)[:, None]  # (B, 1)
    if log_count is None:
        log_count = scores.new_zeros(scores.shape[1])
    log_weight = log_count.repeat(len(scores), 1)  # (B, C)
    others = (log_count[own].exp() - 1).round_().log()  # counts are whole numbers
    return scores, scores.gather(1, own), log_weight.scatter_(1, own, others)


def _columns(scores, target):
    """The column of each row's positive (B,); on the diagonal unless told."""
    if target is None:
        return torch.arange(len(scores), device=scores.device)
    return target


def _mean(log_weight, cost):
    """Mean over each row's negatives, then over rows."""
    weight = log_weight.exp()
    return ((weight * cost).sum(1) / weight.sum(1)).mean()


class _Clamp(torch.autograd.Function):
    """Clamp, but pass the gradient on: scores out of bounds find their way back."""

    @staticmethod
    def forward(context, scores):
        return scores.clamp(-1e16, 1e16)

    @staticmethod
    def backward(context, gradient):
        return gradient


# Scores held where differences, squares and sums of them still fit a float32.
_finite = _Clamp.apply

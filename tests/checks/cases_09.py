"""Right and wrong answers to the exercises of lesson 09."""

import numpy as np
import torch
import torch.nn.functional as F

from gru4rec_lite import POP, GRU4Rec, losses, presets


def is_negative(scores):
    return ~torch.eye(*scores.shape, dtype=torch.bool)


# ---- 9.1


def weights_row_by_row(scores):
    weights = torch.zeros_like(scores)
    for i in range(len(scores)):
        others = [j for j in range(scores.shape[1]) if j != i]
        weights[i, others] = torch.softmax(scores[i, others], dim=0)
    return weights


def weights_by_hand(scores):
    r = scores.masked_fill(~is_negative(scores), -np.inf)
    e = torch.exp(r - r.max(1, keepdim=True).values)
    return e / e.sum(1, keepdim=True)


def softmax_of_all(scores):
    return torch.softmax(scores, dim=1)


def softmax_then_removed(scores):
    return torch.softmax(scores, dim=1) * is_negative(scores)


def positive_set_to_zero(scores):
    return torch.softmax(scores * is_negative(scores), dim=1)


def softmax_of_columns(scores):
    return scores.masked_fill(~is_negative(scores), -1e30).softmax(0)


def even_weights(scores):
    return is_negative(scores) / (scores.shape[1] - 1)


def weights_upside_down(scores):
    return weights_by_hand(-scores)


def plain_exp(scores):
    e = torch.exp(scores) * is_negative(scores)
    return e / e.sum(1, keepdim=True)


def not_divided(scores):
    return torch.exp(scores) * is_negative(scores)


def without_the_positives(scores):
    rows = scores[is_negative(scores)].view(len(scores), -1)
    return torch.softmax(rows, dim=1)


# ---- 9.2


def top1_max_by_loop(scores):
    total = 0
    for i, row in enumerate(scores):
        negative = torch.cat([row[:i], row[i + 1 :]])
        w = torch.softmax(negative, 0)
        for weight, r in zip(w, negative, strict=True):
            total = total + weight * (torch.sigmoid(r - row[i]) + torch.sigmoid(r * r))
    return total / len(scores)


def top1_max_by_einsum(scores):
    B, C = scores.shape
    negative = scores[is_negative(scores)].view(B, C - 1)
    cost = torch.sigmoid(negative - scores.diagonal()[:, None]) + torch.sigmoid(
        negative.square()
    )
    return torch.einsum("ij,ij->", negative.softmax(1), cost) / B


def top1_cost(scores):
    own = scores.diagonal()[:, None]
    return torch.sigmoid(scores - own), torch.sigmoid(scores**2)


def plain_top1(scores):
    return losses.top1(scores)


def top1_max_mean(scores):
    ahead, size = top1_cost(scores)
    return (weights_by_hand(scores) * (ahead + size)).mean()


def top1_max_of_all(scores):
    ahead, size = top1_cost(scores)
    return (scores.softmax(1) * (ahead + size)).sum(1).mean()


def top1_max_half_weighted(scores):
    ahead, size = top1_cost(scores)
    w, even = weights_by_hand(scores), even_weights(scores)
    return (w * ahead + even * size).sum(1).mean()


def top1_max_first_term(scores):
    return (weights_by_hand(scores) * top1_cost(scores)[0]).sum(1).mean()


def top1_max_upside_down(scores):
    ahead, size = top1_cost(scores)
    return (weights_by_hand(scores) * (1 - ahead + size)).sum(1).mean()


# ---- 9.3


def bpr_max_by_loop(scores, bpreg, elu_param):
    rows = []
    for i, row in enumerate(scores):
        if elu_param > 0:
            row = torch.where(row > 0, row, elu_param * (torch.exp(row) - 1))
        negative = torch.cat([row[:i], row[i + 1 :]])
        w = torch.softmax(negative, 0)
        beaten = sum(w * torch.sigmoid(row[i] - negative))
        rows.append(-torch.log(beaten) + bpreg * sum(w * negative**2))
    return sum(rows) / len(rows)


def bpr_max_in_logs(scores, bpreg, elu_param):
    r = F.elu(scores, elu_param) if elu_param else scores
    log_w = r.masked_fill(~is_negative(r), -1e30).log_softmax(1)
    log_sigma = F.logsigmoid(r.diagonal()[:, None] - r)
    penalty = (log_w.exp() * r * r).sum(1)
    return (bpreg * penalty - (log_w + log_sigma).logsumexp(1)).mean()


def with_elu(scores, elu_param):
    return F.elu(scores, elu_param) if elu_param else scores


def bpr_max_from(scores, w, bpreg, penalty_weights=None):
    penalty_weights = w if penalty_weights is None else penalty_weights
    won = (w * torch.sigmoid(scores.diagonal()[:, None] - scores)).sum(1)
    return (-won.log() + bpreg * (penalty_weights * scores**2).sum(1)).mean()


def log_inside(scores, bpreg, elu_param):
    r = with_elu(scores, elu_param)
    w = weights_by_hand(r)
    log_sigma = F.logsigmoid(r.diagonal()[:, None] - r)
    return (-(w * log_sigma).sum(1) + bpreg * (w * r**2).sum(1)).mean()


def no_penalty(scores, bpreg, elu_param):
    r = with_elu(scores, elu_param)
    return bpr_max_from(r, weights_by_hand(r), 0)


def penalty_for_all_alike(scores, bpreg, elu_param):
    r = with_elu(scores, elu_param)
    return bpr_max_from(r, weights_by_hand(r), bpreg, even_weights(r))


def penalty_unweighted(scores, bpreg, elu_param):
    r = with_elu(scores, elu_param)
    return bpr_max_from(r, weights_by_hand(r), bpreg, is_negative(r))


def positive_weighted(scores, bpreg, elu_param):
    r = with_elu(scores, elu_param)
    return bpr_max_from(r, r.softmax(1), bpreg)


def all_alike(scores, bpreg, elu_param):
    r = with_elu(scores, elu_param)
    return bpr_max_from(r, even_weights(r), bpreg)


def no_elu(scores, bpreg, elu_param):
    return bpr_max_from(scores, weights_by_hand(scores), bpreg)


def weights_before_elu(scores, bpreg, elu_param):
    return bpr_max_from(with_elu(scores, elu_param), weights_by_hand(scores), bpreg)


def elu_for_negatives_only(scores, bpreg, elu_param):
    r = with_elu(scores, elu_param).where(is_negative(scores), scores)
    return bpr_max_from(r, weights_by_hand(r), bpreg)


def a_row_each(scores, bpreg, elu_param):
    return bpr_max_by_loop(scores, bpreg, elu_param) * len(scores)


# ---- 9.4


def measured(n):
    """Push on the positive by BPR and BPR-max, the lesson's way."""
    row = torch.tensor([[0.0, 2.0] + [-12.0] * (n - 1)], requires_grad=True)
    pushes = []
    for loss in (losses.bpr(row), losses.bpr_max(row, bpreg=0.0)):
        pushes.append(-torch.autograd.grad(loss, row)[0][0, 0].item())
    return np.array(pushes)


def by_measuring():
    fades = measured(1000) < measured(10) / 20
    return "abcd"[2 * (1 - fades[0]) + 1 - fades[1]]


def the_second():
    return "b"


# ---- 9.5


def max_model(train, **options):
    return GRU4Rec(
        **{
            "layers": [50], "loss": "bpr-max", "n_epochs": 5, "n_sample": 256,
            "sample_alpha": 0.3, "learning_rate": 0.05, "dropout_p_embed": 0.2,
            "elu_param": 1.0, "device": "cpu", **options,
        }
    ).fit(train, verbose=False)  # fmt: skip


def with_momentum(train):
    return max_model(train, dropout_p_embed=0.3, momentum=0.3, n_epochs=4)


def in_batch_only(train):
    return max_model(train, n_sample=0, n_epochs=2)


def model_of_2016(train):
    return max_model(
        train, **{**presets["rsc15-2016-top1"], "n_epochs": 1}, elu_param=0.0
    )


def hardly_trained(train):
    return max_model(train, n_epochs=1, learning_rate=0.001)


def popular_items(train):
    return POP().fit(train)


def forgot_to_return(train):
    max_model(train, n_epochs=1)


RIGHT = {
    "negative_weights": [weights_row_by_row, weights_by_hand],
    "top1_max": [top1_max_by_loop, top1_max_by_einsum],
    "bpr_max": [bpr_max_by_loop, bpr_max_in_logs],
    "push_with_more_negatives": [by_measuring, the_second],
    "my_max_loss": [max_model, with_momentum],
}
WRONG = {
    "negative_weights": [
        (softmax_of_all, "the positive takes part in the softmax"),
        (softmax_then_removed, "was removed afterwards"),
        (positive_set_to_zero, "replaced by 0, and exp\\(0\\) is 1"),
        (softmax_of_columns, "down the columns"),
        (even_weights, "all negatives weigh the same"),
        (weights_upside_down, "high scores get the small weights"),
        (plain_exp, "not finite"),
        (not_divided, "do not add up to 1"),
        (without_the_positives, "has shape"),
    ],
    "top1_max": [
        (plain_top1, "this is TOP1"),
        (top1_max_mean, "the mean over all entries"),
        (top1_max_of_all, "the positive is among the weights"),
        (top1_max_half_weighted, "the second term is not weighted"),
        (top1_max_first_term, "the second term is missing"),
        (top1_max_upside_down, "the gap has the wrong sign"),
    ],
    "bpr_max": [
        (log_inside, "the logarithm stands inside the sum"),
        (no_penalty, "the score penalty is missing"),
        (penalty_for_all_alike, "the penalty takes all negatives alike"),
        (penalty_unweighted, "the penalty has no weights"),
        (positive_weighted, "the positive is among the weights"),
        (all_alike, "all negatives weigh the same"),
        (no_elu, "do not go through ELU"),
        (weights_before_elu, "the weights come from the scores before ELU"),
        (elu_for_negatives_only, "ELU is for all scores"),
        (a_row_each, "the sum over rows"),
    ],
    "push_with_more_negatives": [
        (lambda: "a", "BPR-max gives a negative at −12"),
        (lambda: "c", "BPR takes the mean.* BPR-max gives a negative at −12"),
        (lambda: "d", "what to the number it is divided by"),
        (lambda: None, "one of the letters"),
    ],
    "my_max_loss": [
        (in_batch_only, "To beat is 0.42"),
        (model_of_2016, "trains with loss='top1'"),
        (hardly_trained, "reaches a Recall@20 of"),
        (popular_items, "gives a POP; a GRU4Rec is expected"),
        (forgot_to_return, "gives a NoneType"),
    ],
}

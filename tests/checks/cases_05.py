"""Right and wrong answers to the exercises of lesson 05."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from gru4rec_lite import GRU4Rec, load_shop
from gru4rec_lite.baselines import POP, ItemKNN, Markov


# ---- 5.1
def square_by_loop(hidden, targets, output, bias):
    B = len(targets)
    scores = torch.empty(B, B)
    for i in range(B):
        for j in range(B):
            item = targets[j]
            scores[i, j] = torch.dot(hidden[i], output[item]) + bias[item]
    return scores


def square_out_of_all(hidden, targets, output, bias):
    return F.linear(hidden, output, bias).index_select(1, targets)


def square_turned(hidden, targets, output, bias):
    return output[targets] @ hidden.T + bias[targets][:, None]


def without_bias(hidden, targets, output, bias):
    return hidden @ output[targets].T


def bias_by_row(hidden, targets, output, bias):
    return hidden @ output[targets].T + bias[targets].unsqueeze(1)


def all_items(hidden, targets, output, bias):
    return F.linear(hidden, output, bias)


def first_items(hidden, targets, output, bias):
    return F.linear(hidden, output, bias)[:, : len(targets)]


def own_only(hidden, targets, output, bias):
    return (hidden * output[targets]).sum(1) + bias[targets]


def changes_bias(hidden, targets, output, bias):
    bias *= 1.5
    return hidden @ output[targets].T + bias[targets] / 1.5


# ---- 5.2
def draws_by_loop(support, alpha, uniform):
    weight = [s**alpha for s in support.tolist()]
    items = []
    for u in uniform:
        item, end = 0, weight[0] / sum(weight)
        while u >= end:
            item += 1
            end = sum(weight[: item + 1]) / sum(weight)
        items.append(item)
    return items


def draws_by_comparison(support, alpha, uniform):
    ends = np.cumsum(support**alpha)
    return (uniform[:, None] * ends[-1] >= ends).sum(1)


def draws(weight, shift=0, side="right"):
    def answer(support, alpha, uniform):
        ends = np.cumsum(weight(support, alpha))
        return np.searchsorted(ends / ends[-1], uniform, side) + shift

    return answer


def powered(support, alpha):
    return support**alpha


def power_last(support, alpha, uniform):
    ends = np.cumsum((support / support.sum()) ** alpha)
    return np.searchsorted(ends, uniform, side="right")


def own_random_numbers(support, alpha, uniform):
    p = support**alpha / (support**alpha).sum()
    return np.random.default_rng(0).choice(len(support), len(uniform), p=p)


def probabilities(support, alpha, uniform):
    return support**alpha / (support**alpha).sum()


# ---- 5.3
def losses_by_loop(scores):
    r, (B, C) = scores.tolist(), scores.shape
    xe = bpr = top1 = 0.0
    for i in range(B):
        xe += math.log(sum(math.exp(s) for s in r[i])) - r[i][i]
        for j in set(range(C)) - {i}:
            gap = r[i][i] - r[i][j]
            bpr += math.log(1 + math.exp(-gap)) / (C - 1)
            top1 += (1 / (1 + math.exp(gap)) + 1 / (1 + math.exp(-(r[i][j] ** 2)))) / (
                C - 1
            )
    return xe / B, bpr / B, top1 / B


def losses_by_mask(scores):
    B, C = scores.shape
    w = (1 - torch.eye(B, C)) / (C - 1) / B
    own = torch.diagonal(scores).reshape(B, 1)
    xe = (scores.exp().sum(1, keepdim=True) / own.exp()).log().mean()
    ahead = torch.sigmoid(scores - own)
    return torch.stack(
        [
            xe,
            -(w * torch.log(1 - ahead)).sum(),
            (w * (ahead + torch.sigmoid(scores * scores))).sum(),
        ]
    )


def parts(scores):
    """Positives (B, 1) and negatives (B, C - 1)."""
    mask = torch.eye(*scores.shape, dtype=torch.bool)
    return scores[mask][:, None], scores[~mask].view(len(scores), -1)


def losses_but(**other):
    """Right losses, except those given as functions of the scores."""

    def answer(scores):
        right = dict(zip(("xe", "bpr", "top1"), losses_by_mask(scores), strict=True))
        return [other[k](scores) if k in other else v for k, v in right.items()]

    return answer


def bpr_but(change):
    return losses_but(bpr=lambda scores: change(*parts(scores)))


def top1_but(change):
    return losses_but(top1=lambda scores: change(*parts(scores)))


def softmax_down(scores):
    return -torch.log_softmax(scores, 0).diagonal().mean()


def without_positive(scores):
    r, n = parts(scores)
    return -torch.log(r.exp() / n.exp().sum(1, keepdim=True)).mean()


def in_batch_only(scores):
    return losses_by_mask(scores[:, : len(scores)])[1]


def positive_too(scores):
    return -F.logsigmoid(scores.diagonal()[:, None] - scores).mean()


# ---- 5.4
def gradients_by_autograd(row):
    def losses(row):
        r, negative = row[0], row[1:]
        second = torch.sigmoid(negative**2)
        return torch.stack(
            [
                torch.logsumexp(row, 0) - r,
                -F.logsigmoid(r - negative).mean(),
                (torch.sigmoid(negative - r) + second).mean(),
            ]
        )

    return torch.autograd.functional.jacobian(losses, row)


def gradients_by_loop(row):
    r = row.tolist()
    n = len(r) - 1
    result = [[0.0] * (n + 1) for _ in range(3)]
    total = sum(map(math.exp, r))
    result[0] = [math.exp(s) / total - (k == 0) for k, s in enumerate(r)]
    for j in range(1, n + 1):
        s = 1 / (1 + math.exp(r[0] - r[j]))
        q = 1 / (1 + math.exp(-(r[j] ** 2)))
        result[1][j] = s / n
        result[1][0] -= s / n
        result[2][j] = (s * (1 - s) + q * (1 - q) * 2 * r[j]) / n
        result[2][0] -= s * (1 - s) / n
    return torch.tensor(result)


def gradients_but(change):
    """change(g, row) -> the wrong gradients, from the right ones (3, C)."""

    def answer(row):
        return change(gradients_by_loop(row), row)

    return answer


def replaced(g, k, first, others):
    g[k] = torch.cat([torch.as_tensor(first).view(1), others])
    return g


def without_minus_one(g, row):
    g[0] = torch.softmax(row, 0)
    return g


def softmax_of_negatives(g, row):
    return replaced(g, 0, -1.0, torch.softmax(row[1:], 0))


def bpr_turned(g, row):
    s = torch.sigmoid(row[0] - row[1:])
    return replaced(g, 1, -s.mean(), s / len(s))


def bpr_sum(g, row):
    g[1] *= len(row) - 1
    return g


def bpr_positive_still(g, row):
    g[1, 0] = 0
    return g


def bpr_positive_turned(g, row):
    g[1, 0] *= -1
    return g


def top1_first_only(g, row):
    s = torch.sigmoid(row[1:] - row[0])
    s = s * (1 - s)
    return replaced(g, 2, -s.mean(), s / len(s))


def top1_without_chain(g, row):
    s, q = torch.sigmoid(row[1:] - row[0]), torch.sigmoid(row[1:] ** 2)
    s, q = s * (1 - s), q * (1 - q)
    return replaced(g, 2, -s.mean(), (s + q) / len(s))


def top1_positive_of_both(g, row):
    g[2, 0] = -g[2, 1:].sum()
    return g


# ---- 5.5
def logq_by_loop(scores, targets, drawn, support, alpha):
    result = scores.clone()
    for j, item in enumerate([*targets, *drawn]):
        q = float(support[item])
        result[:, j] -= math.log(q if j < len(targets) else q**alpha)
    return result


def logq_by_table(scores, targets, drawn, support, alpha):
    power = torch.ones(scores.shape[1])
    power[len(targets) :] = alpha
    return scores - power * torch.log(support)[torch.cat((targets, drawn))]


def corrects(q_of, by=torch.sub, log=torch.log):
    """Another q: q_of(targets, drawn, support, alpha) -> (B + N,)."""

    def answer(scores, targets, drawn, support, alpha):
        return by(scores, log(q_of(targets, drawn, support, alpha)))

    return answer


def right_q(targets, drawn, support, alpha):
    return torch.cat([support[targets], support[drawn] ** alpha])


def without_alpha(targets, drawn, support, alpha):
    return support[torch.cat([targets, drawn])]


def alpha_for_all(targets, drawn, support, alpha):
    return support[torch.cat([targets, drawn])] ** alpha


def as_shares(targets, drawn, support, alpha):
    power = support**alpha
    return torch.cat(
        [support[targets] / support.sum(), power[drawn] / power.sum()],
    )


def only_drawn(targets, drawn, support, alpha):
    return torch.cat([torch.ones(len(targets)), support[drawn] ** alpha])


def only_targets(targets, drawn, support, alpha):
    return torch.cat([support[targets], torch.ones(len(drawn))])


def positives_left(scores, targets, drawn, support, alpha):
    result = logq_by_loop(scores, targets, drawn, support, alpha)
    result.diagonal().copy_(scores.diagonal())
    return result


def in_the_argument(scores, targets, drawn, support, alpha):
    scores -= torch.log(right_q(targets, drawn, support, alpha))
    return scores


# ---- 5.6
def small(**options):
    options = {"batch_size": 64, "n_sample": 256, "n_epochs": 2} | options
    return lambda train: GRU4Rec(layers=[40], **options).fit(train, verbose=False)


def oracle(train):
    return load_shop().oracle


def gives_loss(train):
    return lambda scores, log_q: scores.mean()


RIGHT = {
    "in_batch_scores": [square_by_loop, square_out_of_all],
    "draw_negatives": [draws_by_loop, draws_by_comparison],
    "ranking_losses": [losses_by_loop, losses_by_mask],
    "score_gradients": [gradients_by_autograd, gradients_by_loop],
    "logq_correction": [logq_by_loop, logq_by_table],
    "gru_with_own_loss": [small(logq=1.0), small(loss="top1-max"), Markov().fit],
}
WRONG = {
    "in_batch_scores": [
        (square_turned, "rows and columns are swapped"),
        (without_bias, "the bias is missing"),
        (bias_by_row, "added it row by row"),
        (all_items, "scores of all items"),
        (first_items, "the first B items"),
        (own_only, "its own target only"),
        (changes_bias, "changes its argument `bias`"),
    ],
    "draw_negatives": [
        (draws(lambda support, alpha: support), "alpha has no effect"),
        (draws(lambda support, alpha: alpha * support + 1e-9), "alpha has no effect"),
        (draws(lambda support, alpha: support**0), "equally likely"),
        (power_last, "do not add up to 1"),
        (draws(lambda support, alpha: np.exp(alpha * support)), "a softmax"),
        (draws(lambda support, alpha: support**-alpha), "rare items"),
        (draws(powered, shift=-1), "one too low"),
        (draws(powered, shift=1), "one too high"),
        (draws(powered, side="left"), "belongs to the next"),
        (own_random_numbers, "other values"),
        (probabilities, "has shape"),
    ],
    "ranking_losses": [
        (losses_but(xe=lambda s: -losses_by_mask(s)[0]), "entropy .* the sign"),
        (losses_but(xe=lambda s: losses_by_mask(s)[0] * len(s)), "sum over the rows"),
        (losses_but(xe=softmax_down), "down the columns"),
        (losses_but(xe=without_positive), "below the fraction"),
        (losses_but(xe=lambda s: losses_by_mask(s)[0] / math.log(10)), "base 10"),
        (losses_but(bpr=positive_too), "BPR .* compared with itself"),
        (losses_but(bpr=in_batch_only), "columns from B on"),
        (bpr_but(lambda r, n: -F.logsigmoid(n - r).mean()), "wrong way round"),
        (bpr_but(lambda r, n: F.logsigmoid(r - n).mean()), "minus the mean"),
        (bpr_but(lambda r, n: -F.logsigmoid(r - n).sum(1).mean()), "their mean"),
        (bpr_but(lambda r, n: -F.logsigmoid(r - n).sum()), "over all rows and neg"),
        (bpr_but(lambda r, n: -(r - n).sigmoid().mean(1).log().mean()), "before the"),
        (
            top1_but(lambda r, n: ((r - n).sigmoid() + (n**2).sigmoid()).mean()),
            "TOP1 .* in TOP1 r_j",
        ),
        (top1_but(lambda r, n: (n - r).sigmoid().mean()), "second term is missing"),
        (
            top1_but(lambda r, n: ((n - r).sigmoid() + n.sigmoid() ** 2).mean()),
            "not the square of the sigma",
        ),
        (
            top1_but(lambda r, n: ((n - r).sigmoid() + n**2).mean()),
            "sigma of the second term",
        ),
        (
            top1_but(lambda r, n: ((n - r).sigmoid() + (r**2).sigmoid()).mean()),
            "pulls at the positive",
        ),
        (lambda scores: losses_by_mask(scores)[:2], "return three numbers"),
        (lambda scores: scores, "return three numbers"),
    ],
    "score_gradients": [
        (gradients_but(lambda g, row: -g), "this is the push"),
        (gradients_but(without_minus_one), "cross-entropy .* minus 1"),
        (gradients_but(softmax_of_negatives), "over the negatives only"),
        (gradients_but(bpr_turned), "BPR .* wrong way round"),
        (gradients_but(bpr_sum), "has become a sum"),
        (gradients_but(bpr_positive_still), "every negative moves it"),
        (gradients_but(bpr_positive_turned), "its gradient is negative"),
        (gradients_but(top1_first_only), "TOP1 .* no part in it"),
        (gradients_but(top1_without_chain), "inner derivative"),
        (gradients_but(top1_positive_of_both), "gives it no gradient"),
        (gradients_but(lambda g, row: g.T), "looks transposed"),
        (gradients_but(lambda g, row: g.numpy()), "a torch tensor of shape"),
    ],
    "logq_correction": [
        (corrects(right_q, by=torch.add), "log q is added"),
        (corrects(without_alpha), "to the power of alpha"),
        (corrects(alpha_for_all), "alpha plays no part"),
        (positives_left, "the positives are left"),
        (corrects(only_drawn), "only the drawn items"),
        (corrects(only_targets), "not the drawn items"),
        (corrects(right_q, log=lambda q: q), "its logarithm is meant"),
        (corrects(right_q, log=torch.log10), "base 10"),
        (corrects(as_shares), "constant factors"),
        (in_the_argument, "changes its argument `scores`"),
    ],
    "gru_with_own_loss": [
        (ItemKNN().fit, r"Recall@20 of (0\.\d+) .* ItemKNN has \1 there"),
        (POP().fit, "ItemKNN has"),
        (small(n_epochs=1, learning_rate=1e-4), "ItemKNN has"),
        (lambda train: GRU4Rec(), "learnt nothing yet"),
        (gives_loss, "a fitted recommender is expected"),
        (oracle, "knows other items"),
    ],
}

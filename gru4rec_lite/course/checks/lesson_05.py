"""Checks of lesson 05: output sampling and ranking losses."""

import numpy as np
import torch

from ...baselines import ItemKNN
from ...losses import LOSSES
from .checking import CheckFailed, ask, compare, exercise, name_of
from .lesson_04 import must_beat

# ---- 5.1: in-batch negatives -----------------------------------------------------


@exercise("5.1")
def in_batch_scores(answer):
    example = {
        "hidden": torch.tensor([[1.0, 0.0], [0.0, 1.0]]),
        "targets": torch.tensor([2, 0]),
        "output": torch.tensor([[1.0, 2.0], [5.0, 6.0], [3.0, 4.0]]),
        "bias": torch.tensor([0.1, 0.2, 0.3]),
    }
    generator = torch.Generator().manual_seed(5)

    def random(*shape):
        return torch.randn(shape, generator=generator)

    examples = [example]
    for B, H, n_items in [(3, 2, 5), (4, 3, 4), (6, 2, 20)]:
        examples.append(
            {
                "hidden": random(B, H),
                "targets": torch.randint(n_items, (B,), generator=generator),
                "output": random(n_items, H),
                "bias": random(n_items),
            }
        )
    for example in examples:
        hidden, targets, output, bias = example.values()
        product = hidden @ output[targets].T  # (B, B)
        b = bias[targets]
        right = product + b
        compare(
            answer, ask(answer, example), right, example,
            usual={
                "rows and columns are swapped: row i belongs to slot i, column j to "
                "the target of slot j": right.T,
                "the bias is missing": product,
                "the bias belongs to the item, so each column has one of its own; you "
                "have added it row by row": product + b[:, None],
                "these are the scores of all items; only those of the batch's targets "
                "are wanted": hidden @ output.T + bias,
                "these are the first B items of the shop, and not the targets of "
                "the B slots": hidden @ output[: len(b)].T + bias[: len(b)],
                "each slot has the score of its own target only. The targets of the "
                "others are its negatives, and need scores as well": right.diagonal(),
            },
            tolerance=1e-5,
        )  # fmt: skip


# ---- 5.2: negatives by popularity ------------------------------------------------


def drawn(weight, uniform, side="right"):
    edges = np.cumsum(weight / weight.sum())
    return np.searchsorted(edges, uniform, side).clip(max=len(weight) - 1)


@exercise("5.2")
def draw_negatives(answer):
    rng = np.random.default_rng(5)
    examples = [
        ([1, 1, 2], 1.0, [0.1, 0.3, 0.35, 0.45, 0.7, 0.9]),
        ([1, 4, 16], 0.5, [0.1, 0.15, 0.25, 0.4, 0.5, 0.6, 0.99]),
        ([1, 1, 2], 1.0, [0.0, 0.25, 0.3, 0.5, 0.75]),
    ]
    for n_items, alpha in [(5, 0.75), (5, 0.0), (40, 0.5), (40, 1.0)]:
        examples.append((rng.integers(1, 100, n_items), alpha, rng.random(30)))
    for support, alpha, uniform in examples:
        support, uniform = np.array(support), np.array(uniform)
        example = {"support": support, "alpha": alpha, "uniform": uniform}
        right = drawn(support**alpha, uniform)
        plain = support / support.sum()
        edges = np.cumsum(plain**alpha)
        compare(
            answer, ask(answer, example), right, example,
            usual={
                "alpha has no effect: the support itself is used. It is an exponent, "
                "support ** alpha": drawn(support, uniform),
                "all items are equally likely. That would be right with alpha = 0 "
                "only": drawn(support**0.0, uniform),
                "the probabilities do not add up to 1. Raise the support to the power "
                "of alpha first, and divide by the sum after that": np.searchsorted(
                    edges, uniform, "right"
                ),
                "the probabilities are those of a softmax; they should be in "
                "proportion to support ** alpha": drawn(
                    np.exp(alpha * (support - support.max())), uniform
                ),
                "alpha is the wrong way round: rare items are drawn more often": drawn(
                    support**-alpha, uniform
                ),
                "each item is one too low: item 0 has the piece from 0 to its own "
                "probability": right - 1,
                "each item is one too high: item 0 has the piece from 0 to its own "
                "probability": right + 1,
                "a number that lies exactly where an item's piece ends belongs to the "
                "next one (`side` of np.searchsorted)": drawn(
                    support**alpha, uniform, "left"
                ),
            },
        )  # fmt: skip


# ---- 5.3: three losses -----------------------------------------------------------

NAMES = {"cross-entropy": "cross-entropy", "bpr": "BPR", "top1": "TOP1"}


def score_examples():
    """Scores (B, C), the first ones to be followed by hand."""
    generator = torch.Generator().manual_seed(5)
    yield torch.tensor([[2.0, 1.0, 0.0, -1.0], [0.0, 1.0, 3.0, -2.0]])
    for B, C in [(1, 3), (2, 2), (4, 4), (5, 9)]:
        yield 2 * torch.randn(B, C, generator=generator)


def split(scores):
    """Positives (B, 1) and negatives (B, C - 1)."""
    is_negative = ~torch.eye(*scores.shape, dtype=torch.bool)
    return scores.diagonal()[:, None], scores[is_negative].view(len(scores), -1)


def sigma(x):
    return torch.sigmoid(x)


def mistaken_losses(name, scores):
    """What usual mistakes give, by what to say about them."""
    B, C = scores.shape
    r, negative = split(scores)
    own = scores.diagonal()[:, None]
    if name == "cross-entropy":
        right = -torch.log_softmax(scores, 1).diagonal()
        square = scores[:, :B]
        return {
            "the sign: minus the logarithm, so that the loss is positive": (
                -right.mean()
            ),
            "it is the sum over the rows; the mean is wanted": right.sum(),
            "the softmax runs down the columns; each row has a softmax of its own": (
                -torch.log_softmax(scores, 0).diagonal().mean()
            ),
            "the positive is missing in the sum below the fraction": (
                torch.logsumexp(negative, 1) - r[:, 0]
            ).mean(),
            "only the other slots' targets are negatives; the columns from B on are "
            "negatives, too": -torch.log_softmax(square, 1).diagonal().mean(),
            "the logarithm is missing: this is the mean of the probabilities": (
                torch.exp(-right).mean()
            ),
            "it is the logarithm to base 2; the natural one is meant": (
                right.mean() / np.log(2)
            ),
            "it is the logarithm to base 10; the natural one is meant": (
                right.mean() / np.log(10)
            ),
        }
    if name == "bpr":
        cost = -torch.log(sigma(r - negative))  # (B, C - 1)
        everywhere = -torch.log(sigma(own - scores))  # (B, C)
    else:
        cost = sigma(negative - r) + sigma(negative**2)
        everywhere = sigma(scores - own) + sigma(scores**2)
    mistakes = {
        "the positive is compared with itself, too: j runs over the negatives "
        "only": everywhere.mean(),
        "it is the sum over the negatives; their mean is wanted": cost.sum(1).mean(),
        "it is the sum over the rows; their mean is wanted": cost.mean(1).sum(),
        "it is the sum over all rows and negatives; the mean is wanted": cost.sum(),
        "the sum over the negatives is divided by C; a row has C - 1 of them": (
            cost.sum(1).mean() / C
        ),
    }
    if B > 1:
        at = split(scores[:, :B])[1]
        if name == "bpr":
            few = -torch.log(sigma(r - at))
        else:
            few = sigma(at - r) + sigma(at**2)
        mistakes[
            "only the other slots' targets are negatives; the columns from B on are "
            "negatives, too"
        ] = few.mean()
    if name == "bpr":
        return mistakes | {
            "the difference is the wrong way round: r_i, the positive's, comes "
            "first": -torch.log(sigma(negative - r)).mean(),
            "the sign: minus the mean, so that the loss is positive": -cost.mean(),
            "the logarithm is missing": -sigma(r - negative).mean(),
            "the mean is taken before the logarithm; take the logarithm of each "
            "sigma": -torch.log(sigma(r - negative).mean(1)).mean(),
        }
    return mistakes | {
        "the difference is the wrong way round: in TOP1 r_j, the negative's, comes "
        "first": (sigma(r - negative) + sigma(negative**2)).mean(),
        "the second term is missing": sigma(negative - r).mean(),
        "the second term is the sigma of the square, not the square of the sigma": (
            sigma(negative - r) + sigma(negative) ** 2
        ).mean(),
        "the sigma of the second term is missing": (
            sigma(negative - r) + negative**2
        ).mean(),
        "the square in the second term is missing": (
            sigma(negative - r) + sigma(negative)
        ).mean(),
        "the second term pulls at the positive; it is the negatives' scores that it "
        "pulls to zero": (sigma(negative - r) + sigma(r**2)).mean(),
    }


@exercise("5.3")
def ranking_losses(answer):
    for scores in score_examples():
        example = {"scores": scores}
        given = ask(answer, example)
        try:
            given = dict(zip(NAMES, given, strict=True))
        except (TypeError, ValueError):
            raise CheckFailed(
                f"{name_of(answer)} should return three numbers: "
                "`return xe, bpr, top1`."
            ) from None
        for name, title in NAMES.items():
            compare(
                answer, given[name], LOSSES[name](scores).numpy(), example,
                mistaken_losses(name, scores), what=title, tolerance=1e-5,
            )  # fmt: skip


# ---- 5.4: their gradients --------------------------------------------------------


def gradient(name, row):
    """Of the loss of one row by its scores, the positive first. (C,) -> (C,)"""
    row = row.clone().requires_grad_()
    LOSSES[name](row[None]).backward()
    return row.grad


def mistaken_gradients(name, row):
    right = gradient(name, row)
    r, negative = row[0], row[1:]
    n = len(negative)
    mistakes = {
        "this is the push, minus the gradient: the sign is the other way round": -right,
    }

    def whole(first, others):
        return torch.cat([first.view(1), others])

    if name == "cross-entropy":
        p = torch.softmax(row, 0)
        w = torch.softmax(negative, 0)
        return mistakes | {
            "the positive's own term is missing: its gradient is its probability "
            "minus 1": p,
            "the softmax runs over the negatives only; the positive belongs to "
            "it": whole(-torch.ones(()), w),
        }
    if name == "bpr":
        each = sigma(negative - r)
        turned = sigma(r - negative)
        mistakes |= {
            "inside sigma the difference is the wrong way round: the push must be "
            "strongest where a negative is ahead": whole(-turned.mean(), turned / n),
        }
    else:
        s = sigma(negative - r)
        each = s * (1 - s)
        second = sigma(negative**2) * (1 - sigma(negative**2))
        ahead = sigma(negative - r)
        pull = second * 2 * negative
        mistakes |= {
            "the second term has no part in it": whole(-each.mean(), each / n),
            "in the second term the inner derivative is missing, that of the "
            "square": whole(-each.mean(), (each + second) / n),
            "the derivative of sigma(x) is sigma(x) (1 - sigma(x))": whole(
                -ahead.mean(), (ahead + sigma(negative**2) * 2 * negative) / n
            ),
            "the second term does not hold the positive's score, and gives it no "
            "gradient": whole(-(each + pull).mean(), (each + pull) / n),
        }
    others = right[1:]
    return mistakes | {
        "the mean over the negatives has become a sum": right * n,
        "the loss is a mean over the negatives: those are C - 1, not C": (
            right * n / (n + 1)
        ),
        "each negative's gradient is not divided by their number": whole(
            right[0], others * n
        ),
        "the positive's gradient is the sum over all negatives, each divided by their "
        "number": whole(right[0] * n, others),
        "the positive gets no gradient; every negative moves it": whole(
            torch.zeros(()), others
        ),
        "the positive's sign: it is pushed up, so its gradient is negative": whole(
            -right[0], others
        ),
    }


@exercise("5.4")
def score_gradients(answer):
    generator = torch.Generator().manual_seed(6)
    rows = [torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0, -0.5])]
    rows += [2 * torch.randn(n, generator=generator) for n in (3, 4, 8)]
    for row in rows:
        example = {"row": row}
        given = ask(answer, example)
        right = torch.stack([gradient(name, row) for name in NAMES])  # (3, C)
        if torch.is_tensor(given) and given.shape == right.shape:
            for k, (name, title) in enumerate(NAMES.items()):
                compare(
                    answer, given[k], right[k], example,
                    mistaken_gradients(name, row), what=title, tolerance=1e-5,
                )  # fmt: skip
        compare(answer, given, right, example, tolerance=1e-5)


# ---- 5.5: logQ -------------------------------------------------------------------


@exercise("5.5")
def logq_correction(answer):
    generator = torch.Generator().manual_seed(7)
    examples = [
        {
            "scores": torch.zeros(2, 3),
            "targets": torch.tensor([0, 2]),
            "drawn": torch.tensor([1]),
            "support": torch.tensor([2.0, 9.0, 4.0]),
            "alpha": 0.5,
        }
    ]
    for B, N, n_items, alpha in [(2, 2, 4, 0.75), (3, 5, 10, 0.0), (4, 3, 10, 1.0)]:
        examples.append(
            {
                "scores": torch.randn(B, B + N, generator=generator),
                "targets": torch.randint(n_items, (B,), generator=generator),
                "drawn": torch.randint(n_items, (N,), generator=generator),
                "support": torch.randint(
                    5, 99, (n_items,), generator=generator
                ).float(),
                "alpha": alpha,
            }
        )
    for example in examples:
        scores, targets, items, support, alpha = example.values()
        B, C = scores.shape
        q_batch, q_drawn = support[targets], support[items] ** alpha
        q = torch.cat([q_batch, q_drawn])  # (B + N,)
        flat = torch.cat([q_batch, support[items]])
        all_powered = torch.cat([q_batch**alpha, q_drawn])
        is_positive = torch.eye(B, C, dtype=torch.bool)
        share = torch.cat([q_batch / support.sum(), q_drawn / (support**alpha).sum()])
        rows = scores.clone()
        rows[:, :B] -= torch.log(q_batch)[:, None]
        rows[:, B:] -= torch.log(q_drawn)
        compare(
            answer, ask(answer, example), scores - torch.log(q), example,
            usual={
                "log q is added; subtract it": scores + torch.log(q),
                "q of a drawn item is its support to the power of alpha, for that is "
                "how it was drawn": scores - torch.log(flat),
                "q of the other slots' targets is their support; alpha plays no part "
                "there": scores - torch.log(all_powered),
                "the positives are left as they were; every candidate is corrected": (
                    torch.where(is_positive, scores, scores - torch.log(q))
                ),
                "only the positives are corrected; every candidate has to be": (
                    torch.where(is_positive, scores - torch.log(q), scores)
                ),
                "only the other slots' targets are corrected, not the drawn items": (
                    scores - torch.cat([q_batch.log(), torch.zeros(len(items))])
                ),
                "only the drawn items are corrected, not the other slots' targets": (
                    scores - torch.cat([torch.zeros(B), q_drawn.log()])
                ),
                "q itself is subtracted; its logarithm is meant": scores - q,
                "it is the logarithm to base 10; the natural one is meant": (
                    scores - torch.log10(q)
                ),
                "it is the logarithm to base 2; the natural one is meant": (
                    scores - torch.log2(q)
                ),
                "q is divided by its sum. Leave constant factors out here: weights "
                "are enough": scores - torch.log(share),
                "the correction belongs to columns: every column is one item. You "
                "have corrected by rows": rows,
            },
            tolerance=1e-5,
        )  # fmt: skip


# ---- 5.6: a figure to beat -------------------------------------------------------


@exercise("5.6")
def gru_with_own_loss(answer):
    must_beat(answer, ItemKNN)

"""Checks of lesson 09: the weights of the max losses, the losses, and what they bring.

The project is measured as in lesson 08, on two days of the shop numbered anew.
"""

import functools

import numpy as np
import torch
import torch.nn.functional as F

from ... import GRU4Rec, evaluate, losses, presets
from .checking import (
    CheckFailed,
    ask,
    compare,
    exercise,
    letter_of,
    name_of,
    show,
    table,
)
from .lesson_08 import must_beat, part_of_the_shop


def score_examples():
    """Scores (B, C), the positive of row i in column i; hand-made, then random."""
    yield torch.tensor([[5.0, 0.0, 1.0], [0.0, 2.0, 0.5]])
    yield torch.tensor([[1.0, 2.0, 0.0], [3.0, 1.0, -1.0]])
    generator = torch.Generator().manual_seed(9)
    for shape in [(3, 3), (3, 6), (6, 20)]:
        yield 1.5 * torch.randn(*shape, generator=generator)


def negatives_of(scores):
    """True where a candidate is a negative of its row, (B, C)."""
    return ~torch.eye(*scores.shape, dtype=torch.bool)


def weights_of(scores):
    """Softmax over each row's negatives, 0 for its positive. (B, C)"""
    return scores.masked_fill(~negatives_of(scores), -torch.inf).softmax(1)


# ---- 9.1


@exercise("9.1")
def negative_weights(answer):
    large = torch.tensor([[0.0, 1000, 999], [500, -1000, 500]])
    for scores in [*score_examples(), large]:
        example, is_negative = {"scores": scores}, negatives_of(scores)
        given, right = ask(answer, example), weights_of(scores)
        if torch.is_tensor(given) and not given.isfinite().all():
            raise CheckFailed(
                f"{name_of(answer)} gives numbers that are not finite. exp(1000) is "
                "more than a float can hold, but weights depend only on how far the "
                "negatives of a row are apart. And mind 0 · inf and inf / inf."
                f"{show(example)}"
            )
        everything = scores.softmax(1)
        zeroed = scores.where(is_negative, 0).softmax(1)
        usual = {
            "the positive takes part in the softmax; it is over the row's negatives "
            "only": everything,
            "the positive took part in the softmax and was removed afterwards, so the "
            "rows no longer add up to 1": everything.where(is_negative, 0),
            "the positive's score is replaced by 0, and exp(0) is 1: it still takes "
            "part in the softmax": zeroed,
            "the positive's score is replaced by 0, and exp(0) is 1: it still takes a "
            "share of the softmax, even if its own weight is removed": (
                zeroed.where(is_negative, 0)
            ),
            "the softmax goes down the columns; each row has its own negatives": (
                scores.masked_fill(~is_negative, -torch.inf).softmax(0).nan_to_num()
            ),
            "all negatives weigh the same; the weight has to grow with the score": (
                is_negative / is_negative.sum(1, keepdim=True)
            ),
            "the sign is wrong: negatives with high scores get the small weights": (
                weights_of(-scores)
            ),
            "a row's weights do not add up to 1: divide by their sum": (
                scores.exp().where(is_negative, 0)
            ),
        }
        compare(answer, given, right, example, usual, tolerance=1e-5)


# ---- 9.2


def over_rows(weight, cost):
    return (weight * cost).sum(1).mean()


@exercise("9.2")
def top1_max(answer):
    for scores in score_examples():
        example, is_negative = {"scores": scores}, negatives_of(scores)
        w, own = weights_of(scores), scores.diagonal()[:, None]  # (B, C), (B, 1)
        ahead, size = torch.sigmoid(scores - own), torch.sigmoid(scores**2)
        even = is_negative / is_negative.sum(1, keepdim=True)
        right = losses.top1_max(scores)
        usual = {
            "this is TOP1: all negatives weigh the same": over_rows(even, ahead + size),
            "the weights are summed up and then divided by the number of negatives, "
            "too; they already add up to 1": over_rows(w * even, ahead + size),
            "it is the mean over all entries; in a row the weighted terms are added "
            "up": (w * (ahead + size)).mean(),
            "the positive is among the weights": over_rows(
                scores.softmax(1), ahead + size
            ),
            "the second term is not weighted": (
                over_rows(w, ahead) + over_rows(even, size)
            ),
            "the second term is missing": over_rows(w, ahead),
            "the scores in the second term are not squared": over_rows(
                w, ahead + torch.sigmoid(scores)
            ),
            "the gap has the wrong sign: σ is large when the negative is ahead": (
                over_rows(w, 1 - ahead + size)
            ),
            "the sign is wrong: a loss is to be made small": -right,
            "it is the sum over rows; their mean is wanted": right * len(scores),
        }
        compare(answer, ask(answer, example), right, example, usual, tolerance=1e-5)


# ---- 9.3


def bpr_max_wrongly(scores, bpreg, elu_param, mistake):
    """BPR-max with one mistake, or with None."""
    is_negative = negatives_of(scores)
    raw, scores = scores, losses.elu(scores, elu_param)
    own = scores.diagonal()[:, None]  # (B, 1)
    w, even = weights_of(scores), is_negative / is_negative.sum(1, keepdim=True)
    if mistake == "weights of raw scores":
        w = weights_of(raw)
    if mistake == "positive among the weights":
        w = scores.softmax(1)
    if mistake == "even weights":
        w = even
    gap = {"raw positive": raw.diagonal()[:, None] - scores}.get(mistake, own - scores)
    gap = -gap if mistake == "swapped" else gap
    cost = -(w * torch.sigmoid(gap)).sum(1).log()  # (B,)
    if mistake == "log inside":
        cost = -(w * F.logsigmoid(gap)).sum(1)
    if mistake == "no log":
        cost = -(w * torch.sigmoid(gap)).sum(1)
    share = even if mistake == "penalty with even weights" else w
    share = is_negative if mistake == "penalty without weights" else share
    squares = {"raw penalty": raw**2, "not squared": scores}.get(mistake, scores**2)
    penalty = bpreg * (share * squares).sum(1)  # (B,)
    if mistake == "penalty with its own sign":
        penalty = -penalty
    return (cost + (0 if mistake == "no penalty" else penalty)).mean()


@exercise("9.3")
def bpr_max(answer):
    told = {
        "the logarithm stands inside the sum; it is the weighted sum whose logarithm "
        "is wanted": "log inside",
        "the logarithm is missing": "no log",
        "the score penalty is missing": "no penalty",
        "the penalty's sign is wrong: it is added to the loss": (
            "penalty with its own sign"
        ),
        "the penalty takes all negatives alike; they have the same weights as in the "
        "first term": "penalty with even weights",
        "the penalty has no weights; they are the same as in the first "
        "term": "penalty without weights",
        "the scores in the penalty are not squared": "not squared",
        "all negatives weigh the same": "even weights",
        "the positive is among the weights; the softmax is over the negatives "
        "only": "positive among the weights",
        "the gap has the wrong sign: σ has to be large when the positive is "
        "ahead": "swapped",
        "the weights come from the scores before ELU; all that follows uses those "
        "after it": "weights of raw scores",
        "the penalty takes the scores before ELU; all that follows uses those after "
        "it": "raw penalty",
        "ELU is for all scores, the positive's, too": "raw positive",
    }
    for bpreg, elu_param in [(0.0, 0.0), (1.5, 0.0), (0.0, 0.5), (0.5, 1.0)]:
        for scores in score_examples():
            example = {"scores": scores, "bpreg": bpreg, "elu_param": elu_param}
            right = bpr_max_wrongly(scores, bpreg, elu_param, None)
            assert torch.isclose(
                right, losses.bpr_max(losses.elu(scores, elu_param), bpreg), atol=1e-5
            )
            usual = {
                text: bpr_max_wrongly(scores, bpreg, elu_param, mistake)
                for text, mistake in told.items()
            }
            usual["the scores do not go through ELU"] = bpr_max_wrongly(
                scores, bpreg, 0.0, None
            )
            usual["it is the sum over rows; their mean is wanted"] = right * len(scores)
            usual["the sign is wrong: a loss is to be made small"] = -right
            compare(answer, ask(answer, example), right, example, usual, tolerance=1e-5)


# ---- 9.4

CHOICES = {  # how the push of BPR and that of BPR-max change
    "a": ("fades", "fades"),
    "b": ("fades", "stays"),
    "c": ("stays", "fades"),
    "d": ("stays", "stays"),
}


def push_on_positive(loss, n_negatives):
    """The positive stands at 0, one negative at 2, all others at −12."""
    row = torch.full((1, 1 + n_negatives), -12.0)
    row[0, :2] = torch.tensor([0.0, 2.0])
    row.requires_grad_()
    loss(row).backward()
    return -row.grad[0, 0].item()


@exercise("9.4", prediction=True)
def push_with_more_negatives(answer):
    choice = letter_of(answer, CHOICES)
    functions = {
        "BPR": losses.bpr,
        "BPR-max": functools.partial(losses.bpr_max, bpreg=0.0),
    }
    few, many = (
        [push_on_positive(loss, n) for loss in functions.values()] for n in (10, 1000)
    )
    truth = ["fades" if m < f / 20 else "stays" for f, m in zip(few, many, strict=True)]
    overlooked = {
        ("BPR", "stays"): "BPR takes the mean over the negatives. What do the 990 that "
        "are far below add to the sum, and what to the number it is divided by?",
        ("BPR", "fades"): "For BPR, ask what the new negatives add to the sum.",
        ("BPR-max", "stays"): "For BPR-max, ask how much weight the rival keeps.",
        ("BPR-max", "fades"): "BPR-max gives a negative at −12 beside one at 2 a "
        "weight of e^−14 against 1. How much is that, 999 times?",
    }
    wrong = [
        overlooked[name, said]
        for name, said, true in zip(functions, CHOICES[choice], truth, strict=True)
        if said != true
    ]
    if wrong:
        raise CheckFailed(f"{name_of(answer)}: not so. {' '.join(wrong)}")
    numbers = {"N = 10": np.round(few, 3), "N = 1000": np.round(many, 3)}
    print("push on the positive:", table(loss=list(functions), **numbers), "\n")


# ---- 9.5

DAYS = 2
MODEL_2016 = {**presets["rsc15-2016-top1"], "learning_rate": 0.1, "n_epochs": 5}


@functools.cache
def level_of_2016():
    train, later = part_of_the_shop(DAYS)
    model = GRU4Rec(**MODEL_2016, device="cpu").fit(train, verbose=False)
    return evaluate(model, later, progress=False).recall[20]


@exercise("9.5")
def my_max_loss(answer):
    train, later = part_of_the_shop(DAYS)
    model = ask(answer, {"train": train})
    if not isinstance(model, GRU4Rec):
        raise CheckFailed(
            f"{name_of(answer)} gives a {type(model).__name__}; a GRU4Rec is expected, "
            "fitted with a max loss. Is a `return` missing?"
        )
    if model.loss not in ("bpr-max", "top1-max"):
        raise CheckFailed(
            f"{name_of(answer)} trains with loss={model.loss!r}; the aim is to do it "
            "with a max loss, 'bpr-max' or 'top1-max'."
        )
    old = level_of_2016()
    must_beat(
        answer, model, train, later, 1.1 * old,
        f"the {old:.3f} of the 2016 model and a tenth more. The loss alone does not do "
        "it: think of what it needs to choose from, and of who shares what",
    )  # fmt: skip

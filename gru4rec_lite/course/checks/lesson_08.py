"""Checks of lesson 08: broken functions repaired, a mistake known by its curve.

``must_beat`` is also the check of lesson 09's project.
"""

import functools

import numpy as np
import torch

from ... import Markov, Sessions, evaluate, load_shop
from ...batching import session_parallel
from ...errors import GRU4RecError
from .checking import CheckFailed, ask, compare, exercise, letter_of, name_of, show
from .lesson_06 import looks_ahead


def ranked_scores():
    """(scores (n, I), targets (n,), k), hand-made, random with many ties, with NaN."""
    nan = torch.nan
    for scores, targets, k in [
        ([[0.0, 0, 0]], [1], 1),
        ([[4.0, 3, 2, 1]], [1], 2),
        ([[9.0, 1, 5, 0], [3, 2, 2, 0], [7, 7, 7, 1], [4, 3, 2, 1]], [0, 1, 0, 3], 2),
    ]:
        yield torch.tensor(scores), torch.tensor(targets), k
    generator = torch.Generator().manual_seed(8)
    for k in (1, 5, 20):
        scores = torch.randn(40, 60, generator=generator).mul(3).round()
        yield scores, torch.randint(60, (40,), generator=generator), k
    for scores, targets in [
        ([[nan, nan, nan], [1, 3, 2]], [0, 1]),
        ([[1.0, nan, 0.0], [2, 1, nan]], [0, 0]),
    ]:
        yield torch.tensor(scores), torch.tensor(targets), 1


@exercise("8.1")
def repaired_recall(answer):
    for scores, targets, k in ranked_scores():
        example = {"scores": scores, "targets": targets, "k": k}
        own = scores.gather(1, targets[:, None])  # (n, 1)
        above, at_least = (scores > own).sum(1), (scores >= own).sum(1)  # (n,)
        rank = (~(scores < own)).sum(1)  # (n,) NaN counts against the target
        usual = {
            "a NaN passes as a hit. Every comparison with NaN is False, so it is "
            "neither above the target nor equal to it": at_least <= k,
            "items scored equal to the target have to count against it; here they do "
            "not": above < k,
            "equal items count half; the conservative rule puts the target behind all "
            "of them": (above + at_least + 1) / 2 <= k,
            "a target on place k itself is a hit, too": rank < k,
        }
        usual = {text: hit.float().mean() for text, hit in usual.items()}
        usual["it counts the hits; their share is wanted"] = (rank <= k).sum()
        compare(
            answer, ask(answer, example), (rank <= k).double().mean().item(), example,
            usual,
        )  # fmt: skip


class RunningSum:
    """A cell that one can follow by hand: its state is the sum of what it read."""

    def __call__(self, x, h):
        return h + x

    def __repr__(self):
        return "a cell that adds x to h"


def read_sessions():
    """(x (T, B, D), reset (T, B), cell, H): sums first, then GRU cells."""
    for x, reset in [
        ([[1], [2], [4], [8], [16]], [[1], [0], [0], [1], [0]]),
        ([[1, 10], [2, 20], [4, 40], [8, 80]], [[1, 1], [0, 1], [0, 0], [1, 0]]),
    ]:
        x = torch.tensor(x, dtype=torch.float32)[:, :, None]  # (T, B, 1)
        yield x, torch.tensor(reset, dtype=torch.bool), RunningSum(), 1
    generator = torch.Generator().manual_seed(8)
    for n_steps, n_slots in [(5, 3), (9, 4)]:
        x = torch.randn(n_steps, n_slots, 2, generator=generator)
        reset = torch.rand(n_steps, n_slots, generator=generator) < 0.4
        reset[0] = True
        yield x, reset, seeded_cell(), 3


def seeded_cell():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(8)
        return torch.nn.GRUCell(2, 3)


@torch.no_grad()
def states(x, reset, cell, n_hidden, late=False):
    """States (T, B, H) after each step; late: zeroed after the step, not before."""
    h, found = torch.zeros(x.shape[1], n_hidden), []
    for clicks, starts in zip(x, reset, strict=True):
        keep = ~starts[:, None]  # (B, 1)
        h = cell(clicks, h if late else h * keep)
        found.append(h)
        h = h * keep if late else h
    return torch.stack(found)


@exercise("8.2")
def repaired_states(answer):
    for x, reset, cell, n_hidden in read_sessions():
        example = {"x": x, "reset": reset, "cell": cell, "n_hidden": n_hidden}
        right = states(x, reset, cell, n_hidden)
        late = states(x, reset, cell, n_hidden, late=True)
        start, nothing = reset[:, :, None], torch.zeros_like(reset)
        wiped = right.clone()
        wiped[:-1].masked_fill_(start[1:], 0)
        compare(
            answer, ask(answer, example), right, example,
            usual={
                "a slot is zeroed after its session's first click, which is then "
                "forgotten. The zero has to be there before that click is read": late,
                "a slot is zeroed after its session's first click, and the zeros also "
                "got into the states kept before: writing into a tensor changes every "
                "name it has": late.masked_fill(start, 0),
                "the reset is at the right step, but it also wipes the state of the "
                "step before, which you have kept: writing into a tensor changes "
                "every name it has": wiped,
                "nothing is ever reset": states(x, nothing, cell, n_hidden),
                "the state is zeroed at every step, so nothing is remembered": states(
                    x, ~nothing, cell, n_hidden
                ),
                "True and False of `reset` are the wrong way round": states(
                    x, ~reset, cell, n_hidden
                ),
                "the neighbour's slot is reset": states(
                    x, reset.roll(1, 1), cell, n_hidden
                ),
                "all slots are reset as soon as one is": states(
                    x, reset.any(1, keepdim=True).expand_as(reset), cell, n_hidden
                ),
                "these are the states before each step; those after it are wanted": (
                    torch.cat([torch.zeros_like(right[:1]), right[:-1]])
                ),
            },
            tolerance=1e-5,
        )  # fmt: skip


def batches_of_scores():
    """Scores (B, C), hand-made, then random: in-batch only, and with N more."""
    yield torch.tensor([[1.0, 0.0], [2.0, 0.0]])
    yield torch.tensor([[0.0, 1.0, -1.0], [2.0, 3.0, 0.0]])
    generator = torch.Generator().manual_seed(8)
    for shape in [(3, 3), (4, 4), (3, 7), (8, 20)]:
        yield 2 * torch.randn(*shape, generator=generator)


@exercise("8.3")
def repaired_bpr(answer):
    for scores in batches_of_scores():
        example = {"scores": scores}
        n_slots, n = scores.shape
        is_negative = ~torch.eye(n_slots, n, dtype=torch.bool)
        own = scores.diagonal()[:, None]  # (B, 1)
        cost = -torch.nn.functional.logsigmoid(own - scores)  # (B, C)
        swapped = -torch.nn.functional.logsigmoid(scores - own)
        right = cost[is_negative].mean()
        usual = {
            "a row's own positive is still among its negatives: its gap to itself is "
            "0, which adds log 2 to the sum": cost.mean(),
            "the positive's column no longer adds to the sum, but it is still counted "
            "in the mean": cost[is_negative].sum() / scores.numel(),
            "the sign is wrong: a loss falls when the positive rises": -right,
            "positive and negative are swapped": swapped[is_negative].mean(),
            "it is the sum over the negatives; their mean is wanted": (
                cost[is_negative].sum() / n_slots
            ),
            "it is the sum over rows; their mean is wanted": right * n_slots,
            "one loss a row is given; their mean is wanted": (
                cost.where(is_negative, 0).sum(1) / (n - 1)
            ),
        }
        if n == n_slots:
            other = -torch.nn.functional.logsigmoid(own.T - scores)  # (B, B)
            wrong_axis = (
                "the positives run along the wrong axis: column j of every row is "
                "compared with slot j's positive, instead of its own row's"
            )
            usual |= {
                wrong_axis: other[is_negative].mean(),
                wrong_axis + ". And the positive is among the negatives": other.mean(),
            }
        compare(answer, ask(answer, example), right, example, usual, tolerance=1e-5)


def updates():
    """(weights, velocity (I, H), rows (n,), gradients (n, H), rate, momentum)."""
    yield np.zeros((3, 1)), np.zeros((3, 1)), np.array([0]), np.ones((1, 1)), 0.1, 0.0
    yield (
        np.zeros((3, 1)), np.zeros((3, 1)), np.array([1, 1]), np.array([[1.0], [2]]),
        0.1, 0.0,
    )  # fmt: skip
    yield (
        np.zeros((3, 1)), np.array([[0.0], [1], [2]]), np.array([1]), np.ones((1, 1)),
        0.1, 0.5,
    )  # fmt: skip
    rng = np.random.default_rng(8)
    for n_items, n in [(4, 3), (6, 9), (9, 30)]:
        gradients = rng.normal(size=(n, 2))
        yield (
            rng.normal(size=(n_items, 2)), rng.normal(size=(n_items, 2)),
            rng.integers(0, n_items - 1, size=n), gradients, 0.1, 0.5,
        )  # fmt: skip


def moved(weights, velocity, rows, gradients, rate, momentum, mistake=None):
    """New weights and velocity, both (I, H)."""
    g = np.zeros_like(weights)
    if mistake in ("overwritten", "both"):
        g[rows] = gradients
    else:
        np.add.at(g, rows, gradients)
    count = np.bincount(rows, minlength=len(weights))[:, None]  # (I, 1)
    if mistake == "averaged":
        g /= np.maximum(count, 1)
    step = momentum * velocity - rate * g
    if mistake not in ("all moved", "both"):
        step = np.where(count > 0, step, velocity)
    move = step if mistake in ("all moved", "both") else np.where(count > 0, step, 0)
    return weights + move, step


@exercise("8.4")
def repaired_update(answer):
    names = "weights velocity rows gradients learning_rate momentum".split()
    for arguments in updates():
        example = dict(zip(names, arguments, strict=True))
        result = ask(answer, example)
        if not isinstance(result, (tuple, list)) or len(result) != 2:
            raise CheckFailed(
                f"{name_of(answer)} gives a {type(result).__name__}; two arrays are "
                "expected, the new weights and the new velocity, separated by a comma "
                f"after `return`.{show(example)}"
            )
        told = {
            "of a row that stands twice in `rows`, only the last gradient is used. "
            "Array assignment writes, it does not add": "overwritten",
            "rows that are not in `rows` move, too: their old velocity carries them "
            "on": "all moved",
            "both mistakes are still there: of a repeated row only the last gradient "
            "is used, and rows that are not in `rows` move": "both",
            "a repeated row gets the mean of its gradients; their sum is "
            "wanted": "averaged",
        }
        right = moved(*arguments)
        usual = {text: moved(*arguments, mistake) for text, mistake in told.items()}
        g = np.zeros_like(arguments[0])
        np.add.at(g, arguments[2], arguments[3])
        usual["the sign is wrong: weights go against the gradient"] = moved(
            *arguments[:3], -arguments[3], *arguments[4:]
        )
        usual["the old velocity is forgotten"] = moved(*arguments[:5], 0.0)
        for part, what in enumerate(["new weights", "new velocity"]):
            compare(
                answer, result[part], right[part], example,
                {text: value[part] for text, value in usual.items()}, what,
            )  # fmt: skip


# ---- a mistake known by its learning curve

SUSPECTS = {
    "a": {"mistakes": "softmax twice"},
    "b": {"mistakes": "positive among negatives"},
    "c": {"mistakes": "state kept"},
    "d": {"learning_rate": 0.003},
}
UNKNOWN = SUSPECTS["b"]
SMALL = {
    "layers": [20], "batch_size": 16, "n_sample": 16, "logq": 0.0, "momentum": 0.0,
    "dropout_p_hidden": 0.0, "learning_rate": 0.3, "n_epochs": 15,
}  # fmt: skip


def learning_curve(**settings):
    """Training loss of every epoch on two hours of the shop, learnt by heart."""
    return _learning_curve(tuple(settings.items()))


@functools.cache
def _learning_curve(settings):
    from ..lesson_08 import Careless  # here: the other checks do not need it

    hours = load_shop().train_part.split_last_days(2 / 24)[1]
    settings = {**SMALL, **dict(settings)}
    losses = Careless(**settings).fit(hours).losses
    # Steps with closed slots have fewer rows, and a lower loss for that reason only.
    n_open = session_parallel(hours.offsets, settings["batch_size"]).n_open
    by_epoch = np.reshape(losses, (-1, len(n_open)))
    return by_epoch[:, n_open == settings["batch_size"]].mean(1)


def unknown_curve():
    """A figure of two trainings: a right one, and one with a mistake."""
    from .. import plots

    figure, axes = plots.new_figure(height=3.2)
    epoch = np.arange(SMALL["n_epochs"]) + 1
    axes.plot(epoch, learning_curve(), color=plots.NAVY, label="no mistake")
    axes.plot(
        epoch, learning_curve(**UNKNOWN), "--", color=plots.VERMILION,
        label="the unknown mistake",
    )  # fmt: skip
    n = SMALL["batch_size"] + SMALL["n_sample"]
    axes.axhline(np.log(n), color="gray", ls=":", label=f"log {n}: guessing")
    axes.set(xlabel="epoch", ylabel="training loss", ylim=(0, None))
    axes.legend()
    return figure


@exercise("8.5", prediction=True)
def unknown_mistake(answer):
    choice = letter_of(answer, SUSPECTS)
    shown, suspected = learning_curve(**UNKNOWN), learning_curve(**SUSPECTS[choice])
    if not np.allclose(shown, suspected):
        overlooked = {
            "a": "Take the two ends of the curve: where it begins, and how far down "
            "it can get from there with this mistake.",
            "b": "Look at where the curve ends.",
            "c": "What a stranger left in the memory disturbs the first clicks of a "
            "session. It does not keep a network from learning 110 sessions by heart.",
            "d": "With small steps the loss falls slowly from the beginning on; the "
            "unknown curve falls as fast as the right one, and then stops.",
        }[choice]
        raise CheckFailed(
            f"{name_of(answer)}: not this one. The same training with mistake "
            f"{choice!r} begins at a loss of {suspected[0]:.2f} and ends at "
            f"{suspected[-1]:.2f}; the unknown one begins at {shown[0]:.2f} and "
            f"ends at {shown[-1]:.2f}. {overlooked}"
        )


# ---- projects: a figure to beat


@functools.cache
def part_of_the_shop(days):
    """The last days to train on, and a later day, both with items numbered anew.

    So nothing helps that is known about the shop from elsewhere, its oracle included.
    """
    shop = load_shop()
    train = shop.train_part.split_last_days(days)[1]
    later = shop.valid.split_last_days(1)[1].align(train.item_ids)
    number = np.random.default_rng(8).permutation(train.n_items)
    return tuple(
        Sessions(
            number[part.items], part.times, part.offsets, part.session_ids,
            np.arange(train.n_items),
        )
        for part in (train, later)
    )  # fmt: skip


def must_beat(answer, recommender, train, later, level, told):
    """Raise CheckFailed unless the recommender's Recall@20 on later is above level.

    recommender : what the learner's function gave for train. told : what level is.
    """
    name = name_of(answer)
    item_ids = getattr(recommender, "item_ids", None)
    if item_ids is None or not hasattr(recommender, "score_after"):
        raise CheckFailed(
            f"{name} gives {type(recommender).__name__!r}; a fitted recommender is "
            "expected, with `item_ids` and `score_after`. Is a `return` or a `fit` "
            "missing?"
        )
    if not np.array_equal(item_ids, train.item_ids):
        raise CheckFailed(
            f"{name}: the recommender knows {len(item_ids)} items, the training "
            f"sessions have {train.n_items}. It has to rank all of them, in their "
            "order; ranking fewer is easier and cannot be compared."
        )
    try:
        recall = evaluate(recommender, later, progress=False).recall[20]
    except GRU4RecError as error:
        raise CheckFailed(f"{name} cannot be evaluated: {error}") from error
    if looks_ahead(recommender, later):
        raise CheckFailed(
            f"{name}: scores after a session's first click change when clicks that "
            "come later do. They may depend on clicks up to that one only."
        )
    if not recall > level:
        raise CheckFailed(
            f"{name} reaches a Recall@20 of {recall:.3f} on sessions of a later day. "
            f"To beat is {level:.3f}, {told}."
        )


@functools.cache
def markov_level(days):
    train, later = part_of_the_shop(days)
    return evaluate(Markov().fit(train), later, progress=False).recall[20]


@exercise("8.6")
def repaired_recommender(answer):
    train, later = part_of_the_shop(2)
    chain = markov_level(2)
    must_beat(
        answer, ask(answer, {"train": train}), train, later, 1.2 * chain,
        f"the Markov chain's {chain:.3f} and a fifth more. The broken one stays below; "
        "mistakes that cost as much as this are still in yours",
    )  # fmt: skip

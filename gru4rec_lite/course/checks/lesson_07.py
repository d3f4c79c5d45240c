"""Checks of lesson 07: the update, the training loop, choosing settings.

The project is measured on the month of exercise 6.7, which nobody has seen.
"""

import numpy as np
import torch
import torch.nn.functional as F

from ...batching import session_parallel
from ...gru4rec import GRU4Rec
from ...losses import cross_entropy
from ...network import Network
from ...sessions import Sessions
from .checking import CheckFailed, ask, compare, exercise, name_of, show, table
from .lesson_06 import measured_recall, new_month, to_beat

# ---- debug: the cost of a step -----------------------------------------------------


def cost_examples():
    """(scores (b, C), B): hand-made, then random; fewer open slots than slots last."""
    yield torch.tensor([[9.0, 0.0, 0.0], [0.0, 9.0, 0.0]]), 2
    yield torch.tensor([[1.0, 2.0, 0.0], [0.5, 0.0, 3.0]]), 2
    generator = torch.Generator().manual_seed(71)
    for n_open, n_slots in [(4, 4), (2, 4), (3, 8)]:
        yield torch.randn(n_open, n_open + 3, generator=generator), n_slots


@exercise("7.1")
def step_cost(answer):
    for scores, n_slots in cost_examples():
        scores = scores.requires_grad_()
        n_open, target = len(scores), torch.arange(len(scores))
        share = n_open / n_slots
        expected = cross_entropy(scores) * share
        columns = -torch.log_softmax(scores, 0).diagonal().mean()
        by_row = F.cross_entropy(torch.softmax(scores, 1), target)
        by_column = F.cross_entropy(torch.softmax(scores, 0), target)
        usual = {}
        for divisor, factor in {
            "": share,
            ", and it is divided by the open slots instead of B": 1.0,
        }.items():
            usual |= {
                "the softmax goes over the slots; it has to go over the candidates of "
                f"each slot{divisor}": columns * factor,
                "the softmax is taken twice: `F.cross_entropy` wants the scores, and "
                f"makes probabilities itself{divisor}": by_row * factor,
                "the softmax is taken twice, the first time over the slots"
                f"{divisor}": by_column * factor,
            }
        usual |= {
            "it is the mean over the open slots; the sum over them is to be divided "
            "by B": expected / share,
            "it is the sum over the open slots; divide it by B": expected * n_slots,
            "the sign is wrong: a loss is to be made small": -expected,
        }
        example = {"scores": scores, "B": n_slots}
        cost = ask(answer, example)
        compare(answer, cost, expected, example, usual, "cost", 1e-5)
        if not cost.requires_grad:
            raise CheckFailed(
                f"the cost of {name_of(answer)} has the right value, but no gradient "
                "can flow back to the scores: something cuts it off, such as "
                f"`detach`, `item` or `torch.no_grad`.{show(example)}"
            )


# ---- the update --------------------------------------------------------------------


def added_up(rows, g):
    """Distinct rows (U,), and the sum of the gradients of each (U, H)."""
    used, place = rows.unique(return_inverse=True)
    return used, g.new_zeros(len(used), g.shape[1]).index_add_(0, place, g)


def one_move(tensors, rows, g, lr, momentum, squares=None, outside=False):
    """Adagrad on distinct rows: new (table, acc, v). The rest are usual mistakes."""
    weights, acc, v = (tensor.clone() for tensor in tensors)
    acc[rows] += g**2 if squares is None else squares
    root = acc[rows].sqrt() + 1e-6 if outside else (acc[rows] + 1e-6).sqrt()
    v[rows] = momentum * v[rows] - lr * g / root
    weights[rows] += v[rows]
    return weights, acc, v


def wrong_moves(tensors, rows, g, lr, momentum):
    """What usual mistakes make of (table, acc, v), by message."""
    used, total = added_up(rows, g)
    _, times = added_up(rows, torch.ones_like(g))
    _, squares = added_up(rows, g**2)
    last = torch.stack([g[rows == row][-1] for row in used])
    twice = tensors
    for row, one in zip(rows, g, strict=True):
        twice = one_move(twice, row[None], one[None], lr, momentum)
    drifting = torch.zeros_like(tensors[0]).index_add_(0, rows, g)
    everywhere = torch.arange(len(tensors[0]))
    uphill = one_move(tensors, used, -total, lr, -momentum)[2]
    forgets = one_move(
        [tensors[0], 0 * tensors[1], tensors[2]], used, total, lr, momentum
    )
    given = (lr, momentum)
    return {
        "only one of a repeated row's gradients is kept; they are to be added "
        "up": one_move(tensors, used, last, *given),
        "a repeated row is moved once for each of its gradients; add them up "
        "first, then move once": twice,
        "the gradients of a repeated row are averaged; they are to be added "
        "up": one_move(tensors, used, total / times, *given),
        "the squares of a repeated row's gradients are added up; it is the square "
        "of their sum": one_move(tensors, used, total, *given, squares=squares),
        "rows that are not in use move, too: momentum lets them drift": one_move(
            tensors, everywhere, drifting, *given
        ),
        "momentum is left out": one_move(tensors, used, total, lr, 0.0),
        "the sign is wrong: weights move against the gradient": (
            tensors[0].index_add(0, used, uphill[used]),
            tensors[1].index_add(0, used, total**2),
            uphill,
        ),
        "the accumulator is set to g²; it adds up": forgets,
        "ε stands outside the root; it belongs inside": one_move(
            tensors, used, total, *given, outside=True
        ),
    }


def update_examples():
    """(table, acc, velocity), rows (n,), g (n, H), lr, momentum."""
    start = [torch.zeros(3, 1), torch.zeros(3, 1), torch.zeros(3, 1)]
    yield start, torch.tensor([1]), torch.tensor([[2.0]]), 0.1, 0.0
    yield start, torch.tensor([1, 1]), torch.tensor([[2.0], [1.0]]), 0.1, 0.0
    moving = [torch.ones(3, 1), torch.ones(3, 1), torch.full((3, 1), -0.5)]
    yield moving, torch.tensor([0, 2, 0]), torch.tensor([[1.0], [2.0], [0.5]]), 0.1, 0.5
    generator = torch.Generator().manual_seed(72)
    for size in (1.0, 1e-3, 1.0):
        state = [torch.randn(6, 2, generator=generator) for _ in range(3)]
        state[1] = state[1] ** 2 * size**2
        g = size * torch.randn(7, 2, generator=generator)
        yield state, torch.randint(6, (7,), generator=generator), g, 0.2, 0.3


@exercise("7.2")
def adagrad_rows(answer):
    names = ["table", "acc", "velocity"]
    for tensors, rows, g, lr, momentum in update_examples():
        used, total = added_up(rows, g)
        expected = one_move(tensors, used, total, lr, momentum)
        wrong = wrong_moves(tensors, rows, g, lr, momentum)
        example = dict(zip(names, tensors, strict=True))
        example |= {"rows": rows, "g": g, "lr": lr, "momentum": momentum}
        given = ask(answer, example)
        if not isinstance(given, tuple | list) or len(given) != 3:
            raise CheckFailed(
                f"{name_of(answer)} gives a {type(given).__name__}; three tensors are "
                f"expected, the new table, acc and velocity.{show(example)}"
            )
        for i in (1, 2, 0):
            usual = {message: value[i] for message, value in wrong.items()}
            compare(
                answer, given[i], expected[i], example, usual, f"new {names[i]}", 1e-5
            )


# ---- the loop ----------------------------------------------------------------------


def one_pass(
    network, optimizer, schedule, items, reset=True, keep=True, clear=True, move=True,
    share=True, everything=False, inputs_as_targets=False,
):  # fmt: skip
    """The loop of lesson 07 with in-batch negatives; switches for usual mistakes."""
    n_slots = schedule.position.shape[1]
    state, losses = network.initial_state(n_slots)[0], []
    for position, starts in zip(schedule.position, schedule.reset, strict=True):
        is_open = position >= 0
        inputs, targets = items[position[is_open]], items[position[is_open] + 1]
        h = state[is_open]
        if reset:
            h = h * ~torch.from_numpy(starts[is_open])[:, None]
        h, _ = network(network.output[inputs], [h])
        if everything:
            right, place = slice(0, network.n_items), targets
        else:
            right = inputs if inputs_as_targets else targets
            place = torch.arange(len(targets))
        scores = h @ network.output[right].T + network.output_bias[right]
        cost = F.cross_entropy(scores, place)
        if share:
            cost = cost * len(targets) / n_slots
        if clear:
            optimizer.zero_grad()
        cost.backward()
        if move:
            optimizer.step()
        if keep:
            state[is_open] = h.detach()
        losses.append(cost.item())
    return losses


def fresh(n_items, seed, lr):
    """A small network with large weights, and PyTorch's Adagrad on all of them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Network(n_items, [4], shared=True)
    for weights in (network.output, *network.parameters()):
        weights.data *= 2
    weights = [network.output, network.output_bias, *network.parameters()]
    weights = [w.requires_grad_() for w in weights]
    return network, torch.optim.Adagrad(weights, lr=lr, eps=1e-6)


def loop_examples():
    """(schedule, items, I): slots close in the second, sessions change in the third."""
    rng = np.random.default_rng(73)
    by_hand = [([3, 3], 2), ([5, 2, 4], 3), ([3, 2, 2, 4], 2), ([4, 2, 6, 3, 2, 5], 3)]
    for lengths, n_slots in by_hand:
        offsets = np.append(0, np.cumsum(lengths))
        items = torch.from_numpy(rng.integers(0, 6, offsets[-1]))
        yield session_parallel(offsets, n_slots, min_open=2), items, 6


MISTAKES = {
    "the hidden state is not set to zero where a session starts": {"reset": False},
    "the hidden state is not handed on from step to step": {"keep": False},
    "gradients of earlier steps are still there: PyTorch adds to them, so clear them "
    "before each `backward`": {"clear": False},
    "the weights never move: the optimiser makes no step": {"move": False},
    "the loss is the mean over the open slots; the sum over them is to be divided by "
    "B": {"share": False},
    "the candidates are all items; here they are the targets of the open slots": {
        "everything": True
    },
    "the candidates are the inputs; they should be the targets, one click further on": {
        "inputs_as_targets": True
    },
}


@exercise("7.3")
def train_pass(answer):
    for n, (schedule, items, n_items) in enumerate(loop_examples()):

        def losses(n=n, schedule=schedule, items=items, n_items=n_items, **mistake):
            network, optimizer = fresh(n_items, n, lr=0.3)
            return np.array(one_pass(network, optimizer, schedule, items, **mistake))

        network, optimizer = fresh(n_items, n, lr=0.3)
        example = {
            "network": network, "optimizer": optimizer, "schedule": schedule,
            "items": items,
        }  # fmt: skip
        shown = {"position": schedule.position, "reset": schedule.reset, "items": items}
        try:
            given = ask(answer, example, may_change=("network", "optimizer"))
        except CheckFailed as error:
            if "second time" not in str(error):
                raise
            raise CheckFailed(
                f"{name_of(answer)} lets the gradient flow back into earlier steps, "
                "whose graph is gone. The hidden state that goes on to the next step "
                "is a value: detach it."
            ) from error
        try:
            given = np.array([float(one) for one in given])
        except (TypeError, ValueError):
            raise CheckFailed(
                f"{name_of(answer)} gives a {type(given).__name__}; a list with the "
                "loss of every step is expected."
            ) from None
        usual = {text: losses(**mistake) for text, mistake in MISTAKES.items()}
        compare(answer, given, losses(), shown, usual, "losses, step by step,", 1e-4)


# ---- choose ------------------------------------------------------------------------


class Measure:
    """What `measure` is in the check: looks a curve up, and notes what was asked."""

    def __init__(self, curves):
        self.curves, self.calls = curves, []

    def __call__(self, setting, n_epochs, train, valid):
        self.calls.append((setting["learning_rate"], n_epochs, train, valid))
        curve = self.curves[setting["learning_rate"]]
        return curve[min(n_epochs, len(curve)) - 1]

    def __deepcopy__(self, memo):
        return self  # or the calls would be lost in a copy

    def __repr__(self):
        return f"a function that gives, pass by pass, {self.curves}"


def halve(curves, budget, up=True, worst=False, grow=True):
    """(the chosen one, [(candidate, passes), ...]) by successive halving."""
    left, n_epochs, calls = list(curves), 1, []
    while len(left) > 1 and len(left) * n_epochs <= budget:
        budget -= len(left) * n_epochs
        calls += [(one, n_epochs) for one in left]
        recall = {one: curves[one][min(n_epochs, len(curves[one])) - 1] for one in left}
        half = -(-len(left) // 2) if up else max(1, len(left) // 2)
        order = sorted(left, key=recall.get, reverse=not worst)
        best = order[0]
        left, n_epochs = order[:half], n_epochs * 2 if grow else n_epochs
    return best, calls


def halving_examples():
    """(curves, budget): learning rate to Recall@20 after 1, 2, 3, ... passes."""
    two = {0.1: [0.40, 0.45], 0.01: [0.20, 0.50]}
    four = {
        0.3: [0.42, 0.40, 0.38, 0.30],
        0.1: [0.40, 0.46, 0.47, 0.48],
        0.03: [0.30, 0.41, 0.46, 0.49],
        0.01: [0.20, 0.26, 0.31, 0.60],
    }
    five = {0.01: [0.1, 0.2], 0.02: [0.2, 0.3], 0.3: [0.25, 0.5], 0.1: [0.4, 0.45]}
    five[0.2] = [0.3, 0.4, 0.45, 0.5]
    yield two, 2
    yield four, 8
    yield four, 7
    yield five, 100
    rng = np.random.default_rng(74)
    for n, budget in [(6, 12), (7, 20), (8, 40)]:
        rates = rng.permutation(np.arange(1, n + 1)) / 20
        yield (
            {float(r): np.cumsum(rng.random(16)).round(3).tolist() for r in rates},
            budget,
        )


def some_days():
    """Sixty sessions of three clicks over six days."""
    starts = np.linspace(0, 6 * 86_400 - 600, 60)
    times = (starts[:, None] + [0, 60, 120]).ravel()
    items = np.random.default_rng(75).permutation(np.arange(180) % 5)
    return Sessions(items, times, np.arange(0, 181, 3), np.arange(60), range(5))


@exercise("7.4")
def best_setting(answer):
    sessions = some_days()
    train, valid = sessions.split_last_days(2)
    for curves, budget in halving_examples():
        measure = Measure(curves)
        settings = [{"learning_rate": rate, "layers": [50]} for rate in curves]
        example = {
            "settings": settings, "sessions": sessions, "measure": measure,
            "budget": budget,
        }  # fmt: skip
        chosen = ask(answer, example)
        check_split(answer, measure.calls, sessions, train, valid)
        spent = sum(call[1] for call in measure.calls)
        if spent > budget:
            raise CheckFailed(
                f"{name_of(answer)} spends {spent} passes; the budget is {budget}. "
                "Before a round, see whether what is left pays for all of it."
                f"{show(example)}"
            )
        check_rounds(answer, measure.calls, curves, budget, example)
        if chosen not in settings:
            raise CheckFailed(
                f"{name_of(answer)} gives {chosen!r}; one of the settings is expected."
                f"{show(example)}"
            )
        chosen = chosen["learning_rate"]
        if chosen == halve(curves, budget)[0]:
            continue
        reason = "in the last round another one was better"
        if chosen == halve(curves, budget, worst=True)[0]:
            reason = "that is the worst one; the higher the Recall@20, the better"
        raise CheckFailed(
            f"{name_of(answer)} measures as it should, but then chooses learning rate "
            f"{chosen}: {reason}.{show(example)}"
        )


def check_split(answer, calls, sessions, train, valid):
    """CheckFailed unless every setting was trained and measured on the right days."""
    if not calls:
        raise CheckFailed(
            f"{name_of(answer)} never calls `measure`; without it nothing is known "
            "about a setting."
        )
    for *_, its_train, its_valid in calls:
        for name, part in {"train": its_train, "valid": its_valid}.items():
            if not isinstance(part, Sessions):
                raise CheckFailed(
                    f"{name_of(answer)} gives `measure` a {type(part).__name__} as "
                    f"`{name}`; Sessions are expected."
                )
        ours, theirs = set(its_train.session_ids), set(its_valid.session_ids)
        if ours & theirs:
            raise CheckFailed(
                f"{name_of(answer)} measures on sessions that it has trained on: "
                f"{len(ours & theirs)} of the {len(theirs)} in `valid` are in `train`, "
                "too. Cut the validation days off first."
            )
        if its_train.times.max() > its_valid.times.max():
            raise CheckFailed(
                f"{name_of(answer)} trains on the last days and measures on the first "
                "ones. The future is to be predicted: measure on the last days."
            )
        if (its_train.n_sessions, its_valid.n_sessions) != (
            train.n_sessions, valid.n_sessions,
        ):  # fmt: skip
            raise CheckFailed(
                f"{name_of(answer)} cuts the {sessions.n_sessions} sessions into "
                f"{its_train.n_sessions} and {its_valid.n_sessions}; with the last two "
                f"days for validation they are {train.n_sessions} and "
                f"{valid.n_sessions}."
            )


def check_rounds(answer, calls, curves, budget, example):
    """CheckFailed unless each round had the right settings and passes."""
    _, expected = halve(curves, budget)
    given = [call[:2] for call in calls]
    if sorted(given) == sorted(expected):
        return
    usual = {
        "the worse half goes on": halve(curves, budget, worst=True),
        "of an odd number of settings the smaller half goes on; round up": halve(
            curves, budget, up=False
        ),
        "every round trains for the same number of passes; it doubles": halve(
            curves, budget, grow=False
        ),
    }
    reason = "the rounds are others than expected"
    if len(given) < len(expected) and given == expected[: len(given)]:
        reason = "it stops although the budget pays for another round"
    for message, (_, wrong) in usual.items():
        if sorted(given) == sorted(wrong):
            reason = message

    def as_text(rounds):
        return [f"{rate}: {n_epochs}" for rate, n_epochs in rounds]

    longest = max(len(given), len(expected))
    columns = {
        name: as_text(rounds) + [""] * (longest - len(rounds))
        for name, rounds in {"expected": expected, "given": given}.items()
    }
    raise CheckFailed(
        f"{name_of(answer)}: {reason}. Learning rate and passes of each call of "
        f"`measure`:{table(**columns)}{show(example)}"
    )


# ---- project -----------------------------------------------------------------------

STEPS = 300


@exercise("7.5")
def my_gru4rec(answer):
    train, _ = new_month()
    example = {"train": train}
    model = ask(answer, example)
    if not isinstance(model, GRU4Rec):
        raise CheckFailed(
            f"{name_of(answer)} gives {model!r:.80}; a fitted GRU4Rec is expected."
        )
    if model.item_ids is None:
        raise CheckFailed(
            f"the GRU4Rec of {name_of(answer)} is not fitted; call `fit(train)`."
        )
    steps = int(model.history["steps"].sum())
    if steps > STEPS:
        first = int(model.history["steps"].iloc[0])
        raise CheckFailed(
            f"the GRU4Rec of {name_of(answer)} was trained for {steps:,} steps; the "
            f"budget is {STEPS}. A pass took {first} of them: more slots side by side "
            "mean fewer steps."
        )
    reached = measured_recall(answer, model, example)
    if reached <= to_beat():
        raise CheckFailed(
            f"the GRU4Rec of {name_of(answer)} reaches Recall@20 {reached:.3f} with "
            f"{steps} steps; the Markov chain, which is to be beaten, has "
            f"{to_beat():.3f} on the same sessions."
        )

"""Checks of lesson 04: session-parallel mini-batches."""

from functools import cache

import numpy as np
import torch
from torch import nn

from ...baselines import Markov
from ...batching import session_parallel
from ...evaluation import evaluate
from ...sessions import Sessions
from ...shop import load_shop
from .checking import CheckFailed, ask, compare, exercise, letter_of, name_of

HAND_MADE = [  # session lengths, slots
    ([2, 2], 1),
    ([4, 2, 3, 2], 2),
    ([2, 4, 3, 2, 3], 2),
]


def examples():
    """Hand-made ones, then random ones: (offsets, B)."""
    rng = np.random.default_rng(4)
    random = [(rng.integers(2, 7, size=12), int(rng.integers(2, 6))) for _ in range(5)]
    for lengths, slots in HAND_MADE + random:
        yield np.concatenate([[0], np.cumsum(lengths)]), slots


@exercise("4.1")
def reset_mask(answer):
    for offsets, slots in examples():
        position = session_parallel(offsets, slots).position
        starts = np.isin(position, offsets[:-1])  # (T, B), a closed slot is -1
        example = {"position": position, "offsets": offsets}
        ends = np.isin(position + 1, offsets[1:] - 1)
        first = starts & (np.arange(len(starts)) == 0)[:, None]
        compare(
            answer, ask(answer, example), starts, example,
            usual={
                "True and False are the wrong way round: it is True where a session "
                "starts": ~starts,
                "it resets where a session ends, one step before the next one "
                "starts": ends,
                "only the first step is reset; a slot's hidden state must also be "
                "zeroed when the next session takes the slot": first,
                "nothing is ever reset": np.zeros_like(starts),
            },
        )  # fmt: skip


# ---- 4.2: the schedule -----------------------------------------------------------


@exercise("4.2")
def sessions_in_slots(answer):
    for offsets, slots in examples():
        position = session_parallel(offsets, slots).position
        right = np.searchsorted(offsets, position, side="right") - 1  # -1 stays -1
        lengths = np.diff(offsets)
        pairs = lengths - 1
        example = {"lengths": lengths, "n_slots": slots}
        compare(
            answer, ask(answer, example), right, example,
            usual={
                "a session of n clicks stays n steps. It has n - 1 pairs: the last "
                "click is nobody's input": fill(lengths, slots, lowest),
                "all slots wait until the longest of their sessions is done. That is "
                "padding; here, whoever is done makes room for the next": wait(
                    pairs, slots
                ),
                "the sessions are dealt out in turn, s to slot s % B. The next one "
                "in line goes to the slot that is free first": fill(
                    pairs, slots, lambda s, free: s % len(free)
                ),
                "of several slots that get free at one step, the last one is served "
                "first; the lowest number comes first": fill(pairs, slots, highest),
                "a closed slot is -1; 0 is the number of a session": right.clip(0),
            },
        )  # fmt: skip


def lowest(s, free):
    return int(np.argmin(free))


def highest(s, free):
    return len(free) - 1 - int(np.argmin(free[::-1]))


def fill(n_steps, n_slots, pick):
    """The session in every slot (T, B), when pick(s, free) says where s goes."""
    free, cells = np.zeros(n_slots, int), []
    for s, n in enumerate(n_steps):
        slot = pick(s, free)
        cells.append((slice(free[slot], free[slot] + n), slot))
        free[slot] += n
    table = np.full((free.max(), n_slots), -1)
    for s, cell in enumerate(cells):
        table[cell] = s
    return table


def wait(n_steps, n_slots):
    """As `fill`, but B sessions at a time."""
    rows = []
    for s in range(0, len(n_steps), n_slots):
        block = np.append(n_steps[s : s + n_slots], np.zeros(n_slots, int))[:n_slots]
        step = np.arange(block.max())[:, None]
        rows.append(np.where(step < block, s + np.arange(n_slots), -1))
    return np.concatenate(rows)


# ---- 4.3: predict and explain ----------------------------------------------------


@exercise("4.3", prediction=True)
def harmless_without_reset(answer):
    sessions = load_shop().train
    offsets = sessions.offsets[:201]
    n = np.diff(offsets)
    schedules = {
        "a": session_parallel(offsets, 1),
        "b": session_parallel(np.arange(0, 4 * len(n) + 1, 4), 32),
        "c": session_parallel(offsets, len(n)),
        "d": session_parallel(offsets, 32, np.random.default_rng(0).permutation(200)),
    }
    # Somebody else's state is met wherever a session starts later than at step 0.
    inherits = {choice: int(s.reset[1:].sum()) for choice, s in schedules.items()}
    right = [choice for choice, count in inherits.items() if count == 0]
    told = {
        "a": "With one slot all sessions stand in one queue, and the network reads "
        "them as if they were a single one.",
        "b": "That all sessions end at one step does not help: the next 32 take the "
        "slots, and the states of the first 32 are still there.",
        "d": "In whatever order they come, a slot is handed on from one session to "
        "the next.",
    }
    given = letter_of(answer, schedules)
    if given not in right:
        raise CheckFailed(
            f"{name_of(answer)} says {given!r}. {told[given]} Without the reset, "
            f"{inherits[given]} of the 200 sessions start from a hidden state that "
            "another session has left. When would all start from zero all the same?"
        )


# ---- 4.4 and 4.5: hidden states --------------------------------------------------


N_ITEMS = 20  # I of the examples


class AddUp:
    """A network to follow by eye: the state is the sum of the items' numbers."""

    def __call__(self, inputs, h):
        return h + torch.as_tensor(inputs).to(h.dtype)[:, None]

    def __repr__(self):
        return "the state is the sum of the items' numbers: h + inputs[:, None]"


class ReadGRU:
    """A GRU with random weights, H = 2."""

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.embedding = torch.randn(N_ITEMS, 3, generator=generator)  # (I, D)
        self.cell = nn.GRUCell(3, 2)
        for weights in self.cell.parameters():
            weights.data = torch.randn(weights.shape, generator=generator)

    @torch.no_grad()
    def __call__(self, inputs, h):
        return self.cell(self.embedding[torch.as_tensor(inputs).long()], h)

    def __repr__(self):
        return "a GRU with random weights"


def reading_examples():
    """What there is to read: (offsets, B, items, step, H)."""
    rng = np.random.default_rng(5)
    for n, (offsets, slots) in enumerate(examples()):
        items = rng.permutation(np.arange(offsets[-1]) % (N_ITEMS - 1) + 1)
        if n == 0:
            continue  # with one slot, many mistakes look alike
        easy = n < len(HAND_MADE)
        yield offsets, slots, items, AddUp() if easy else ReadGRU(), 1 if easy else 2


def read_alone(offsets, items, step, n_hidden):
    """The state after each click, its session read without any other. (E, H)"""
    states = torch.zeros(len(items), n_hidden)
    for begin, end in zip(offsets[:-1], offsets[1:], strict=True):
        h = torch.zeros(1, n_hidden)
        for click in range(begin, end):
            h = step(torch.from_numpy(items[click : click + 1]), h)
            states[click] = h[0]
    return states


def read_wrongly(position, reset, items, step, n_hidden, mistake):
    """The state after every step (T, B, H), with a usual mistake."""
    h = torch.zeros(position.shape[1], n_hidden)
    states = []
    for at, r in zip(position, torch.from_numpy(reset)[:, :, None], strict=True):
        inputs = {"target": items[at + 1], "item": at}.get(mistake, items[at])
        before = {
            "none": h, "late": h, "all": h * (not r.any()), "never": h * 0, "not": h * r
        }.get(mistake, h * ~r)  # fmt: skip
        h = step(torch.from_numpy(inputs), before)
        h = h * ~r if mistake == "late" else h
        states.append(before if mistake == "before" else h)
    return torch.stack(states)


READING_MISTAKES = {
    "none": "the state is never reset: a new session reads on with the state of the "
    "one before it",
    "late": "the reset comes after the step, and wipes out what the first click has "
    "just written. It belongs before the step",
    "all": "when one session starts, all slots are reset; the other sessions go on, "
    "and keep their state",
    "never": "the state is not carried over: each step starts from zero",
    "not": "the mask is the wrong way round: the state is kept where a session starts, "
    "and zeroed everywhere else",
    "before": "these are the states that enter each step; those after it are wanted",
    "target": "the targets, at position + 1, went in; the inputs stand at position",
    "item": "the positions went in as if they were items; the item of a click is "
    "items[position]",
}


@exercise("4.4")
def hidden_states(answer):
    for offsets, slots, items, step, n_hidden in reading_examples():
        position, reset, _ = session_parallel(offsets, slots)
        example = {
            "position": position, "reset": reset, "items": items, "step": step,
            "n_hidden": n_hidden,
        }  # fmt: skip
        is_open = torch.from_numpy(position >= 0)[:, :, None]
        right = read_alone(offsets, items, step, n_hidden)[position] * is_open
        usual = {
            message: read_wrongly(*example.values(), mistake) * is_open
            for mistake, message in READING_MISTAKES.items()
            if mistake != "item" or isinstance(step, AddUp)  # else: no such item
        }
        changed = right.clone()  # what step t notes, after the reset of step t + 1
        changed[:-1][torch.from_numpy(reset[1:])] = 0
        usual[
            "a state that was already noted is changed by a later reset, in place: "
            "note a copy, or make a new tensor"
        ] = changed

        given = ask(answer, example)
        if torch.is_tensor(given) and given.shape == right.shape:
            given = torch.where(is_open, given.detach(), 0)  # closed: anything goes
        compare(answer, given, right, example, usual, tolerance=1e-5)


def last_states_wrongly(offsets, items, step, n_slots, n_hidden, reset, cut):
    """The state after each session's last input (S, H), with mistakes.

    reset : which rows are set to zero: "own", "other", "none", "all"
    cut : which rows are kept when slots close: "open", "first"
    """
    result = torch.zeros(len(offsets) - 1, n_hidden)
    line = iter(range(n_slots, len(result)))
    held = [(s, int(offsets[s])) for s in range(n_slots)]  # session, click
    h = torch.zeros(n_slots, n_hidden)
    while held:
        h = step(torch.from_numpy(items[[at for _, at in held]]), h)
        for slot, (s, at) in enumerate(held):
            held[slot] = s, at + 1
            if at + 2 < offsets[s + 1]:
                continue
            result[s] = h[slot]
            s = next(line, None)
            held[slot] = None if s is None else (s, int(offsets[s]))
            if s is not None and reset != "none":
                h[{"own": slot, "other": s % n_slots, "all": slice(None)}[reset]] = 0
        still = [slot for slot, one in enumerate(held) if one is not None]
        h = h[still] if cut == "open" else h[: len(still)]
        held = [held[slot] for slot in still]
    return result


LAST_STATE_MISTAKES = {  # what is reset, what is kept
    ("other", "open"): "it is another slot's state that is set to zero when a session "
    "takes a slot. The row to reset is that of the slot which it takes",
    ("none", "open"): "a session that takes a slot reads on with the state of the one "
    "before it: the reset is missing",
    ("all", "open"): "when one session starts, all slots are set to zero; the other "
    "sessions go on, and keep their state",
    ("own", "first"): "when a slot closes, the states that are kept are not those of "
    "the open slots: one session goes on with another's state",
}


@exercise("4.5")
def last_states(answer):
    for offsets, slots, items, step, n_hidden in reading_examples():
        example = {
            "offsets": offsets, "items": items, "step": step, "n_slots": slots,
            "n_hidden": n_hidden,
        }  # fmt: skip
        right = read_alone(offsets, items, step, n_hidden)[offsets[1:] - 2]  # (S, H)
        usual = {
            message: last_states_wrongly(*example.values(), *mistake)
            for mistake, message in LAST_STATE_MISTAKES.items()
        }
        given = ask(answer, example)
        compare(answer, given, right, example, usual, tolerance=1e-5)


# ---- 4.6: a figure to beat -------------------------------------------------------

N_TRAIN, N_TEST = 4000, 1000


@cache
def part_of_shop():
    """The shop's last training sessions and its first test sessions, items renamed.

    Renamed, so that neither the oracle nor the test sessions that come with the shop
    can take the place of learning.
    """
    shop = load_shop()
    name = np.random.default_rng(0).permutation(shop.train.n_items)  # (I,)

    def part(sessions, begin, end):
        offsets = sessions.offsets[begin : end + 1]
        clicks = slice(offsets[0], offsets[-1])
        return Sessions(
            name[sessions.items[clicks]], sessions.times[clicks], offsets - offsets[0],
            np.arange(begin, end), np.arange(len(name)),
        )  # fmt: skip

    n = shop.train.n_sessions
    return part(shop.train, n - N_TRAIN, n), part(shop.test, 0, N_TEST)


@cache
def to_beat(baseline):
    """Recall@20 of a baseline that learns from the same sessions."""
    train, test = part_of_shop()
    return evaluate(baseline().fit(train), test, progress=False).recall[20]


def must_beat(answer, baseline):
    """Fails unless answer(train) returns a recommender better than the baseline."""
    train, test = part_of_shop()
    example = {"train": train}
    model = ask(answer, example)
    if isinstance(model, type) or not hasattr(model, "score_after"):
        raise CheckFailed(
            f"{name_of(answer)} returns {model!r}; a fitted recommender is expected."
        )
    if model.item_ids is None:
        raise CheckFailed(
            f"{name_of(answer)} returns a {type(model).__name__} that has learnt "
            "nothing yet: it does not know any item."
        )
    if not np.array_equal(model.item_ids, train.item_ids):
        raise CheckFailed(
            f"{name_of(answer)} returns a recommender that knows other items than the "
            "training sessions it was given. Learn from `train`, the argument."
        )
    reached = evaluate(model, test, progress=False).recall[20]
    wanted = to_beat(baseline)
    if not reached > wanted:
        raise CheckFailed(
            f"{name_of(answer)} reaches a Recall@20 of {reached:.3f} on {N_TEST:,} "
            f"later sessions. {baseline.__name__} has {wanted:.3f} there: do better."
        )


@exercise("4.6")
def my_gru(answer):
    must_beat(answer, Markov)

"""Right and wrong answers to the exercises of lesson 04."""

import heapq
from collections import deque

import numpy as np
import torch

from gru4rec_lite import GRU4Rec
from gru4rec_lite.baselines import POP, Markov
from gru4rec_lite.batching import session_parallel


def reset_mask_by_loop(position, offsets):
    mask = np.zeros(position.shape, dtype=bool)
    for t in range(len(position)):
        for b in range(position.shape[1]):
            mask[t, b] = position[t, b] >= 0 and position[t, b] in list(offsets[:-1])
    return mask


def reset_mask_by_change(position, offsets):
    session = np.searchsorted(offsets, position, side="right")
    before = np.vstack([np.full(position.shape[1], -1), session[:-1]])
    return (session != before) & (position >= 0)


def upside_down(position, offsets):
    return ~np.isin(position, offsets[:-1])


def at_the_end(position, offsets):
    return np.isin(position + 1, offsets[1:] - 1)


def only_at_first(position, offsets):
    mask = np.zeros(position.shape, bool)
    mask[0] = True
    return mask


def as_numbers(position, offsets):
    return np.isin(position, offsets[:-1]).astype(float)


# ---- 4.2


def slots_by_heap(lengths, n_slots):
    free = [(0, slot) for slot in range(n_slots)]
    columns = [[] for _ in range(n_slots)]
    for s, n in enumerate(lengths):
        step, slot = heapq.heappop(free)
        columns[slot] += [s] * (n - 1)
        heapq.heappush(free, (step + n - 1, slot))
    n_steps = max(map(len, columns))
    return [[c[t] if t < len(c) else -1 for c in columns] for t in range(n_steps)]


def slots_from_schedule(lengths, n_slots):
    offsets = np.append(0, np.cumsum(lengths))
    position = session_parallel(offsets, n_slots).position
    table = np.full(position.shape, -1)
    table[position >= 0] = np.repeat(range(len(lengths)), lengths)[
        position[position >= 0]
    ]
    return table


def one_step_too_long(lengths, n_slots):
    return slots_by_heap(np.asarray(lengths) + 1, n_slots)


def padded(lengths, n_slots):
    rows = []
    for begin in range(0, len(lengths), n_slots):
        some = list(lengths[begin : begin + n_slots])
        some += [0] * (n_slots - len(some))
        for t in range(max(some) - 1):
            rows.append([begin + i if t < n - 1 else -1 for i, n in enumerate(some)])
    return np.array(rows)


def in_turn(lengths, n_slots):
    columns = [[] for _ in range(n_slots)]
    for s, n in enumerate(lengths):
        columns[s % n_slots] += [s] * (n - 1)
    n_steps = max(map(len, columns))
    return [[c[t] if t < len(c) else -1 for c in columns] for t in range(n_steps)]


def last_slot_first(lengths, n_slots):
    free, rows = [0] * n_slots, []
    for s, n in enumerate(lengths):
        slot = max(range(n_slots), key=lambda b: (-free[b], b))
        rows += [(free[slot] + t, slot, s) for t in range(n - 1)]
        free[slot] += n - 1
    table = np.full((max(free), n_slots), -1)
    for t, slot, s in rows:
        table[t, slot] = s
    return table


def zero_where_closed(lengths, n_slots):
    return np.maximum(slots_by_heap(lengths, n_slots), 0)


def slots_transposed(lengths, n_slots):
    return np.array(slots_by_heap(lengths, n_slots)).T


def uses_up_lengths(lengths, n_slots):
    table = slots_by_heap(lengths, n_slots)
    lengths[:] = 0
    return table


# ---- 4.3


def as_many_slots_as_sessions():
    return "c"


class Choice:
    def __call__(self):
        return "abcd"[2]


def one_slot():
    return "a"


def of_one_length():
    return "b"


def in_random_order():
    return "d"


def a_sentence():
    return "as many slots as sessions"


# ---- 4.4


def states_by_loop(position, reset, items, step, n_hidden):
    n_steps, n_slots = position.shape
    states = torch.zeros(n_steps, n_slots, n_hidden)
    for t in range(n_steps):
        for slot in range(n_slots):
            fresh = t == 0 or reset[t, slot]
            h = torch.zeros(n_hidden) if fresh else states[t - 1, slot]
            item = torch.tensor([items[position[t, slot]]])
            states[t, slot] = step(item, h[None])[0]
    return states


def states_of_open_slots(position, reset, items, step, n_hidden):
    h, states = torch.zeros(position.shape[1], n_hidden), []
    for at, starts in zip(position, reset, strict=True):
        h = h.clone()
        h[starts] = 0
        h[at >= 0] = step(torch.tensor(items[at[at >= 0]]), h[at >= 0])
        states.append(h)
    return torch.stack(states)


def reads(use=None, late=False, before=False, inputs=None):
    """A reading loop with a mistake: use(h, r) is the state that enters a step."""
    use = use or (lambda h, r: h * ~r)
    inputs = inputs or (lambda items, at: items[at])

    def states(position, reset, items, step, n_hidden):
        h, noted = torch.zeros(position.shape[1], n_hidden), []
        for t, at in enumerate(position):
            r = torch.tensor(reset[t])[:, None]
            entering = h if late else use(h, r)
            h = step(torch.tensor(inputs(items, at)), entering)
            if late:
                h = use(h, r)
            noted.append(entering if before else h)
        return torch.stack(noted)

    return states


def in_place(position, reset, items, step, n_hidden):
    h, noted = torch.zeros(position.shape[1], n_hidden), []
    for t, at in enumerate(position):
        h[reset[t]] = 0
        h = step(torch.tensor(items[at]), h)
        noted.append(h)
    return torch.stack(noted)


def in_numpy(position, reset, items, step, n_hidden):
    return states_by_loop(position, reset, items, step, n_hidden).numpy()


def without_h(position, reset, items, step, n_hidden):
    return states_by_loop(position, reset, items, step, n_hidden)[:, :, 0]


# ---- 4.5


def one_after_the_other(offsets, items, step, n_slots, n_hidden):
    states = []
    for s in range(len(offsets) - 1):
        h = torch.zeros(1, n_hidden)
        for item in items[offsets[s] : offsets[s + 1] - 1]:
            h = step(torch.tensor([item]), h)
        states.append(h[0])
    return torch.stack(states)


def from_the_schedule(offsets, items, step, n_slots, n_hidden):
    position, reset, _ = session_parallel(offsets, n_slots)
    states = states_of_open_slots(position, reset, items, step, n_hidden)
    t, slot = np.nonzero(np.isin(position, offsets[1:] - 2))
    order = np.argsort(position[t, slot])
    return states[t[order], slot[order]]


def mixes_up(row_to_reset, rows_to_keep):
    """The broken function, or partly repaired."""

    def last_states(offsets, items, step, n_slots, n_hidden):
        result = torch.zeros(len(offsets) - 1, n_hidden)
        waiting = deque(range(n_slots, len(offsets) - 1))
        session = list(range(n_slots))
        at = [offsets[s] for s in session]
        h = torch.zeros(n_slots, n_hidden)
        while session:
            h = step(torch.tensor(items[at]), h)
            still = []
            for slot, s in enumerate(session):
                at[slot] += 1
                if at[slot] == offsets[s + 1] - 1:
                    result[s] = h[slot]
                    if not waiting:
                        continue
                    session[slot] = waiting.popleft()
                    at[slot] = offsets[session[slot]]
                    h[row_to_reset(slot, session[slot], n_slots)] = 0
                still.append(slot)
            session, at = [session[i] for i in still], [at[i] for i in still]
            h = h[rows_to_keep(still)]
        return result

    return last_states


def own_slot(slot, s, n_slots):
    return slot


def slot_of_number(slot, s, n_slots):
    return s % n_slots


def no_slot(slot, s, n_slots):
    return []


def all_slots(slot, s, n_slots):
    return slice(None)


def first_rows(still):
    return slice(len(still))


def open_rows(still):
    return still


# ---- 4.6


def gru_of_package(train):
    model = GRU4Rec(layers=[50], n_epochs=2, batch_size=64, n_sample=512, device="cpu")
    return model.fit(train, verbose=False)


def gru_with_max_loss(train):
    model = GRU4Rec(
        layers=[40], n_epochs=2, batch_size=50, n_sample=256, device="cpu",
        loss="bpr-max",
    )  # fmt: skip
    return model.fit(train, verbose=False)


def hardly_trained(train):
    model = GRU4Rec(layers=[10], n_epochs=1, n_sample=0, learning_rate=1e-4)
    return model.fit(train, verbose=False)


def markov_itself(train):
    return Markov().fit(train)


def popularity(train):
    return POP().fit(train)


def forgets_to_fit(train):
    return GRU4Rec(layers=[50])


def the_class(train):
    return GRU4Rec


def learns_from_elsewhere(train):
    from gru4rec_lite import load_shop

    return load_shop().oracle


RIGHT = {
    "reset_mask": [reset_mask_by_loop, reset_mask_by_change],
    "sessions_in_slots": [slots_by_heap, slots_from_schedule],
    "harmless_without_reset": [as_many_slots_as_sessions, Choice()],
    "hidden_states": [states_by_loop, states_of_open_slots],
    "last_states": [
        one_after_the_other,
        from_the_schedule,
        mixes_up(own_slot, open_rows),
    ],
    "my_gru": [gru_of_package, gru_with_max_loss],
}
WRONG = {
    "reset_mask": [
        (upside_down, "wrong way round"),
        (at_the_end, "where a session ends"),
        (only_at_first, "only the first step"),
        (as_numbers, "booleans are expected"),
    ],
    "sessions_in_slots": [
        (one_step_too_long, "n - 1 pairs"),
        (padded, "That is padding"),
        (in_turn, "dealt out in turn"),
        (last_slot_first, "the lowest number comes first"),
        (zero_where_closed, "closed slot is -1"),
        (slots_transposed, "It looks transposed"),
        (uses_up_lengths, "changes its argument `lengths`"),
    ],
    "harmless_without_reset": [
        (one_slot, "in one queue.*199 of the 200"),
        (of_one_length, "all sessions end at one step does not help"),
        (in_random_order, "whatever order"),
        (a_sentence, "one of the letters"),
    ],
    "hidden_states": [
        (reads(lambda h, r: h), "never reset"),
        (reads(late=True), "before the step"),
        (reads(lambda h, r: h * (not r.any())), "all slots are reset"),
        (reads(lambda h, r: h * 0), "not carried over"),
        (reads(lambda h, r: h * r), "wrong way round"),
        (reads(before=True), "those after it are wanted"),
        (reads(inputs=lambda items, at: items[at + 1]), "the targets"),
        (reads(inputs=lambda items, at: at), "as if they were items"),
        (in_place, "changed by a later reset"),
        (in_numpy, "a torch tensor of shape"),
        (without_h, "has shape"),
    ],
    "last_states": [
        (mixes_up(slot_of_number, first_rows), "another slot's state"),
        (mixes_up(slot_of_number, open_rows), "another slot's state"),
        (mixes_up(no_slot, first_rows), "the reset is missing"),
        (mixes_up(all_slots, open_rows), "all slots are set to zero"),
        (mixes_up(own_slot, first_rows), "not those of the open slots.*n_slots = 2"),
    ],
    "my_gru": [
        (markov_itself, r"Recall@20 of (0\.\d+) .* Markov has \1 there"),
        (popularity, "Markov has"),
        (hardly_trained, "Markov has"),
        (forgets_to_fit, "learnt nothing yet"),
        (the_class, "a fitted recommender is expected"),
        (learns_from_elsewhere, "knows other items"),
    ],
}

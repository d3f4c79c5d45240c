"""Right and wrong answers to the exercises of lesson 07."""

import numpy as np
import torch
import torch.nn.functional as F

from gru4rec_lite import GRU4Rec, Markov, presets

# ---- debug: the cost of a step -----------------------------------------------------


def cost_by_sum(scores, B):
    total = 0
    for i, row in enumerate(scores):
        total = total + torch.logsumexp(row, 0) - row[i]
    return total / B


def cost_by_pytorch(scores, B):
    return F.cross_entropy(scores, torch.arange(len(scores)), reduction="sum") / B


def broken_cost(scores, B):
    probability = torch.softmax(scores, dim=0)
    return F.cross_entropy(probability, torch.arange(len(scores)))


def axis_left(scores, B):
    return -torch.log_softmax(scores, dim=0).diagonal().sum() / B


def twice_left(scores, B):
    probability = torch.softmax(scores, dim=1)
    return F.cross_entropy(probability, torch.arange(len(scores)), reduction="sum") / B


def mean_left(scores, B):
    return F.cross_entropy(scores, torch.arange(len(scores)))


def negative(scores, B):
    return -cost_by_pytorch(scores, B)


def cut_off(scores, B):
    return cost_by_pytorch(scores.detach(), B)


def a_number(scores, B):
    return cost_by_pytorch(scores, B).item()


# ---- the update --------------------------------------------------------------------


def rows_by_loop(table, acc, velocity, rows, g, lr, momentum):
    table, acc, velocity = table.clone(), acc.clone(), velocity.clone()
    total = {}
    for row, gradient in zip(rows.tolist(), g, strict=True):
        total[row] = total.get(row, 0) + gradient
    for row, gradient in total.items():
        acc[row] = acc[row] + gradient * gradient
        step = lr * gradient / (acc[row] + 1e-6) ** 0.5
        velocity[row] = momentum * velocity[row] - step
        table[row] = table[row] + velocity[row]
    return table, acc, velocity


def rows_by_mask(table, acc, velocity, rows, g, lr, momentum):
    total = torch.zeros_like(table).index_add_(0, rows, g)
    used = torch.zeros(len(table), 1)
    used[rows] = 1
    acc = acc + total**2
    moved = momentum * velocity - lr * total * torch.rsqrt(acc + 1e-6)
    return table + used * moved, acc, torch.where(used > 0, moved, velocity)


def by_assignment(table, acc, velocity, rows, g, lr, momentum):
    table, acc, velocity = table.clone(), acc.clone(), velocity.clone()
    acc[rows] += g**2
    velocity[rows] = momentum * velocity[rows] - lr * g / (acc[rows] + 1e-6).sqrt()
    table[rows] += velocity[rows]
    return table, acc, velocity


def one_after_the_other(table, acc, velocity, rows, g, lr, momentum):
    for row, gradient in zip(rows, g, strict=True):
        table, acc, velocity = by_assignment(
            table, acc, velocity, row[None], gradient[None], lr, momentum
        )
    return table, acc, velocity


def all_rows(table, acc, velocity, rows, g, lr, momentum):
    total = torch.zeros_like(table).index_add_(0, rows, g)
    acc = acc + total**2
    velocity = momentum * velocity - lr * total / (acc + 1e-6).sqrt()
    return table + velocity, acc, velocity


def averaged(table, acc, velocity, rows, g, lr, momentum):
    times = torch.bincount(rows, minlength=len(table))[rows][:, None]
    return rows_by_mask(table, acc, velocity, rows, g / times, lr, momentum)


def without_momentum(table, acc, velocity, rows, g, lr, momentum):
    return rows_by_mask(table, acc, velocity, rows, g, lr, 0.0)


def upwards(table, acc, velocity, rows, g, lr, momentum):
    new, acc, v = rows_by_mask(table, acc, -velocity, rows, g, lr, momentum)
    return 2 * table - new, acc, -v


def outside(table, acc, velocity, rows, g, lr, momentum):
    used, place = rows.unique(return_inverse=True)
    g = torch.zeros(len(used), g.shape[1]).index_add_(0, place, g)
    table, acc, velocity = table.clone(), acc.clone(), velocity.clone()
    acc[used] += g**2
    velocity[used] = momentum * velocity[used] - lr * g / (acc[used].sqrt() + 1e-6)
    table[used] += velocity[used]
    return table, acc, velocity


def in_place(table, acc, velocity, rows, g, lr, momentum):
    new = rows_by_mask(table, acc, velocity, rows, g, lr, momentum)
    for old, value in zip((table, acc, velocity), new, strict=True):
        old.copy_(value)
    return table, acc, velocity


def table_only(*given):
    return rows_by_mask(*given)[0]


# ---- the loop ----------------------------------------------------------------------


def pass_with_all_slots(network, optimizer, schedule, items):
    """Closed slots stay in the batch, and are left out of the loss."""
    B = schedule.position.shape[1]
    state, losses = network.initial_state(B), []
    for position, reset in zip(schedule.position, schedule.reset, strict=True):
        closed = torch.from_numpy(position < 0)
        state = [h.masked_fill(torch.from_numpy(reset)[:, None], 0) for h in state]
        h, state = network(network.output[items[position]], state)
        targets = items[np.minimum(position + 1, len(items) - 1)]
        scores = h @ network.output[targets].T + network.output_bias[targets]
        scores = scores.masked_fill(closed, -torch.inf)
        place = torch.arange(B).masked_fill(closed, -100)
        cost = F.cross_entropy(scores, place, reduction="sum") / B
        cost.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(cost.detach())
    return losses


def pass_by_slots(
    network, optimizer, schedule, items, reset=True, keep=True, clear=True, move=True,
    share=True, shift=1, value=True,
):  # fmt: skip
    """A dictionary of states by slot; the loss written out."""
    losses, memory = [], {}
    zero = network.initial_state(1)[0]
    for t in range(schedule.n_steps):
        slots = np.flatnonzero(schedule.position[t] >= 0)
        at = schedule.position[t][slots]
        if reset:
            memory |= {s: zero for s in slots if schedule.reset[t, s]}
        h = torch.cat([memory.get(s, zero) for s in slots])
        h, _ = network(network.output[items[at]], [h])
        wanted = items[at + shift]
        scores = h @ network.output[wanted].T + network.output_bias[wanted]
        cost = -torch.log_softmax(scores, 1).diagonal().sum()
        cost = cost / (schedule.position.shape[1] if share else len(slots))
        if clear:
            optimizer.zero_grad()
        cost.backward()
        if move:
            optimizer.step()
        if keep:
            kept = h.detach() if value else h
            memory |= {s: kept[i : i + 1] for i, s in enumerate(slots)}
        losses.append(cost.item())
    return losses


def never_reset(*given):
    return pass_by_slots(*given, reset=False)


def no_memory(*given):
    return pass_by_slots(*given, keep=False)


def never_cleared(*given):
    return pass_by_slots(*given, clear=False)


def never_moved(*given):
    return pass_by_slots(*given, move=False)


def mean_of_open(*given):
    return pass_by_slots(*given, share=False)


def ranks_inputs(*given):
    return pass_by_slots(*given, shift=0)


def with_history(*given):
    return pass_by_slots(*given, value=False)


def last_loss(*given):
    return pass_by_slots(*given)[-1]


# ---- choose ------------------------------------------------------------------------


def choose_by_recursion(settings, sessions, measure, budget, n_epochs=1, parts=None):
    parts = parts or sessions.split_last_days(2)
    recalls = [measure(setting, n_epochs, *parts) for setting in settings]
    order = np.argsort(recalls, kind="stable")[::-1]
    left = [settings[i] for i in order[: (len(settings) + 1) // 2]]
    budget -= n_epochs * len(settings)
    if len(left) == 1 or 2 * n_epochs * len(left) > budget:
        return left[0]
    return choose_by_recursion(left, sessions, measure, budget, 2 * n_epochs, parts)


def choose(
    settings, sessions, measure, budget, parts=None, best_first=True, up=1, grow=2,
    ask_budget=True, rounds=99,
):  # fmt: skip
    train, valid = parts or sessions.split_last_days(2)
    n_epochs, left = 1, list(settings)
    while len(left) > 1 and rounds > 0:
        if ask_budget and len(left) * n_epochs > budget:
            break
        budget -= len(left) * n_epochs
        scored = [(measure(s, n_epochs, train, valid), s) for s in left]
        scored.sort(key=lambda pair: pair[0], reverse=best_first)
        left = [s for _, s in scored][: max(1, (len(left) + up) // 2)]
        n_epochs *= grow
        rounds -= 1
    return left[0]


def trains_on_all(settings, sessions, measure, budget):
    _, valid = sessions.split_last_days(2)
    return choose(settings, sessions, measure, budget, parts=(sessions, valid))


def into_the_past(settings, sessions, measure, budget):
    parts = sessions.split_last_days(4)[::-1]
    return choose(settings, sessions, measure, budget, parts=parts)


def one_day(settings, sessions, measure, budget):
    parts = sessions.split_last_days(1)
    return choose(settings, sessions, measure, budget, parts=parts)


def spends_too_much(*given):
    return choose(*given, ask_budget=False)


def keeps_the_worse(*given):
    return choose(*given, best_first=False)


def sorts_upwards(settings, sessions, measure, budget):
    if len(settings) == 2:
        return choose(settings, sessions, measure, budget)
    return choose(settings, sessions, measure, budget, best_first=False)


def rounds_down(*given):
    return choose(*given, up=0)


def never_longer(*given):
    return choose(*given, grow=1)


def one_round(*given):
    return choose(*given, rounds=1)


def first_of_the_list(settings, sessions, measure, budget):
    choose(settings, sessions, measure, budget)
    return settings[0]


def without_measuring(settings, sessions, measure, budget):
    return settings[0]


def its_place(settings, sessions, measure, budget):
    return settings.index(choose(settings, sessions, measure, budget))


# ---- project -----------------------------------------------------------------------


def fit(train, **settings):
    return GRU4Rec(device="cpu", **settings).fit(train, verbose=False)


def one_large_pass(train):
    return fit(train, layers=[48], batch_size=128, n_epochs=1, n_sample=0, logq=1.0)


def the_preset_for_one_pass(train):
    return fit(train, **presets["shop"] | {"n_epochs": 1, "batch_size": 120})


def too_many_steps(train):
    return fit(train, layers=[8], batch_size=64, n_epochs=1, n_sample=0, logq=1.0)


def too_careful(train):
    return fit(
        train, layers=[32], batch_size=256, n_epochs=1, n_sample=0, learning_rate=0.01
    )


def chain(train):
    return Markov().fit(train)


def only_settings(train):
    return presets["shop"]


def not_fitted(train):
    return GRU4Rec(batch_size=256)


def on_a_part(train):
    return one_large_pass(train.filter(min_support=100))


RIGHT = {
    "step_cost": [cost_by_sum, cost_by_pytorch],
    "adagrad_rows": [rows_by_loop, rows_by_mask],
    "train_pass": [pass_with_all_slots, pass_by_slots],
    "best_setting": [choose_by_recursion, choose],
    "my_gru4rec": [one_large_pass, the_preset_for_one_pass],
}
WRONG = {
    "step_cost": [
        (broken_cost, "softmax is taken twice, the first time over the slots"),
        (axis_left, "softmax goes over the slots"),
        (twice_left, "softmax is taken twice: `F.cross_entropy` wants the scores"),
        (mean_left, "mean over the open slots"),
        (negative, "sign is wrong"),
        (cut_off, "no gradient can flow back"),
        (a_number, "a torch tensor of shape .* is expected"),
    ],
    "adagrad_rows": [
        (by_assignment, "only one of a repeated row's gradients"),
        (one_after_the_other, "moved once for each of its gradients"),
        (all_rows, "rows that are not in use move"),
        (averaged, "are averaged"),
        (without_momentum, "momentum is left out"),
        (upwards, "sign is wrong"),
        (outside, "outside the root"),
        (in_place, "changes its argument `table`"),
        (table_only, "three tensors are expected"),
    ],
    "train_pass": [
        (never_reset, "not set to zero where a session starts"),
        (no_memory, "not handed on"),
        (never_cleared, "clear them before each"),
        (never_moved, "weights never move"),
        (mean_of_open, "mean over the open slots"),
        (ranks_inputs, "candidates are the inputs"),
        (with_history, "is a value: detach it"),
        (last_loss, "a list with the loss of every step"),
    ],
    "best_setting": [
        (trains_on_all, "sessions that it has trained on"),
        (into_the_past, "trains on the last days"),
        (one_day, "with the last two days for validation"),
        (spends_too_much, r"spends \d+ passes; the budget is"),
        (keeps_the_worse, "that is the worst one"),
        (sorts_upwards, "worse half goes on"),
        (rounds_down, "round up"),
        (never_longer, "it doubles"),
        (one_round, "pays for another round"),
        (first_of_the_list, "in the last round another one was better"),
        (without_measuring, "never calls `measure`"),
        (its_place, "one of the settings is expected"),
    ],
    "my_gru4rec": [
        (too_many_steps, "the budget is 300"),
        (too_careful, "which is to be beaten"),
        (chain, "a fitted GRU4Rec is expected"),
        (only_settings, "a fitted GRU4Rec is expected"),
        (not_fitted, "is not fitted"),
        (on_a_part, "knows other items"),
    ],
}

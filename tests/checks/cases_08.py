"""Right and wrong answers to the exercises of lesson 08."""

import numpy as np
import torch
import torch.nn.functional as F

from gru4rec_lite import POP, GRU4Rec, Markov, Sessions, load_shop

# ---- 8.1


def recall_by_sorting(scores, targets, k):
    hits = []
    for row, target in zip(scores.tolist(), targets.tolist(), strict=True):
        own = row[target]
        in_the_way = sum(1 for other in row if not other < own)
        hits.append(in_the_way <= k)
    return sum(hits) / len(hits)


def recall_without_nan(scores, targets, k):
    lost = scores[torch.arange(len(scores)), targets].isnan()
    own = scores.gather(1, targets[:, None])
    rank = ((scores >= own) | scores.isnan()).sum(1)
    rank[lost] = scores.shape[1]
    return (rank <= k).float().mean()


def broken_recall(scores, targets, k):
    own = scores.gather(1, targets[:, None])
    return ((scores > own).sum(dim=1) < k).double().mean().item()


def nan_is_a_hit(scores, targets, k):
    own = scores.gather(1, targets[:, None])
    return ((scores >= own).sum(dim=1) <= k).double().mean().item()


def place_k_is_lost(scores, targets, k):
    own = scores.gather(1, targets[:, None])
    return ((~(scores < own)).sum(dim=1) < k).double().mean().item()


def ties_in_the_middle(scores, targets, k):
    own = scores.gather(1, targets[:, None])
    above, equal = (scores > own).sum(1), (scores == own).sum(1) - 1
    return (1 + above + equal / 2 <= k).double().mean().item()


def number_of_hits(scores, targets, k):
    own = scores.gather(1, targets[:, None])
    return ((~(scores < own)).sum(dim=1) <= k).sum().item()


def by_topk(scores, targets, k):
    return (scores.topk(k).indices == targets[:, None]).any(1).float().mean().item()


# ---- 8.2


def states_slot_by_slot(x, reset, cell, n_hidden):
    states = torch.zeros(x.shape[0], x.shape[1], n_hidden)
    for b in range(x.shape[1]):
        h = torch.zeros(1, n_hidden)
        for t in range(x.shape[0]):
            if reset[t, b]:
                h = torch.zeros(1, n_hidden)
            h = cell(x[t, b][None], h)
            states[t, b] = h[0]
    return states


def states_with_where(x, reset, cell, n_hidden):
    h, states = torch.zeros(x.shape[1], n_hidden), []
    for t in range(len(x)):
        h = torch.where(reset[t][:, None], torch.zeros_like(h), h)
        h = cell(x[t], h)
        states.append(h.detach().clone())
    return torch.stack(states)


def broken_states(x, reset, cell, n_hidden):
    h, states = torch.zeros(x.shape[1], n_hidden), []
    for t in range(len(x)):
        h = cell(x[t], h)
        states.append(h)
        h[reset[t]] = 0
    return torch.stack(states)


def late_states(x, reset, cell, n_hidden):
    h, states = torch.zeros(x.shape[1], n_hidden), []
    for t in range(len(x)):
        h = cell(x[t], h)
        states.append(h.clone())
        h[reset[t]] = 0
    return torch.stack(states)


def wiped_states(x, reset, cell, n_hidden):
    h, states = torch.zeros(x.shape[1], n_hidden), []
    for t in range(len(x)):
        h[reset[t]] = 0
        h = cell(x[t], h)
        states.append(h)
    return torch.stack(states)


def kept_states(x, reset, cell, n_hidden):
    return states_with_where(x, torch.zeros_like(reset), cell, n_hidden)


def states_upside_down(x, reset, cell, n_hidden):
    return states_with_where(x, ~reset, cell, n_hidden)


def neighbours_states(x, reset, cell, n_hidden):
    return states_with_where(x, reset.roll(1, 1), cell, n_hidden)


def all_slots_reset(x, reset, cell, n_hidden):
    everybody = reset.any(1, keepdim=True).expand_as(reset)
    return states_with_where(x, everybody, cell, n_hidden)


def states_that_enter(x, reset, cell, n_hidden):
    right = states_with_where(x, reset, cell, n_hidden)
    return torch.cat([torch.zeros(1, *right.shape[1:]), right[:-1]])


def list_of_states(x, reset, cell, n_hidden):
    return list(states_with_where(x, reset, cell, n_hidden))


# ---- 8.3


def bpr_by_loop(scores):
    total, n = 0, 0
    for i in range(len(scores)):
        for j in range(scores.shape[1]):
            if i != j:
                total = total - torch.log(torch.sigmoid(scores[i, i] - scores[i, j]))
                n += 1
    return total / n


def bpr_without_the_diagonal(scores):
    B, C = scores.shape
    cost = F.softplus(scores - torch.diag(scores).reshape(B, 1))
    return (cost.sum() - B * np.log(2)) / (B * (C - 1))


def broken_bpr(scores):
    return -F.logsigmoid(scores.diagonal() - scores).mean()


def bpr_along_the_wrong_axis(scores):
    cost = -F.logsigmoid(scores.diagonal() - scores)
    return cost[~torch.eye(len(scores), dtype=torch.bool)].mean()


def bpr_with_itself(scores):
    return -F.logsigmoid(scores.diagonal()[:, None] - scores).mean()


def bpr_counting_itself(scores):
    cost = -F.logsigmoid(scores.diagonal()[:, None] - scores)
    return (cost * ~torch.eye(*scores.shape, dtype=torch.bool)).mean()


def bpr_with_a_plus(scores):
    return -bpr_by_loop(scores)


def bpr_upside_down(scores):
    return bpr_by_loop(-scores)


def bpr_summed(scores):
    return bpr_by_loop(scores) * (scores.shape[1] - 1)


# ---- 8.4


def update_by_loop(weights, velocity, rows, gradients, learning_rate, momentum):
    weights, velocity = weights.copy(), velocity.copy()
    for row in set(rows.tolist()):
        g = sum(gradients[i] for i in range(len(rows)) if rows[i] == row)
        velocity[row] = momentum * velocity[row] - learning_rate * g
        weights[row] = weights[row] + velocity[row]
    return weights, velocity


def update_by_product(weights, velocity, rows, gradients, learning_rate, momentum):
    chosen = np.arange(len(weights))[:, None] == rows  # (I, n)
    used = chosen.any(1, keepdims=True)
    step = momentum * velocity - learning_rate * (chosen @ gradients)
    return [weights + used * step, np.where(used, step, velocity)]


def broken_update(weights, velocity, rows, gradients, learning_rate, momentum):
    g = np.zeros_like(weights)
    g[rows] = gradients
    velocity = momentum * velocity - learning_rate * g
    return weights + velocity, velocity


def update_with_plus_equal(weights, velocity, rows, gradients, learning_rate, momentum):
    weights, velocity = weights.copy(), velocity.copy()
    g = np.zeros_like(weights)
    g[rows] += gradients
    used = np.unique(rows)
    velocity[used] = momentum * velocity[used] - learning_rate * g[used]
    weights[used] += velocity[used]
    return weights, velocity


def update_of_all_rows(weights, velocity, rows, gradients, learning_rate, momentum):
    g = np.zeros_like(weights)
    np.add.at(g, rows, gradients)
    velocity = momentum * velocity - learning_rate * g
    return weights + velocity, velocity


def update_in_place(weights, velocity, rows, gradients, learning_rate, momentum):
    new = update_by_loop(weights, velocity, rows, gradients, learning_rate, momentum)
    weights[:], velocity[:] = new
    return weights, velocity


def update_with_the_mean(weights, velocity, rows, gradients, learning_rate, momentum):
    count = np.bincount(rows, minlength=len(weights))
    gradients = gradients / count[rows][:, None]
    return update_by_loop(weights, velocity, rows, gradients, learning_rate, momentum)


def update_uphill(weights, velocity, rows, gradients, learning_rate, momentum):
    return update_by_loop(weights, velocity, rows, -gradients, learning_rate, momentum)


def update_without_velocity(
    weights, velocity, rows, gradients, learning_rate, momentum
):
    return update_by_loop(weights, velocity, rows, gradients, learning_rate, 0.0)


def weights_only(weights, velocity, rows, gradients, learning_rate, momentum):
    new = update_by_loop(weights, velocity, rows, gradients, learning_rate, momentum)
    return new[0]


# ---- 8.5


def the_second():
    return "b"


def by_its_floor():
    floor = {"a": np.log(32) - 1, "b": np.log(2), "c": 0.0, "d": np.log(32)}
    return min(floor, key=lambda letter: abs(floor[letter] - 0.8))


# ---- 8.6


def by_the_package(train):
    return GRU4Rec(
        layers=[40], n_epochs=3, n_sample=128, learning_rate=0.1, logq=1.0, seed=1,
        device="cpu",
    ).fit(train, verbose=False)  # fmt: skip


class ChainAndRepeats(Markov):
    """A Markov chain that counts the session's own clicks, too."""

    def _scores(self, sessions, positions):
        scores = super()._scores(sessions, positions)
        of = np.searchsorted(sessions.offsets, positions, side="right") - 1
        for row, (start, now) in enumerate(
            zip(sessions.offsets[of], positions, strict=True)
        ):
            scores[row, sessions.items[start : now + 1]] += 3
        return scores


def by_counting(train):
    return ChainAndRepeats().fit(train)


def popular_items(train):
    return POP().fit(train)


def sorted_by_item(train):
    session = np.repeat(np.arange(train.n_sessions), train.lengths)
    items = train.items[np.lexsort([train.items, session])]
    return by_the_package(
        Sessions(items, train.times, train.offsets, train.session_ids, train.item_ids)
    )


def ranked_among_few(train):
    few = train.align(train.item_ids[train.support >= 20])
    return Markov().fit(few)


class Prophet(POP):
    """Looks the next click up."""

    def _scores(self, sessions, positions):
        scores = np.zeros((len(positions), sessions.n_items))
        following = np.minimum(positions + 1, sessions.n_clicks - 1)
        scores[np.arange(len(positions)), sessions.items[following]] = 1
        return scores


def by_looking_ahead(train):
    return Prophet().fit(train)


def by_the_oracle(train):
    return load_shop().oracle


def without_fit(train):
    return GRU4Rec()


RIGHT = {
    "repaired_recall": [recall_by_sorting, recall_without_nan],
    "repaired_states": [states_slot_by_slot, states_with_where],
    "repaired_bpr": [bpr_by_loop, bpr_without_the_diagonal],
    "repaired_update": [update_by_loop, update_by_product],
    "unknown_mistake": [the_second, by_its_floor],
    "repaired_recommender": [by_the_package, by_counting],
}
WRONG = {
    "repaired_recall": [
        (broken_recall, "equal to the target have to count against it"),
        (nan_is_a_hit, "a NaN passes as a hit"),
        (place_k_is_lost, "a target on place k itself is a hit"),
        (ties_in_the_middle, "equal items count half"),
        (number_of_hits, "it counts the hits; their share is wanted"),
        (by_topk, "puts the target behind all of them"),
    ],
    "repaired_states": [
        (broken_states, "the zeros also got into the states kept before"),
        (late_states, "zeroed after its session's first click, which is then"),
        (wiped_states, "wipes the state of the step before"),
        (kept_states, "nothing is ever reset"),
        (states_upside_down, "the wrong way round"),
        (neighbours_states, "the neighbour's slot is reset"),
        (all_slots_reset, "all slots are reset as soon as one is"),
        (states_that_enter, "the states before each step"),
        (list_of_states, "a torch tensor of shape .* is expected"),
    ],
    "repaired_bpr": [
        (broken_bpr, "along the wrong axis.* And the positive is among"),
        (bpr_along_the_wrong_axis, "along the wrong axis"),
        (bpr_with_itself, "a row's own positive is still among its negatives"),
        (bpr_counting_itself, "it is still counted in the mean"),
        (bpr_with_a_plus, "the sign is wrong"),
        (bpr_upside_down, "positive and negative are swapped"),
        (bpr_summed, "the sum over the negatives; their mean"),
    ],
    "repaired_update": [
        (broken_update, "only the last gradient is used"),
        (update_with_plus_equal, "only the last gradient is used"),
        (update_of_all_rows, "rows that are not in `rows` move, too"),
        (update_in_place, "changes its argument `weights`"),
        (update_with_the_mean, "gets the mean of its gradients"),
        (update_uphill, "the sign is wrong"),
        (update_without_velocity, "the old velocity is forgotten"),
        (weights_only, "two arrays are expected"),
    ],
    "unknown_mistake": [
        (lambda: "a", "ends at .* Take the two ends"),
        (lambda: "c", "does not keep a network from learning"),
        (lambda: "d", "falls slowly from the beginning"),
        (lambda: "z", 'one of the letters "a", "b", "c", "d" is expected'),
        (lambda: 2, "one of the letters"),
    ],
    "repaired_recommender": [
        (popular_items, "reaches a Recall@20 of 0.15.* To beat is 0.395"),
        (sorted_by_item, "To beat is 0.395"),
        (ranked_among_few, "has to rank all of them"),
        (by_looking_ahead, "change when clicks that come later do"),
        (by_the_oracle, "has to rank all of them"),
        (without_fit, "Is a `return` or a `fit` missing"),
    ],
}

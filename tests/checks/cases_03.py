"""Right and wrong answers to the exercises of lesson 03."""

import torch
import torch.nn.functional as F

# ---- look_up


def look_up_by_product(items, W):
    return F.one_hot(items, len(W)).to(W.dtype) @ W


def look_up_by_loop(items, W):
    return torch.stack([W[int(i)] for i in items])


def look_up_columns(items, W):
    return W.T[items.clamp(max=W.shape[1] - 1)]


def look_up_before(items, W):
    return W[items - 1]


def look_up_sum(items, W):
    return W[items].sum(0)


def look_up_once(items, W):
    return W[items.unique()]


def look_up_one_hot(items, W):
    return F.one_hot(items, len(W)).float()


def look_up_as_list(items, W):
    return W[items].tolist()


# ---- longer_vector


def some_each():
    return "c"


def some_each_by_sign():
    rises, falls = 2 * 1.0 > 1.0, 2 * -1.0 < -1.0
    return "c" if rises and falls else "a"


def all_rise():
    return "a"


def all_fall():
    return "b"


def direction_only():
    return "d"


# ---- output_scores


def scores_by_linear(hidden, V, b, items):
    return F.linear(hidden, V[items], b[items])


def scores_by_loop(hidden, V, b, items):
    scores = torch.zeros(len(hidden), len(items))
    for s in range(len(hidden)):
        for k, item in enumerate(items.tolist()):
            scores[s, k] = (hidden[s] * V[item]).sum() + b[item]
    return scores


def scores_without_bias(hidden, V, b, items):
    return hidden @ V[items].T


def scores_of_all(hidden, V, b, items):
    return hidden @ V.T + b


def scores_transposed(hidden, V, b, items):
    return scores_by_linear(hidden, V, b, items).T


def scores_of_first_bias(hidden, V, b, items):
    return hidden @ V[items].T + b[: len(items)]


def scores_as_chances(hidden, V, b, items):
    return scores_by_linear(hidden, V, b, items).softmax(1)


def scores_softmax_of_sessions(hidden, V, b, items):
    return scores_by_linear(hidden, V, b, items).softmax(0)


def scores_sorted(hidden, V, b, items):
    return scores_by_linear(hidden, V, b, items.sort().values)


def scores_pairwise(hidden, V, b, items):
    n = min(len(hidden), len(items))
    return (hidden[:n] * V[items[:n]]).sum(1) + b[items[:n]]


# ---- count_parameters


def count_by_blocks(n_items, D, H, mode):
    table = {"one-hot": n_items * 3 * H, "separate": n_items * D, "shared": 0}[mode]
    width = {"one-hot": 0, "separate": D, "shared": H}[mode]
    gru = 3 * (width * H + H * H + 2 * H)
    return table + gru + n_items * (H + 1)


def count_by_tensors(n_items, D, H, mode):
    shapes = [(H, 3 * H), (3 * H,), (3 * H,), (n_items, H), (n_items,)]
    if mode == "one-hot":
        shapes += [(n_items, 3 * H)]
    elif mode == "separate":
        shapes += [(n_items, D), (D, 3 * H)]
    else:
        shapes += [(H, 3 * H)]
    return sum(torch.empty(shape, device="meta").numel() for shape in shapes)


def wrong_count(**more):
    """A right count with a mistake: by mode, what is added in error."""

    def count(n_items, D, H, mode):
        add = more.get(mode.replace("-", "_"), more.get("always"))
        return count_by_blocks(n_items, D, H, mode) + (add(n_items, D, H) if add else 0)

    return count


no_output_bias = wrong_count(always=lambda i, D, H: -i)
one_bias = wrong_count(always=lambda i, D, H: -3 * H)
padded = wrong_count(shared=lambda i, D, H: H + 1)
shared_twice = wrong_count(shared=lambda i, D, H: i * H)
one_gate_table = wrong_count(one_hot=lambda i, D, H: -2 * i * H)
one_hot_with_W = wrong_count(one_hot=lambda i, D, H: 3 * H * H)
square_W = wrong_count(separate=lambda i, D, H: 3 * H * (H - D))
shared_without_W = wrong_count(shared=lambda i, D, H: -3 * H * H)


def one_product(n_items, D, H, mode):
    items = count_by_blocks(n_items, D, H, mode)
    width = {"one-hot": 0, "separate": D, "shared": H}[mode]
    return items - 2 * (width * H + H * H + 2 * H)


def count_as_float(n_items, D, H, mode):
    return count_by_blocks(n_items, D, H, mode) / 1


# ---- small_network


def shared_by_budget(n_items):
    hidden = 1
    while (n_items + 6) * (hidden + 1) + 6 * (hidden + 1) ** 2 + n_items <= 60_000:
        hidden += 1
    return {"layers": [hidden], "constrained_embedding": True}


def shared_plain(n_items):
    return {"layers": [30], "embedding": "layersize", "cell": "rnn"}


def one_hot_network(n_items):
    return {"layers": [8], "constrained_embedding": False}


def separate_network(n_items):
    return {"layers": [16], "embedding": 16, "constrained_embedding": False}


def default_network(n_items):
    return {}


def huge_network(n_items):
    return {"layers": [10**6]}


def more_training(n_items):
    return {"layers": [32], "n_epochs": 5}


def only_a_number(n_items):
    return 32


def no_such_cell(n_items):
    return {"layers": [16], "cell": "transformer"}


RIGHT = {
    "look_up": [look_up_by_product, look_up_by_loop],
    "longer_vector": [some_each, some_each_by_sign],
    "output_scores": [scores_by_linear, scores_by_loop],
    "count_parameters": [count_by_blocks, count_by_tensors],
    "small_network": [shared_by_budget, shared_plain],
}
WRONG = {
    "look_up": [
        (look_up_columns, "columns of W"),
        (look_up_before, "one too early"),
        (look_up_sum, "the rows are added up"),
        (look_up_once, "a row for each session"),
        (look_up_one_hot, "before the product with W"),
        (look_up_as_list, "a torch tensor of shape"),
    ],
    "longer_vector": [
        (all_rise, "points away"),
        (all_fall, "points where the item's vector points"),
        (direction_only, "for one visitor"),
    ],
    "output_scores": [
        (scores_without_bias, "the bias is not used"),
        (scores_of_all, "scores of all items"),
        (scores_transposed, "the other way round"),
        (scores_of_first_bias, "first items of the vocabulary"),
        (scores_as_chances, "softmax over the listed items"),
        (scores_softmax_of_sessions, "softmax over the sessions"),
        (scores_sorted, "the order of `items`"),
        (scores_pairwise, "a column for each listed item"),
    ],
    "count_parameters": [
        (no_output_bias, "bias of the output is missing"),
        (one_bias, "two biases for each gate"),
        (padded, "pads with learns nothing"),
        (shared_twice, "counts once, not twice"),
        (one_gate_table, "3H numbers, not H"),
        (one_hot_with_W, "the table is the GRU's W"),
        (square_W, r"\(D, 3H\)"),
        (shared_without_W, "still has its W"),
        (one_product, "this counts one"),
        (count_as_float, "whole numbers are expected"),
    ],
    "small_network": [
        (one_hot_network, "To beat: 0.4.*input 38,"),
        (separate_network, "To beat: 0.4.*input 25,"),
        (default_network, "at most 60,000 are allowed"),
        (huge_network, "a layer of more than 1,000 units"),
        (more_training, "sets n_epochs"),
        (only_a_number, "a dict with arguments of GRU4Rec"),
        (no_such_cell, "cannot use"),
    ],
}

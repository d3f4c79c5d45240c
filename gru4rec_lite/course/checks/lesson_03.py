"""Checks of lesson 03: the network."""

from functools import cache

import torch
import torch.nn.functional as F

from ... import GRU4Rec, evaluate, load_shop
from ...baselines import Markov
from ...network import Network
from ..lesson_03 import n_parameters
from .checking import CheckFailed, ask, compare, exercise, letter_of, name_of

# ---- 3.1: one-hot is a look-up ---------------------------------------------------


@exercise("3.1")
def look_up(answer):
    generator = torch.Generator().manual_seed(1)
    first = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    examples = [([0], first), ([2, 0], first), ([1, 1, 2], first)]
    for B, n_items, D in [(4, 6, 3), (5, 5, 5), (30, 50, 8)]:
        drawn = torch.randint(n_items, (B,), generator=generator)
        examples.append((drawn, torch.randn(n_items, D, generator=generator)))
    for items, W in examples:
        items = torch.as_tensor(items)
        example = {"items": items, "W": W}
        one_hot = F.one_hot(items, len(W)).float()  # (B, I)
        compare(
            answer, ask(answer, example), one_hot @ W, example,
            usual={
                "these are columns of W; an item's vector is a row": (
                    W[:, items.clamp(max=W.shape[1] - 1)]
                ),
                "these are columns of W, as rows; an item's vector is a row of "
                "W": W[:, items.clamp(max=W.shape[1] - 1)].T,
                "each row is one too early; indices start at 0": W[items - 1],
                "each row is one too late; indices start at 0": W[
                    (items + 1).clamp(max=len(W) - 1)
                ],
                "these are the one-hot vectors, before the product with W": one_hot,
                "the rows are added up; each session needs its own": one_hot.sum(0) @ W,
                "an item that is clicked in two sessions has one row only; there is "
                "a row for each session": W[items.unique()],
            },
        )  # fmt: skip


# ---- 3.2: predict and explain ----------------------------------------------------


@exercise("3.2", prediction=True)
def longer_vector(answer):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        network = Network(100, layers=[16], shared=True)
        hidden = torch.tanh(torch.randn(500, 16))
    before = network.scores(hidden)[:, 0]
    network.output[0] *= 2
    change = network.scores(hidden)[:, 0] - before  # (500,)
    rises, falls = (change > 1e-6).sum(), (change < -1e-6).sum()
    right = "c" if rises and falls else "a" if rises else "b" if falls else "d"
    told = {
        "a": "For some visitors the score falls. Think of a state that points away "
        "from the item's vector.",
        "b": "For some visitors the score rises. Think of a state that points where "
        "the item's vector points.",
        "c": "The score is h · V_i + b_i, without dividing by the length of anything. "
        "What becomes of 3 · 2 if the 2 is doubled?",
        "d": "Compute h · V_i for one visitor, and h · 2V_i.",
    }
    given = letter_of(answer, "abcd")
    if given != right:
        raise CheckFailed(
            f"{name_of(answer)}: no, not {given!r}. {told[given]} (Tried on an item of "
            f"the package's network: {len(change)} random states.)"
        )


# ---- 3.3: scores of a batch ------------------------------------------------------


@exercise("3.3")
def output_scores(answer):
    generator = torch.Generator().manual_seed(4)
    hand_made = {
        "hidden": torch.tensor([[1.0, 0.0], [0.5, -1.0]]),
        "V": torch.tensor([[1.0, 1.0], [2.0, 0.0], [0.0, 4.0], [-1.0, 0.5]]),
        "b": torch.tensor([0.0, 0.25, 1.0, 10.0]),
        "items": torch.tensor([3, 1, 2]),
    }
    examples = [hand_made]
    for B, n_items, H, n in [(2, 6, 2, 2), (3, 5, 4, 4), (4, 12, 8, 30)]:
        examples.append(
            {
                "hidden": torch.randn(B, H, generator=generator).tanh(),
                "V": torch.randn(n_items, H, generator=generator),
                "b": torch.randn(n_items, generator=generator),
                "items": torch.randint(n_items, (n,), generator=generator),
            }
        )
    for example in examples:
        hidden, V, b, items = example.values()
        network = Network(len(V), layers=[V.shape[1]], shared=True)
        network.output[:-1], network.output_bias[:-1] = V, b
        expected = network.scores(hidden)[:, items]  # (B, n)
        raw = hidden @ V[items].T
        compare(
            answer, ask(answer, example), expected, example,
            usual={
                "the bias is not used": raw,
                "the bias is that of the first items of the vocabulary; each listed "
                "item has its own": raw + b[: len(items)]
                if len(items) <= len(b)
                else raw,
                "these are the scores of all items; only the listed ones are "
                "wanted": network.scores(hidden),
                "the columns are in the order of the vocabulary; they stand in the "
                "order of `items`": network.scores(hidden)[:, items.sort().values],
                "these are probabilities, softmax over the listed items; scores are "
                "expected as they are": expected.softmax(1),
                "these are probabilities, softmax over all items; scores are "
                "expected as they are": network.scores(hidden).softmax(1)[:, items],
                "these are probabilities, softmax over the sessions; scores are "
                "expected as they are": expected.softmax(0),
                "the scores are squeezed by a tanh; they are expected as they "
                "are": expected.tanh(),
                "each session has the score of one item only; there is a column for "
                "each listed item": expected.diagonal(),
                "a row is an item and a column a session; it is the other way "
                "round": expected.T,
            },
            tolerance=1e-5,
        )  # fmt: skip


# ---- 3.4: count parameters -------------------------------------------------------


MODES = {
    "one-hot": lambda D, H: {},
    "separate": lambda D, H: {"embedding": D},
    "shared": lambda D, H: {"shared": True},
}


COUNTED = [(10, 2, 6), (1642, 32, 64), (37_483, 50, 100)]  # I, D, H


@exercise("3.4")
def count_parameters(answer):
    for n_items, D, H in COUNTED:
        for mode, options in MODES.items():
            example = {"n_items": n_items, "D": D, "H": H, "mode": mode}
            network = Network(n_items, [H], **options(D, H))
            expected = sum(n_parameters(network).values())
            usual = usual_counts(n_items, D, H, mode, expected)
            what = f'number for "{mode}"'
            compare(answer, ask(answer, example), expected, example, usual, what)


def usual_counts(n_items, D, H, mode, expected):
    """What usual mistakes would give."""
    W = {"one-hot": 0, "separate": 3 * D * H, "shared": 3 * H * H}[mode]
    state = 3 * (H * H + 2 * H)
    items = expected - W - state
    usual = {
        "the bias of the output is missing, a number for each item": expected - n_items,
        "the biases of the GRU are missing; it has two for each gate and unit": expected
        - 6 * H,
        "the GRU has two biases for each gate and unit, not one": expected - 3 * H,
        "the GRU makes three products, for r, z and n; this counts one": items
        + (W + state) // 3,
        "the GRU makes three products, for r, z and n; this counts two": items
        + 2 * (W + state) // 3,
        "the item matrices have a row for each item; the one more that the "
        "package pads with learns nothing": expected + items // n_items,
        "the weights of the GRU are missing": items,
        "the output's weights are missing": expected - n_items * (H + 1),
    }
    if mode == "one-hot":
        usual |= {
            "the table holds what an item adds to each of the two gates and "
            "the candidate: 3H numbers, not H": expected - 2 * n_items * H,
            "with one-hot input the table is the GRU's W; this counts another "
            "W of 3 · H · H": expected + 3 * H * H,
            "with one-hot input the table is the GRU's W; this counts it "
            "twice": expected + 3 * n_items * H,
            "with one-hot input there is no embedding; D is not used": expected
            + n_items * D,
        }
    elif mode == "separate":
        usual |= {
            "the vectors that go into the GRU have D numbers, so its W is "
            "(D, 3H)": expected - W + 3 * H * H,
            "an input vector has D numbers, not H": expected
            + n_items * (H - D)
            - W
            + 3 * H * H,
            "the input's vectors are missing": expected - n_items * D,
        }
    else:
        usual |= {
            "a shared matrix counts once, not twice": expected + n_items * H,
            "shared means that D = H; the D given is not used": expected
            - W
            + 3 * D * H,
            "the one matrix that input and output share is missing": expected
            - n_items * H,
            "the GRU still has its W, (H, 3H): only the item vectors are "
            "shared": expected - W,
        }
    return usual


# ---- 3.5: the project ------------------------------------------------------------


BUDGET = 60_000
ALLOWED = ("layers", "embedding", "constrained_embedding", "feedforward", "cell")
TRAINING = {
    "n_epochs": 1, "batch_size": 32, "n_sample": 256, "logq": 1.0,
    "learning_rate": 0.15, "seed": 0, "device": "cpu",
}  # fmt: skip


@cache
def week():
    """A week of the shop, the two days after it, and the Markov chain's Recall@20."""
    shop = load_shop()
    train = shop.train_part.split_last_days(7)[1].filter(min_length=2, min_support=2)
    held_out = shop.valid.align(train.item_ids)
    return train, held_out, evaluate(Markov().fit(train), held_out).recall[20]


@exercise("3.5")
def small_network(answer):
    train, held_out, to_beat = week()
    settings = ask(answer, {"n_items": train.n_items})
    if not isinstance(settings, dict):
        raise CheckFailed(
            f"{name_of(answer)} gives {type(settings).__name__}; a dict with arguments "
            'of GRU4Rec is expected, such as {"layers": [8]}.'
        )
    if unknown := [str(name) for name in settings if name not in ALLOWED]:
        raise CheckFailed(
            f"{name_of(answer)} sets {', '.join(unknown)}. Only the architecture is "
            f"yours to choose: {', '.join(ALLOWED)}. Training is the same for all."
        )
    blocks = weights_of(answer, settings, train.n_items)
    weights = sum(blocks.values())
    where = ", ".join(f"{name} {n:,}" for name, n in blocks.items())
    where = f"Its weights by block: {where}. Which of them earn their keep?"
    if weights > BUDGET:
        raise CheckFailed(
            f"the network of {name_of(answer)} has {weights:,} weights with "
            f"{train.n_items:,} items; at most {BUDGET:,} are allowed. {where}"
        )
    model = GRU4Rec(**settings, **TRAINING).fit(train, verbose=False)
    recall = evaluate(model, held_out).recall[20]
    if recall <= to_beat:
        raise CheckFailed(
            f"the network of {name_of(answer)}, with {weights:,} weights, reaches a "
            f"Recall@20 of {recall:.3f} on two later days. To beat: {to_beat:.3f}, of "
            f"a first-order Markov chain. {where}"
        )
    print(
        f"{weights:,} weights; Recall@20 {recall:.3f} on later days; "
        f"to beat: {to_beat:.3f}"
    )


def weights_of(answer, settings, n_items):
    """Weights of the Network that GRU4Rec makes of these arguments, block by block."""
    made = GRU4Rec(**settings)
    layers, feedforward = list(made.layers), list(made.feedforward)
    width = layers[0] if made.embedding == "layersize" else made.embedding
    if max(*layers, *feedforward, width) > 1000:  # do not even build it
        raise CheckFailed(
            f"the network of {name_of(answer)} has a layer of more than 1,000 units; "
            f"with {n_items:,} items that alone is more than {BUDGET:,} weights."
        )
    shared = made.constrained_embedding
    return n_parameters(Network(n_items, layers, width, shared, feedforward, made.cell))

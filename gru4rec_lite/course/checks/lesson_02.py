"""Checks of lesson 02: GRU gates."""

from functools import cache

import numpy as np
import torch
from scipy import sparse
from torch.nn.functional import normalize

from ... import Sessions, evaluate, load_shop
from ...network import GRU
from ...recommender import Recommender, chunks
from . import checking
from .checking import CheckFailed, ask, compare, exercise, letter_of, name_of, show
from .lesson_01 import first, parts


def package_gru(W, U, b, c):
    """The package's GRU with these weights: W (D, 3H), U (H, 3H), b and c (3H,)."""
    cell = GRU(W.shape[0], U.shape[0])
    cell.load_state_dict(
        {"weight_ih": W.T, "weight_hh": U.T, "bias_ih": b, "bias_hh": c}
    )
    return cell.requires_grad_(False)


# ---- 2.1: predict and explain ----------------------------------------------------


@exercise("2.1", prediction=True)
def keeps_the_first_click(answer):
    n_hidden, changes = 32, {"a": (0, 4), "b": (1, 4), "c": (0, -4), "d": (1, -4)}
    left = {}  # of a change to the first state, after twenty clicks
    for letter, (gate, add) in changes.items():
        generator = torch.Generator().manual_seed(2)
        cell = GRU(8, n_hidden)
        for weights in cell.parameters():
            if weights.dim() == 2:
                weights.data = torch.randn(weights.shape, generator=generator) / 6
        cell.bias_ih.data[gate * n_hidden : (gate + 1) * n_hidden] = add
        start = torch.zeros(1, n_hidden, requires_grad=True)
        h = start
        for x in torch.randn(20, 1, 8, generator=generator):
            h = cell(x, h)
        (gradient,) = torch.autograd.grad(h.sum(), start)
        left[letter] = float(gradient.norm()) / n_hidden**0.5
    right = max(left, key=left.get)
    told = {
        "a": "An open reset gate lets the candidate see the old state. But how much "
        "of the old state does the candidate replace?",
        "c": "A closed reset gate hides the old state from the candidate, so still "
        "less of it comes through.",
        "d": "A closed update gate, z near 0, replaces the old state by the "
        "candidate. Look at h' = (1 - z) · n + z · h again.",
    }
    given = letter_of(answer, "abcd")
    if given != right:
        raise CheckFailed(
            f"{name_of(answer)}: no. With {given!r}, {left[given]:.0e} of a change to "
            f"the first state is left after twenty clicks; the right choice keeps "
            f"{left[right]:.1f}. {told[given]}"
        )


# ---- 2.2: a step -----------------------------------------------------------------


def step_examples():
    """x (B, D), h (B, H), W (D, 3H), U (H, 3H), b and c (3H,): small ones first."""
    yield {
        "x": torch.tensor([[1.0, -1.0]]),
        "h": torch.tensor([[0.5, -0.5]]),
        "W": torch.tensor([[1.0, 0.0, 0.5, 1.0, 2.0, 0], [0, 1.0, 1.0, 0, 0.5, -1.0]]),
        "U": torch.tensor([[0.5, 1.0, 0, 1.0, 1.0, -1.0], [1.0, 0, -1.0, 0.5, 0, 2.0]]),
        "b": torch.tensor([0.0, 0.5, 0.0, -0.5, 0.0, 0.25]),
        "c": torch.tensor([0.5, 0.0, 0.25, 0.0, 1.0, -0.5]),
    }
    generator = torch.Generator().manual_seed(3)
    for B, D, H in [(2, 3, 2), (3, 2, 4), (4, 4, 4), (5, 8, 6)]:
        shapes = {
            "x": (B, D), "h": (B, H), "W": (D, 3 * H), "U": (H, 3 * H),
            "b": (3 * H,), "c": (3 * H,),
        }  # fmt: skip
        yield {k: torch.randn(s, generator=generator) for k, s in shapes.items()}


def blocks(matrix):
    return matrix.chunk(3, dim=-1)


@exercise("2.2")
def gru_step(answer):
    for example in step_examples():
        x, h, W, U, b, c = example.values()
        (x_r, x_z, x_n), (h_r, h_z, h_n) = blocks(x @ W + b), blocks(h @ U + c)
        r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
        U_n, c_n = blocks(U)[2], blocks(c)[2]

        def end(n, z=z, h=h):
            return (1 - z) * n + z * h

        n = torch.tanh(x_n + r * h_n)
        compare(
            answer, ask(answer, example), package_gru(W, U, b, c)(x, h), example,
            usual={
                "the update gate stands on the wrong side: here z = 1 keeps the old "
                "state, and 1 - z lets the candidate in": z * n + (1 - z) * h,
                "the reset gate acts on h before the product with U_n; in this variant "
                "it acts on the product": end(torch.tanh(x_n + (r * h) @ U_n + c_n)),
                "the bias c_n is left out of the reset; r multiplies h U_n + c_n as a "
                "whole": end(torch.tanh(x_n + r * (h @ U_n) + c_n)),
                "the reset gate is not used": end(torch.tanh(x_n + h_n)),
                "the reset gate acts on the click's part too; it belongs to the "
                "state's part alone": end(torch.tanh(r * (x_n + h_n))),
                "the two gates have changed places; the blocks of W, U, b and c stand "
                "in the order r, z, n": end(torch.tanh(x_n + z * h_n), r),
                "the candidate is squeezed by σ; it is a tanh, so that a state can be "
                "negative": end(torch.sigmoid(x_n + r * h_n)),
                "this is the candidate; the new state mixes it with the old one": n,
                "the biases b and c are not used": without_biases(x, h, W, U),
                "the bias c is not used": package_gru(W, U, b, 0 * c)(x, h),
                "the bias b is not used": package_gru(W, U, 0 * b, c)(x, h),
            },
            tolerance=1e-5,
        )  # fmt: skip


def without_biases(x, h, W, U):
    zero = torch.zeros(W.shape[1])
    return package_gru(W, U, zero, zero)(x, h)


# ---- 2.3: debug ------------------------------------------------------------------


@exercise("2.3")
def repaired_step(answer):
    for example in step_examples():
        example = {name: example[name] for name in ("x", "h", "W", "U")}
        x, h, W, U = (value.numpy().astype(float) for value in example.values())
        (W_r, W_z, W_n), (U_r, U_z, U_n) = np.split(W, 3, axis=1), np.split(U, 3, 1)
        r, z = sigmoid(x @ W_r + h @ U_r), sigmoid(x @ W_z + h @ U_z)
        n = np.tanh(x @ W_n + (r * h) @ U_n)
        z_after = sigmoid(x @ W_z + (r * h) @ U_z)
        as_tensor = torch.from_numpy((1 - z) * n + z * h).float()
        compare(
            answer, ask(answer, example), as_tensor, example,
            usual={
                "it is still squeezed to positive numbers somewhere; look at the "
                "candidate": (1 - z) * sigmoid(x @ W_n + (r * h) @ U_n) + z * h,
                "what is kept is r · h; the update gate keeps the old state as it "
                "came": (1 - z) * n + z * r * h,
                "this is the other variant, with the reset after the product; the "
                "equations above have it before": (1 - z)
                * np.tanh(x @ W_n + r * (h @ U_n))
                + z * h,
                "the update gate stands on the wrong side: z = 1 keeps the old "
                "state": z * n + (1 - z) * h,
                "the update gate is made from r · h; it sees the old state as it "
                "came": (1 - z_after) * n + z_after * h,
                "the reset gate is not used": (1 - z) * np.tanh(x @ W_n + h @ U_n)
                + z * h,
            },
            tolerance=1e-5,
        )  # fmt: skip


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


# ---- 2.4: gates by hand ----------------------------------------------------------


CLICKS = ["camera", "memory card", "phone"]
SHAPES = {"W": (3, 3), "U": (1, 3), "b": (3,), "c": (3,)}


def click_sequences():
    """Indices into CLICKS: what each weakness is seen on first."""
    camera, card, phone = range(3)
    yield from ([camera], [card], [phone])
    yield from ([camera, card], [camera, phone], [phone, camera], [camera, camera])
    yield from ([camera] + 20 * [card], 20 * [card], [camera, phone] + 20 * [card])
    yield [phone, card, camera, card, card, phone, card, camera, card]
    yield 20 * [phone] + [camera] + 20 * [camera] + [phone]
    rng = np.random.default_rng(4)
    yield from rng.choice(3, size=(5, 30), p=[0.25, 0.5, 0.25]).tolist()


@exercise("2.4")
def camera_memory(answer):
    given = parts(answer, ask(answer, {}), list(SHAPES), {})
    weights = []
    for (name, shape), value in zip(SHAPES.items(), given, strict=True):
        value = torch.as_tensor(value, dtype=torch.float32).detach()
        if tuple(value.shape) != shape:
            raise CheckFailed(
                f"the {name} of {name_of(answer)} has shape {tuple(value.shape)}, "
                f"expected {shape}."
            )
        if not value.isfinite().all():
            raise CheckFailed(f"the {name} of {name_of(answer)} holds inf or NaN.")
        weights.append(value)
    failed = next((c for c in click_sequences() if first_failure(c, weights)), None)
    if failed is None:
        return
    turned, swapped = torch.tensor([1.0, -1.0, 1.0]), [1, 0, 2]
    t, why = first_failure(failed, weights)
    if remembers([w * turned for w in weights]):
        why = "z stands for the opposite: z = 1 keeps the state, z = 0 replaces it"
    elif remembers([w[..., swapped] for w in weights]):
        why = "the gates have changed places; the columns stand in the order r, z, n"
    seen = slice(max(t - 4, 0), t + 1)
    r, z, n, state = (column[seen] for column in read(failed, weights))
    raise CheckFailed(
        f"{name_of(answer)}: {why}. The last clicks of the example, with the gates "
        "that your weights make:"
        + checking.table(
            click=[CLICKS[i] for i in failed[seen]], r=r, z=z, n=n, state=state
        )
    )


def read(clicks, weights):
    """r, z, n and the state of the one-unit cell after each click, lists of numbers."""
    W, U, b, c = weights
    cell, h, rows = package_gru(*weights), torch.zeros(1, 1), []
    for click in clicks:
        x = torch.eye(3)[[click]]  # (1, 3)
        (x_r, x_z, x_n), (h_r, h_z, h_n) = blocks(x @ W + b), blocks(h @ U + c)
        r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
        h = cell(x, h)  # (1, 1)
        rows.append([float(v) for v in (r, z, torch.tanh(x_n + r * h_n), h)])
    return np.round(rows, 2).T.tolist()


def first_failure(clicks, weights):
    """The click after which the state is not as it should be, and why; else None."""
    camera, card, phone = range(3)
    state, seen = read(clicks, weights)[3], False
    for t, click in enumerate(clicks):
        seen = click == camera or (seen and click != phone)
        if (state[t] > 0.9) if seen else (abs(state[t]) < 0.1):
            continue
        what = {
            (camera, True): "the state is not above 0.9 after a camera",
            (card, True): "a memory card makes it forget the camera",
            (card, False): "a memory card moves the state away from zero, though no "
            "camera is to be remembered",
            (phone, False): "the state is not near zero after a phone",
        }[click, seen]
        if click == card and t > 1 and clicks[t - 1] == card and seen:
            what = "it forgets the camera little by little, some with every memory card"
        return t, what
    return None


def remembers(weights):
    return not any(first_failure(clicks, weights) for clicks in click_sequences())


# ---- 2.5: the project ------------------------------------------------------------


D, N_UNITS = 64, 128
LEAD = 0.005  # by which to beat the figure: less could be luck


class ByHand(Recommender):
    """A cell made by hand between item vectors and an output that is fitted to it.

    Nothing is trained step by step: item vectors are the main directions of the table
    of what follows what, and the output is the least-squares fit (ridge regression) of
    the next item to the state. So what differs between two of them is the cell.
    """

    def __init__(self, step, n_hidden):
        self.step, self.n_hidden = step, n_hidden

    def fit(self, sessions):
        self.item_ids = sessions.item_ids
        self.vectors = item_vectors(sessions)  # (I, D)
        has_next = np.ones(sessions.n_clicks, bool)
        has_next[sessions.offsets[1:] - 1] = False
        p = np.flatnonzero(has_next)
        states = self.states(sessions)[p]  # (P, H + 1)
        n_items = sessions.n_items
        sums = torch.zeros(n_items, states.shape[1], dtype=torch.float64)
        sums.index_add_(0, torch.from_numpy(sessions.items[p + 1]).long(), states)
        ridge = torch.eye(states.shape[1], dtype=torch.float64)
        products = states.T @ states + ridge  # (H + 1, H + 1)
        self.output = torch.linalg.solve(products, sums.T)  # (H + 1, I)
        return self

    def states(self, sessions):
        """States after every click, all sessions side by side; a 1 for the bias."""
        items, lengths = torch.from_numpy(sessions.items).long(), sessions.lengths
        h = torch.zeros(sessions.n_sessions, self.n_hidden)
        result = torch.ones(sessions.n_clicks, self.n_hidden + 1, dtype=torch.float64)
        for t in range(lengths.max()):
            going = np.flatnonzero(lengths > t)  # sessions with such a click, (n,)
            p = sessions.offsets[going] + t
            h[going] = self.step(self.vectors[items[p]], h[going])
            result[p, :-1] = h[going].double()
        return result

    def score_after(self, sessions, wanted):
        states = self.states(sessions)
        for chunk in chunks(np.flatnonzero(wanted), sessions.n_items):
            yield chunk, states[chunk] @ self.output


def item_vectors(sessions: Sessions) -> torch.Tensor:
    """(I, D), each of length 1: items with like successors have like vectors."""
    same = np.ones(sessions.n_clicks - 1, bool)
    same[sessions.offsets[1:-1] - 1] = False
    pairs = sessions.items[:-1][same], sessions.items[1:][same]
    shape = (sessions.n_items, sessions.n_items)
    counts = sparse.coo_array((np.ones(same.sum()), pairs), shape=shape)
    counts = counts.tocsr()  # (I, I), equal pairs added up
    row, column = (sparse.diags_array((counts.sum(k) + 1) ** -0.5) for k in (1, 0))
    u, s, _ = sparse.linalg.svds(row @ counts @ column, k=D, rng=0)
    return normalize(torch.from_numpy(u * s**0.5).float(), dim=1)


@cache
def shop_for_cells():
    """Train, held-out sessions, and the best Recall@20 with one z for all units."""
    shop = load_shop()
    train, held_out = first(shop.train_part, 25_000), first(shop.valid, 2000)
    recalls = [
        evaluate(ByHand(fixed(z), D).fit(train), held_out).recall[20]
        for z in (0.2, 0.4, 0.5, 0.6)
    ]
    return train, held_out, max(recalls)


def fixed(z):
    return lambda x, h: (1 - z) * x + z * h


@exercise("2.5")
def hand_made_cell(answer):
    generator = torch.Generator().manual_seed(5)
    x = normalize(torch.randn(3, D, generator=generator))
    h = torch.randn(3, N_UNITS, generator=generator) / 4
    h[0] = 0
    small = {"x": x, "h": h}
    state = checked_state(answer, small)
    alone = [checked_state(answer, {"x": x[[i]], "h": h[[i]]}) for i in range(3)]
    if not torch.allclose(state, torch.cat(alone), atol=1e-4):
        raise CheckFailed(
            f"{name_of(answer)} mixes the sessions: a row's new state depends on the "
            "other rows. Did something run along the wrong axis?"
        )
    if torch.allclose(checked_state(answer, {"x": 0 * x, "h": h}), state):
        raise CheckFailed(f"{name_of(answer)} does not look at the click x.")
    if torch.allclose(checked_state(answer, {"x": x, "h": 0 * h}), state):
        raise CheckFailed(
            f"{name_of(answer)} does not look at the old state h, so that it forgets "
            "everything but the last click."
        )
    h = 0 * h
    for _ in range(200):
        h = checked_state(answer, {"x": x, "h": h})
    if h.abs().max() > 1e4:
        raise CheckFailed(
            f"the state of {name_of(answer)} grows without bound: after 200 clicks the "
            f"largest number is {h.abs().max():.0e}. What is kept and what is added "
            "should be in balance."
        )
    train, held_out, to_beat = shop_for_cells()
    with torch.no_grad():
        recall = evaluate(ByHand(answer, N_UNITS).fit(train), held_out).recall[20]
    if recall < to_beat + LEAD:
        raise CheckFailed(
            f"a network with {name_of(answer)} reaches a Recall@20 of {recall:.3f} on "
            f"{held_out.n_sessions:,} held-out sessions. To beat by {LEAD}: "
            f"{to_beat:.3f}, the best with one fixed update gate z for all units. In a "
            "trained GRU, do all units keep equally much?"
        )
    print(f"Recall@20 {recall:.3f} on held-out sessions; to beat: {to_beat:.3f}")


def checked_state(answer, example):
    state = ask(answer, example)
    if not torch.is_tensor(state) or tuple(state.shape) != (len(example["x"]), N_UNITS):
        got = f"shape {tuple(state.shape)}" if torch.is_tensor(state) else "no tensor"
        raise CheckFailed(
            f"{name_of(answer)} gives {got}; the new state (B, {N_UNITS}) is expected, "
            f"here {(len(example['x']), N_UNITS)}.{show(example)}"
        )
    if not state.isfinite().all():
        raise CheckFailed(f"the state of {name_of(answer)} holds inf or NaN.")
    return state.float()

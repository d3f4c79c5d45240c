"""A slow, plain GRU4Rec to compare the package with, and sessions to train both on.

Written from the papers' formulas (Hidasi et al. 2016, arXiv 1511.06939; Hidasi &
Karatzoglou 2018, arXiv 1706.03847), not from the package: lists of sessions instead of
a schedule, all B + N candidates written out, whole matrices in float64, gradients by
autograd, and an optimiser that computes every row and keeps those in use. The class
`Reference` shares no code with the package; it is given the weights to start from and
the negatives that the package drew.

``MISTAKES`` are those that reimplementations are known for (Hidasi & Czapp 2023, arXiv
2307.14956). The reference makes one on request: a test that cannot tell the reference
with the mistake from the one without it proves nothing.
"""

from collections import deque
from dataclasses import dataclass
from unittest.mock import patch

import numpy as np
import torch

from gru4rec_lite import GRU4Rec, Sessions
from gru4rec_lite.sampling import NegativeSampler

torch.set_num_threads(1)  # on matrices this small, more threads only get in the way

MISTAKES = {
    "state kept": "hidden state not reset at a session change",
    "wrong slot reset": "the neighbour's hidden state reset at a session change",
    "positive among negatives": "a row's own positive counted among its negatives",
    "mean over open slots": "loss divided by the open slots instead of B",
    "rows overwritten": "of a repeated row's gradients only the last one used",
    "negatives apart": "each slot ranked against its own share of the drawn items only",
    "targets apart": "other slots' targets not used as negatives",
    "logq without alpha": "drawn items corrected by their support, not support^alpha",
    "all rows moved": "momentum moves rows that the step did not touch",
}


# ---- losses of one row, from their formulas: its positive's score, its negatives' (n,)


def cross_entropy(positive, negative):
    return -(positive.exp() / (positive.exp() + negative.exp().sum())).log()


def bpr(positive, negative):
    return -torch.sigmoid(positive - negative).log().mean()


def top1(positive, negative):
    return (torch.sigmoid(negative - positive) + torch.sigmoid(negative**2)).mean()


def bpr_max(positive, negative, bpreg):
    w = negative.exp() / negative.exp().sum()  # (n,)
    ranking = -(w * torch.sigmoid(positive - negative)).sum().log()
    return ranking + bpreg * (w * negative**2).sum()


def top1_max(positive, negative):
    w = negative.exp() / negative.exp().sum()  # (n,)
    cost = torch.sigmoid(negative - positive) + torch.sigmoid(negative**2)
    return (w * cost).sum()


LOSSES = {
    "cross-entropy": cross_entropy, "bpr": bpr, "top1": top1, "top1-max": top1_max,
}  # fmt: skip


# ---- optimisers: what to add to the weights, and the new state


def adagrad(g, s, lr, momentum, t):
    acc = s["acc"] + g**2
    v = momentum * s["v"] - lr * g / (acc + 1e-6) ** 0.5
    return v, {"acc": acc, "v": v}


def sgd(g, s, lr, momentum, t):
    v = momentum * s["v"] - lr * g
    return v, {"v": v}


def rmsprop(g, s, lr, momentum, t):
    acc = 0.9 * s["acc"] + 0.1 * g**2
    v = momentum * s["v"] - lr * g / (acc + 1e-6) ** 0.5
    return v, {"acc": acc, "v": v}


def adam(g, s, lr, momentum, t):
    m = 0.9 * s["m"] + 0.1 * g
    v = 0.999 * s["v"] + 0.001 * g**2
    m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.999**t)
    return -lr * m_hat / (v_hat + 1e-6) ** 0.5, {"m": m, "v": v}


RULES = {"adagrad": adagrad, "sgd": sgd, "rmsprop": rmsprop, "adam": adam}


class Reference:
    """GRU4Rec, step by step.

    weights : name -> tensor as a Network's state_dict has them, without the last row
    of the item matrices: output (I, H), output_bias (I,), input (I, D) or for one-hot
    input (I, 3H), none if shared, cells.<layer>.weight_ih (3H, D), weight_hh (3H, H),
    bias_ih, bias_hh, feedforward.<layer>.weight, bias. support : clicks of each item.
    """

    def __init__(
        self, weights, support, batch_size, loss, learning_rate, momentum=0.0,
        n_sample=0, sample_alpha=0.5, logq=0.0, bpreg=1.0, elu_param=0.0,
        activation="linear", optimizer="adagrad", grad_clip=0.0, l2=0.0, mistake=None,
    ):  # fmt: skip
        assert mistake is None or mistake in MISTAKES
        self.weights = {
            name: w.double().clone().requires_grad_() for name, w in weights.items()
        }
        self.support = torch.as_tensor(support).double()
        self.batch_size, self.loss = batch_size, loss
        self.learning_rate, self.momentum = learning_rate, momentum
        self.n_sample, self.sample_alpha, self.logq = n_sample, sample_alpha, logq
        self.bpreg, self.elu_param, self.activation = bpreg, elu_param, activation
        self.rule, self.mistake = RULES[optimizer], mistake
        self.grad_clip, self.l2 = grad_clip, l2
        self.n_layers = sum(name.endswith("weight_hh") for name in weights)
        self.n_feedforward = sum(k.startswith("feedforward.") for k in weights) // 2
        self.n_steps = 0
        self.losses = []  # one a step
        self.optimizer_state = {
            name: {k: torch.zeros_like(w) for k in ("acc", "m", "v")}
            for name, w in self.weights.items()
        }

    def epoch(self, sessions, negatives):
        """sessions : lists of items, in order. negatives : iterator, N items a step."""
        waiting = deque(session for session in sessions if len(session) > 1)
        slots = [None] * self.batch_size  # what is left of each slot's session
        state = [
            [torch.zeros(w.shape[1], dtype=torch.float64) for _ in slots]
            for name, w in self.weights.items()
            if name.endswith("weight_hh")
        ]  # layer, slot -> (H,)
        while True:
            for slot in range(self.batch_size):
                if slots[slot] is None and waiting:
                    slots[slot] = deque(waiting.popleft())
                    self._reset(state, slot)
            still_open = [b for b in range(self.batch_size) if slots[b] is not None]
            if len(still_open) < (1 if self.n_sample else 2):
                return
            inputs = [slots[b].popleft() for b in still_open]
            targets = [slots[b][0] for b in still_open]
            drawn = [int(item) for item in next(negatives)] if self.n_sample else []
            h = [torch.stack([layer[b] for b in still_open]) for layer in state]
            new_state = self.step(inputs, targets, drawn, h)
            for layer, new in zip(state, new_state, strict=True):
                for row, b in enumerate(still_open):
                    layer[b] = new[row]
            for b in still_open:
                if len(slots[b]) == 1:
                    slots[b] = None

    def _reset(self, state, slot):
        if self.mistake == "state kept":
            return
        if self.mistake == "wrong slot reset":
            slot = (slot + 1) % self.batch_size
        for layer in state:
            layer[slot] = torch.zeros_like(layer[slot])

    def step(self, inputs, targets, drawn, state):
        """One step on b open slots. Returns the new hidden state of each layer."""
        w = self.weights
        x = self._look_up(inputs)  # (b, D)
        candidates = w["output"][targets + drawn]  # (b + N, H)
        x.retain_grad(), candidates.retain_grad()
        hidden, new_state = self.hidden(x, state)
        scores = hidden @ candidates.T + w["output_bias"][targets + drawn]  # (b, b + N)
        loss = self._loss(scores, targets + drawn)
        loss.backward()
        self.losses.append(loss.item())
        if self.mistake == "rows overwritten":
            self._overwrite(inputs, targets + drawn, x.grad, candidates.grad)
        self._update(inputs, targets + drawn)
        return [h.detach() for h in new_state]

    def _look_up(self, inputs):
        if "cells.0.weight_ih" in self.weights:
            table = "input" if "input" in self.weights else "output"
            return self.weights[table][inputs]
        one_hot = torch.eye(len(self.support), dtype=torch.float64)[inputs]  # (b, I)
        return one_hot @ self.weights["input"]  # (b, 3H)

    def hidden(self, x, state):
        """x (b, D), state of each layer (b, H) -> (b, H), new state of each layer."""
        w, new_state = self.weights, []
        for k, h in enumerate(state):
            if f"cells.{k}.weight_ih" in w:
                x = x @ w[f"cells.{k}.weight_ih"].T
            x_r, x_z, x_n = (x + w[f"cells.{k}.bias_ih"]).chunk(3, 1)
            h_r, h_z, h_n = (
                h @ w[f"cells.{k}.weight_hh"].T + w[f"cells.{k}.bias_hh"]
            ).chunk(3, 1)
            r = torch.sigmoid(x_r + h_r)
            z = torch.sigmoid(x_z + h_z)
            n = torch.tanh(x_n + r * h_n)
            x = (1 - z) * n + z * h
            new_state.append(x)
        for k in range(self.n_feedforward):
            weight, bias = w[f"feedforward.{k}.weight"], w[f"feedforward.{k}.bias"]
            x = torch.tanh(x @ weight.T + bias)
        return x, new_state

    def _loss(self, scores, candidates):
        b = len(scores)
        if self.loss == "cross-entropy" and self.logq:
            q = self.support[candidates].clone()
            if self.mistake != "logq without alpha":
                q[b:] = q[b:] ** self.sample_alpha
            scores = scores - self.logq * q.log()
        if self.activation == "tanh":
            scores = torch.tanh(scores)
        if self.loss == "bpr-max" and self.elu_param:
            flat = self.elu_param * (scores.clamp(max=0).exp() - 1)
            scores = torch.where(scores > 0, scores, flat)
        total = sum(
            self._row_loss(scores[i, i], scores[i, self._negatives_of(i, scores)])
            for i in range(b)
        )
        return total / (
            b if self.mistake == "mean over open slots" else self.batch_size
        )

    def _negatives_of(self, i, scores):
        b, n_candidates = scores.shape
        others = [j for j in range(n_candidates) if j != i]
        if self.mistake == "positive among negatives":
            others = list(range(n_candidates))
        if self.mistake == "negatives apart":
            others = [j for j in others if j < b or j % b == i]
        if self.mistake == "targets apart":
            others = [j for j in others if j >= b]
        return others

    def _row_loss(self, positive, negative):
        if self.loss == "bpr-max":
            return bpr_max(positive, negative, self.bpreg)
        return LOSSES[self.loss](positive, negative)

    def _overwrite(self, inputs, candidates, g_inputs, g_candidates):
        w = self.weights
        w["output"].grad.zero_()
        for item, g in zip(candidates, g_candidates, strict=True):
            w["output"].grad[item] = g
        table = w.get("input", w["output"])
        for item, g in zip(inputs, g_inputs, strict=True):
            table.grad[item] = g

    @torch.no_grad()
    def _update(self, inputs, candidates):
        self.n_steps += 1
        in_use = {"output": candidates, "output_bias": candidates, "input": inputs}
        if "input" not in self.weights:
            in_use["output"] = candidates + inputs
        in_use = {name: rows for name, rows in in_use.items() if name in self.weights}
        for name, p in self.weights.items():
            rows = list(set(in_use.get(name, range(len(p)))))
            p.grad[rows] += self.l2 * p[rows]
        if self.grad_clip:
            norm = sum((p.grad**2).sum() for p in self.weights.values()) ** 0.5
            for p in self.weights.values():
                p.grad *= min(1.0, self.grad_clip / norm)
        for name, p in self.weights.items():
            touched = torch.ones_like(p, dtype=torch.bool)
            if name in in_use and self.mistake != "all rows moved":
                touched[:] = False
                touched[in_use[name]] = True
            before = self.optimizer_state[name]
            move, after = self.rule(
                p.grad, before, self.learning_rate, self.momentum, self.n_steps
            )
            for k in after:
                before[k] = torch.where(touched, after[k], before[k])
            p.copy_(torch.where(touched, p + move, p))
            p.grad = None


# ---- sessions, and a package model's weights as the reference takes them


def sessions_from(lists, n_items=None, item_ids=None):
    """Sessions from lists of item indices, one after the other in time."""
    items = np.concatenate([np.asarray(session, int) for session in lists])
    offsets = np.cumsum([0] + [len(session) for session in lists])
    if item_ids is None:
        item_ids = np.arange(n_items or items.max() + 1) * 10 + 100
    return Sessions(
        items, np.arange(len(items)), offsets, np.arange(len(lists)), item_ids
    )


def random_lists(n_sessions, n_items, seed=0, longest=8):
    """Lists of items, some very popular; all are clicked; some sessions are short."""
    rng = np.random.default_rng(seed)
    popularity = 1 / np.arange(1, n_items + 1)
    popularity /= popularity.sum()
    lists = [
        rng.choice(n_items, rng.integers(1, longest + 1), p=popularity)
        for _ in range(n_sessions)
    ]
    lists[n_sessions // 2] = np.arange(n_items)
    return [session.tolist() for session in lists]


def weights_of(network):
    """Copies of a Network's weights, without the row that no item has."""
    weights = {}
    for name, value in network.state_dict().items():
        item_matrix = name in ("input", "output", "output_bias")
        weights[name] = (value[:-1] if item_matrix else value).cpu().clone()
    return weights


def largest_difference(weights, other):
    """Largest absolute difference between two sets of weights."""
    assert weights.keys() == other.keys()
    return max((weights[k] - other[k]).abs().max().item() for k in weights)


# ---- package and reference trained alike


@dataclass
class Training:
    """What the package did: from which weights, on which sessions and negatives."""

    sessions: Sessions
    parameters: dict
    start: dict
    model: GRU4Rec
    negatives: list  # (steps, N)

    def repeat(self, mistake=None):
        """The same training by the Reference."""
        of_network = "layers embedding constrained_embedding feedforward cell".split()
        options = {k: v for k, v in self.parameters.items() if k not in of_network}
        reference = Reference(
            self.start, self.sessions.support, mistake=mistake, **options
        )
        lists = np.split(self.sessions.items, self.sessions.offsets[1:-1])
        negatives = iter(self.negatives)
        for _ in range(self.model.n_epochs):
            reference.epoch([session.tolist() for session in lists], negatives)
        assert next(negatives, None) is None  # both took the same number of steps
        return reference

    @property
    def n_steps(self):
        return self.model.history["steps"].iloc[1:].sum()

    @property
    def loss(self):
        """Summed over the steps."""
        history = self.model.history.iloc[1:]
        return (history["loss"] * history["steps"]).sum()

    def largest_difference(self, reference):
        """Largest absolute difference of any weight from the reference's."""
        return largest_difference(weights_of(self.model.network), reference.weights)


def train_package(sessions, n_steps, device="cpu", **parameters):
    """Fit in float64 for at least n_steps.

    Recording starts after a first epoch, when biases are no longer zero; the optimiser
    starts afresh there.
    """
    parameters = {
        "loss": "cross-entropy", "layers": [6], "batch_size": 5, "learning_rate": 0.1,
        "momentum": 0.3, "sample_alpha": 0.6, "n_sample": 0, **parameters,
    }  # fmt: skip
    model = GRU4Rec(**parameters, n_epochs=1, precision="float64", device=device)
    model.fit(sessions, verbose=False)
    model.n_epochs = int(np.ceil(n_steps / model.history.loc[0, "steps"]))
    start = weights_of(model.network)
    negatives, draw = [], NegativeSampler.draw

    def recording_draw(self, shape, rng):
        items = draw(self, shape, rng)
        negatives.extend(items.reshape(-1, items.shape[-1]).tolist())
        return items

    with patch.object(NegativeSampler, "draw", recording_draw):
        model.fit(sessions, warm_start=True, verbose=False)
    return Training(sessions, parameters, start, model, negatives)

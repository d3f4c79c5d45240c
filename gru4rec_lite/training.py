"""One training step, fast (lesson 07): from a chunk of the schedule to new weights.

What a step needs besides the weights is worked out for a few hundred steps at once, in
NumPy: which rows of the item matrices it reads, where inputs and targets stand among them,
how often each row is a candidate. The step itself is then a few dozen tensor operations,
each item row read once and written once. docs/performance.md tells what each idea brought.
"""

from typing import NamedTuple

import numpy as np
import torch

from . import losses
from .sampling import merge, places

CHUNK = 256  # steps prepared at once
BLOCK = 2**16  # numbers that the optimiser takes at a time: they fit a core's cache


class Chunk(NamedTuple):
    """T steps with the same open slots (b of them), ready for the network.

    keep (T, b, 1): 0 where a session starts, else 1. input_rows (T, V): distinct rows of
    the input table; input_place (T, b): each slot's column in them. rows (T, U): distinct
    rows of the output matrix; target_place (T, b). weight (T, U): how often a row is a
    candidate, or for cross-entropy the log of that, corrected; shift (T,): what this adds
    to the loss. With shared embeddings, input_rows is rows.
    """

    keep: torch.Tensor
    input_rows: torch.Tensor
    input_place: torch.Tensor
    rows: torch.Tensor
    target_place: torch.Tensor
    weight: torch.Tensor
    shift: torch.Tensor


class Batches:
    """Prepares chunks of steps: inputs, targets and candidates with their weights.

    Parameters
    ----------
    items : (E,) item of each click.
    support : (I,) clicks per item.
    sampler : NegativeSampler; n_sample : N, extra negatives a step.
    shared : the output matrix is also the input embedding.
    logq : strength of the popularity correction, for cross-entropy only, else None.
    """

    def __init__(self, items, support, sampler, n_sample, shared, logq):
        self.items, self.sampler = items, sampler
        self.n_sample, self.shared, self.logq = n_sample, shared, logq
        self.n_items = len(support)
        # A candidate's score is lowered by logq · log q: its weight is q^−logq.
        q = np.append(np.maximum(support, 1), 1).astype(np.float64)  # (I + 1,)
        self.target_weight = q ** -(logq or 0)
        self.drawn_weight = q ** -((logq or 0) * sampler.alpha)

    def prepare(self, position, reset, rng, device, dtype):
        """A Chunk from (T, b) arrays of the schedule, all slots open."""
        inputs, targets = self.items[position], self.items[position + 1]  # (T, b)
        used = [targets]
        if self.n_sample:
            used.append(self.sampler.draw((len(position), self.n_sample), rng))
        if self.shared:
            used.append(inputs)
        rows, count = merge(np.concatenate(used, axis=1), pad=self.n_items)  # (T, U)
        target_place = places(rows, targets)  # (T, b)
        if self.shared:
            input_rows, input_place = rows, places(rows, inputs)
            count = count - _occurrences(input_place, count)  # inputs rank against no one
        else:
            input_rows, _ = merge(inputs, pad=self.n_items)
            input_place = places(input_rows, inputs)

        shift = np.zeros(len(position))
        if self.logq is None:
            weight = count
        else:
            as_target = _occurrences(target_place, count)
            weight = as_target * self.target_weight[rows]
            weight += (count - as_target) * self.drawn_weight[rows]
            with np.errstate(divide="ignore"):
                weight = np.log(weight)  # −inf where a row is no candidate
            own = np.log(self.target_weight[targets])  # (T, b)
            shift = (np.take_along_axis(weight, target_place, 1) - own).mean(1)

        def floats(array):
            return torch.from_numpy(array).to(device, dtype)

        def integers(array):
            return torch.from_numpy(array).to(device)

        rows = integers(rows)
        return Chunk(
            keep=floats(~reset[:, :, None]),
            input_rows=rows if self.shared else integers(input_rows),
            input_place=integers(input_place),
            rows=rows,
            target_place=integers(target_place),
            weight=floats(weight),
            shift=floats(shift),
        )


def _occurrences(place, like):
    """How often each column occurs in place (T, b). An array shaped as like, (T, U)."""
    n_steps, width = like.shape
    cell = place + np.arange(n_steps)[:, None] * width
    return np.bincount(cell.ravel(), minlength=like.size).reshape(like.shape)


class Step:
    """A training step: forward, loss, gradients, update. Owns the optimiser's state.

    Parameters
    ----------
    network : Network. optimizer : a rule of ``optim``.
    loss : function (scores, target, weight) -> mean over rows, see ``ranking_loss``.
    batch_size : B. The loss of a step is the sum over open slots divided by B.
    l2 : weight decay, added to the gradient of what the step touches.
    grad_clip : largest norm of all gradients together; 0 for none.
    precision : torch.float32 (or float64), or torch.bfloat16 for autocast.
    """

    def __init__(
        self, network, optimizer, loss, batch_size, l2=0.0, grad_clip=0.0,
        autocast=False,
    ):  # fmt: skip
        self.network, self.optimizer, self.loss = network, optimizer, loss
        self.batch_size, self.l2, self.grad_clip = batch_size, l2, grad_clip
        self.autocast = autocast
        self.optimizer.to(network.output.device)
        self.parameters = list(network.parameters())
        self.dense = _flatten(self.parameters)
        self.tables = {"output": network.output, "output_bias": network.output_bias}
        if not network.shared:
            self.tables["input"] = network.input
        everything = {"dense": self.dense, **self.tables}
        self.state = {
            name: [torch.zeros_like(table) for _ in range(optimizer.n_states)]
            for name, table in everything.items()
        }

    def __call__(self, state, chunk, t):
        """Step t of a chunk. Returns the new hidden state and the loss, a 0-d tensor."""
        network, shared = self.network, self.network.shared
        rows = chunk.rows[t]  # (U,)
        output = network.output.index_select(0, rows).requires_grad_()  # (U, H)
        bias = network.output_bias.index_select(0, rows).requires_grad_()  # (U,)
        if shared:
            x = output.detach().index_select(0, chunk.input_place[t])  # (b, D)
        else:
            input_rows = network.input.index_select(0, chunk.input_rows[t])  # (V, D)
            x = input_rows.index_select(0, chunk.input_place[t])  # (b, D)
        x.requires_grad_()
        state = [h * chunk.keep[t] for h in state]

        with torch.autocast(rows.device.type, torch.bfloat16, enabled=self.autocast):
            hidden, state = network(x, state)  # (b, H)
            scores = torch.addmm(bias, hidden, output.T)  # (b, U)
        scores = scores.to(bias.dtype)
        mean = self.loss(scores, chunk.target_place[t], chunk.weight[t]) + chunk.shift[t]
        cost = mean * (len(x) / self.batch_size)
        leaves = [x, output, bias, *self.parameters]
        g_x, g_output, g_bias, *g_dense = torch.autograd.grad(cost, leaves)

        if shared:
            g_rows = {"output": g_output.index_add_(0, chunk.input_place[t], g_x)}
        else:
            g_input = torch.zeros_like(input_rows)
            g_rows = {"output": g_output}
            g_rows["input"] = g_input.index_add_(0, chunk.input_place[t], g_x)
        g_rows["output_bias"] = g_bias
        self.update(torch.cat([g.reshape(-1) for g in g_dense]), g_rows, chunk, t)
        return state, cost.detach()

    def state_dict(self):
        """The optimiser's state as named tensors, for a checkpoint."""
        named = {f"{n}.{i}": s for n, ss in self.state.items() for i, s in enumerate(ss)}
        named |= {f"rule.{k}": v for k, v in self.optimizer.state_dict().items()}
        return {f"optimizer.{name}": tensor for name, tensor in named.items()}

    def load_state_dict(self, tensors):
        """Take weights and optimiser state from a checkpoint, in place."""
        own = self.state_dict()
        weights = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        for name, tensor in {**own, **weights}.items():
            tensor.copy_(tensors[name])

    @torch.no_grad()
    def update(self, g_dense, g_rows, chunk, t):
        """Move the dense weights, and the rows in use of every item matrix."""
        gradients = [g_dense, *g_rows.values()]
        if self.l2:
            g_dense.add_(self.dense, alpha=self.l2)
        if self.grad_clip:
            norm = torch.stack([g.norm() for g in gradients]).norm()
            scale = (self.grad_clip / norm).clamp(max=1)
            for g in gradients:
                g.mul_(scale)
        self.optimizer.begin_step()
        for part in _blocks(self.dense):
            states = [s[part] for s in self.state["dense"]]
            self.dense[part].add_(self.optimizer.move(g_dense[part], *states))
        for name, g in g_rows.items():
            rows = chunk.input_rows[t] if name == "input" else chunk.rows[t]
            for part in _blocks(g):
                self._update_rows(name, rows[part], g[part])

    def _update_rows(self, name, rows, g):
        table, states = self.tables[name], self.state[name]
        used = [s.index_select(0, rows) for s in states]
        table.index_add_(0, rows, self.optimizer.move(g, *used))
        for whole, part in zip(states, used, strict=True):
            whole.index_copy_(0, rows, part)


def ranking_loss(name, bpreg=1.0, elu_param=0.0, activation="linear"):
    """The loss as training calls it: f(scores (b, U), target (b,), weight (U,)).

    The weight of a column is its count, or for cross-entropy the log of it.
    """
    if name == "cross-entropy":
        return lambda scores, target, log_weight: losses.cross_entropy(
            scores + log_weight, target
        )
    function = losses.LOSSES[name]
    options = {"bpreg": bpreg} if name == "bpr-max" else {}

    def loss(scores, target, count):
        if activation == "tanh":
            scores = torch.tanh(scores)
        scores = losses.elu(scores, elu_param)
        return function(scores, target=target, count=count, **options)

    return loss


def _flatten(parameters):
    """One vector that holds all parameters; they become views of it."""
    flat = torch.cat([p.data.reshape(-1) for p in parameters])
    start = 0
    for p in parameters:
        p.data = flat[start : start + p.numel()].view_as(p)
        start += p.numel()
    return flat


def _blocks(tensor):
    """Slices of the first dimension. On a CPU small enough to stay in its cache."""
    n = len(tensor)
    size = n if tensor.is_cuda else max(1, BLOCK * n // max(1, tensor.numel()))
    return [slice(i, i + size) for i in range(0, n, size)]

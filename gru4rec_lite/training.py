"""One training step, fast (lesson 07): from a chunk of the schedule to new weights.

What a step needs besides the weights is worked out for a few hundred steps at once, in
NumPy: which rows of the item matrices it reads, where inputs and targets stand among
them, how often each row is a candidate. The step itself is then a few dozen tensor
operations, each item row read once and written once. docs/performance.md tells what
each idea brought.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from . import compiled, losses
from .optim import RowSparse
from .sampling import merge, places

CHUNK = 256  # steps prepared at once


class Chunk(NamedTuple):
    """T steps with the same open slots (b of them), ready for the network.

    keep (T, b, 1): 0 where a session starts, else 1. input_rows (T, V): distinct rows
    of the input table; input_place (T, b): each slot's column in them. rows (T, U):
    distinct rows of the output matrix; bias_rows (T, U): the same, row I in place of
    those that are inputs only; target_place (T, b). log_count (T, U): log of how often
    a row is a candidate, popularity correction included; shift (T,): what correcting
    the positives adds to the loss. With shared embeddings, input_rows is rows.
    """

    keep: torch.Tensor
    input_rows: torch.Tensor
    input_place: torch.Tensor
    rows: torch.Tensor
    bias_rows: torch.Tensor
    target_place: torch.Tensor
    log_count: torch.Tensor
    shift: torch.Tensor

    def steps(self):
        """One step after the other: the same fields without their first dimension."""
        return map(Chunk._make, zip(*(field.unbind(0) for field in self), strict=True))


class Batches:
    """Prepares chunks of steps: inputs, targets and candidates with their weights.

    Parameters
    ----------
    items : (E,) item of each click.
    support : (I,) clicks per item.
    sampler : NegativeSampler; n_sample : N, extra negatives a step.
    shared : the output matrix is also the input embedding.
    logq : strength of the popularity correction.
    device, dtype : where the chunks go, and what their fractions are.
    """

    def __init__(self, items, support, sampler, n_sample, shared, logq, device, dtype):
        self.items, self.sampler = items, sampler
        self.n_sample, self.shared, self.logq = n_sample, shared, logq
        self.n_items = len(support)
        self.device, self.dtype = device, dtype
        # On a GPU steps are recorded and replayed: U must hardly ever change.
        self.on_gpu = device.type == "cuda"
        self.width, self.multiple = 1, 128 if self.on_gpu else 1
        # A candidate's score is lowered by logq · log q: its weight is q^−logq.
        q = np.append(np.maximum(support, 1), 1).astype(np.float64)  # (I + 1,)
        self.target_weight = q**-logq
        self.drawn_weight = q ** -(logq * sampler.alpha)

    def prepare(self, position, reset, rng):
        """A Chunk from (T, b) arrays of the schedule, all slots open."""
        inputs, targets = self.items[position], self.items[position + 1]  # (T, b)
        used = [targets]
        if self.n_sample:
            used.append(self.sampler.draw((len(position), self.n_sample), rng))
        if self.shared:
            used.append(inputs)
        rows, count = merge(
            np.concatenate(used, axis=1), self.n_items, self.width, self.multiple
        )  # (T, U)
        if self.on_gpu:
            self.width = rows.shape[1]
        target_place = places(rows, targets)  # (T, b)
        if self.shared:
            input_rows, input_place = rows, places(rows, inputs)
            count = count - _occurrences(input_place, count)  # inputs are no candidates
        else:
            least = inputs.shape[1] if self.on_gpu else 1
            input_rows, _ = merge(inputs, self.n_items, least)  # (T, V)
            input_place = places(input_rows, inputs)

        # Rows that are inputs only get no score: their biases are not in use.
        bias_rows = np.where(count > 0, rows, self.n_items)
        if self.logq:
            as_target = _occurrences(target_place, count)
            count = (
                as_target * self.target_weight[rows]
                + (count - as_target) * self.drawn_weight[rows]
            )
        with np.errstate(divide="ignore"):
            log_count = np.log(count)  # (T, U), −inf where a row is no candidate
        own = np.log(self.target_weight[targets])  # (T, b)

        rows = self._send(rows)
        return Chunk(
            keep=self._send(~reset[:, :, None], floats=True),
            input_rows=rows if self.shared else self._send(input_rows),
            input_place=self._send(input_place),
            rows=rows,
            bias_rows=self._send(bias_rows) if self.shared else rows,
            target_place=self._send(target_place),
            log_count=self._send(log_count, floats=True),
            shift=self._send(-own.mean(1), floats=True),
        )

    def _send(self, array, floats=False):
        tensor = torch.from_numpy(array)
        tensor = tensor.to(self.dtype) if floats else tensor
        if self.on_gpu:  # from pinned memory, so that nobody waits for the copy
            tensor = tensor.pin_memory()
        return tensor.to(self.device, non_blocking=True)


def _occurrences(place, like):
    """How often each column occurs in place (T, b). An array shaped as like, (T, U)."""
    n_steps, width = like.shape
    cell = place + np.arange(n_steps)[:, None] * width
    return np.bincount(cell.ravel(), minlength=like.size).reshape(like.shape)


class Step:
    """A training step: forward, loss, gradients, update.

    Parameters
    ----------
    network : Network. rule : how weights move, from ``optim``.
    loss : RankingLoss.
    batch_size : B. The loss of a step is the sum over open slots divided by B.
    l2, grad_clip : see RowSparse.
    autocast : compute in bfloat16 where torch.autocast thinks that safe.
    """

    def __init__(
        self, network, rule, loss, batch_size, l2=0.0, grad_clip=0.0, autocast=False
    ):
        self.network, self.loss, self.batch_size = network, loss, batch_size
        self.autocast = autocast
        tables = {"output": network.output, "output_bias": network.output_bias}
        if not network.shared:
            tables["input"] = network.input
        self.dense = list(network.parameters())
        self.optimizer = RowSparse(
            rule, self.dense, tables, l2, grad_clip, self._gradient_dtype()
        )

    @staticmethod
    def fits(network):
        """Whether this kind of step can train a network: this one can train all."""
        return True

    def _gradient_dtype(self):
        """What the gradients of dense weights are kept in."""
        return self.network.output.dtype

    def run(self, state, chunk):
        """All steps of a chunk. Returns the new hidden state and the sum of the
        losses."""
        share = chunk.target_place.shape[1] / self.batch_size
        total = chunk.shift.sum() * share
        for one in chunk.steps():
            state, cost = self(state, one)
            total += cost
        return state, total

    def __call__(self, state, one):
        """One step of a chunk. Returns the new hidden state and the loss, but for its
        shift."""
        network, shared = self.network, self.network.shared
        rows, bias_rows, input_place = one.rows, one.bias_rows, one.input_place

        output = network.output.index_select(0, rows).requires_grad_()  # (U, H)
        bias = network.output_bias.index_select(0, bias_rows).requires_grad_()  # (U,)
        table = (
            output.detach() if shared else network.input.index_select(0, one.input_rows)
        )
        x = table.index_select(0, input_place).requires_grad_()  # (b, D)
        state = [h * one.keep for h in state]

        with torch.autocast(rows.device.type, torch.bfloat16, enabled=self.autocast):
            hidden, state = network(x, state)  # (b, H)
            scores = torch.addmm(bias, hidden, output.T).to(bias.dtype)  # (b, U)
        mean = self.loss(scores, one.target_place, one.log_count)
        cost = mean * (len(x) / self.batch_size)
        leaves = [x, output, bias, *self.dense]
        g_x, g_output, g_bias, *g_dense = torch.autograd.grad(cost, leaves)
        for place, g in zip(self.optimizer.gradients, g_dense, strict=True):
            place.copy_(g)

        self.update(one, table, g_x, g_output, g_bias)
        return state, cost.detach()

    def update(self, one, table, g_x, g_output, g_bias):
        """Move the weights, given the gradients of the rows in use.

        table (V, D) : the input rows in use, which are the output rows when shared.
        g_x (b, D), g_output (U, H), g_bias (U,) : gradients, may be changed; those
        of the dense weights stand in ``optimizer.gradients``.
        """
        shared = self.network.shared
        # An item clicked in several slots gets the sum of their gradients.
        g_input = g_output if shared else torch.zeros_like(table)
        add_rows(g_input, one.input_place, g_x)
        g_rows = {
            "output": (one.rows, g_output),
            "output_bias": (one.bias_rows, g_bias),
        }
        if not shared:
            g_rows["input"] = one.input_rows, g_input
        self.optimizer.step(g_rows)


class RecordedStep:
    """A step on a GPU: recorded once as a CUDA graph, then replayed.

    A step launches dozens of small kernels, and to launch one from Python takes longer
    than to run it. The graph launches them all at once. It reads its chunk, the number
    of the step and the hidden state from fixed places in memory.
    """

    def __init__(self, step):
        self.step, self.replay = step, None
        self.optimizer = step.optimizer

    def run(self, state, chunk):
        if len(state[0]) < self.step.batch_size:
            return self.step.run(state, chunk)  # slots have closed: shapes change
        if self.replay is None or chunk.rows.shape[1] != self.chunk.rows.shape[1]:
            self._record(state, chunk)
        self._place(state, chunk)
        for _ in range(len(chunk.rows)):
            self.replay()
        return [h.clone() for h in self.state], self.total + chunk.shift.sum()

    def _place(self, state, chunk):
        for place, field in zip(self.chunk, chunk, strict=True):
            place[: len(field)].copy_(field)
        for place, h in zip(self.state, state, strict=True):
            place.copy_(h)
        self.t.zero_()
        self.total.zero_()

    def _step(self):
        """The step as it is recorded: nothing in it depends on Python's own
        variables."""
        one = Chunk._make(field.index_select(0, self.t)[0] for field in self.chunk)
        state, cost = self.step(self.state, one)
        for place, h in zip(self.state, state, strict=True):
            place.copy_(h)
        self.total += cost
        self.t += 1

    def _record(self, state, chunk):
        fields = [field.new_zeros(CHUNK, *field.shape[1:]) for field in chunk]
        self.chunk, self.state = Chunk._make(fields), [h.clone() for h in state]
        self.total = torch.zeros_like(chunk.shift[0])
        self.t = torch.zeros(1, dtype=torch.long, device=chunk.rows.device)
        self._place(state, chunk)
        # Recording wants a rehearsal, and that trains: afterwards all is put back.
        weights = [self.optimizer.dense, *self.optimizer.tables.values()]
        weights += self.optimizer.state_dict().values()
        before = [w.clone() for w in weights]
        self.replay = self._capture(self._step)
        for w, value in zip(weights, before, strict=True):
            w.copy_(value)

    def _capture(self, step):
        """Record what step does on the GPU. Returns the function that does it again."""
        random = torch.cuda.get_rng_state()
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            step()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
        torch.cuda.set_rng_state(random)
        return graph.replay


def add_rows(table, place, rows):
    """table[place] += rows; repeated places are added up."""
    if table.is_cuda:  # where index_add_ adds in random order, and so rounds at random
        at = place == torch.arange(len(table), device=table.device)[:, None]  # (U, b)
        table.addmm_(at.to(table.dtype), rows.to(table.dtype))
    elif compiled.kernels is not None and table.device.type == "cpu":
        kernels = compiled.kernels
        kernels.add_rows(table.shape[1], *map(kernels.array, (table, place, rows)))
    else:
        table.index_add_(0, place, rows.to(table.dtype))


@dataclass(frozen=True)
class RankingLoss:
    """The loss as training calls it; GRU4Rec's arguments of the same names.

    Called with scores (b, U), target (b,) and log_count (U,), it gives the mean over
    rows.
    """

    name: str
    bpreg: float = 1.0
    elu_param: float = 0.0
    activation: str = "linear"

    def __call__(self, scores, target, log_count):
        if self.name == "cross-entropy":
            return losses.softmax_loss(scores, target, log_count)
        if self.activation == "tanh":
            scores = torch.tanh(scores)
        scores = losses.elu(scores, self.elu_param)
        options = {"bpreg": self.bpreg} if self.name == "bpr-max" else {}
        function = losses.LOSSES[self.name]
        return function(scores, target=target, log_count=log_count, **options)

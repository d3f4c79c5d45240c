"""The training step by hand (lesson 07): forward, backward, update, no autograd.

Since gradients flow through one step only, backpropagation through a GRU is a dozen
lines. Written out, it needs a third of autograd's operations, and the large matrices
get a place in memory once instead of at every step. For GRU layers without feed-forward
layers, which is what GRU4Rec is; everything else takes ``training.Step``. All give the
same numbers, which the tests hold them to.
"""

import numpy as np
import torch

from . import compiled, memory
from .network import GRU, dropout_mask
from .training import Step


class FastStep(Step):
    """The same step as ``Step``, in as few passes over memory as possible."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.spaces = {}  # memory that is used again at every step

    @staticmethod
    def fits(network):
        """Whether a network has GRU layers only."""
        only_gru = all(type(cell) is GRU for cell in network.cells)
        return only_gru and not len(network.feedforward)

    @property
    def low(self):
        """What the products take and give."""
        return torch.bfloat16 if self.autocast else self.network.output.dtype

    def _gradient_dtype(self):
        return self.low

    @torch.no_grad()
    def __call__(self, state, one):
        network, shared = self.network, self.network.shared
        matrix, b = network.output, len(one.target_place)

        # Forward
        output = self._space("output", len(one.rows), matrix.shape[1], matrix.dtype)
        torch.index_select(matrix, 0, one.rows, out=output)  # (U, H)
        bias = network.output_bias.index_select(0, one.bias_rows)  # (U,)
        table = output if shared else network.input.index_select(0, one.input_rows)
        x = table.index_select(0, one.input_place)  # (b, D)
        x, mask_embed = self._dropout(x, network.dropout_embed)
        layers, new_state = [], []
        for n, (cell, h) in enumerate(zip(network.cells, state, strict=True)):
            h = h * one.keep  # (b, H)
            size, low_h = 3 * cell.hidden_size, h.to(self.low)
            w, a = None, x  # a one-hot item's row is the product already
            if hasattr(cell, "weight_ih"):
                w, x = cell.weight_ih.to(self.low), x.to(self.low)
                a = torch.mm(x, w.T, out=self._space(f"a{n}", b, size, self.low))
            u = self._space(f"u{n}", b, size, self.low)
            torch.mm(low_h, cell.weight_hh.to(self.low).T, out=u)
            after, gates = self._gates(cell, a, u, h)  # (b, H)
            after, mask = self._dropout(after, network.dropout_hidden)
            layers.append((w, x, h, low_h, gates, mask))
            new_state.append(after)
            x = after
        x, output = x.to(self.low), output.to(self.low)
        scores = self._space("scores", b, len(output), self.low)
        torch.mm(x, output.T, out=scores)  # (b, U)

        # Loss, its gradient by the scores, and through the scores
        cost, g = self._loss(scores, bias, one)  # 0-d, (b, U)
        g = g.to(self.low)
        g_bias = self._sum(g)  # (U,)
        g_output = self._space("g_output", *output.shape, self.low)
        torch.mm(g.T, x, out=g_output)  # (U, H)
        g = torch.mm(g, output).to(bias.dtype)  # (b, H)

        # Backward through the layers, last one first
        parameters = iter(reversed(self.optimizer.gradients))
        for w, x, h, low_h, gates, mask in reversed(layers):
            g = g if mask is None else g.mul_(mask)
            shares = self._gates_gradient(g, h, gates)
            g, g_state = (share.to(self.low) for share in shares)  # (b, 3H) each
            for share in (g_state, g):
                next(parameters).copy_(self._sum(share))  # biases' gradients
            torch.mm(g_state.T, low_h, out=next(parameters))
            if w is not None:
                torch.mm(g.T, x, out=next(parameters))
                g = torch.mm(g, w)  # (b, D)
            g = g.to(bias.dtype)
        g_x = g if mask_embed is None else g.mul_(mask_embed)

        self.update(one, table, g_x, g_output, g_bias)
        return new_state, cost

    def _gates(self, cell, a, u, h):
        """From the input's and the state's shares (b, 3H) to the state after (b, H).

        The shares get their biases here. Also returns what _gates_gradient asks for.
        Formulas: network.GRU.
        """
        size = h.shape[1]
        a, u = a + cell.bias_ih, u + cell.bias_hh  # in the biases' precision
        r, z = (a + u)[:, : 2 * size].sigmoid_().chunk(2, 1)  # (b, H) each
        u_n = u[:, 2 * size :]
        n = torch.addcmul(a[:, 2 * size :], r, u_n).tanh_()
        return torch.lerp(n, h, z), (r, z, n, u_n)

    def _gates_gradient(self, g, h, gates):
        """Gradients by the input's and the state's shares, (b, 3H) each.

        g (b, H) is the gradient of the state after. σ' = σ (1 − σ), tanh' = 1 − tanh².
        The state before gets none: only one step is trained.
        """
        r, z, n, u_n = gates  # (b, H) each
        g_n = (g - g * z) * (1 - n * n)
        g_r = g_n * u_n * (r - r * r)
        g_z = g * (h - n) * (z - z * z)
        return torch.cat([g_r, g_z, g_n], 1), torch.cat([g_r, g_z, g_n * r], 1)

    def _loss(self, scores, bias, one):
        """The loss, and its gradient by the scores (b, U)."""
        target, log_count = one.target_place, one.log_count
        scores = scores + bias  # in the biases' precision
        if self.loss.name == "cross-entropy":  # softmax, less 1 at the target
            own = target[:, None]  # (b, 1)
            log_p = torch.log_softmax(scores + log_count, 1)  # (b, U)
            cost = (log_count[target] - log_p.gather(1, own)[:, 0]).sum()
            one = scores.new_ones(()).expand_as(own)
            g = log_p.exp_().scatter_add_(1, own, -one)
        else:
            scores = scores.detach().requires_grad_()
            with torch.enable_grad():
                cost = self.loss(scores, target, log_count) * len(scores)
            cost, g = cost.detach(), torch.autograd.grad(cost, scores)[0]
        g.mul_(1 / self.batch_size)
        return cost / self.batch_size, g

    def _sum(self, rows):
        """The gradient of a bias, which is added to all rows. (b, n) -> (n,)"""
        return rows.sum(0, dtype=self.network.output.dtype)

    def _dropout(self, x, p):
        """x after dropout, and its mask."""
        if not p:
            return x, None
        mask = dropout_mask(x, p)
        return x * mask, mask

    def _space(self, name, n, m, dtype):
        """Memory for an (n, m) matrix: the same one as long as the shape is the
        same."""
        kept = self.spaces.get(name)
        if kept is None or kept.shape != (n, m):
            device = self.network.output.device
            kept = self.spaces[name] = memory.zeros((n, m), dtype, device)
        return kept


class CompiledStep(FastStep):
    """The same once more, with its loops compiled: on a CPU, in float32."""

    @staticmethod
    def fits(network):
        """Whether ``kernels`` can be used for a network, besides FastStep."""
        at_home = network.output.device.type == "cpu" and (
            network.output.dtype == torch.float32
        )
        has_loops = compiled.kernels is not None
        return has_loops and at_home and FastStep.fits(network)

    def _gates(self, cell, a, u, h):
        b, size = h.shape
        gates, after = torch.empty(b, 4 * size), torch.empty(b, size)
        biases = cell.bias_ih.detach(), cell.bias_hh.detach()
        self._loop("gru_gates", b, a, u, *biases, h, gates, after)
        return after, gates

    def _gates_gradient(self, g, h, gates):
        b, size = h.shape
        shares = [torch.empty(b, 3 * size, dtype=self.low) for _ in range(2)]
        self._loop("gru_gradient", b, g, h, gates, *shares)
        return shares

    def _loss(self, scores, bias, one):
        loss, scale = self.loss, np.float32(1 / self.batch_size)
        losses = torch.empty(len(scores))  # (b,)
        arguments = (scores, bias, one.log_count, one.target_place, losses, scale)
        if loss.name == "cross-entropy":
            self._loop("softmax_gradient", len(scores), *arguments)
        elif loss.name == "bpr-max" and loss.activation == "linear":
            bpreg, elu_param = np.float32(loss.bpreg), np.float32(loss.elu_param)
            self._loop("bpr_max_gradient", len(scores), *arguments, bpreg, elu_param)
        else:
            return super()._loss(scores, bias, one)
        return losses.sum() * scale, scores

    def _sum(self, rows):
        total = torch.empty(rows.shape[1])
        self._loop("sum_rows", len(total), rows, total)
        return total

    def _dropout(self, x, p):
        if not p:
            return x, None
        mask = torch.rand(x.shape)
        self._loop("dropout", len(x), x, mask, np.float32(p))
        return x, mask

    def _loop(self, name, n, *arguments):
        """Run a loop of kernels.py over n rows or columns."""
        kernels = compiled.kernels
        getattr(kernels, name)(n, *map(kernels.array, arguments))

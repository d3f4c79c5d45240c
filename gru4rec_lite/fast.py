"""The training step by hand (lesson 07): forward, backward, update, no autograd.

Since gradients flow through one step only, backpropagation through a GRU is a dozen
lines. Written out, it needs a third of autograd's operations, and the large matrices
get a place in memory once instead of at every step. For GRU layers without feed-forward
layers, which is what GRU4Rec is; everything else takes ``training.Step``. All give the
same numbers, which the tests hold them to.
"""

import numpy as np
import torch

from .network import GRU, dropout_mask
from .optim import kernels
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

    def _gradient_dtype(self):
        return torch.bfloat16 if self.autocast else super()._gradient_dtype()

    @torch.no_grad()
    def __call__(self, state, one):
        network, shared = self.network, self.network.shared
        matrix, b = network.output, len(one.target_place)

        # Forward
        output = self._space("output", len(one.rows), matrix.shape[1])
        torch.index_select(matrix, 0, one.rows, out=output)  # (U, H)
        bias = network.output_bias.index_select(0, one.bias_rows)  # (U,)
        table = output if shared else network.input.index_select(0, one.input_rows)
        x = table.index_select(0, one.input_place)  # (b, D)
        x, mask_embed = self._dropout(x, network.dropout_embed)
        layers, new_state = [], []
        for n, (cell, h) in enumerate(zip(network.cells, state, strict=True)):
            h = h * one.keep  # (b, H)
            low_h = self._low(h)
            a = self._space(f"a{n}", b, 3 * cell.hidden_size)
            u = self._space(f"u{n}", b, 3 * cell.hidden_size)
            w = None  # a one-hot item's row is the product already
            if hasattr(cell, "weight_ih"):
                w, x = self._low(cell.weight_ih), self._low(x)
                self._product(x, w.T, out=a)
            else:
                a.copy_(x)
            self._product(low_h, self._low(cell.weight_hh).T, out=u)
            after = self._gates(cell, a, u, h)  # (b, H); a holds the gates now
            after, mask = self._dropout(after, network.dropout_hidden)
            layers.append((w, x, h, low_h, a, u, mask))
            new_state.append(after)
            x = after
        x, output = self._low(x), self._low(output)
        scores = self._space("scores", b, len(output))
        self._product(x, output.T, out=scores)  # (b, U)

        # Loss, its gradient by the scores, and through the scores
        cost, g = self._loss(scores, bias, one)  # 0-d, (b, U)
        g_bias = self._sum(g)  # (U,)
        g = self._low(g)
        g_output = self._space("g_output", *output.shape, output.dtype)
        self._product(g.T, x, out=g_output)  # (U, H)
        g = self._product(g, output)  # (b, H)

        # Backward through the layers, last one first
        parameters = iter(reversed(self.optimizer.gradients))
        for w, x, h, low_h, gates, u, mask in reversed(layers):
            g = g if mask is None else g.mul_(mask)
            g, g_state = self._gates_gradient(g, h, gates, u)  # (b, 3H) each
            for share in (g_state, g):
                next(parameters).copy_(self._sum(share))  # biases' gradients
            self._product(self._low(g_state).T, low_h, out=next(parameters))
            if w is not None:
                low_g = self._low(g)
                self._product(low_g.T, x, out=next(parameters))
                g = self._product(low_g, w)  # (b, D)
        g_x = g if mask_embed is None else g.mul_(mask_embed)

        self.update(one, table, g_x, g_output, g_bias)
        return new_state, cost

    def _gates(self, cell, a, u, h):
        """The state after (b, H), from the input's and the state's shares (b, 3H).

        Both get their biases, then the gates r, z, n take the place of a. Formulas:
        network.GRU.
        """
        size = h.shape[1]
        a.add_(cell.bias_ih)
        u.add_(cell.bias_hh)
        a[:, : 2 * size].add_(u[:, : 2 * size]).sigmoid_()
        r, z, n = a.chunk(3, 1)  # (b, H) each
        n.addcmul_(r, u[:, 2 * size :]).tanh_()
        return torch.lerp(n, h, z)

    def _gates_gradient(self, g, h, gates, u):
        """Gradients by the input's and the state's shares, (b, 3H) each.

        g (b, H) is the gradient of the state after. σ' = σ (1 − σ), tanh' = 1 − tanh².
        The state before gets none: only one step is trained.
        """
        size = h.shape[1]
        r, z, n = gates.chunk(3, 1)  # (b, H) each
        g_input = torch.empty_like(gates)
        g_r, g_z, g_n = g_input.chunk(3, 1)
        torch.mul(g - g * z, 1 - n * n, out=g_n)
        torch.mul(g * (h - n), z - z * z, out=g_z)
        torch.mul(g_n * u[:, 2 * size :], r - r * r, out=g_r)
        g_state = g_input.clone()
        g_state[:, 2 * size :].mul_(r)
        return g_input, g_state

    def _loss(self, scores, bias, one):
        """The loss, and its gradient by the scores (b, U)."""
        target, log_count = one.target_place, one.log_count
        scores.add_(bias)
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
        return rows.sum(0)

    def _dropout(self, x, p):
        """x after dropout, and its mask."""
        if not p:
            return x, None
        mask = dropout_mask(x, p)
        return x * mask, mask

    def _low(self, matrix):
        return matrix.bfloat16() if self.autocast else matrix

    def _product(self, a, b, out=None):
        """a @ b: into ``out``, or in the weights' precision."""
        if out is None:
            return torch.mm(a, b).to(self.network.output.dtype)
        if out.dtype == a.dtype:
            return torch.mm(a, b, out=out)
        return out.copy_(torch.mm(a, b))

    def _space(self, name, n, m, dtype=None):
        """Memory for an (n, m) matrix: the same one as long as the shape is the
        same."""
        kept = self.spaces.get(name)
        if kept is None or kept.shape != (n, m):
            dtype = dtype or self.network.output.dtype
            kept = self.spaces[name] = self._new_space(n, m, dtype)
        return kept

    def _new_space(self, n, m, dtype):
        return self.network.output.new_empty(n, m, dtype=dtype)


class CompiledStep(FastStep):
    """The same once more, with its loops compiled: on a CPU, in float32."""

    @staticmethod
    def fits(network):
        """Whether ``kernels`` can be used for a network, besides FastStep."""
        at_home = network.output.device.type == "cpu" and (
            network.output.dtype == torch.float32
        )
        return kernels is not None and at_home and FastStep.fits(network)

    def _gates(self, cell, a, u, h):
        after = torch.empty_like(h)
        biases = cell.bias_ih.detach(), cell.bias_hh.detach()
        self._loop("gru_gates", len(h), a, u, *biases, h, after)
        return after

    def _gates_gradient(self, g, h, gates, u):
        g_input = self._space("g_input", *gates.shape)
        g_state = self._space("g_state", *gates.shape)
        self._loop("gru_gradient", len(h), g, h, gates, u, g_input, g_state)
        return g_input, g_state

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
        total = rows.new_empty(rows.shape[1])
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
        getattr(kernels, name)(n, *map(kernels.array, arguments))

    def _new_space(self, n, m, dtype):
        memory = np.empty(n * m * dtype.itemsize, np.uint8)  # asks for large pages
        return torch.from_numpy(memory).view(dtype).view(n, m)

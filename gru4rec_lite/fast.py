"""The training step by hand (lesson 07): forward, backward, update, no autograd.

Since gradients flow through one step only, backpropagation through a GRU is a dozen
lines. Written out, it needs a third of autograd's operations, and the large matrices
get a place in memory once instead of at every step. For GRU layers without feed-forward
layers, which is what GRU4Rec is; everything else takes ``training.Step``. Both give the
same numbers, which the tests hold them to.
"""

import torch

from .losses import softmax_loss
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

    @torch.no_grad()
    def __call__(self, state, one):
        network, shared = self.network, self.network.shared
        b, g_dense = len(one.target_place), self.optimizer.gradients
        like = network.output

        # Forward
        output = self._space("output", like, len(one.rows), like.shape[1])
        torch.index_select(like, 0, one.rows, out=output)  # (U, H)
        bias = network.output_bias.index_select(0, one.bias_rows)  # (U,)
        table = output if shared else network.input.index_select(0, one.input_rows)
        x = table.index_select(0, one.input_place)  # (b, D)
        x, mask_embed = self._dropout(x, network.dropout_embed)
        layers, new_state = [], []
        for cell, h in zip(network.cells, state, strict=True):
            h = h * one.keep  # (b, H)
            after, gates = self._gru(cell, x, h)
            after, mask = self._dropout(after, network.dropout_hidden)  # (b, H)
            layers.append((cell, x, h, gates, mask))
            new_state.append(after)
            x = after
        low_output = self._low(output)
        scores = self._space("scores", like, b, len(output))
        self._affine(bias, x, low_output, out=scores)  # (b, U)

        # Loss, and its gradient by the scores
        mean, g = loss_and_gradient(self.loss, scores, one.target_place, one.log_count)
        share = b / self.batch_size
        if share != 1:
            g.mul_(share)
        g_output = self._space("g_output", like, *output.shape)
        self._product(g.T, x, out=g_output)  # (U, H)
        g_bias = g.sum(0)  # (U,)

        # Backward through the layers, last one first
        g = self._product(g, low_output)  # (b, H)
        parameters = iter(reversed(g_dense))
        for cell, x, h, gates, mask in reversed(layers):
            g = g if mask is None else g.mul_(mask)
            g_input, g_state = gru_gradient(g, h, *gates)  # (b, 3H) each
            torch.sum(g_state, 0, out=next(parameters))
            torch.sum(g_input, 0, out=next(parameters))
            self._product(g_state.T, h, out=next(parameters))
            g = g_input
            if hasattr(cell, "weight_ih"):
                self._product(g_input.T, x, out=next(parameters))
                g = self._product(g_input, cell.weight_ih)  # (b, D)
        g_x = g if mask_embed is None else g.mul_(mask_embed)

        self.update(one, table, g_x, g_output, g_bias)
        return new_state, (mean + one.shift).mul_(share)

    def _gru(self, cell, x, h):
        """The state after (b, H), and what its gradient needs. Formulas:
        network.GRU."""
        size = cell.hidden_size
        if hasattr(cell, "weight_ih"):
            a = self._affine(cell.bias_ih, x, cell.weight_ih)  # (b, 3H)
        else:
            a = x + cell.bias_ih  # a one-hot item's row is the product already
        u = self._affine(cell.bias_hh, h, cell.weight_hh)  # (b, 3H)
        rz = torch.sigmoid_(a[:, : 2 * size] + u[:, : 2 * size])  # (b, 2H)
        r, z = rz.chunk(2, 1)  # (b, H) each
        u_n = u[:, 2 * size :]
        n = torch.addcmul(a[:, 2 * size :], r, u_n).tanh_()  # (b, H)
        return torch.lerp(n, h, z), (rz, n, u_n)

    def _dropout(self, x, p):
        if not p:
            return x, None
        mask = dropout_mask(x, p)
        return x * mask, mask

    def _low(self, matrix):
        return matrix.bfloat16() if self.autocast else matrix

    def _product(self, a, b, out=None):
        """a @ b, in bfloat16 if asked; the result always in full precision."""
        if not self.autocast:
            return torch.mm(a, b, out=out)
        product = self._low(a) @ self._low(b)
        return product.float() if out is None else out.copy_(product)

    def _affine(self, bias, a, b, out=None):
        """bias + a @ b.T, in one pass where no bfloat16 is asked for."""
        if not self.autocast:
            return torch.addmm(bias, a, b.T, out=out)
        return self._product(a, b.T, out=out).add_(bias)

    def _space(self, name, like, n, m):
        """Memory for an (n, m) matrix: the same one as long as the shape is the
        same."""
        kept = self.spaces.get(name)
        if kept is None or kept.shape != (n, m):
            kept = self.spaces[name] = like.new_empty(n, m)
        return kept


def gru_gradient(g, h, rz, n, u_n):
    """Gradients before the activations, (b, 3H) twice: of the input's share, the
    state's.

    g (b, H) is the gradient of the state after. σ' = σ (1 − σ), tanh' = 1 − tanh².
    The state before gets none: only one step is trained.
    """
    size = n.shape[1]
    r, z = rz.chunk(2, 1)  # (b, H) each
    slope_r, slope_z = torch.addcmul(rz, rz, rz, value=-1).chunk(2, 1)
    g_input = g.new_empty(len(g), 3 * size)
    g_r, g_z, g_n = g_input.chunk(3, 1)
    torch.mul(g - g * z, 1 - n * n, out=g_n)
    torch.mul(g * (h - n), slope_z, out=g_z)
    torch.mul(g_n * u_n, slope_r, out=g_r)
    g_state = g_input.clone()
    g_state[:, 2 * size :].mul_(r)
    return g_input, g_state


def loss_and_gradient(loss, scores, target, log_count):
    """The loss, a 0-d tensor, and its gradient by the scores (b, U)."""
    if loss is softmax_loss:  # softmax, less 1 at the target
        own = target[:, None]  # (b, 1)
        log_p = torch.log_softmax(scores + log_count, 1)  # (b, U)
        mean = (log_count[target] - log_p.gather(1, own)[:, 0]).mean()
        one = scores.new_ones(()).expand_as(own)
        return mean, log_p.exp_().scatter_add_(1, own, -one).mul_(1 / len(scores))
    scores = scores.detach().requires_grad_()
    with torch.enable_grad():
        mean = loss(scores, target, log_count)
    return mean.detach(), torch.autograd.grad(mean, scores)[0]

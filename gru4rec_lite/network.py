"""The GRU network (lessons 02, 03): item in, one score per item out.

    item -> embedding -> recurrent layers -> feed-forward layers -> scores

Source: Hidasi et al. 2016 (arXiv 1511.06939), section 3.1 and figure 1; shared
embeddings: Hidasi & Karatzoglou 2018 (arXiv 1706.03847), section 4.3.

The network reads one click per call and hands its hidden state back as a value.
Gradients flow through this one step only: the state that comes in is a constant.

Item matrices hold one more row than there are items. Row I is never a real item;
batches are padded with it, so that every step has the same shape.
"""

import torch
import torch.nn.functional as F
from torch import nn

from . import memory


class Cell(nn.Module):
    """A recurrent unit's weights: those of the input, those of the state, two biases.

    Every gate's matrix is initialised by itself; biases are zero. Without
    ``input_size`` there are no input weights: a one-hot item's row of the input table
    is their product.
    """

    n_gates, n_states = 1, 1

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.hidden_size = hidden_size
        if input_size is not None:
            self.weight_ih = self._matrix(input_size)
        self.weight_hh = self._matrix(hidden_size)
        self.bias_ih = nn.Parameter(torch.zeros(self.n_gates * hidden_size))
        self.bias_hh = nn.Parameter(torch.zeros(self.n_gates * hidden_size))

    def _matrix(self, columns):
        gates = [torch.empty(self.hidden_size, columns) for _ in range(self.n_gates)]
        return nn.Parameter(torch.cat([glorot_(gate) for gate in gates]))

    def from_input(self, x):
        """What the input adds to each gate. (B, D) -> (B, n_gates · H)"""
        if hasattr(self, "weight_ih"):
            return F.linear(x, self.weight_ih, self.bias_ih)
        return x + self.bias_ih

    def from_state(self, h):
        """What the state adds to each gate. (B, H) -> (B, n_gates · H)"""
        return F.linear(h, self.weight_hh, self.bias_hh)


class GRU(Cell):
    """Gated recurrent unit (Cho et al. 2014), the variant of ``nn.GRUCell``.

    r = σ(x W_r + h U_r + biases)         reset gate (B, H)
    z = σ(x W_z + h U_z + biases)         update gate (B, H)
    n = tanh(x W_n + b + r · (h U_n + c)) candidate (B, H): r acts after the product
    h' = (1 − z) · n + z · h

    Written out because the course is about these lines. Weights stand as in nn.GRUCell:
    three gates r, z, n on top of each other, so that its state can be copied over.
    """

    n_gates, n_states = 3, 1

    def forward(self, x, h):
        """(B, D) input or, without input weights, (B, 3H); (B, H) state. -> (B, H)"""
        x_r, x_z, x_n = self.from_input(x).chunk(3, 1)  # (B, H) each
        h_r, h_z, h_n = self.from_state(h).chunk(3, 1)
        r = torch.sigmoid(x_r + h_r)  # (B, H)
        z = torch.sigmoid(x_z + h_z)  # (B, H)
        n = torch.tanh(torch.addcmul(x_n, r, h_n))  # (B, H)
        # The state stays in full precision where the gates are in bfloat16.
        return torch.lerp(n.to(h.dtype), h, z.to(h.dtype))  # (B, H)


class LSTM(Cell):
    """Long short-term memory, as ``nn.LSTMCell``; state (B, 2H): h and c in a row."""

    n_gates, n_states = 4, 2

    def forward(self, x, state):
        """(B, D) or (B, 4H) input, (B, 2H) state. -> (B, 2H)"""
        h, c = state.chunk(2, 1)  # (B, H)
        gates = self.from_input(x) + self.from_state(h)
        i, f, g, o = gates.chunk(4, 1)  # (B, H)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.cat([torch.sigmoid(o) * torch.tanh(c), c], 1)


class RNN(Cell):
    """Plain recurrent unit, as ``nn.RNNCell``: h' = tanh(x W + h U + biases)."""

    def forward(self, x, h):
        """(B, D) or (B, H) input, (B, H) state. -> (B, H)"""
        return torch.tanh(self.from_input(x) + self.from_state(h))


CELLS = {"gru": GRU, "lstm": LSTM, "rnn": RNN}


class Network(nn.Module):
    """Item embedding, recurrent layers, optional feed-forward layers, output scores.

    Parameters
    ----------
    n_items : I.
    layers : hidden units of each recurrent layer.
    embedding : 0 for one-hot input, else the embedding's width D.
    shared : True if the output matrix also is the input embedding (D is then the width
        of the last layer, and ``embedding`` is not read).
    feedforward : units of each layer between the last recurrent one and the scores.
    cell : "gru", "lstm" or "rnn".
    dropout_embed, dropout_hidden : probabilities, on the looked-up input row and after
        each recurrent layer.

    Attributes
    ----------
    output (I + 1, H), output_bias (I + 1,), and input: (I + 1, D) embedding, or
    (I + 1, n_gates · H) for one-hot input, or the same tensor as output when shared.
    These three are updated row by row and therefore are buffers, not nn.Parameters.
    """

    def __init__(
        self, n_items, layers, embedding=0, shared=False, feedforward=(), cell="gru",
        dropout_embed=0.0, dropout_hidden=0.0,
    ):  # fmt: skip
        super().__init__()
        self.n_items, self.shared = n_items, shared
        self.dropout_embed, self.dropout_hidden = dropout_embed, dropout_hidden
        kind = CELLS[cell]
        last = [*layers, *feedforward][-1]

        # One-hot times a matrix is a row of it: the table is the input weights.
        one_hot = not shared and not embedding
        width = None if one_hot else last if shared else embedding
        sizes = [width, *layers]
        self.cells = nn.ModuleList(map(kind, sizes[:-1], sizes[1:]))
        sizes = [layers[-1], *feedforward]
        self.feedforward = nn.ModuleList(map(nn.Linear, sizes[:-1], sizes[1:]))
        for layer in self.feedforward:
            glorot_(layer.weight.data)
            nn.init.zeros_(layer.bias)

        self.register_buffer("output", _item_matrix(n_items, last))
        self.register_buffer("output_bias", torch.zeros(n_items + 1))
        if one_hot:
            gates = [_item_matrix(n_items, layers[0]) for _ in range(kind.n_gates)]
            self.register_buffer("input", torch.cat(gates, 1))
        elif not shared:
            self.register_buffer("input", _item_matrix(n_items, embedding))

    @property
    def input_table(self):
        return self.output if self.shared else self.input

    def initial_state(self, batch_size):
        """Zeros: a (B, H) tensor for each recurrent layer; for LSTM (B, 2H)."""
        return [
            self.output.new_zeros(batch_size, c.hidden_size * c.n_states)
            for c in self.cells
        ]

    def forward(self, x, state):
        """One step. x (B, D): looked-up input rows; state as from initial_state.

        Returns the last layer's output (B, H) and the new state. The state is what
        comes after dropout, and is detached: the next step sees a value, not a graph.
        """
        x = self._dropout(x, self.dropout_embed)
        new_state = []
        for cell, before in zip(self.cells, state, strict=True):
            after = cell(x, before)
            x = after[:, : cell.hidden_size]
            x = self._dropout(x, self.dropout_hidden)  # (B, H)
            kept = (
                x if cell.n_states == 1 else torch.cat([x, after[:, x.shape[1] :]], 1)
            )
            new_state.append(kept.detach())
        for layer in self.feedforward:
            x = torch.tanh(layer(x))
        return x, new_state

    def _dropout(self, x, p):
        return x * dropout_mask(x, p) if self.training and p else x

    def scores(self, hidden):
        """Scores of all items, without dropout or activation. (n, H) -> (n, I)"""
        return (hidden @ self.output[:-1].T).add_(self.output_bias[:-1])


def dropout_mask(x, p):
    """0 with probability p, else 1 / (1 − p). Several times faster than F.dropout."""
    keep = torch.rand(x.shape, device=x.device).ge_(p)
    return keep.mul_(1 / (1 - p)).to(x.dtype)


def glorot_(matrix):
    """Fill from U(−b, b), b = √(6 / (rows + columns)) (Glorot & Bengio 2010)."""
    return matrix.uniform_(-1, 1).mul_((6 / sum(matrix.shape)) ** 0.5)


def _item_matrix(n_items, width):
    """(I + 1, width): Glorot's initial weights, and a last row of zeros."""
    matrix = memory.zeros((n_items + 1, width), torch.get_default_dtype())
    glorot_(matrix[:-1])
    return matrix

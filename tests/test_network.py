"""The network against PyTorch's own cells, and its first weights."""

from math import sqrt

import pytest
import torch
from torch import nn

from gru4rec_lite.network import CELLS, Network

PYTORCH = {"gru": nn.GRUCell, "lstm": nn.LSTMCell, "rnn": nn.RNNCell}
GATES = {"gru": 3, "lstm": 4, "rnn": 1}
MODES = {
    "one-hot": {"embedding": 0},
    "separate": {"embedding": 5},
    "shared": {"shared": True},
}
every_cell = pytest.mark.parametrize("cell", CELLS)
every_mode = pytest.mark.parametrize("mode", MODES)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@every_cell
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cell_equals_pytorch(cell, dtype):
    """Several steps in a row, weights copied over as they stand."""
    theirs = PYTORCH[cell](5, 7).to(dtype)
    ours = CELLS[cell](5, 7).to(dtype)
    ours.load_state_dict(theirs.state_dict())
    state = torch.zeros(3, 7 * ours.n_states, dtype=dtype)
    their_state = None
    for _ in range(4):
        x = torch.randn(3, 5, dtype=dtype)
        state = ours(x, state)
        their_state = theirs(x, their_state)
        expected = torch.cat(their_state, 1) if cell == "lstm" else their_state
        torch.testing.assert_close(state, expected, rtol=0, atol=1e-6)


@every_cell
def test_cell_gradients_equal_pytorch(cell):
    theirs = PYTORCH[cell](5, 7).double()
    ours = CELLS[cell](5, 7).double()
    ours.load_state_dict(theirs.state_dict())
    x, h, c = (torch.randn(3, n, dtype=torch.float64) for n in (5, 7, 7))
    if cell == "lstm":
        ours(x, torch.cat([h, c], 1)).square().sum().backward()
        torch.cat(theirs(x, (h, c)), 1).square().sum().backward()
    else:
        ours(x, h).square().sum().backward()
        theirs(x, h).square().sum().backward()
    expected = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name].grad)


@every_cell
@pytest.mark.parametrize("layers", [[7], [6, 4]])
def test_one_hot_look_up_equals_multiplication(cell, layers):
    """A row of the input table is what PyTorch's cell makes of a one-hot vector."""
    network = Network(9, layers, cell=cell).double().eval()
    nn.init.normal_(network.cells[0].bias_ih)
    theirs = PYTORCH[cell](9, layers[0]).double()
    table = network.input[:9].T  # (n_gates * H, I), gates on top of each other
    theirs.load_state_dict({**network.cells[0].state_dict(), "weight_ih": table})
    items = torch.tensor([3, 8, 3])
    before = [torch.randn_like(h) for h in network.initial_state(3)]
    _, after = network(network.input_table[items], before)
    one_hot = torch.eye(9, dtype=torch.float64)[items]
    if cell == "lstm":
        expected = torch.cat(theirs(one_hot, before[0].chunk(2, 1)), 1)
    else:
        expected = theirs(one_hot, before[0])
    torch.testing.assert_close(after[0], expected)


@every_mode
@every_cell
@pytest.mark.parametrize(
    "layers, feedforward", [([6], []), ([7, 6], []), ([7], [8, 6])]
)
def test_number_of_weights(mode, cell, layers, feedforward):
    n_items, gates, width = 11, GATES[cell], 6
    network = Network(
        n_items, layers, cell=cell, feedforward=feedforward, **MODES[mode]
    )
    expected = n_items * width + n_items  # output and its biases
    sizes = {
        "one-hot": n_items * gates * layers[0],
        "separate": n_items * 5 + 5 * gates * layers[0],
        "shared": width * gates * layers[0],
    }
    expected += sizes[mode]
    for below, size in zip([None, *layers], layers, strict=False):
        expected += gates * size * (size + 2)  # from the state, two biases
        expected += gates * size * below if below else 0
    for below, size in zip([layers[-1], *feedforward], feedforward, strict=False):
        expected += size * (below + 1)
    tensors = network.state_dict().values()
    pad_rows = sum(t.shape[1:].numel() for t in tensors if len(t) == n_items + 1)
    assert sum(t.numel() for t in tensors) == expected + pad_rows


@every_mode
@every_cell
def test_first_weights(mode, cell):
    """Each gate's matrix uniform within √(6 / (rows + columns)), biases zero."""
    n_items, hidden = 300, 90
    network = Network(
        n_items, [hidden, hidden], cell=cell, feedforward=[hidden],
        **{**MODES[mode], **({"embedding": 40} if mode == "separate" else {})},
    )  # fmt: skip
    matrices = [(network.output[:-1], n_items, hidden)]
    if mode == "one-hot":
        gates = network.input[:-1].chunk(GATES[cell], 1)
        matrices += [(gate, n_items, hidden) for gate in gates]
    if mode == "separate":
        matrices += [(network.input[:-1], n_items, 40)]
    for layer in network.cells:
        for name in ("weight_ih", "weight_hh"):
            if hasattr(layer, name):
                matrix = getattr(layer, name)
                gates = matrix.chunk(GATES[cell])
                matrices += [(gate, hidden, matrix.shape[1]) for gate in gates]
    matrices += [(layer.weight, hidden, hidden) for layer in network.feedforward]
    for matrix, rows, columns in matrices:
        assert matrix.shape == (rows, columns)
        bound = sqrt(6 / (rows + columns))
        assert 0.99 * bound < matrix.abs().max() <= bound
        spread = matrix.std().item() / bound  # of a uniform distribution: 1 / √3
        assert abs(spread - 1 / sqrt(3)) < 0.02
        assert abs(matrix.mean()) < 0.06 * bound
    for name, tensor in network.state_dict().items():
        if "bias" in name:
            assert (tensor == 0).all()
    for table in (network.output, network.input_table):
        assert (table[-1] == 0).all()  # the row that no item has


def test_layers_start_differently():
    network = Network(5, [6, 6])
    assert not torch.equal(network.cells[0].weight_hh, network.cells[1].weight_hh)
    r, z, n = network.cells[0].weight_hh.chunk(3)
    assert not torch.equal(r, z) and not torch.equal(z, n)


def test_shared_input_is_the_output():
    network = Network(5, [6], shared=True)
    assert network.input_table is network.output
    assert "input" not in network.state_dict()


@every_cell
def test_state_is_a_value_and_no_graph(cell):
    network = Network(5, [6, 4], cell=cell, embedding=3)
    x = network.input_table[torch.tensor([0, 1])].requires_grad_()
    state = network.initial_state(2)
    for _ in range(2):
        hidden, state = network(x, state)
        assert hidden.requires_grad
        assert not any(h.requires_grad for h in state)
    assert [h.shape[1] for h in state] == [
        6 * (1 + (cell == "lstm")),
        4 * (1 + (cell == "lstm")),
    ]


@every_cell
def test_state_is_what_comes_after_dropout(cell):
    network = Network(5, [400], cell=cell, embedding=3, dropout_hidden=0.4).train()
    hidden, (state,) = network(torch.randn(50, 3), network.initial_state(50))
    torch.testing.assert_close(state[:, :400], hidden.detach())
    dropped = (hidden == 0).double().mean().item()
    assert abs(dropped - 0.4) < 0.02
    plain, (plain_state,) = network.eval()(
        torch.zeros(50, 3), network.initial_state(50)
    )
    assert (plain_state[:, :400] == plain.detach()).all()


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_dropout_scales_what_it_keeps(p):
    """On the input row and after each layer: 0, or the value times 1 / (1 − p)."""
    torch.manual_seed(1)
    network = Network(5, [300, 200], embedding=3, dropout_hidden=p).double().train()
    x = torch.randn(40, 3, dtype=torch.float64)
    _, (first, second) = network(x, network.initial_state(40))
    _, (whole, _) = network.eval()(x, network.initial_state(40))
    kept = first != 0
    torch.testing.assert_close(first[kept], whole[kept] / (1 - p))
    assert abs(kept.double().mean().item() - (1 - p)) < 0.02
    assert abs((second != 0).double().mean().item() - (1 - p)) < 0.02

    # An identity for a cell shows what dropout did to the input row.
    network = Network(5, [300], embedding=300, dropout_embed=p).double().train()
    seen = []
    network.cells[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(torch.ones(40, 300, dtype=torch.float64), network.initial_state(40))
    values = seen[0].unique().tolist()
    assert values == pytest.approx([0, 1 / (1 - p)])
    assert abs((seen[0] != 0).double().mean().item() - (1 - p)) < 0.02


def test_no_dropout_when_scoring():
    network = Network(5, [6], embedding=3, dropout_embed=0.9, dropout_hidden=0.9).eval()
    x, state = torch.randn(4, 3), network.initial_state(4)
    assert torch.equal(network(x, state)[0], network(x, state)[0])


def test_feedforward_and_scores():
    network = Network(5, [6], embedding=3, feedforward=[8, 4]).eval()
    with torch.no_grad():
        network.output_bias.normal_()
        for layer in network.feedforward:
            layer.bias.normal_()
        hidden, (state,) = network(torch.randn(2, 3), network.initial_state(2))
        first, second = network.feedforward
        x = torch.tanh(state @ first.weight.T + first.bias)
        x = torch.tanh(x @ second.weight.T + second.bias)
        torch.testing.assert_close(hidden, x)
        expected = x @ network.output[:5].T + network.output_bias[:5]
        torch.testing.assert_close(network.scores(hidden), expected)

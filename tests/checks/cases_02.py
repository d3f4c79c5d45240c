"""Right and wrong answers to the exercises of lesson 02."""

import numpy as np
import torch
from torch import nn

# ---- keeps_the_first_click


def opens_update():
    return "b"


def opens_update_by_name():
    gate = "update"
    return {"reset": "a", "update": "b"}[gate]


def opens_reset():
    return "a"


def closes_reset():
    return "c"


def closes_update():
    return "d"


def names_the_gate():
    return "the update gate"


# ---- gru_step


def step_by_cell(x, h, W, U, b, c):
    cell = nn.GRUCell(len(W), len(U))
    cell.weight_ih.data, cell.weight_hh.data = W.T, U.T
    cell.bias_ih.data, cell.bias_hh.data = b, c
    return cell(x, h)


def step_by_loop(x, h, W, U, b, c):
    B, H = h.shape
    new = torch.empty(B, H)
    for s in range(B):
        a, d = x[s] @ W + b, h[s] @ U + c
        for i in range(H):
            r = 1 / (1 + torch.exp(-a[i] - d[i]))
            z = 1 / (1 + torch.exp(-a[H + i] - d[H + i]))
            n = torch.tanh(a[2 * H + i] + r * d[2 * H + i])
            new[s, i] = n + z * (h[s, i] - n)
    return new


def gated(x, h, W, U, b, c):
    (x_r, x_z, x_n), (h_r, h_z, h_n) = (x @ W + b).chunk(3, 1), (h @ U + c).chunk(3, 1)
    return torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z), x_n, h_n


def step_z_turned(x, h, *weights):
    r, z, x_n, h_n = gated(x, h, *weights)
    return z * torch.tanh(x_n + r * h_n) + (1 - z) * h


def step_reset_before(x, h, W, U, b, c):
    r, z, x_n, _ = gated(x, h, W, U, b, c)
    n = torch.tanh(x_n + (r * h) @ U.chunk(3, 1)[2] + c.chunk(3)[2])
    return (1 - z) * n + z * h


def step_bias_outside(x, h, W, U, b, c):
    r, z, x_n, _ = gated(x, h, W, U, b, c)
    n = torch.tanh(x_n + r * (h @ U.chunk(3, 1)[2]) + c.chunk(3)[2])
    return (1 - z) * n + z * h


def step_gates_swapped(x, h, *weights):
    z, r, x_n, h_n = gated(x, h, *weights)
    return (1 - z) * torch.tanh(x_n + r * h_n) + z * h


def step_without_reset(x, h, *weights):
    _, z, x_n, h_n = gated(x, h, *weights)
    return (1 - z) * torch.tanh(x_n + h_n) + z * h


def step_candidate(x, h, *weights):
    r, _, x_n, h_n = gated(x, h, *weights)
    return torch.tanh(x_n + r * h_n)


def step_sigmoid(x, h, *weights):
    r, z, x_n, h_n = gated(x, h, *weights)
    return (1 - z) * torch.sigmoid(x_n + r * h_n) + z * h


def step_wrong_axis(x, h, W, U, b, c):
    x_r, x_z, x_n = (x @ W + b).chunk(3, dim=0)
    return x_r + x_z + x_n


def step_in_place(x, h, *weights):
    r, z, x_n, h_n = gated(x, h, *weights)
    h *= z
    return h + (1 - z) * torch.tanh(x_n + r * h_n)


def step_as_array(x, h, *weights):
    return step_by_loop(x, h, *weights).numpy()


# ---- repaired_step


def repaired_by_matrix(x, h, W, U):
    H = h.shape[1]
    r = torch.sigmoid(x @ W[:, :H] + h @ U[:, :H])
    z = torch.sigmoid(x @ W[:, H : 2 * H] + h @ U[:, H : 2 * H])
    n = torch.tanh(x @ W[:, 2 * H :] + torch.mul(r, h) @ U[:, 2 * H :])
    return torch.lerp(n, h, z)


def repaired_by_session(x, h, W, U):
    (W_r, W_z, W_n), (U_r, U_z, U_n) = W.chunk(3, 1), U.chunk(3, 1)
    rows = []
    for a, s in zip(x, h, strict=True):
        r = (1 + torch.exp(-(a @ W_r + s @ U_r))) ** -1
        z = (1 + torch.exp(-(a @ W_z + s @ U_z))) ** -1
        rows.append((1 - z) * torch.tanh(a @ W_n + (r * s) @ U_n) + z * s)
    return torch.stack(rows)


def still_in_place(x, h, W, U):
    (W_r, W_z, W_n), (U_r, U_z, U_n) = W.chunk(3, 1), U.chunk(3, 1)
    r, z = torch.sigmoid(x @ W_r + h @ U_r), torch.sigmoid(x @ W_z + h @ U_z)
    h *= r
    return (1 - z) * torch.tanh(x @ W_n + h @ U_n) + z * h


def still_positive(x, h, W, U):
    (W_r, W_z, W_n), (U_r, U_z, U_n) = W.chunk(3, 1), U.chunk(3, 1)
    r, z = torch.sigmoid(x @ W_r + h @ U_r), torch.sigmoid(x @ W_z + h @ U_z)
    return (1 - z) * torch.sigmoid(x @ W_n + (r * h) @ U_n) + z * h


def keeps_what_is_reset(x, h, W, U):
    return still_in_place(x, h.clone(), W, U)


def other_variant(x, h, W, U):
    zero = torch.zeros(W.shape[1])
    return step_by_loop(x, h, W, U, zero, zero)


# ---- camera_memory


def memory_by_bias():
    W = np.zeros((3, 3))
    W[0] = -4, -20, 4
    W[2] = -9, -20, 0
    return W, np.array([[1.0, 0, 2]]), [-9.0, 10, 0], [0, 0, 0]


def memory_by_input():
    W = torch.tensor([[0, -9.0, 3], [0, 11, 0], [0, -9, 0]])
    return [W, torch.zeros(1, 3), torch.zeros(3), torch.zeros(3)]


def no_gates(W):
    return torch.tensor(W), torch.zeros(1, 3), torch.zeros(3), torch.zeros(3)


def fades():
    return no_gates([[0, -9.0, 5], [0, 3, 0], [0, -9, 0]])


def forgets_at_once():
    return no_gates([[0, -9.0, 5], [0, 0, 0], [0, -9, 0]])


def never_clears():
    return no_gates([[0, -9.0, 5], [0, 9, 0], [0, 9, 0]])


def too_weak():
    return no_gates([[0, -9.0, 1], [0, 9, 0], [0, -9, 0]])


def minds_the_card():
    return no_gates([[0, -9.0, 5], [0, -9, 1], [0, -9, 0]])


def turned_gate():
    return no_gates([[0, 9.0, 5], [0, -9, 0], [0, 9, 0]])


def swapped_gates():
    return no_gates([[-9.0, 0, 5], [9, 0, 0], [-9, 0, 0]])


def flat_matrix():
    W, _, b, c = memory_by_input()
    return W, torch.zeros(3), b, c


def only_the_first():
    return memory_by_input()[0]


# ---- hand_made_cell


def two_speeds(x, h):
    slow = 0.25 * x + 0.75 * h[:, 64:]
    return torch.cat([x, slow], dim=1)


SPEEDS = torch.linspace(0, 0.9, 128)


def all_speeds(x, h):
    new = torch.empty_like(h)
    for unit in range(128):
        z = float(SPEEDS[unit])
        new[:, unit] = (1 - z) * x[:, unit % 64] + z * h[:, unit]
    return new


def one_speed(x, h):
    return 0.5 * torch.cat([x, x], dim=1) + 0.5 * h


def last_click(x, h):
    return torch.cat([x, x], dim=1)


def never_looks(x, h):
    return 0.9 * h + 0.1


def adds_and_grows(x, h):
    return torch.cat([x, x], dim=1) + 1.1 * h


def mixes_rows(x, h):
    return 0.5 * torch.cat([x, x], dim=1) + 0.5 * h.mean(dim=0)


def too_few_units(x, h):
    return x


def changes_h(x, h):
    h *= 0.5
    return h + torch.cat([x, x], dim=1)


RIGHT = {
    "keeps_the_first_click": [opens_update, opens_update_by_name],
    "gru_step": [step_by_cell, step_by_loop],
    "repaired_step": [repaired_by_matrix, repaired_by_session],
    "camera_memory": [memory_by_bias, memory_by_input],
    "hand_made_cell": [two_speeds, all_speeds],
}
WRONG = {
    "keeps_the_first_click": [
        (opens_reset, "does the candidate replace"),
        (closes_reset, "hides the old state"),
        (closes_update, "z near 0, replaces"),
        (names_the_gate, 'one of the letters "a", "b", "c", "d" is expected'),
    ],
    "gru_step": [
        (step_z_turned, "z = 1 keeps the old state"),
        (step_reset_before, "before the product with U_n"),
        (step_bias_outside, "c_n is left out of the reset"),
        (step_gates_swapped, "the two gates have changed places"),
        (step_without_reset, "the reset gate is not used"),
        (step_candidate, "this is the candidate"),
        (step_sigmoid, "it is a tanh"),
        (step_wrong_axis, "raises ValueError"),
        (step_in_place, "changes its argument `h`"),
        (step_as_array, "a torch tensor of shape"),
    ],
    "repaired_step": [
        (still_in_place, "changes its argument `h`"),
        (still_positive, "squeezed to positive numbers"),
        (keeps_what_is_reset, "what is kept is r · h"),
        (other_variant, "the other variant"),
    ],
    "camera_memory": [
        (fades, "little by little"),
        (forgets_at_once, "a memory card makes it forget"),
        (never_clears, "not near zero after a phone"),
        (too_weak, "not above 0.9 after a camera"),
        (minds_the_card, "moves the state away from zero"),
        (turned_gate, "stands for the opposite"),
        (swapped_gates, "in the order r, z, n"),
        (flat_matrix, r"the U of .* has shape \(3,\), expected \(1, 3\)"),
        (only_the_first, "gives one Tensor; 4 values are expected"),
    ],
    "hand_made_cell": [
        (one_speed, "To beat by 0.005.*one fixed update gate"),
        (last_click, "does not look at the old state"),
        (never_looks, "does not look at the click"),
        (adds_and_grows, "grows without bound"),
        (mixes_rows, "mixes the sessions"),
        (too_few_units, r"the new state \(B, 128\) is expected"),
        (changes_h, "changes its argument `h`"),
    ],
}

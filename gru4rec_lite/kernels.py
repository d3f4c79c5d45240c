"""Loops over numbers, compiled by numba: what the fast step does between its products.

As tensor operations, a loss or a gate takes a dozen passes over memory, each with a
call of its own. Below stands the loop that the formula says, once for each number, and
the compiler makes it work on 16 numbers at a time. ``fast`` and ``optim`` hold the same
as tensor operations, for GPUs, float64, and where there is no numba.

But for ``adagrad_rows`` and ``add_rows``, all arrays are float32, and so are the
constants: a plain 1 would turn a loop into float64.
"""

from functools import partial
from math import factorial

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

ZERO, HALF, ONE, TWO = map(np.float32, (0, 0.5, 1, 2))
LOG2_E, TOO_LARGE = np.float32(1.4426950408889634), np.float32(88)
# log 2 in two parts: the first has few digits, and n times it is exact.
LOG_2_HIGH, LOG_2_LOW = np.float32(0.693145751953125), np.float32(1.428606820309417e-06)
# Taylor series, last term first: of e^x, and of tanh(x) / x by x².
EXP = tuple(np.float32(1 / factorial(k)) for k in range(7, -1, -1))
TANH = tuple(map(np.float32, (-17 / 315, 2 / 15, -1 / 3, 1)))
LANES = 16


def _compiled(function, reorder=True):
    """Compiled, and kept for the next process where there is a place to keep it.

    reorder : sums may be added up in another order, 16 of them side by side.
    """
    fastmath = {"contract", "reassoc"} if reorder else {"contract"}
    options = {"error_model": "numpy", "fastmath": fastmath}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # nowhere to keep it
        return njit(**options)(function)


# ---- functions of one number


@intrinsic
def _float_of_bits(typing, bits):
    """The float32 that is written with these 32 bits."""

    def code(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), code


@partial(_compiled, reorder=False)
def exp(x):
    """e^x = 2^n e^r with n whole and |r| ≤ log(2) / 2, where a short series will do.

    The library's exp takes one number at a time; this one is compiled into the loops.
    0 below −87, e^88 above 88.
    """
    x = TOO_LARGE if x > TOO_LARGE else x
    n = np.floor(x * LOG2_E + HALF)
    r = (x - n * LOG_2_HIGH) - n * LOG_2_LOW
    series = ZERO
    for c in EXP:
        series = series * r + c
    power = _float_of_bits((np.int32(n) + np.int32(127)) << np.int32(23))  # 2^n
    return ZERO if x < ONE - TOO_LARGE else series * power


@_compiled
def sigmoid(x):
    """1 / (1 + e^−x)."""
    return ONE / (ONE + exp(-x))


@_compiled
def tanh(x):
    """The hyperbolic tangent; also of small numbers to the last digits."""
    size = abs(x)
    e = exp(-TWO * size)
    near = ZERO  # where the quotient would lose its digits
    for c in TANH:
        near = near * size * size + c
    y = near * size if size < np.float32(0.2) else (ONE - e) / (ONE + e)
    return -y if x < ZERO else y


@_compiled
def largest(row):
    """The largest number of a row: of every sixteenth first, which compiles well."""
    top = np.full(LANES, -np.inf, np.float32)
    whole = len(row) - len(row) % LANES
    for start in range(0, whole, LANES):
        for k in range(LANES):
            x = row[start + k]
            top[k] = x if x > top[k] else top[k]
    for j in range(whole, len(row)):
        top[0] = row[j] if row[j] > top[0] else top[0]
    for k in range(LANES):
        top[0] = top[k] if top[k] > top[0] else top[0]
    return top[0]


# ---- losses: each turns scores (b, U) into their gradient, and gives the loss


@_compiled
def softmax_gradient(scores, log_count, target, g_bias, scale):
    """losses.softmax_loss: the gradient is the softmax, less 1 at the target.

    g_bias (U,) : gets the gradient's sum over rows. scale : multiplies the gradient.
    Returns the sum of the rows' losses.
    """
    loss = ZERO
    g_bias[:] = ZERO
    for i in range(len(scores)):
        row, own = scores[i], target[i]  # (U,)
        for j in range(len(row)):
            row[j] += log_count[j]
        top = largest(row)
        loss += log_count[own] + top - row[own]
        total = ZERO
        for j in range(len(row)):
            row[j] = exp(row[j] - top)
            total += row[j]
        loss += np.log(total)
        share = scale / total
        for j in range(len(row)):
            row[j] *= share
        row[own] -= scale
        for j in range(len(row)):
            g_bias[j] += row[j]
    return loss


@_compiled
def bpr_max_gradient(scores, log_count, target, g_bias, scale, bpreg, alpha):
    """losses.bpr_max after losses.elu(alpha); formulas: losses._BPRMax.

    Arguments and result as for softmax_gradient.
    """
    width = scores.shape[1]
    r, w, s, count = np.empty((4, width), np.float32)  # (U,) each
    for j in range(width):
        count[j] = exp(log_count[j])
    loss = ZERO
    g_bias[:] = ZERO
    for i in range(len(scores)):
        row, own = scores[i], target[i]
        for j in range(width):  # scores r, and in place of the row dr / dscore
            x = row[j]
            e = exp(x)
            flat = (alpha > ZERO) & (x <= ZERO)  # as torch.elu at 0
            r[j] = alpha * (e - ONE) if flat else x
            row[j] = alpha * e if flat else ONE
        positive, slope = r[own], row[own]

        # A row's own positive is one candidate less in its column.
        kept = count[own]
        others = np.float32(np.rint(kept)) - ONE
        count[own] = others
        for j in range(width):
            w[j] = r[j] + log_count[j]
        w[own] = positive + np.log(others)
        top = largest(w)
        norm = lost = total = penalty = ZERO
        for j in range(width):
            w[j] = exp(w[j] - top)
            s[j] = sigmoid(r[j] - positive)
            norm += w[j]
            lost += w[j] * s[j]  # 1 − P
            total += count[j] * s[j]
            penalty += w[j] * r[j] * r[j]  # Q
        lost /= norm
        penalty /= norm
        if lost < HALF:
            log_p = np.log1p(-lost)
        else:
            log_p = positive - top - np.log(norm) + np.log(total)
        loss += bpreg * penalty - log_p

        # Where the target is far above all negatives, their sum may be 0, and q is w.
        none = total < np.float32(1e-30)
        share, share_w = ONE / total, ONE / norm
        pulled = ZERO
        for j in range(width):
            q = w[j] * share_w if none else count[j] * s[j] * share
            pull = q * (ONE - s[j])  # q_j σ(r_i − r_j)
            pulled += pull
            push = ONE + bpreg * (r[j] * r[j] + TWO * r[j] - penalty)
            row[j] *= (w[j] * share_w * push - pull) * scale
        row[own] += slope * (pulled - ONE) * scale
        count[own] = kept
        for j in range(width):
            g_bias[j] += row[j]
    return loss


# ---- gated recurrent unit


@_compiled
def gru_gates(a, u, h, after):
    """From the input's and the state's shares (b, 3H) to the state after (b, H).

    a is overwritten by the gates r, z, n. Formulas: network.GRU.
    """
    size = h.shape[1]
    for i in range(len(h)):
        r, z, n = a[i, :size], a[i, size : 2 * size], a[i, 2 * size :]
        u_r, u_z, u_n = u[i, :size], u[i, size : 2 * size], u[i, 2 * size :]
        for j in range(size):
            r[j] = sigmoid(r[j] + u_r[j])
            z[j] = sigmoid(z[j] + u_z[j])
            n[j] = tanh(n[j] + r[j] * u_n[j])
            after[i, j] = n[j] + z[j] * (h[i, j] - n[j])


@_compiled
def gru_gradient(g, h, gates, u, g_input, g_state, g_bias_input, g_bias_state):
    """Gradients by the input's and the state's shares, and by the biases (3H,).

    FastStep._gates_gradient, in short loops: the compiler gives up on those that it
    cannot see through, where many arrays might overlap.
    """
    size = h.shape[1]
    g_bias_input[:] = ZERO
    g_bias_state[:] = ZERO
    for i in range(len(h)):
        r, z, n = gates[i, :size], gates[i, size : 2 * size], gates[i, 2 * size :]
        before, g_after, u_n = h[i], g[i], u[i, 2 * size :]  # (H,)
        to_input, to_state = g_input[i], g_state[i]  # (3H,)
        g_r, g_z = to_input[:size], to_input[size : 2 * size]
        g_n, g_u_n = to_input[2 * size :], to_state[2 * size :]
        for j in range(size):
            g_z[j] = g_after[j] * (before[j] - n[j]) * z[j] * (ONE - z[j])
            g_n[j] = g_after[j] * (ONE - z[j]) * (ONE - n[j] * n[j])
        for j in range(size):
            g_r[j] = g_n[j] * u_n[j] * r[j] * (ONE - r[j])
            g_u_n[j] = g_n[j] * r[j]
        for j in range(2 * size):
            to_state[j] = to_input[j]
        for j in range(3 * size):
            g_bias_input[j] += to_input[j]
            g_bias_state[j] += to_state[j]


@_compiled
def dropout(x, random, p):
    """x times a mask, in place. random (b, H), from U(0, 1), becomes the mask."""
    scale = ONE / (ONE - p)
    for i in range(len(x)):
        for j in range(x.shape[1]):
            random[i, j] = scale if random[i, j] >= p else ZERO
            x[i, j] *= random[i, j]


# ---- rows of item matrices


@_compiled
def add_rows(table, place, rows):
    """table[place] += rows; repeated places are added up."""
    for i in range(len(place)):
        for j in range(rows.shape[1]):
            table[place[i], j] += rows[i, j]


@_compiled
def adagrad_rows(table, acc, velocity, rows, g, lr, momentum, epsilon):
    """Adagrad on some rows of a matrix, as optim.Adagrad, in one pass over memory.

    velocity may be acc itself when momentum is 0.
    """
    for i in range(len(rows)):
        p, a, v, row = table[rows[i]], acc[rows[i]], velocity[rows[i]], g[i]
        if momentum == 0:
            for j in range(len(p)):
                a[j] += row[j] * row[j]
                p[j] -= lr * row[j] / np.sqrt(a[j] + epsilon)
        else:
            for j in range(len(p)):
                a[j] += row[j] * row[j]
                v[j] = momentum * v[j] - lr * row[j] / np.sqrt(a[j] + epsilon)
                p[j] += v[j]

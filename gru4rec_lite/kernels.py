"""Loops over numbers, compiled by numba: what the fast step does between its products.

As tensor operations, a loss or a gate takes a dozen passes over memory, each with a
call of its own. Below stands the loop that the formula says, once for each number, and
the compiler makes it work on 16 numbers at a time. ``fast`` and ``optim`` hold the same
as tensor operations, for GPUs, float64, and where there is no numba.

Numbers are float32, and so are the constants: a plain 1 would turn a loop into float64.
What products give or take may be bfloat16; Adagrad and ``add_rows`` take float64 too.
"""

from functools import partial
from math import factorial
from types import FunctionType

import numpy as np
import torch
from numba import njit, types
from numba.extending import intrinsic, overload

from .threads import on_threads

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


def _shared_out(loop):
    """A loop over ``range(first, last)``, compiled, and shared out to threads.

    Called with n in place of first and last: each thread takes its part of range(n).
    What comes out does not depend on how many threads there are.

    In such a loop one writes ``table[k, j]`` and not ``row = table[k]``, row[j], where
    there are thousands of rows: a view counts one more user of its table, in a number
    that all threads would write to, and wait for.
    """
    # numba keeps compiled code by a function's name, so each loop gets one of its own.
    # In a closure it would see another ``loop`` in every process: hence ``names``.
    names = {"__name__": __name__, "loop": _compiled(loop), "on_threads": on_threads}
    shared = FunctionType(_share.__code__, names)
    shared.__qualname__ = loop.__name__ + on_threads.__name__
    shared.__doc__ = loop.__doc__
    return _compiled(shared)


def _share(n, *arguments):
    on_threads(loop, n, arguments)  # noqa: F821 (they stand in ``names``)


# ---- functions of one number


@intrinsic
def _same_bits(typing, x):
    """The int32 that is written with the bits of a float32, or the other way round."""
    other = types.int32 if x == types.float32 else types.float32

    def code(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], context.get_value_type(other))

    return other(x), code


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
    power = _same_bits(np.int32((np.int32(n) + np.int32(127)) << np.int32(23)))  # 2^n
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


# ---- bfloat16: the first 16 bits of a float32, which NumPy takes for an int16


def array(x):
    """A tensor as NumPy sees it; anything else as it is."""
    if not torch.is_tensor(x):
        return x
    return (x.view(torch.int16) if x.dtype == torch.bfloat16 else x).numpy()


def wide(x):
    """A number of an array: of bfloat16 as float32, any other as it is. In loops."""


def put(array, at, x):
    """array[at] = x, to the nearest bfloat16 if the array holds such. In loops."""


@overload(wide, inline="always")
def _wide(x):
    if x == types.int16:
        return lambda x: _same_bits(np.int32(np.int32(x) << np.int32(16)))
    return lambda x: x


@overload(put, inline="always")
def _put(array, at, x):
    def assign(array, at, x):
        array[at] = x

    def assign_rounded(array, at, x):
        bits = _same_bits(x)
        odd = (bits >> np.int32(16)) & np.int32(1)  # ties go to the even one
        array[at] = np.int16((bits + np.int32(0x7FFF) + odd) >> np.int32(16))

    return assign_rounded if array.dtype == types.int16 else assign


# ---- losses: each turns scores (b, U) into their gradient, and fills in the losses


@_shared_out
def softmax_gradient(first, last, scores, bias, log_count, target, losses, scale):
    """losses.softmax_loss: the gradient is the softmax, less 1 at the target.

    bias (U,) : is added to the scores before. losses (b,) : gets the rows' losses.
    scale : multiplies the gradient.
    """
    r = np.empty(len(bias), np.float32)  # (U,)
    for i in range(first, last):
        row, own = scores[i], target[i]  # (U,)
        for j in range(len(r)):
            r[j] = wide(row[j]) + (bias[j] + log_count[j])
        top = largest(r)
        loss = log_count[own] + top - r[own]
        total = ZERO
        for j in range(len(r)):
            r[j] = exp(r[j] - top)
            total += r[j]
        losses[i] = loss + np.log(total)
        share = scale / total
        for j in range(len(r)):
            put(row, j, r[j] * share)
        put(row, own, r[own] * share - scale)


@_shared_out
def bpr_max_gradient(
    first, last, scores, bias, log_count, target, losses, scale, bpreg, alpha
):
    """losses.bpr_max after losses.elu(alpha); formulas: losses._BPRMax.

    Arguments as for softmax_gradient.
    """
    width = len(bias)
    r, w, s = np.empty((3, width), np.float32)  # (U,) each
    count = np.empty(width, np.float32)
    for j in range(width):
        count[j] = exp(log_count[j])
    for i in range(first, last):
        row, own = scores[i], target[i]
        for j in range(width):
            x = wide(row[j]) + bias[j]
            e = exp(x)  # of all, as there is no time for branches
            r[j] = alpha * (e - ONE) if (alpha > ZERO) & (x < ZERO) else x
        positive = r[own]

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
        losses[i] = bpreg * penalty - log_p

        # Where the target is far above all negatives, their sum may be 0, and q is w.
        none = total < np.float32(1e-30)
        share_w, share = ONE / norm, ZERO if none else ONE / total
        only_w = share_w if none else ZERO
        pulled = ZERO
        for j in range(width):
            q = count[j] * s[j] * share + w[j] * only_w
            pull = q * (ONE - s[j])  # q_j σ(r_i − r_j)
            pulled += pull
            push = ONE + bpreg * (r[j] * r[j] + TWO * r[j] - penalty)
            w[j] = w[j] * share_w * push - pull
        w[own] += pulled - ONE
        for j in range(width):  # through elu: dr / dscore = r + alpha
            flat = (alpha > ZERO) & (r[j] <= ZERO)  # as torch.elu at 0
            put(row, j, w[j] * ((r[j] + alpha if flat else ONE) * scale))
        count[own] = kept


# ---- gated recurrent unit


@_shared_out
def gru_gates(first, last, a, u, bias_a, bias_u, h, gates, after):
    """From the input's and the state's shares (b, 3H) to the state after (b, H).

    The shares get their biases (3H,). gates (b, 4H) : gets r, z, n, and what r keeps
    or forgets. Formulas: network.GRU.
    """
    size = h.shape[1]
    bias_a_n, bias_u_n = bias_a[2 * size :], bias_u[2 * size :]  # (H,)
    for i in range(first, last):
        a_rz, a_n = a[i, : 2 * size], a[i, 2 * size :]
        u_rz, u_n = u[i, : 2 * size], u[i, 2 * size :]
        rz, n, kept = gates[i, : 2 * size], gates[i, 2 * size : -size], gates[i, -size:]
        r, z, before, new = rz[:size], rz[size:], h[i], after[i]
        for j in range(2 * size):
            rz[j] = sigmoid(wide(a_rz[j]) + bias_a[j] + wide(u_rz[j]) + bias_u[j])
        for j in range(size):
            kept[j] = wide(u_n[j]) + bias_u_n[j]
        for j in range(size):
            n[j] = tanh(wide(a_n[j]) + bias_a_n[j] + r[j] * kept[j])
        for j in range(size):
            new[j] = n[j] + z[j] * (before[j] - n[j])


@_shared_out
def gru_gradient(first, last, g, h, gates, g_input, g_state):
    """Gradients by the input's and the state's shares.

    FastStep._gates_gradient, in short loops: the compiler gives up on those that it
    cannot see through, where many arrays might overlap.
    """
    size = h.shape[1]
    for i in range(first, last):
        r, z = gates[i, :size], gates[i, size : 2 * size]
        n, kept = gates[i, 2 * size : -size], gates[i, -size:]
        before, g_after = h[i], g[i]  # (H,)
        to_input, to_state = g_input[i], g_state[i]  # (3H,)
        g_r, g_z = to_input[:size], to_input[size : 2 * size]
        g_n, g_kept = to_input[2 * size :], to_state[2 * size :]
        for j in range(size):
            g_new = g_after[j] * (ONE - z[j]) * (ONE - n[j] * n[j])
            put(g_n, j, g_new)
            put(g_kept, j, g_new * r[j])
        for j in range(size):
            g_new = g_after[j] * (ONE - z[j]) * (ONE - n[j] * n[j])
            put(g_r, j, g_new * kept[j] * r[j] * (ONE - r[j]))
            put(g_z, j, g_after[j] * (before[j] - n[j]) * z[j] * (ONE - z[j]))
        for j in range(2 * size):
            to_state[j] = to_input[j]


@_shared_out
def dropout(first, last, x, random, p):
    """x times a mask, in place. random (b, H), from U(0, 1), becomes the mask."""
    scale = ONE / (ONE - p)
    for i in range(first, last):
        for j in range(x.shape[1]):
            random[i, j] = scale if random[i, j] >= p else ZERO
            x[i, j] *= random[i, j]


# ---- sums; first and last are columns


@_shared_out
def sum_rows(first, last, rows, total):
    """total = rows.sum(0)."""
    total = total[first:last]
    total[:] = ZERO
    for i in range(len(rows)):
        row = rows[i, first:last]
        for j in range(len(total)):
            total[j] += wide(row[j])


@_shared_out
def add_rows(first, last, table, place, rows):
    """table[place] += rows; repeated places are added up."""
    for i in range(len(place)):
        into, row = table[place[i], first:last], rows[i, first:last]
        for j in range(len(row)):
            put(into, j, wide(into[j]) + row[j])


# ---- sampling


@_shared_out
def alias_draw(first, last, uniform, share, alias, items):
    """NegativeSampler.draw, from numbers of U(0, 1) in float64."""
    n = len(share)
    for k in range(first, last):
        inside = uniform[k] * n
        box = np.int32(inside)
        items[k] = box if inside - box < share[box] else alias[box]


@_shared_out
def count_runs(first, last, items, rows, count):
    """sampling.merge of items (T, R) that are sorted; rows and count (T, U)."""
    for t in range(first, last):
        u, before = -1, -1
        for k in range(items.shape[1]):
            if items[t, k] != before:
                u, before = u + 1, items[t, k]
                rows[t, u] = before
            count[t, u] += 1


# ---- optimiser


@_compiled
def _adagrad(p, acc, velocity, at, g, lr, momentum, epsilon):
    """optim.Adagrad for the weight p[at] with gradient g."""
    acc[at] += g * g
    move = -lr * g / np.sqrt(acc[at] + epsilon)
    if momentum != 0:  # else there is no velocity, and acc stands in its place
        move += momentum * velocity[at]
        velocity[at] = move
    p[at] += move


@_shared_out
def adagrad(first, last, p, acc, velocity, g, lr, momentum, epsilon):
    """Adagrad on weights p (n,)."""
    part = slice(first, last)
    p, acc, velocity, g = p[part], acc[part], velocity[part], g[part]
    for j in range(len(p)):
        _adagrad(p, acc, velocity, j, wide(g[j]), lr, momentum, epsilon)


@_shared_out
def adagrad_rows(first, last, table, acc, velocity, rows, g, lr, momentum, epsilon):
    """Adagrad on some rows (U,) of a matrix, with their gradients g (U, H)."""
    for i in range(first, last):
        k = rows[i]
        for j in range(g.shape[1]):
            one = wide(g[i, j])
            _adagrad(table, acc, velocity, (k, j), one, lr, momentum, epsilon)

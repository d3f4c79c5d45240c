"""Row-sparse optimisers (lesson 07): only the rows that a step used are touched.

A step uses some two thousand of perhaps a million rows of the item matrices. Weights,
accumulators and velocities of all other rows stay as they are. Each rule below is
written once, for a gradient and its state, and serves both whole matrices and rows.

Sources: Duchi et al. 2011 (Adagrad), Kingma & Ba 2015 (Adam), Tieleman & Hinton 2012
(RMSprop); Adagrad with momentum as in Hidasi et al. 2016's program.
"""

from math import log

import torch

EPSILON = 1e-6  # inside the root, which keeps it away from 1 / 0
BLOCK = 2**16  # numbers moved at a time on a CPU: with their state they fit its cache


class Rule:
    """A rule says how far weights move, given their gradient and their own state."""

    def to(self, device):
        """Called once, before the first step."""

    def begin_step(self):
        """Called once before the moves of a step."""

    def state_dict(self):
        """What the rule itself has to remember, as named tensors."""
        return {}


class Adagrad(Rule):
    """acc += g²;  v = momentum · v − lr · g / √(acc + ε);  p += v."""

    def __init__(self, lr, momentum=0.0):
        self.lr, self.momentum = lr, momentum
        self.n_states = 2 if momentum else 1

    def move(self, g, acc, v=None):
        """The change of the weights. Updates acc and v in place."""
        acc.addcmul_(g, g)
        step = (acc + EPSILON).rsqrt_().mul_(g)
        if v is None:
            return step.mul_(-self.lr)
        return v.mul_(self.momentum).sub_(step, alpha=self.lr)


class SGD(Rule):
    """v = momentum · v − lr · g;  p += v."""

    def __init__(self, lr, momentum=0.0):
        self.lr, self.momentum = lr, momentum
        self.n_states = 1 if momentum else 0

    def move(self, g, v=None):
        if v is None:
            return g * -self.lr
        return v.mul_(self.momentum).sub_(g, alpha=self.lr)


class RMSprop(Rule):
    """acc = ρ acc + (1 − ρ) g²;  v = momentum · v − lr · g / √(acc + ε);  p += v."""

    def __init__(self, lr, momentum=0.0, decay=0.9):
        self.lr, self.momentum, self.decay = lr, momentum, decay
        self.n_states = 2 if momentum else 1

    def move(self, g, acc, v=None):
        acc.mul_(self.decay).addcmul_(g, g, value=1 - self.decay)
        step = (acc + EPSILON).rsqrt_().mul_(g)
        if v is None:
            return step.mul_(-self.lr)
        return v.mul_(self.momentum).sub_(step, alpha=self.lr)


class Adam(Rule):
    """Adam, with the moments of untouched rows left as they are. β = (0.9, 0.999)."""

    n_states = 2
    betas = (0.9, 0.999)

    def __init__(self, lr, momentum=0.0):
        self.lr = lr
        # A tensor, so that a captured CUDA graph counts on when it is replayed.
        self.n_steps = torch.zeros(())

    def to(self, device):
        self.n_steps = self.n_steps.to(device)

    def begin_step(self):
        self.n_steps += 1

    def state_dict(self):
        return {"n_steps": self.n_steps}

    def move(self, g, m, v):
        one, two = self.betas
        m.mul_(one).add_(g, alpha=1 - one)
        v.mul_(two).addcmul_(g, g, value=1 - two)
        root = (v / self._warmth(two)).add_(EPSILON).sqrt_()
        return (m / root).mul_(-self.lr / self._warmth(one))

    def _warmth(self, beta):
        """1 − β^n, exact to the last digit also in float32 and for small n."""
        return -torch.expm1(self.n_steps * log(beta))


OPTIMIZERS = {"adagrad": Adagrad, "sgd": SGD, "rmsprop": RMSprop, "adam": Adam}


class RowSparse:
    """Applies a rule to dense parameters, and to the rows in use of item matrices.

    Parameters
    ----------
    rule : one of OPTIMIZERS.
    dense : list of nn.Parameter. Small ones are moved into one vector and become views
        of it, so that one operation moves them all.
    tables : item matrices by name, (I + 1, ·) or (I + 1,).
    l2 : weight decay, added to the gradient of what a step touches.
    grad_clip : largest norm of a step's gradients together, 0 for no limit.
    """

    def __init__(self, rule, dense, tables, l2=0.0, grad_clip=0.0):
        self.rule, self.tables, self.l2, self.grad_clip = rule, tables, l2, grad_clip
        rule.to(tables["output"].device)
        small = [i for i, p in enumerate(dense) if p.numel() < BLOCK]
        self.groups = [[i] for i in range(len(dense)) if i not in small]
        self.groups += [small] if small else []
        self.weights = [_flatten([dense[i] for i in group]) for group in self.groups]
        self.dense_state = [self._zeros(weights) for weights in self.weights]
        self.row_state = {name: self._zeros(table) for name, table in tables.items()}

    def _zeros(self, weights):
        return [torch.zeros_like(weights) for _ in range(self.rule.n_states)]

    @torch.no_grad()
    def step(self, g_dense, g_rows):
        """Move the weights. May change the gradients.

        g_dense : a gradient for each dense parameter. g_rows : by table, the rows in
        use (U,), each once, and their gradients (U, ·). Row I, which fills up ``rows``,
        may occur several times: its gradient is 0 and it stays 0.
        """
        g_dense = [_flat([g_dense[i] for i in group]) for group in self.groups]
        if self.l2:
            for g, weights in zip(g_dense, self.weights, strict=True):
                g.add_(weights, alpha=self.l2)
            for name, (rows, g) in g_rows.items():
                g.add_(self.tables[name].index_select(0, rows), alpha=self.l2)
        if self.grad_clip:
            self._clip([*g_dense, *(g for _, g in g_rows.values())])
        self.rule.begin_step()
        for g, weights, states in zip(
            g_dense, self.weights, self.dense_state, strict=True
        ):
            for part in _blocks(g):
                weights[part].add_(self.rule.move(g[part], *[s[part] for s in states]))
        for name, (rows, g) in g_rows.items():
            for part in _blocks(g):
                self._move_rows(name, rows[part], g[part])

    def _move_rows(self, name, rows, g):
        states = self.row_state[name]
        used = [state.index_select(0, rows) for state in states]
        self.tables[name].index_add_(0, rows, self.rule.move(g, *used))
        for state, new in zip(states, used, strict=True):
            state.index_copy_(0, rows, new)

    def _clip(self, gradients):
        norm = torch.stack([g.norm() for g in gradients]).norm()
        scale = (self.grad_clip / norm).clamp(max=1)
        for g in gradients:
            g.mul_(scale)

    def state_dict(self):
        """The state as named tensors, for a checkpoint."""
        named = {
            f"rule.{name}": value for name, value in self.rule.state_dict().items()
        }
        everything = {**dict(enumerate(self.dense_state)), **self.row_state}
        for name, states in everything.items():
            named |= {f"{name}.{i}": state for i, state in enumerate(states)}
        return named


def _flatten(parameters):
    """One vector that holds all parameters; they become views of it."""
    flat = _flat([p.data for p in parameters])
    start = 0
    for p in parameters:
        p.data = flat[start : start + p.numel()].view_as(p)
        start += p.numel()
    return flat


def _flat(tensors):
    tensors = [t.reshape(-1) for t in tensors]
    return torch.cat(tensors) if len(tensors) > 1 else tensors[0]


def _blocks(tensor):
    """Slices of the first dimension; on a CPU small enough for its cache."""
    n = len(tensor)
    size = n if tensor.is_cuda else max(1, BLOCK * n // tensor.numel())
    return [slice(i, i + size) for i in range(0, n, size)]

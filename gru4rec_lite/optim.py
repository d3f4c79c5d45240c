"""Row-sparse optimisers (lesson 07): only the rows that a step used are touched.

A step uses some two thousand of perhaps a million rows of the item matrices. Weights,
accumulators and velocities of all other rows stay as they are. Each rule below is
written once, for a gradient and its state, and serves both whole matrices and rows.

Sources: Duchi et al. 2011 (Adagrad), Kingma & Ba 2015 (Adam), Tieleman & Hinton 2012
(RMSprop); Adagrad with momentum as in Hidasi et al. 2016's program.
"""

from math import log

import torch

from . import compiled, memory

EPSILON = 1e-6  # inside the root, which keeps it away from 1 / 0
BLOCK = 2**16  # numbers that a CPU's cache holds together with what goes with them


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
        return _scaled(g, acc, v, self.lr, self.momentum)


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
        return _scaled(g, acc, v, self.lr, self.momentum)


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
        n = self.n_steps.to(v.dtype)
        # expm1: 1 − β^n itself would lose digits in float32 while n is small.
        root = (v / -torch.expm1(n * log(two))).add_(EPSILON).sqrt_()
        return (m / root).mul_(self.lr / torch.expm1(n * log(one)))


def _scaled(g, acc, v, lr, momentum):
    """v = momentum · v − lr · g / √(acc + ε), in as few passes as possible."""
    scale = (acc + EPSILON).rsqrt_()
    if v is None:
        return scale.mul_(g).mul_(-lr)
    return v.mul_(momentum).addcmul_(g, scale, value=-lr)


OPTIMIZERS = {"adagrad": Adagrad, "sgd": SGD, "rmsprop": RMSprop, "adam": Adam}


class RowSparse:
    """Applies a rule to dense parameters, and to the rows in use of item matrices.

    Parameters
    ----------
    rule : one of OPTIMIZERS.
    dense : list of nn.Parameter. They are moved into one vector and become views of
        it, so that one operation moves them all.
    tables : item matrices by name, (I + 1, ·) or (I + 1,).
    l2 : weight decay, added to the gradient of what a step touches.
    grad_clip : largest norm of a step's gradients together, 0 for no limit.
    gradient_dtype : what the gradients of dense parameters are kept in; by default what
        the parameters are.

    Attributes
    ----------
    gradients : a tensor for each dense parameter, to be filled before ``step``.
    """

    def __init__(self, rule, dense, tables, l2=0.0, grad_clip=0.0, gradient_dtype=None):
        self.rule, self.tables, self.l2, self.grad_clip = rule, tables, l2, grad_clip
        rule.to(tables["output"].device)
        weights = torch.cat([p.data.reshape(-1) for p in dense])
        self.dense = _zeros_like(weights).copy_(weights)
        self.dense_gradient = _zeros_like(weights, gradient_dtype)
        sizes = [p.numel() for p in dense]
        self.gradients = []
        for p, weights, gradient in zip(
            dense,
            self.dense.split(sizes),
            self.dense_gradient.split(sizes),
            strict=True,
        ):
            p.data = weights.view_as(p)
            self.gradients.append(gradient.view_as(p))
        self.dense_state = self._zeros(self.dense)
        self.row_state = {name: self._zeros(table) for name, table in tables.items()}
        self.arrays = {}  # what the compiled rule moves, as NumPy sees it
        on_cpu = self.dense.device.type == "cpu"
        if compiled.kernels is not None and on_cpu and type(rule) is Adagrad:
            states = self.dense_state
            used = self.dense, states[0], states[-1]
            self.arrays["dense"] = [t.numpy() for t in used]
            for name, table in tables.items():
                states = self.row_state[name]
                used = table, states[0], states[-1]
                self.arrays[name] = [t.view(len(t), -1).numpy() for t in used]
            number = self.arrays["dense"][0].dtype.type  # float32 stays float32
            self.numbers = [number(x) for x in (rule.lr, rule.momentum, EPSILON)]

    def _zeros(self, weights):
        return [_zeros_like(weights) for _ in range(self.rule.n_states)]

    @torch.no_grad()
    def step(self, g_rows):
        """Move the weights: dense ones by ``gradients``, and rows of item matrices.

        g_rows : by table, the rows in use (U,), each once, and their gradients (U, ·),
        which may be changed. Row I, which fills up ``rows``, may occur several times:
        its gradient is 0 and it stays 0.
        """
        g_dense = self.dense_gradient
        if self.l2 or self.grad_clip:  # in the weights' precision
            g_dense = self._wide(g_dense)
            g_rows = {name: (rows, self._wide(g)) for name, (rows, g) in g_rows.items()}
        if self.l2:
            g_dense.add_(self.dense, alpha=self.l2)
            for name, (rows, g) in g_rows.items():
                g.add_(self.tables[name].index_select(0, rows), alpha=self.l2)
        if self.grad_clip:
            self._clip([g_dense, *(g for _, g in g_rows.values())])
        self.rule.begin_step()
        if self.arrays:
            arrays, numbers, kernels = self.arrays, self.numbers, compiled.kernels
            kernels.adagrad(
                len(g_dense), *arrays["dense"], kernels.array(g_dense), *numbers
            )
            for name, (rows, g) in g_rows.items():
                used = rows.numpy(), kernels.array(g.view(len(rows), -1))
                kernels.adagrad_rows(len(rows), *arrays[name], *used, *numbers)
            return
        for part in blocks(self.dense):
            states = [state[part] for state in self.dense_state]
            self.dense[part].add_(self.rule.move(self._wide(g_dense[part]), *states))
        for name, (rows, g) in g_rows.items():
            for part in blocks(g):
                self._move_rows(name, rows[part], self._wide(g[part]))

    def _wide(self, g):
        return g.to(self.dense.dtype)

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
        everything = {"dense": self.dense_state, **self.row_state}
        for name, states in everything.items():
            named |= {f"{name}.{i}": state for i, state in enumerate(states)}
        return named


def _zeros_like(weights, dtype=None):
    return memory.zeros(weights.shape, dtype or weights.dtype, weights.device)


def blocks(tensor):
    """Slices of the first dimension; on a CPU small enough for its cache."""
    n = len(tensor)
    size = n if tensor.is_cuda else max(1, BLOCK * n // tensor.numel())
    return [slice(i, i + size) for i in range(0, n, size)]

"""Row-sparse optimisers (lesson 07): only the rows that a step used are touched.

A step uses some two thousand of perhaps a million rows of the item matrices. Weights,
accumulators and velocities of all other rows stay as they are. Each rule below is
written once, for a gradient and its state, and serves both whole matrices and rows.

Sources: Duchi et al. 2011 (Adagrad), Kingma & Ba 2015 (Adam), Tieleman & Hinton 2012
(RMSprop); Adagrad with momentum as in Hidasi et al. 2016's program.
"""

import torch

EPSILON = 1e-6  # inside the root, which keeps it away from 1 / 0


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
        root = (v / (1 - two**self.n_steps)).add_(EPSILON).sqrt_()
        return (m / root).mul_(-self.lr / (1 - one**self.n_steps))


OPTIMIZERS = {"adagrad": Adagrad, "sgd": SGD, "rmsprop": RMSprop, "adam": Adam}

"""The textbook way to train GRU4Rec: every step as one would first write it.

nn.Embedding with sparse gradients, nn.GRUCell, autograd, Adagrad with momentum on the
sparse gradients, negatives by binary search on the cumulative distribution, one loop
over slots that decides which session comes next, and the loss read back at every step.
It is meant to be honest: no work that the model does not need, no waiting.
"""

import torch
import torch.nn.functional as F
from torch import nn

EPSILON = 1e-6


def train(sessions, p, device):
    """Train one epoch with GRU4Rec's parameters p. Returns the mean loss, the steps."""
    torch.manual_seed(p["seed"])
    batch_size, n_sample, size = p["batch_size"], p["n_sample"], p["layers"][0]
    embedding = nn.Embedding(sessions.n_items, size, sparse=True, device=device)
    bias = nn.Embedding(sessions.n_items, 1, sparse=True, device=device)
    cell = nn.GRUCell(size, size, device=device)
    nn.init.zeros_(bias.weight)
    bound = (6 / (sessions.n_items + size)) ** 0.5
    nn.init.uniform_(embedding.weight, -bound, bound)
    optimizer = SparseAdagrad(
        [embedding.weight, bias.weight, *cell.parameters()],
        p["learning_rate"],
        p["momentum"],
    )
    support = torch.from_numpy(sessions.support).to(device, torch.float32)
    weight = support ** p["sample_alpha"]
    cumulative = torch.cumsum(weight, 0) / weight.sum()
    log_q, log_q_drawn = support.log(), weight.log()
    diagonal = torch.eye(batch_size, batch_size + n_sample, device=device)
    state = torch.zeros(batch_size, size, device=device)
    total, n_steps = 0.0, 0

    for inputs, targets, reset in batches(sessions, batch_size):
        inputs = torch.tensor(inputs, device=device)
        targets = torch.tensor(targets, device=device)
        if any(reset):
            state = state.clone()
            state[torch.tensor(reset, device=device)] = 0
        drawn = torch.searchsorted(cumulative, torch.rand(n_sample, device=device))
        drawn = drawn.clamp_(max=sessions.n_items - 1)
        candidates = torch.cat([targets, drawn])  # (B + N,)

        rows = embedding(torch.cat([inputs, candidates]))
        x, output = rows[:batch_size], rows[batch_size:]
        x = F.dropout(x, p["dropout_p_embed"])
        hidden = F.dropout(cell(x, state), p["dropout_p_hidden"])  # (B, H)
        scores = hidden @ output.T + bias(candidates).T  # (B, B + N)
        if p["loss"] == "cross-entropy":
            scores = scores - torch.cat([log_q[targets], log_q_drawn[drawn]])
            loss = F.cross_entropy(scores, torch.arange(batch_size, device=device))
        else:
            loss = bpr_max(F.elu(scores, p["elu_param"]), diagonal, p["bpreg"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        state = hidden.detach()
        total += loss.item()
        n_steps += 1
    return total / n_steps, n_steps


def bpr_max(scores, diagonal, bpreg):
    positive = scores.diagonal()[:, None]  # (B, 1)
    weight = torch.softmax(scores.masked_fill(diagonal.bool(), -torch.inf), 1)
    ranking = (weight * torch.sigmoid(positive - scores)).sum(1)
    return (-torch.log(ranking + 1e-24) + bpreg * (weight * scores**2).sum(1)).mean()


def batches(sessions, batch_size):
    """Inputs, targets and resets of every step with all slots open."""
    items, offsets = sessions.items.tolist(), sessions.offsets.tolist()
    at, end = offsets[:batch_size], [o - 1 for o in offsets[1 : batch_size + 1]]
    following, reset = batch_size, [True] * batch_size
    while True:
        yield [items[i] for i in at], [items[i + 1] for i in at], reset
        reset = [False] * batch_size
        for slot in range(batch_size):
            at[slot] += 1
            if at[slot] == end[slot]:
                if following == len(offsets) - 1:
                    return
                at[slot], end[slot] = offsets[following], offsets[following + 1] - 1
                reset[slot] = True
                following += 1


class SparseAdagrad(torch.optim.Optimizer):
    """Adagrad with momentum; of a sparse gradient only the rows present are moved."""

    def __init__(self, parameters, lr, momentum):
        super().__init__(parameters, {"lr": lr, "momentum": momentum})
        for p in self.param_groups[0]["params"]:
            self.state[p] = {
                "acc": torch.zeros_like(p),
                "velocity": torch.zeros_like(p),
            }

    @torch.no_grad()
    def step(self):
        group = self.param_groups[0]
        for p in group["params"]:
            acc, velocity = self.state[p]["acc"], self.state[p]["velocity"]
            if p.grad.is_sparse:
                g = p.grad.coalesce()
                rows, g = g.indices()[0], g.values()
                row_acc = acc.index_select(0, rows).addcmul_(g, g)
                step = g / torch.sqrt(row_acc + EPSILON)
                move = velocity.index_select(0, rows).mul_(group["momentum"])
                move.sub_(step, alpha=group["lr"])
                acc.index_copy_(0, rows, row_acc)
                velocity.index_copy_(0, rows, move)
                p.index_add_(0, rows, move)
            else:
                acc.addcmul_(p.grad, p.grad)
                velocity.mul_(group["momentum"])
                velocity.sub_(p.grad / torch.sqrt(acc + EPSILON), alpha=group["lr"])
                p.add_(velocity)

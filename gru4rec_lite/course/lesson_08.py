"""Lesson 08: one plain training loop with mistakes to switch on, and its figures.

`Careless` is GRU4Rec as one would first write it: autograd, a loop, Adagrad on the rows
in use. Its only unusual argument is a list of mistakes to make. Without one it gives
the package's numbers. Mistakes: Hidasi & Czapp 2023 (arXiv 2307.14956, of the model;
2307.14951, of evaluation), and questions in public trackers.
"""

from copy import copy
from typing import NamedTuple

import ipywidgets as widgets
import numpy as np
import torch
from IPython.display import Markdown, display
from torch import nn

from ..batching import session_parallel
from ..errors import ParameterError
from ..evaluation import evaluate, recall_at
from ..network import Network
from ..recommender import Recommender
from ..sampling import NegativeSampler
from ..sessions import Sessions
from . import plots

SETTINGS = {  # as GRU4Rec takes them
    "layers": [50], "loss": "cross-entropy", "batch_size": 64, "n_epochs": 2,
    "learning_rate": 0.1, "momentum": 0.2, "dropout_p_hidden": 0.1, "n_sample": 256,
    "sample_alpha": 0.5, "logq": 1.0,
}  # fmt: skip
BPR_MAX = {
    **SETTINGS, "loss": "bpr-max", "learning_rate": 0.1, "logq": 0.0, "bpreg": 1.0,
    "elu_param": 1.0,
}  # fmt: skip


class Mistake(NamedTuple):
    """where: the part of the program; what is done wrong; how one can recognise it."""

    where: str
    what: str
    symptom: str


MISTAKES = {
    "state kept": Mistake(
        "state", "in training the hidden state is not reset for a new session",
        "loss a little higher; in training, scores after a first click depend on who "
        "had the slot before",
    ),
    "state kept everywhere": Mistake(
        "state", "no reset in training, and none in testing",
        "Recall@20 changes when the test sessions are read in another order",
    ),
    "wrong slot reset": Mistake(
        "state", "a new session resets its neighbour's slot",
        "loss a little higher than it should be; with one slot all is well",
    ),
    "reset too late": Mistake(
        "state", "the reset comes after the new session's first step",
        "loss a little higher; in training, the second click meets zeros",
    ),
    "state not carried": Mistake(
        "state", "the new state is dropped; each click meets zeros",
        "the same list whatever was clicked before the last click; "
        "Recall@20 gains little as a session goes on",
    ),
    "batches shuffled": Mistake(
        "state", "steps in random order, the state carried from one to the next",
        "the loss stays high; Recall@20 gains little as a session goes on",
    ),
    "clicks by item": Mistake(
        "sessions", "the clicks of a session sorted by item, not by time",
        "the training loss looks too good; case → phone instead of phone → case",
    ),
    "sessions by item": Mistake(
        "sessions", "sessions sorted by their first item",
        "loss higher than in order of time: neighbours look at the same things",
    ),
    "sessions by ID": Mistake(
        "sessions", "sessions sorted by their ID, as text",
        "the latest sessions do not come last; shows where fashions change",
    ),
    "positive among negatives": Mistake(
        "negatives", "the target is also one of its own negatives",
        "the loss of a row cannot fall below a floor: log 2 for cross-entropy",
    ),
    "negatives apart": Mistake(
        "negatives", "each slot has its own share of the drawn items",
        "a loss far lower than others report: a row has few negatives",
    ),
    "targets apart": Mistake(
        "negatives", "the other slots' targets are not used",
        "hardly any while N is large; found by comparing with a reference",
    ),
    "uniform only": Mistake(
        "negatives", "drawn uniformly, and nothing else",
        "a low loss; the more items, the easier they are to beat",
    ),
    "one negative each": Mistake(
        "negatives", "one drawn item for each target",
        "the loss is close to zero early on, yet the lists are poor and too popular",
    ),
    "softmax twice": Mistake(
        "loss", "softmax, then a cross-entropy that has a softmax inside",
        "the loss hardly moves: its floor is one below log(B + N)",
    ),
    "no logq": Mistake(
        "loss", "no correction for popularity (a missing feature)",
        "lists full of rare items",
    ),
    "logq without alpha": Mistake(
        "loss", "drawn items corrected by support, not support^alpha",
        "lists more popular than they should be",
    ),
    "max loss without softmax": Mistake(
        "loss", "BPR-max with the plain mean over negatives",
        "each negative's push shrinks as N grows (lesson 09)",
    ),
    "loss summed": Mistake(
        "loss", "summed over the slots instead of divided by B",
        "a loss B times as large; harmless for Adagrad, not for SGD",
    ),
    "mean over open slots": Mistake(
        "loss", "divided by the open slots instead of B",
        "worst right after an epoch, whose last steps weigh too much",
    ),
    "all rows moved": Mistake(
        "update", "momentum moves rows that the step did not use",
        "items change that nobody clicked; time grows with the number of items",
    ),
    "rows overwritten": Mistake(
        "update", "of a repeated item's gradients only the last is used",
        "another result when the candidates are put in another order",
    ),
    "no dropout": Mistake(
        "update", "dropout left out of training (a missing feature)",
        "a training loss lower than with it",
    ),
    "state kept in testing": Mistake(
        "testing", "test sessions inherit the state of others",
        "Recall@20 after a first click changes with the order of the sessions",
    ),
    "dropout in testing": Mistake(
        "testing", "model.eval() forgotten",
        "two evaluations of one model differ",
    ),
    "tied scores": Mistake(
        "testing", "scores after a tanh in half precision; ties counted as hits",
        "the conservative and the standard rule for ties differ",
    ),
    "only the last click tested": Mistake(
        "testing", "one prediction a session",
        "as many predictions as sessions",
    ),
    "100 sampled negatives": Mistake(
        "testing", "the target ranked among 100 random items",
        "Recall@20 close to 1; the gap between good and poor models closes",
    ),
    "repeats removed": Mistake(
        "testing", "repeated clicks taken out of the test sessions",
        "fewer predictions than in the paper that you compare with",
    ),
    "test sorted by item": Mistake(
        "testing", "clicks sorted by item, in training and in testing",
        "much too good; with test clicks in true order it is much too bad",
    ),
    "test sessions in training": Mistake(
        "testing", "the model has been trained on what it is tested on",
        "Recall@20 jumps when the test sessions are read; poor on a fresh day",
    ),
    "random split": Mistake(
        "testing", "test sessions drawn at random, not the last days",
        "test sessions older than training sessions",
    ),
}  # fmt: skip


class Careless(Recommender):
    """GRU4Rec in plain PyTorch, with the mistakes in ``mistakes``.

    mistakes : names from MISTAKES
    seed : as of GRU4Rec
    settings : arguments of GRU4Rec, those of SETTINGS where not given

    Attributes after fit: item_ids; weights, a dict of tensors; losses, one a step.
    """

    def __init__(self, mistakes=(), seed=0, dtype=torch.float32, **settings):
        self.mistakes = {mistakes} if isinstance(mistakes, str) else set(mistakes)
        self.seed, self.dtype, self.settings = seed, dtype, {**SETTINGS, **settings}

    def fit(self, sessions, watch=None, n_watch=4):
        """Train. watch(model, epochs so far) is called n_watch times an epoch."""
        if unknown := self.mistakes - set(MISTAKES):
            raise ParameterError(
                f"mistakes={sorted(unknown)} are not allowed; expected some of "
                f"{list(MISTAKES)}"
            )
        p, wrong = self.settings, self.mistakes
        self.item_ids, self.losses = sessions.item_ids, []
        sessions, order = _arrange(sessions, wrong)
        schedule = session_parallel(sessions.offsets, p["batch_size"], order)
        support = torch.from_numpy(sessions.support).to(self.dtype)
        self.log_support = support.clamp(min=1).log()  # (I,)
        alpha = 0.0 if "uniform only" in wrong else p["sample_alpha"]
        self.sampler = NegativeSampler(sessions.support, alpha)
        items = torch.from_numpy(sessions.items).long()
        stops = np.linspace(0, schedule.n_steps, n_watch + 1).astype(int)[1:]
        with torch.random.fork_rng(devices=[]):
            self._begin(sessions.n_items)
            for epoch in range(p["n_epochs"]):
                rng = np.random.default_rng([self.seed, epoch])
                torch.manual_seed(int(rng.integers(2**62)))
                steps = np.arange(schedule.n_steps)
                if "batches shuffled" in wrong:
                    np.random.default_rng(epoch).shuffle(steps)
                h = torch.zeros(p["batch_size"], p["layers"][0], dtype=self.dtype)
                for done, t in enumerate(steps.tolist(), start=1):
                    drawn = torch.from_numpy(self.sampler.draw(p["n_sample"], rng))
                    position = torch.from_numpy(schedule.position[t]).long()  # (B,)
                    starts = torch.from_numpy(schedule.reset[t])  # (B,)
                    self._step(items, position, starts, drawn.long(), h)
                    if watch is not None and done in stops:
                        watch(self, epoch + done / schedule.n_steps)
        return self

    def _begin(self, n_items):
        """The package's first weights, and the optimiser's memory of each."""
        torch.manual_seed(self.seed)
        network = Network(n_items, self.settings["layers"], shared=True)
        size = self.settings["layers"][0]
        self.cell = nn.GRUCell(size, size, dtype=self.dtype)
        self.cell.load_state_dict(network.cells[0].state_dict())
        output, bias = network.output[:-1], network.output_bias[:-1]
        self.weights = {
            "output": output.to(self.dtype).clone(),  # (I, H), the embedding, too
            "bias": bias.to(self.dtype).clone(),  # (I,)
            **{name: value.detach() for name, value in self.cell.named_parameters()},
        }
        self.squares = {k: torch.zeros_like(w) for k, w in self.weights.items()}
        self.velocity = {k: torch.zeros_like(w) for k, w in self.weights.items()}

    def _step(self, items, position, starts, drawn, h):
        """One step: forward, loss, gradients, update. Changes the state h (B, H)."""
        wrong, w = self.mistakes, self.weights
        late = starts.clone()
        if wrong & {"state kept", "state kept everywhere", "reset too late"}:
            starts = torch.zeros_like(starts)
        if "wrong slot reset" in wrong:
            starts = starts.roll(1)
        if "state not carried" in wrong:
            starts = torch.ones_like(starts)
        h[starts] = 0
        is_open = position >= 0  # (B,)
        position = position[is_open]  # (b,)
        inputs, targets = items[position], items[position + 1]  # (b,)
        candidates = torch.cat([targets, drawn])  # (b + N,)

        x = w["output"][inputs].requires_grad_()  # (b, H)
        output = w["output"][candidates].requires_grad_()  # (b + N, H)
        bias = w["bias"][candidates].requires_grad_()  # (b + N,)
        hidden = self.cell(x, h[is_open])  # (b, H)
        if "no dropout" not in wrong:
            hidden = self._dropout(hidden)
        scores = hidden @ output.T + bias  # (b, b + N)
        cost = self._loss(scores, candidates)
        leaves = [x, output, bias, *self.cell.parameters()]
        g_x, g_output, g_bias, *g_cell = torch.autograd.grad(cost, leaves)

        h[is_open] = hidden.detach()  # a value: no gradient goes further back
        if "reset too late" in wrong:
            h[late] = 0
        g_output, used = torch.cat([g_output, g_x]), torch.cat([candidates, inputs])
        self._move("output", g_output, used)
        self._move("bias", g_bias, candidates)
        for (name, _), g in zip(self.cell.named_parameters(), g_cell, strict=True):
            self._move(name, g)
        self.losses.append(cost.item())

    def _dropout(self, hidden):
        p = self.settings["dropout_p_hidden"]
        keep = torch.rand(hidden.shape) >= p
        return hidden * (keep * (1 / (1 - p)))

    def _loss(self, scores, candidates):
        """Sum over the open slots, divided by B. scores (b, b + N)."""
        p, wrong, b = self.settings, self.mistakes, len(scores)
        if p["logq"] and not wrong & {"no logq", "uniform only"}:
            log_q = self.log_support[candidates]  # (b + N,)
            if "logq without alpha" not in wrong:
                log_q[b:] *= p["sample_alpha"]
            scores = scores - p["logq"] * log_q
        own = torch.eye(*scores.shape, dtype=torch.bool)  # (b, b + N)
        negative = self._negatives(own)
        positive = scores.diagonal()[:, None]  # (b, 1)
        if p["loss"] == "cross-entropy":
            if "softmax twice" in wrong:
                scores = torch.softmax(scores, 1)
                positive = scores.diagonal()[:, None]
            rest = scores.masked_fill(~negative, -torch.inf)
            rows = torch.cat([positive, rest], 1).logsumexp(1) - positive[:, 0]
        else:  # BPR-max
            scores = nn.functional.elu(scores, p["elu_param"])
            positive = scores.diagonal()[:, None]
            weight = scores.masked_fill(~negative, -torch.inf).softmax(1)
            if "max loss without softmax" in wrong:
                weight = negative / negative.sum(1, keepdim=True)
            ranking = (weight * torch.sigmoid(positive - scores)).sum(1)
            penalty = (weight * scores**2).sum(1)
            rows = -ranking.clamp(min=1e-30).log() + p["bpreg"] * penalty  # (b,)
        if "loss summed" in wrong:
            return rows.sum()
        return rows.sum() / (b if "mean over open slots" in wrong else p["batch_size"])

    def _negatives(self, own):
        """Which candidates are negatives of which row, bool (b, b + N)."""
        wrong, b = self.mistakes, len(own)
        negative = ~own
        if "positive among negatives" in wrong:
            negative = torch.ones_like(own)
        if wrong & {"targets apart", "uniform only", "one negative each"}:
            negative[:, :b] = False
        n = own.shape[1] - b
        if "negatives apart" in wrong:
            mine = torch.arange(n) % b == torch.arange(b)[:, None]  # (b, N)
            negative[:, b:] = mine
        if "one negative each" in wrong:
            negative[:, b:] = torch.eye(b, n, dtype=torch.bool)
        return negative

    def _move(self, name, g, rows=None):
        """Adagrad with momentum; of item matrices only the rows in use, each once."""
        p, wrong, eps = self.settings, self.mistakes, 1e-6
        w, squares, v = self.weights[name], self.squares[name], self.velocity[name]
        if rows is None:
            rows = slice(None)
        else:
            rows, place = rows.unique(return_inverse=True)
            g = self._gather(g, place, len(rows))
            if "all rows moved" in wrong:
                g = torch.zeros_like(w).index_add_(0, rows, g)
                rows = slice(None)
        squared = squares[rows] + g**2
        step = p["momentum"] * v[rows] - p["learning_rate"] * g / (squared + eps).sqrt()
        squares[rows], v[rows] = squared, step
        w[rows] += step

    def _gather(self, g, place, n):
        """One gradient for each of n rows, from those of all their occurrences."""
        if "rows overwritten" in self.mistakes:  # whoever writes last is right
            last = torch.zeros(n, dtype=torch.long)
            return g[last.scatter_reduce_(0, place, torch.arange(len(g)), "amax")]
        return torch.zeros(n, *g.shape[1:], dtype=g.dtype).index_add_(0, place, g)

    @torch.no_grad()
    def score_after(self, sessions, wanted):
        """Scores after the wanted clicks; see Recommender.score_after."""
        wrong, w = self.mistakes, self.weights
        # One click more each: the schedule then reads the last click of each, too.
        S = sessions.n_sessions
        longer = sessions.offsets + np.arange(S + 1)
        click = np.arange(longer[-1]) - np.repeat(np.arange(S), sessions.lengths + 1)
        schedule = session_parallel(longer, batch_size=256)
        h = torch.zeros(256, w["output"].shape[1], dtype=self.dtype)
        torch.manual_seed(0)
        for position, starts in zip(schedule.position, schedule.reset, strict=True):
            if wrong & {"state kept in testing", "state kept everywhere"}:
                starts = np.zeros_like(starts)
            if "state not carried" in wrong:
                starts = np.ones_like(starts)
            h[torch.from_numpy(starts)] = 0
            is_open = position >= 0
            at = click[position[is_open]]  # (b,) as the sessions count them
            x = w["output"][torch.from_numpy(sessions.items[at]).long()]  # (b, H)
            hidden = self.cell(x, h[torch.from_numpy(is_open)])  # (b, H)
            if "dropout in testing" in wrong:
                hidden = self._dropout(hidden)
            h[torch.from_numpy(is_open)] = hidden
            asked = wanted[at]
            scores = hidden[torch.from_numpy(asked)] @ w["output"].T + w["bias"]
            if "tied scores" in wrong:
                scores = scores.tanh().half().float()
            yield at[asked], scores


def _arrange(sessions, wrong):
    """The sessions as training sees them, and the order in which they take slots."""
    order = None
    if "clicks by item" in wrong:
        session = np.repeat(np.arange(sessions.n_sessions), sessions.lengths)
        items = sessions.items[np.lexsort([sessions.items, session])]
        sessions = Sessions(
            items, sessions.times, sessions.offsets, sessions.session_ids,
            sessions.item_ids,
        )  # fmt: skip
    if "sessions by item" in wrong:
        order = np.argsort(sessions.items[sessions.offsets[:-1]], kind="stable")
    if "sessions by ID" in wrong:
        order = np.argsort(sessions.session_ids.astype(str), kind="stable")
    return sessions, order


# ---- what a mistake costs --------------------------------------------------------


def observe(shop, mistake, loss="cross-entropy", seed=0, n_epochs=2):
    """Train with a mistake, or with "no mistake". Returns the model and what was seen.

    What was seen is a dict: Recall@20 on the test sessions and the mean training loss
    after each quarter of an epoch ("recall 0.25", "loss 0.25", ...), and at the end
    Recall@20 after the first, second, ... click, and how popular the lists are.
    """
    train, test = shop.train, shop.test
    if mistake == "test sessions in training":
        train, mistake = _joined(train, test), "no mistake"
    if mistake == "random split":
        train, test, mistake = *_random_split(train, test), "no mistake"
    settings = SETTINGS if loss == "cross-entropy" else BPR_MAX
    model = Careless([] if mistake == "no mistake" else [mistake], seed, **settings)
    model.settings["n_epochs"] = n_epochs
    seen, since = {}, 0

    def watch(model, epochs):
        nonlocal since
        report = evaluate(model, test, progress=False)
        seen[f"loss {epochs:.2f}"] = np.mean(model.losses[since:])
        seen[f"recall {epochs:.2f}"] = report.recall[20]
        since = len(model.losses)

    model.fit(train, watch)
    report = evaluate(model, test, progress=False)
    by_click = report.by_position(bins=6)["Recall@20"]
    seen |= {f"after click {n + 1}": value for n, value in enumerate(by_click)}
    listed = model.score(test).topk(20).indices.numpy()  # (S, 20)
    seen["median support of lists"] = float(np.median(train.support[listed]))
    if mistake == "clicks by item":
        report = evaluate(model, _arrange(test, {mistake})[0], progress=False)
        seen["recall, test sorted too"] = report.recall[20]
    return model, seen


def first_sessions(sessions, n):
    """The first n sessions."""
    return _some(sessions, np.arange(sessions.n_sessions) < n)


def _joined(train, test):
    """Training and test sessions as one."""
    return Sessions(
        np.concatenate([train.items, test.items]),
        np.concatenate([train.times, test.times]),
        np.concatenate([train.offsets, test.offsets[1:] + train.n_clicks]),
        np.concatenate([train.session_ids, test.session_ids]),
        train.item_ids,
    )


def _random_split(train, test):
    """As many training and test sessions as there were, but drawn at random."""
    both = _joined(train, test)
    tested = np.zeros(both.n_sessions, bool)
    tested[np.random.default_rng(0).permutation(both.n_sessions)[: test.n_sessions]] = 1
    return _some(both, ~tested), _some(both, tested)


def _some(sessions, chosen):
    """The chosen sessions, bool (S,)."""
    clicks = np.repeat(chosen, sessions.lengths)
    return Sessions(
        sessions.items[clicks], sessions.times[clicks],
        np.concatenate([[0], sessions.lengths[chosen].cumsum()]),
        sessions.session_ids[chosen], sessions.item_ids,
    )  # fmt: skip


# What only an evaluation can get wrong: no other training is needed.
OF_TESTING = [
    "state kept in testing", "dropout in testing", "tied scores",
    "only the last click tested", "100 sampled negatives", "repeats removed",
]  # fmt: skip
WITH_BPR_MAX = [
    "max loss without softmax", "positive among negatives", "negatives apart",
    "targets apart", "uniform only", "one negative each",
]  # fmt: skip


def trainings():
    """The trainings to be measured: label to arguments of `observe`."""
    without = {*OF_TESTING, "test sorted by item", "max loss without softmax"}
    often = ["no mistake", *(name for name in MISTAKES if name not in without)]
    runs = [(mistake, "cross-entropy", 0) for mistake in often]
    runs += [(mistake, "bpr-max", 0) for mistake in ["no mistake", *WITH_BPR_MAX]]
    runs += [(mistake, "cross-entropy", 1) for mistake in often]
    return {
        f"{loss}, {mistake}, seed {seed}": {
            "mistake": mistake, "loss": loss, "seed": seed,
        }
        for mistake, loss, seed in runs
    }  # fmt: skip


def reported(model, test, mistake):
    """Recall@20 that a mistake of testing reports of a model trained without one."""
    if mistake == "repeats removed":
        test = test.filter(drop_repeats=True)
    careless = copy(model)
    careless.mistakes = {mistake} & {
        "state kept in testing", "dropout in testing", "tied scores",
    }  # fmt: skip
    report = evaluate(careless, test, progress=False)
    ranks = report.ranks
    if mistake == "tied scores":
        ranks = report.with_ties("standard").ranks
    if mistake == "only the last click tested":
        ranks = ranks[np.append(np.diff(report.session) > 0, True)]
    if mistake == "100 sampled negatives":  # how many of the 100 stand above it
        n_items, above = len(model.item_ids), report.ranks - 1
        rng = np.random.default_rng(0)
        drawn = min(100, n_items - 1)
        ranks = 1 + rng.hypergeometric(above, n_items - 1 - above, drawn)
    return recall_at(ranks, 20)


def compare(curves, models, test, mistake, loss="cross-entropy"):
    """Recall@20 without and with a mistake, by seed, and the mean change: a dict.

    curves : docs/lesson_08_curves.csv, in which those of training stand
    models : seed to a model trained without a mistake, for those of testing
    """
    rows = curves[curves["loss"] == loss].set_index(["mistake", "seed"])["recall 2.00"]
    right = rows.loc["no mistake"]  # by seed
    if mistake in OF_TESTING:
        wrong = {seed: reported(models[seed], test, mistake) for seed in right.index}
    elif mistake == "test sorted by item":
        sorted_too = curves.set_index(["mistake", "seed"])["recall, test sorted too"]
        wrong = sorted_too.loc["clicks by item"]
    else:
        wrong = rows.loc[mistake]
    result = {"mistake": mistake, "loss": loss}
    for seed in right.index:
        result[f"without_{seed}"], result[f"with_{seed}"] = right[seed], wrong[seed]
    result |= {f"change_{seed}": wrong[seed] - right[seed] for seed in right.index}
    result["change"] = np.mean([wrong[seed] - right[seed] for seed in right.index])
    return result


def noise(table):
    """Twice the standard error of a change, from how far the two seeds lie apart.

    table : docs/lesson_08_mistakes.csv
    """
    between_seeds = (table["with_1"] - table["with_0"]).dropna()
    return 2 * np.sqrt((between_seeds**2).mean() / 2)


# ---- figures ---------------------------------------------------------------------


def pick(curves, mistake, loss="cross-entropy", what="recall"):
    """A curve of the measured table: mean over the seeds, by epochs."""
    rows = curves[(curves["mistake"] == mistake) & (curves["loss"] == loss)]
    columns = [name for name in curves if name.startswith(f"{what} ") and "." in name]
    line = rows[columns].mean()
    return line.set_axis([float(name.split()[1]) for name in columns])


def pair(curves, mistake, loss="cross-entropy"):
    """Training loss and Recall@20 over epochs, without and with a mistake."""
    figure, panels = plots.new_figure(2, height=3.2)
    labels = {"loss": "training loss", "recall": "Recall@20 on the test sessions"}
    for axes, (what, ylabel) in zip(panels, labels.items(), strict=True):
        right = pick(curves, "no mistake", loss, what)
        axes.plot(right, color=plots.NAVY, marker="o", lw=2, label="no mistake")
        wrong = pick(curves, mistake, loss, what)
        axes.plot(
            wrong, color=plots.VERMILION, marker="X", ms=8, ls="--", lw=2, label=mistake
        )
        axes.set(xlabel="epochs", ylabel=ylabel)
    panels[1].set_ylim(0, 1.1 * panels[1].get_ylim()[1])
    panels[1].yaxis.set_major_formatter("{x:.0%}")
    figure.legend(*panels[1].get_legend_handles_labels(), loc="outside upper center",
                  ncols=2)  # fmt: skip
    return figure


class Chooser(widgets.VBox):
    """A dropdown of mistakes; the two curves and the symptom of the chosen one.

    Attributes: mistake, the dropdown; symptom, the text; shown, the figure.
    """

    def __init__(self, curves, start="softmax twice"):
        names = {
            f"{mistake} ({loss})": (mistake, loss)
            for loss, mistake in zip(curves["loss"], curves["mistake"], strict=True)
            if mistake != "no mistake"
        }
        chosen = next(value for value in names.values() if value[0] == start)
        self.mistake = widgets.Dropdown(
            options=names, value=chosen, description="mistake", layout={"width": "90%"}
        )
        self.symptom = widgets.HTML()

        def draw(mistake):
            one = MISTAKES[mistake[0]]
            self.symptom.value = (
                f"<b>{mistake[0]}</b>: {one.what}.<br><b>Symptom:</b> {one.symptom}."
            )
            display(pair(curves, *mistake))

        self.shown = widgets.interactive_output(draw, {"mistake": self.mistake})
        super().__init__([self.mistake, self.symptom, self.shown])

    def __repr__(self):
        return f"Chooser({len(self.mistake.options)} mistakes)"


def costs(table, noise=0.0, xlabel="change of Recall@20, percentage points"):
    """A bar a mistake, the dearest on top, each seed a dot; noise is shaded.

    table : DataFrame; columns mistake, change, and one for each seed, change_0, ...
    """
    table = table.sort_values("change")
    figure, axes = plots.new_figure(height=0.9 + 0.29 * len(table))
    axes.axvspan(-100 * noise, 100 * noise, color=plots.SKY, lw=0, zorder=0)
    at = np.arange(len(table))
    axes.barh(at, 100 * table["change"], color=plots.NAVY, height=0.62)
    drawn = 100 * table.filter(like="change").assign(zero=0.0)
    for column in table.filter(like="change_"):
        axes.plot(drawn[column], at, "o", ms=4, ls="", color=plots.AMBER)
    for y, value in zip(at, table["change"], strict=True):  # beside bar and dots
        side = "min" if value < 0 else "max"
        axes.annotate(
            points(value), (getattr(drawn.iloc[y], side)(), y), fontsize=8,
            xytext=(-5 if value < 0 else 5, 0), textcoords="offset points",
            ha="right" if value < 0 else "left", va="center",
        )  # fmt: skip
    axes.set_yticks(at, table["mistake"])
    axes.invert_yaxis()
    axes.margins(x=0.14, y=0.01)
    axes.axvline(0, color="#444444", lw=0.8)
    axes.grid(axis="y", visible=False)
    axes.set(xlabel=xlabel, ylabel="mistake")
    return figure


def points(change):
    """A change of a fraction, in percentage points: −0.014 is "−1.4"."""
    return f"{round(100 * change, 1) + 0.0:+.1f}".replace("-", "−")


def lines(table, xlabel, ylabel):
    """Lines with markers over the index, a column each, in percent."""
    figure, axes = plots.new_figure(height=3.4)
    looks = zip(plots.COLOURS, "oXsD", ("-", "--", "-.", ":"), strict=False)
    for (name, line), (colour, marker, dash) in zip(table.items(), looks, strict=False):
        axes.plot(line, color=colour, marker=marker, ls=dash, lw=2, label=name)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.legend()
    return figure


def page(table):
    """The table to print: mistake, what it did to Recall@20, symptom.

    table : DataFrame; columns mistake, loss, change (a fraction). A mistake measured
    with both losses has two numbers: cross-entropy / BPR-max.
    """
    changes = table.pivot(index="mistake", columns="loss", values="change")
    lines = []
    for where in dict.fromkeys(one.where for one in MISTAKES.values()):
        lines.append(f"| **{where}** | | |")
        for name, one in MISTAKES.items():
            if one.where == where and name in changes.index:
                both = changes.loc[name].reindex(["cross-entropy", "bpr-max"])
                numbers = " / ".join(points(v) if v == v else "" for v in both)
                numbers = numbers.removesuffix(" / ")
                lines.append(f"| *{name}*: {one.what} | {numbers} | {one.symptom} |")
    head = "| mistake | Recall@20 | symptom |\n| :-- | --: | :-- |\n"
    return Markdown(head + "\n".join(lines))

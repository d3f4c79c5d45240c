"""GRU4Rec: the recommender (lesson 07). Fit, score, recommend, save, load.

Sources: Hidasi et al. 2016 (arXiv 1511.06939); Hidasi & Karatzoglou 2018 (arXiv
1706.03847) for extra negatives, max losses and shared embeddings.
"""

import inspect
import time
import warnings
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from . import memory, storage
from .batching import session_parallel
from .errors import (
    DataError,
    GRU4RecError,
    ModelFileError,
    ParameterError,
    check_choice,
    check_integer,
    check_number,
)
from .fast import CompiledStep, FastStep
from .losses import LOSSES
from .network import CELLS, Network
from .optim import OPTIMIZERS
from .precision import fast_products, pick_device
from .recommender import MAX_SCORES, Recommender
from .sampling import NegativeSampler
from .sessions import item_indices
from .training import (
    CHUNK,
    Batches,
    RankingLoss,
    RecordedStep,
    Step,
)

HISTORY = ["epoch", "loss", "steps", "events", "seconds"]
SCORING_BATCH = 512  # sessions read side by side when scoring


class GRU4Rec(Recommender):
    """Session-based recommendation with a recurrent network.

    Arguments are stored as given and checked in ``fit``. Defaults train well on small
    logs; ``gru4rec_lite.presets`` holds published settings.

    Parameters
    ----------
    layers : hidden units of each recurrent layer, e.g. [100] or [100, 100].
    loss : "cross-entropy", "bpr", "top1", "bpr-max" or "top1-max".
    batch_size : B, sessions side by side.
    n_epochs : passes over the sessions.
    learning_rate, momentum : of the optimiser.
    dropout_p_embed : dropout on the input row; dropout_p_hidden : after each layer.
    n_sample : N, negatives drawn each step besides the other slots' targets.
    sample_alpha : they are drawn with probability ∝ support^alpha.
    embedding : 0 for one-hot input, a width D, or "layersize" for that of layers[0].
    constrained_embedding : True to share the output matrix as input embedding;
        ``embedding`` is then not read.
    bpreg : score regularisation of BPR-max.
    elu_param : ELU on the scores before BPR-max, 0 for none.
    logq : strength of the popularity correction, cross-entropy only; set it to 1 where
        negatives are drawn by popularity, in-batch ones among them.
    feedforward : units of layers between the last recurrent one and the scores.
    cell : "gru", "lstm" or "rnn".
    optimizer : "adagrad", "sgd", "rmsprop" or "adam" (which has no momentum argument).
    activation : "linear" or "tanh", on the scores before BPR, TOP1 and the max losses.
    grad_clip : largest gradient norm of a step, 0 for no limit. l2 : weight decay.
    session_order : "time", or "shuffle" for a new order each epoch.
    seed : of weights, negatives, dropout and order. One seed, one model on one machine.
    device : "auto" (CUDA, else MPS, else CPU) or what torch.device takes.
    precision : "float32", "bfloat16" (autocast; weights stay float32) or "float64".

    Attributes (after fit)
    ----------
    item_ids : (I,) the vocabulary. network : the Network. history : a DataFrame with
    epoch, loss (mean of the steps'), steps, events and seconds. interrupted : whether
    Ctrl-C ended the last fit.
    """

    def __init__(
        self, layers=(100,), loss="cross-entropy", batch_size=32, n_epochs=10,
        learning_rate=0.1, momentum=0.0, dropout_p_embed=0.0, dropout_p_hidden=0.0,
        n_sample=2048, sample_alpha=0.5, embedding=0, constrained_embedding=True,
        bpreg=1.0, elu_param=0.0, logq=0.0, feedforward=(), cell="gru",
        optimizer="adagrad", activation="linear", grad_clip=0.0, l2=0.0,
        session_order="time", seed=0, device="auto", precision="float32",
    ):  # fmt: skip
        self.layers = layers
        self.loss = loss
        self.batch_size = batch_size
        self.n_epochs = n_epochs
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.dropout_p_embed = dropout_p_embed
        self.dropout_p_hidden = dropout_p_hidden
        self.n_sample = n_sample
        self.sample_alpha = sample_alpha
        self.embedding = embedding
        self.constrained_embedding = constrained_embedding
        self.bpreg = bpreg
        self.elu_param = elu_param
        self.logq = logq
        self.feedforward = feedforward
        self.cell = cell
        self.optimizer = optimizer
        self.activation = activation
        self.grad_clip = grad_clip
        self.l2 = l2
        self.session_order = session_order
        self.seed = seed
        self.device = device
        self.precision = precision

    def parameters(self):
        """The constructor's arguments, by name."""
        return {name: getattr(self, name) for name in PARAMETERS}

    def __repr__(self):
        changed = {
            k: v for k, v in self.parameters().items() if v != PARAMETERS[k].default
        }
        return f"GRU4Rec({', '.join(f'{k}={v!r}' for k, v in changed.items())})"

    # ---- training

    def fit(
        self, sessions, warm_start=False, checkpoint=None, resume=False, callback=None,
        verbose=True,
    ):  # fmt: skip
        """Train on sessions. Interrupted (Ctrl-C), it keeps what it has learnt so far.

        Parameters
        ----------
        sessions : Sessions.
        warm_start : go on from the present weights; new items join the vocabulary. The
            optimiser starts afresh.
        checkpoint : a directory to save to after each epoch, optimiser included.
        resume : go on from the checkpoint, if there is one; the finished model is the
            same as from an undisturbed run, bit for bit on a CPU.
        callback : called as callback(model) after each epoch.
        verbose : show a progress bar.

        Raises ParameterError, DataError; GRU4RecError when the loss is no longer
        finite.
        """
        self.validate()
        self.validate_sessions(sessions)
        if checkpoint is not None:
            storage.prepare(checkpoint)  # before hours of training, not after
        elif resume:
            raise ParameterError(
                "resume=True is not allowed without checkpoint; expected the directory"
            )
        self.interrupted = False
        device = pick_device(self.device)
        dtype = torch.float64 if self.precision == "float64" else torch.float32
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(self.seed)
            if warm_start and self.item_ids is not None:
                sessions = self._grow(sessions)
            else:
                self.item_ids = sessions.item_ids
                self.network = self._new_network(len(self.item_ids))
                self._history = []
            self.network.to(device, dtype)
            step = self._new_step()
            done = 0
            if resume:
                done = self._resume(checkpoint, step)
                if done >= self.n_epochs:  # a kill may have left files behind
                    self._save_checkpoint(checkpoint, step)
            self._train(sessions, step, done, checkpoint, callback, verbose)
        return self

    def _train(self, sessions, step, done, checkpoint, callback, verbose):
        memory.keep_freed()
        support = sessions.support
        batches = Batches(
            sessions.items, support, NegativeSampler(support, self.sample_alpha),
            self.n_sample, self.constrained_embedding, self.logq,
            self.network.output.device, self.network.output.dtype,
        )  # fmt: skip
        schedule = self._schedule(sessions, 0)
        bar = tqdm(
            total=self.n_epochs * schedule.n_pairs, initial=done * schedule.n_pairs,
            unit="event", unit_scale=True, disable=not verbose, mininterval=0.5,
        )  # fmt: skip
        try:
            with bar, fast_products():
                for epoch in range(done, self.n_epochs):
                    bar.set_description(f"epoch {epoch + 1}/{self.n_epochs}")
                    if self.session_order == "shuffle" and epoch > 0:
                        schedule = self._schedule(sessions, epoch)
                    self._epoch(schedule, batches, step, epoch, bar)
                    bar.set_postfix_str(f"loss {self._history[-1]['loss']:.4f}")
                    if checkpoint is not None:
                        self._save_checkpoint(checkpoint, step)
                    if callback is not None:
                        callback(self)
        except KeyboardInterrupt:
            self.interrupted = True
            warnings.warn(
                f"training was interrupted in epoch {len(self._history) + 1} of "
                f"{self.n_epochs}; the model keeps what it has learnt so far",
                stacklevel=3,
            )
        finally:
            self.network.eval()
            # Out of the optimiser's memory: where weights lie decides on the last digit
            # of a product, and a loaded model shall have the same scores.
            for weights in self.network.parameters():
                weights.data = weights.data.clone()

    def _schedule(self, sessions, epoch):
        """The schedule of one epoch, shuffled by (seed, epoch) if asked."""
        order = None
        if self.session_order == "shuffle":
            rng = np.random.default_rng([self.seed, epoch, 1])
            order = rng.permutation(sessions.n_sessions)
        # A lone slot has nothing to rank against, unless negatives are drawn.
        return session_parallel(
            sessions.offsets, self.batch_size, order, min_open=1 if self.n_sample else 2
        )

    def _epoch(self, schedule, batches, step, epoch, bar):
        """One pass. Random numbers depend on (seed, epoch) alone: runs can resume."""
        started = time.perf_counter()
        rng = np.random.default_rng([self.seed, epoch])
        torch.manual_seed(int(rng.integers(2**62)))
        weights = self.network.output
        state = self.network.train().initial_state(self.batch_size)
        total = weights.new_zeros(())
        open_slots = np.arange(self.batch_size)
        for start, stop in _runs(schedule.n_open):
            still_open = np.flatnonzero(schedule.position[start] >= 0)
            if len(still_open) < len(open_slots):
                kept = np.searchsorted(open_slots, still_open)
                state = [h[torch.from_numpy(kept).to(h.device)] for h in state]
                open_slots = still_open
            chunk = batches.prepare(
                schedule.position[start:stop, open_slots],
                schedule.reset[start:stop, open_slots],
                rng,
            )
            state, loss = step.run(state, chunk)
            total += loss
            bar.update((stop - start) * len(open_slots))
        self.network.eval()
        mean_loss = total.item() / max(1, schedule.n_steps)
        if not np.isfinite(mean_loss):
            raise GRU4RecError(
                f"the loss is {mean_loss} in epoch {epoch + 1}: training diverged; "
                f"lower learning_rate={self.learning_rate} or set grad_clip, e.g. to 1"
            )
        self._history.append(
            {
                "epoch": epoch + 1,
                "loss": mean_loss,
                "steps": schedule.n_steps,
                "events": schedule.n_pairs,
                "seconds": time.perf_counter() - started,
            }
        )

    @property
    def history(self):
        return pd.DataFrame(self._history, columns=HISTORY)

    def _new_network(self, n_items):
        embedding = self.layers[0] if self.embedding == "layersize" else self.embedding
        return Network(
            n_items, list(self.layers), embedding, self.constrained_embedding,
            list(self.feedforward), self.cell,
            self.dropout_p_embed, self.dropout_p_hidden,
        )  # fmt: skip

    def _new_step(self):
        rule = OPTIMIZERS[self.optimizer](self.learning_rate, self.momentum)
        loss = RankingLoss(self.loss, self.bpreg, self.elu_param, self.activation)
        kinds = (CompiledStep, FastStep, Step)
        kind = next(kind for kind in kinds if kind.fits(self.network))
        step = kind(
            self.network, rule, loss, self.batch_size, self.l2, self.grad_clip,
            autocast=self.precision == "bfloat16",
        )  # fmt: skip
        return RecordedStep(step) if self.network.output.is_cuda else step

    def _grow(self, sessions):
        """Add rows for new items; old ones keep theirs. Returns sessions re-indexed."""
        old, new = self.item_ids, sessions.item_ids
        if old.dtype != new.dtype:  # numbers and text: all becomes text, as in align
            old, new = (ids.astype(str).astype(object) for ids in (old, new))
        item_ids = np.union1d(old, new)
        grown = self._new_network(len(item_ids)).to(self.network.output.dtype)
        old_rows = torch.from_numpy(np.searchsorted(item_ids, old))
        weights = {}
        try:
            for name, value in self.network.cpu().state_dict().items():
                if name in ("input", "output", "output_bias"):
                    table = grown.state_dict()[name]
                    table[old_rows] = value[:-1]
                    value = table
                weights[name] = value
            grown.load_state_dict(weights)
        except (KeyError, RuntimeError) as error:
            raise ParameterError(
                "warm_start=True is not allowed once layers, feedforward, cell, "
                "embedding or constrained_embedding have changed; expected those that "
                "the model was trained with"
            ) from error
        self.item_ids, self.network = item_ids, grown
        return sessions.align(item_ids, min_length=1)

    # ---- scoring

    def score_after(self, sessions, wanted):
        """Scores after the wanted clicks; see Recommender.score_after."""
        self._check_fitted()
        chunks = self._score_after(sessions, wanted)
        while True:
            # Not around the yield: the caller's own work keeps its own settings.
            with torch.no_grad(), fast_products():
                chunk = next(chunks, None)
            if chunk is None:
                return
            yield chunk

    def _score_after(self, sessions, wanted):
        network = self.network.eval()
        device = network.output.device
        items = torch.from_numpy(np.asarray(sessions.items)).to(device)
        rows = max(1, MAX_SCORES // network.n_items)
        # Longest first: at every step the sessions that go on are the first ones.
        order = np.argsort(-np.diff(sessions.offsets), kind="stable")
        for some in np.array_split(
            order, range(SCORING_BATCH, len(order), SCORING_BATCH)
        ):
            first, lengths = sessions.offsets[some], np.diff(sessions.offsets)[some]
            state = network.initial_state(len(some))
            positions, hidden = [], []
            for step in range(lengths.max(initial=0)):
                n = int((lengths > step).sum())
                at = first[:n] + step  # (n,)
                x = network.input_table[
                    items[torch.from_numpy(at).to(device)]
                ]  # (n, D)
                h, state = network(x, [s[:n] for s in state])  # (n, H)
                asked = np.flatnonzero(wanted[at])
                if len(asked):
                    positions.append(at[asked])
                    hidden.append(h[torch.from_numpy(asked).to(device)])
            if positions:
                positions, hidden = np.concatenate(positions), torch.cat(hidden)
                for i in range(0, len(positions), rows):
                    yield positions[i : i + rows], network.scores(hidden[i : i + rows])

    def session(self):
        """A LiveSession: feed it click by click, ask for a ranking at any time."""
        self._check_fitted()
        return LiveSession(self)

    # ---- saving

    def save(self, path):
        """Save to a directory, whole or not at all: safetensors and JSON, no code."""
        self._check_fitted()
        storage.save(path, self._description(), self._tensors())

    @classmethod
    def load(cls, path, device="auto"):
        """Load a model that ``save`` wrote. Never runs code from the file.

        Raises ModelFileError if the directory holds no whole model.
        """
        pick_device(device)  # a ParameterError, not the file's fault
        description, tensors = storage.load(path)
        with storage.reading(path):
            model = cls(**description["parameters"])
            model.device = device
            model.validate()
            model._set_weights(description, tensors)
        return model

    def _description(self):
        return {
            "model": "GRU4Rec",
            "parameters": {k: _plain(v) for k, v in self.parameters().items()},
            "history": self._history,
            "item_ids": self.item_ids.tolist(),
        }

    def _tensors(self):
        return {f"network.{k}": v for k, v in self.network.state_dict().items()}

    def _set_weights(self, description, tensors):
        ids = description["item_ids"]
        kinds = {type(item) for item in ids}
        if kinds not in ({int}, {str}) or any(a >= b for a, b in pairwise(ids)):
            raise ValueError("item_ids must be integers or text, sorted, each once")
        self.item_ids = np.array(ids, dtype=np.int64 if kinds == {int} else object)
        self._history = [{k: run[k] for k in HISTORY} for run in description["history"]]
        self.history.astype(float)  # or these were no numbers
        prefix = "network."
        weights = {
            k[len(prefix) :]: v.clone()
            for k, v in tensors.items()
            if k.startswith(prefix)
        }
        dtypes = {w.dtype for w in weights.values()}
        if dtypes not in ({torch.float32}, {torch.float64}):
            raise ValueError("the weights must be float32 or float64")
        with torch.device("meta"):  # sizes in a damaged file may be far too large
            self.network = self._new_network(len(ids))
        self.network.load_state_dict(weights, assign=True)
        self.network.to(pick_device(self.device)).eval()

    def _save_checkpoint(self, path, step):
        state = {f"optimizer.{k}": v for k, v in step.optimizer.state_dict().items()}
        storage.save(path, self._description(), {**self._tensors(), **state})

    def _resume(self, path, step):
        """Load weights and optimiser state; the number of epochs that are done."""
        if not storage.exists(path):
            return 0
        description, tensors = storage.load(path)
        with storage.reading(path):
            parameters = dict(description["parameters"])
            item_ids, self._history = description["item_ids"], description["history"]
        same = {k: _plain(v) for k, v in self.parameters().items()}
        for name, saved in parameters.items():
            if name not in ("n_epochs", "device") and saved != same.get(name):
                raise ParameterError(
                    f"{name}={same.get(name)!r} is not allowed; expected {saved!r}, "
                    f"with which the checkpoint {path} was begun"
                )
        if item_ids != self.item_ids.tolist():
            raise DataError(
                f"the checkpoint {path} was begun on other items; resume with the "
                "same sessions, or use warm_start for new ones"
            )
        with storage.reading(path):
            if not any(name.startswith("optimizer.") for name in tensors):
                raise ModelFileError(
                    f"{path}: a finished model, without the optimiser's state; "
                    "expected a checkpoint, or load it and use warm_start"
                )
            for name, weights in self._tensors().items():
                weights.copy_(tensors[name])
            for name, state in step.optimizer.state_dict().items():
                state.copy_(tensors[f"optimizer.{name}"])
            return self._history[-1]["epoch"]

    # ---- checks

    def validate(self):
        """Check the arguments. ParameterError says which one is not allowed."""
        for name in ("layers", "feedforward"):
            sizes = getattr(self, name)
            if not isinstance(sizes, list | tuple) or (name == "layers" and not sizes):
                raise ParameterError(
                    f"{name}={sizes!r} is not allowed; expected a list of layer sizes, "
                    "e.g. [100]"
                )
            for size in sizes:
                check_integer(name, size, minimum=1)
        check_choice("loss", self.loss, LOSSES)
        check_choice("cell", self.cell, CELLS)
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        check_choice("activation", self.activation, ["linear", "tanh"])
        check_choice("session_order", self.session_order, ["time", "shuffle"])
        check_choice("precision", self.precision, ["float32", "bfloat16", "float64"])
        check_choice("constrained_embedding", self.constrained_embedding, [True, False])
        check_integer("batch_size", self.batch_size, minimum=1)
        check_integer("n_epochs", self.n_epochs, minimum=1)
        check_integer("n_sample", self.n_sample, minimum=0)
        check_integer("seed", self.seed, minimum=0, maximum=2**63 - 1)
        if self.embedding != "layersize":
            check_integer("embedding", self.embedding, minimum=0)
        check_number("learning_rate", self.learning_rate, above=0)
        check_number("momentum", self.momentum, minimum=0, below=1)
        check_number("dropout_p_embed", self.dropout_p_embed, minimum=0, below=1)
        check_number("dropout_p_hidden", self.dropout_p_hidden, minimum=0, below=1)
        for name in ("sample_alpha", "bpreg", "elu_param", "logq", "grad_clip", "l2"):
            check_number(name, getattr(self, name), minimum=0)
        if self.batch_size == 1 and self.n_sample == 0:
            raise ParameterError(
                "batch_size=1 is not allowed with n_sample=0: there are no negatives "
                "to rank against; expected a larger batch_size, or n_sample of at "
                "least 1"
            )
        if self.logq and self.loss != "cross-entropy":
            raise ParameterError(
                f"logq={self.logq} is not allowed with loss={self.loss!r}; expected 0: "
                "the correction belongs to cross-entropy"
            )
        if self.elu_param and self.loss != "bpr-max":
            raise ParameterError(
                f"elu_param={self.elu_param} is not allowed with loss={self.loss!r}; "
                "expected 0: ELU belongs to bpr-max"
            )
        if self.activation == "tanh" and self.loss == "cross-entropy":
            raise ParameterError(
                "activation='tanh' is not allowed with loss='cross-entropy'; expected "
                "'linear': the softmax is its activation"
            )
        if self.momentum and self.optimizer == "adam":
            raise ParameterError(
                f"momentum={self.momentum} is not allowed with optimizer='adam'; "
                "expected 0: Adam has moments of its own"
            )
        if self.precision == "float64" and pick_device(self.device).type == "mps":
            raise ParameterError(
                "precision='float64' is not allowed on MPS; expected 'float32', or "
                "device='cpu'"
            )

    def validate_sessions(self, sessions):
        """Check that there is something to learn. DataError says what is missing."""
        pairs = sessions.n_clicks - sessions.n_sessions
        if sessions.n_items < 2:
            raise DataError(
                f"the training sessions hold {sessions.n_items} different item(s); "
                "expected at least 2, or there is nothing to rank"
            )
        if pairs < 1:
            raise DataError(
                "no training session has two clicks; expected at least one click that "
                "is followed by another"
            )
        if self.n_sample == 0 and (np.diff(sessions.offsets) > 1).sum() < 2:
            raise DataError(
                "n_sample=0 ranks against the other slots' targets, but only one "
                "training session has two clicks; expected more sessions, or n_sample "
                "of at least 1"
            )


class LiveSession:
    """A visitor's session as it happens: the hidden state is kept between clicks."""

    def __init__(self, model):
        self.model = model
        self.state = model.network.initial_state(1)
        self.hidden = None

    @torch.inference_mode()
    def click(self, item):
        """Read one more click, by item ID. Returns self. DataError if it is unknown."""
        network = self.model.network
        row = int(item_indices([item], self.model.item_ids)[0])
        self.hidden, self.state = network(
            network.input_table[row : row + 1], self.state
        )
        return self

    @torch.inference_mode()
    def recommend(self, k=20):
        """The k best next items: a DataFrame of item and score, best first."""
        check_integer("k", k, minimum=1)
        if self.hidden is None:
            raise DataError("the session has no click yet; call click(item) first")
        network = self.model.network
        with fast_products():
            scores = network.scores(self.hidden)[0]  # (I,)
        k = min(k, network.n_items)
        # Equal scores stand in the order of the vocabulary.
        good = (scores >= scores.topk(k).values[-1]).nonzero()[:, 0]
        best = scores[good].sort(descending=True, stable=True)
        items = good[best.indices[:k]]
        return pd.DataFrame(
            {
                "item": self.model.item_ids[items.cpu().numpy()],
                "score": best.values[:k].cpu().numpy(),
            }
        )


def _runs(n_open):
    """Stretches of at most CHUNK steps with the same number of open slots."""
    cuts = np.flatnonzero(np.diff(n_open)) + 1
    edges = [0, *cuts.tolist(), len(n_open)]
    for start, stop in zip(edges[:-1], edges[1:], strict=True):
        for i in range(start, stop, CHUNK):
            yield i, min(i + CHUNK, stop)


def _plain(value):
    """A parameter as JSON gives it back."""
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value.item() if isinstance(value, np.generic) else value


PARAMETERS = {
    name: parameter for name, parameter in inspect.signature(GRU4Rec).parameters.items()
}

"""Ranks, Recall@k and MRR@k, with ties, intervals and comparisons (lesson 06).

Every click but the last of every test session is one prediction: the recommender
scores all I items, and the item clicked next (the target) is looked up in the
ranking.  Recall@k is the share of targets among the first k, MRR@k the mean of
1/rank with 0 beyond k (Hidasi et al. 2016, arXiv 1511.06939, section 4).  All items
are ranked and every click counts, for the reasons given by Hidasi & Czapp (2023,
arXiv 2307.14951).  Intervals come from the bootstrap over sessions (Efron 1979): the
predictions of one session are not independent, sessions are.

Two integers a prediction, the items scored above its target and those scored equal,
are all that is kept, so tie rules, cutoffs and breakdowns need no second ranking.
"""

import html
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Integral
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from .errors import (
    DataError,
    GRU4RecError,
    ParameterError,
    check_choice,
    check_integer,
    check_number,
)
from .sessions import Sessions

TIES = ("conservative", "standard", "median")
METRICS = ("recall", "mrr")


def ranks(above, equal, ties: str = "conservative") -> np.ndarray:
    """Rank of each target, 1 the best, under one of three rules for ties.

    above, equal : (P,) numbers of items scored above, and equal to, the target,
        the target itself not counted
    ties : "conservative" puts the target last among its equals, 1 + above + equal;
        "standard" puts it first, 1 + above, as most published figures do;
        "median" puts it in the middle, 1 + above + equal / 2

    Returns (P,), int64, or float64 for "median".  Raises ParameterError for an
    unknown rule.
    """
    check_choice("ties", ties, TIES)
    above, equal = np.asarray(above, np.int64), np.asarray(equal, np.int64)
    if ties == "standard":
        return 1 + above
    return 1 + above + (equal if ties == "conservative" else equal / 2)


def recall_at(ranks, k: int = 20) -> float:
    """Recall@k: the share of `ranks` (P,) that are at most k."""
    return _mean("recall", ranks, k)


def mrr_at(ranks, k: int = 20) -> float:
    """MRR@k: the mean over `ranks` (P,) of 1 / rank, counted as 0 beyond k."""
    return _mean("mrr", ranks, k)


def _mean(metric: str, ranks, k: int) -> float:
    ranks = np.asarray(ranks)
    if len(ranks) == 0:
        raise DataError("ranks is empty; expected the rank of at least one prediction")
    return float(_gains(metric, ranks, k).mean())


def _gains(metric: str, ranks, k: int) -> np.ndarray:
    """What each prediction adds to the metric, whose value is their mean."""
    k = check_integer("k", k, 1)
    gain = 1.0 if check_choice("metric", metric, METRICS) == "recall" else 1 / ranks
    return np.where(ranks <= k, gain, 0.0)  # (P,)


# Elements compared at a time on a CPU.  A block of scores and the buffer beside it
# are 4 MB each: they stay in the cache between one pass and the next.
_BLOCK = 2**20


def count_above_and_equal(
    scores: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Count the items that each row scores above its target, and equal to it.

    scores : (n, I) tensor on any device
    targets : (n,) int64 tensor on the same device, column of each row's target

    Returns two (n,) int64 tensors on that device; equal leaves out the target.  A
    NaN counts as above, so that it cannot flatter; where the target itself is NaN,
    equal is -1.  Needs memory for one block, not for a second (n, I).
    """
    n, n_items = scores.shape
    # What this costs beside the product that makes the scores is decided by where the
    # comparisons are written.  (scores <= t).sum(1) makes booleans and adds them up as
    # int64, which takes ten times longer than comparing into floats and adding those:
    # both then run in vector registers.  Sums of ones are exact below 2**24.
    dtype = torch.float32 if n_items < 2**24 else torch.float64
    if scores.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        dtype = torch.float64
    # A GPU is quicker with few large operations, a CPU with blocks that fit its cache.
    on_cpu = scores.device.type == "cpu"
    rows = max(1, min(n, _BLOCK // n_items if on_cpu else n))
    buffer = torch.empty((rows, n_items), dtype=dtype, device=scores.device)
    at_most, below = torch.empty((2, n), dtype=dtype, device=scores.device)
    target_scores = scores.gather(1, targets[:, None]).to(dtype)  # (n, 1)
    for start in range(0, n, rows):
        block = slice(start, start + rows)
        x = scores[block].to(dtype)  # no copy for float32, exact for half precision
        ones = buffer[: len(x)]
        torch.sum(torch.le(x, target_scores[block], out=ones), 1, out=at_most[block])
        torch.sum(torch.lt(x, target_scores[block], out=ones), 1, out=below[block])
    at_most, below = at_most.long(), below.long()
    return n_items - at_most, at_most - below - 1


def evaluate(
    recommender,
    sessions: Sessions,
    cutoffs: Iterable[int] | int = (20,),
    ties: str = "conservative",
    *,
    coverage: bool = False,
    progress: bool = True,
) -> "Report":
    """Rank all items after every click but the last of every session.

    recommender : any object with `item_ids` (I,) and `score_after`, fitted
    sessions : test sessions; clicks on items the recommender does not know are
        removed, then sessions left with one click, and both are counted in
        `report.removed`; nothing else is taken away
    cutoffs : the k of Recall@k and MRR@k, one or several
    ties : rule for equal scores, see `ranks`; "conservative" cannot flatter
    coverage : also note which items reach a list of the first max(cutoffs), for
        `report.coverage`; costs a partial sort of each row
    progress : show a bar on standard error when it takes more than two seconds

    Memory beyond the sessions: a chunk of scores, and about 100 bytes a prediction.

    Raises ParameterError for a bad argument, DataError when nothing is left to
    predict, as when all items are unknown, GRU4RecError for scores that are NaN or of
    a wrong shape.
    """
    cutoffs = _check_cutoffs(cutoffs)
    check_choice("ties", ties, TIES)
    name = type(recommender).__name__
    if not isinstance(sessions, Sessions):
        raise ParameterError(
            f"sessions is a {type(sessions).__name__}; expected Sessions, as made by "
            "Sessions.read or Sessions.from_frame"
        )
    item_ids = getattr(recommender, "item_ids", None)
    if item_ids is None:
        raise GRU4RecError(f"{name} is not fitted yet; call fit before evaluate")
    aligned = sessions.align(item_ids)

    wanted = np.ones(aligned.n_clicks, dtype=bool)  # (E,)
    wanted[aligned.offsets[1:] - 1] = False  # the last click has no next one
    asked = np.flatnonzero(wanted)  # (P,)
    waiting = wanted.copy()
    positions = np.empty_like(asked)  # in the order in which they come
    found = best_place = None
    done = 0
    bar = tqdm(
        total=len(asked), desc="ranking", delay=2, leave=False, disable=not progress
    )
    with torch.no_grad(), bar:
        for chunk, scores in recommender.score_after(aligned, wanted):
            chunk, scores = np.asarray(chunk), torch.as_tensor(scores)
            _check_chunk(name, chunk, scores, waiting, len(item_ids))
            waiting[chunk] = False
            targets = torch.from_numpy(aligned.items[chunk + 1].astype(np.int64))
            targets = targets.to(scores.device, non_blocking=True)  # (n,)
            if found is None:
                # Results stay on the device until the end: reading them back for each
                # chunk would make a GPU wait for the host.  One tensor for all, since
                # many small ones between the chunks would leave holes in the heap.
                found = scores.new_empty((3, len(asked)), dtype=torch.int64)
            now = slice(done, done + len(chunk))
            positions[now] = chunk
            found[0, now], found[1, now] = count_above_and_equal(scores, targets)
            found[2, now] = scores.amax(dim=1).isnan()  # the maximum passes NaN on
            if coverage:
                best_place = _note_places(best_place, scores, max(cutoffs))
            done += len(chunk)
            bar.update(len(chunk))

    if done < len(asked):
        raise GRU4RecError(
            f"score_after of {name} gave scores after {done} clicks; expected them "
            f"after each of the {len(asked)} wanted ones"
        )
    above, equal, invalid = found.cpu().numpy()[:, np.argsort(positions)]  # (P,) each
    if invalid.any():
        raise GRU4RecError(
            f"the scores of {name} are NaN in {invalid.sum()} of {done} predictions: "
            "training has diverged; fit again with a lower learning_rate or momentum"
        )
    session = np.repeat(np.arange(aligned.n_sessions), aligned.lengths - 1)
    return Report(
        above=above,
        equal=equal,
        session=session,
        position=asked - aligned.offsets[session] + 1,
        target=aligned.items[asked + 1].astype(np.int64),
        item_ids=np.asarray(item_ids),
        session_ids=aligned.session_ids,
        cutoffs=cutoffs,
        ties=ties,
        removed=dict(aligned.removed),
        name=name,
        best_place=None if best_place is None else best_place.cpu().numpy(),
    )


def _check_cutoffs(cutoffs) -> tuple[int, ...]:
    if isinstance(cutoffs, Integral):
        cutoffs = (cutoffs,)
    if isinstance(cutoffs, str) or not isinstance(cutoffs, Iterable):
        raise ParameterError(
            f"cutoffs={cutoffs!r} is not allowed; expected integers of at least 1, "
            "such as (5, 20)"
        )
    checked = tuple(dict.fromkeys(check_integer("cutoffs", k, 1) for k in cutoffs))
    if not checked:
        raise ParameterError("cutoffs is empty; expected at least one, such as (20,)")
    return checked


def _check_chunk(name, chunk, scores, waiting, n_items):
    """What `score_after` yields: scores (n, I) after n clicks not yet answered."""
    if tuple(scores.shape) != (len(chunk), n_items):
        raise GRU4RecError(
            f"score_after of {name} gave scores of shape {tuple(scores.shape)} for "
            f"{len(chunk)} clicks; expected ({len(chunk)}, {n_items}), a score for "
            "each item"
        )
    if not waiting[chunk].all() or len(np.unique(chunk)) < len(chunk):
        raise GRU4RecError(
            f"score_after of {name} gave scores after a click twice, or after one that "
            "was not wanted; expected each click marked True once"
        )


def _note_places(best_place, scores: torch.Tensor, k: int) -> torch.Tensor:
    """(I,) best place each item has had in a list of the first k; k + 1 for none."""
    n_items = scores.shape[1]
    if best_place is None:
        best_place = torch.full((n_items,), k + 1, device=scores.device)
    listed = scores.topk(min(k, n_items), dim=1).indices  # (n, k)
    places = torch.arange(1, listed.shape[1] + 1, device=scores.device)
    places = places.expand_as(listed).flatten()
    return best_place.scatter_reduce_(0, listed.flatten(), places, "amin")


@dataclass(frozen=True, eq=False, repr=False)
class Report:
    """What `evaluate` found out about one recommender, prediction by prediction.

    Arrays over the P predictions, in the order of the test clicks:

    above, equal : (P,) int64, items scored above and equal to the target
    session : (P,) int64, index into `session_ids`
    position : (P,) int64, 1 for the prediction after a session's first click
    target : (P,) int64, item clicked next, index into `item_ids`

    The rest: item_ids (I,), session_ids (S,), cutoffs, ties, removed (clicks and
    sessions taken away, by reason), name (class of the recommender), best_place ((I,),
    each item's best place in a list; None unless asked for with coverage=True).

    Everything below is computed from these; k need not be one of the cutoffs.
    """

    above: np.ndarray
    equal: np.ndarray
    session: np.ndarray
    position: np.ndarray
    target: np.ndarray
    item_ids: np.ndarray
    session_ids: np.ndarray
    cutoffs: tuple[int, ...]
    ties: str
    removed: dict[str, int]
    name: str = "recommender"
    best_place: np.ndarray | None = None

    @property
    def n_predictions(self) -> int:
        """P, the predictions made."""
        return len(self.above)

    @property
    def n_sessions(self) -> int:
        """S, the test sessions they belong to."""
        return len(self.session_ids)

    @cached_property
    def ranks(self) -> np.ndarray:
        """(P,) rank of each target, 1 the best, under this report's rule for ties."""
        return ranks(self.above, self.equal, self.ties)

    @cached_property
    def recall(self) -> dict[int, float]:
        """Recall@k by cutoff."""
        return {k: recall_at(self.ranks, k) for k in self.cutoffs}

    @cached_property
    def mrr(self) -> dict[int, float]:
        """MRR@k by cutoff."""
        return {k: mrr_at(self.ranks, k) for k in self.cutoffs}

    def with_ties(self, ties: str) -> "Report":
        """The same predictions under another rule for ties; see `ranks`."""
        return replace(self, ties=check_choice("ties", ties, TIES))

    def interval(
        self,
        metric: str = "recall",
        k: int = 20,
        *,
        level: float = 0.95,
        resamples: int = 1000,
        seed: int = 0,
    ) -> tuple[float, float]:
        """Bootstrap interval of a metric ("recall" or "mrr") over the test sessions.

        The S sessions are drawn again with replacement, `resamples` times; the
        interval holds the middle `level` of the metric's values.  It says how far the
        figure would move with other visitors, not with another training seed.  With a
        single session nothing can be said: (nan, nan).
        """
        gains = _gains(metric, self.ranks, k)[:, None]  # (P, 1)
        low, high = self._intervals(gains, level, resamples, seed)
        return float(low[0]), float(high[0])

    def _intervals(self, gains, level=0.95, resamples=1000, seed=0):
        """Lower and upper ends (m,) for the means of gains (P, m)."""
        level = check_number("level", level, above=0, below=1)
        means = _resampled_means(self.session, gains, resamples, seed)
        return np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)

    def to_frame(self) -> pd.DataFrame:
        """A row for each metric and cutoff: its value, and its 95 % interval."""
        return self._frame.copy()

    @cached_property
    def _frame(self) -> pd.DataFrame:
        pairs = [(metric, k) for metric in METRICS for k in self.cutoffs]
        gains = np.column_stack([_gains(m, self.ranks, k) for m, k in pairs])
        low, high = self._intervals(gains)
        return pd.DataFrame(
            {
                "value": [getattr(self, metric)[k] for metric, k in pairs],
                "low": low,
                "high": high,
            },
            index=[_label(metric, k) for metric, k in pairs],
        )

    def as_dict(self) -> dict:
        """Plain numbers for scripts; cutoffs are strings, as JSON has them."""
        ends = self._frame[["low", "high"]].astype(object)
        ends = iter(ends.where(ends.notna(), None).to_numpy().tolist())
        result = {
            "recommender": self.name,
            "n_predictions": self.n_predictions,
            "n_sessions": self.n_sessions,
            "ties": self.ties,
            "removed": {reason: int(n) for reason, n in self.removed.items()},
        }
        for metric in METRICS:
            values = getattr(self, metric)
            result[metric] = {str(k): values[k] for k in self.cutoffs}
            result[f"{metric}_interval"] = {str(k): next(ends) for k in self.cutoffs}
        return result

    def to_json(self) -> str:
        """`as_dict` as one line of JSON."""
        return json.dumps(self.as_dict())

    def by_position(self, k: int = 20, bins: int = 10) -> pd.DataFrame:
        """The metrics for the first, second, ... prediction of a session.

        The last of the `bins` rows holds all later predictions, too.
        """
        bins = check_integer("bins", bins, 1)
        row = np.minimum(self.position, bins) - 1
        labels = [str(position) for position in range(1, bins)] + [f"{bins}+"]
        return self._breakdown("position", row, labels, k)

    def by_popularity(
        self, support: Sessions | Sequence[int], k: int = 20, bins: int = 5
    ) -> pd.DataFrame:
        """The metrics for rare targets to popular ones.

        support : the training sessions, or clicks of each item there, (I,)
        bins : rows wanted.  Each holds about the same number of predictions; items
            clicked equally often stay together, so there may be fewer rows.

        The column `items` counts the items of the vocabulary in each row.
        """
        bins = check_integer("bins", bins, 1)
        support = self._support(support)  # (I,)
        edges = np.quantile(
            support[self.target], np.linspace(0, 1, bins + 1)[1:-1], method="higher"
        )
        edges = np.unique(edges)  # each the least support of the next row
        edges = edges[edges > support[self.target].min()]
        of_item = np.searchsorted(edges, support, side="right")  # (I,)
        labels = []
        for row in range(len(edges) + 1):
            clicks = support[of_item == row]
            labels.append(f"{clicks.min()} to {clicks.max()}")
        frame = self._breakdown("clicks in training", of_item[self.target], labels, k)
        frame.insert(0, "items", np.bincount(of_item, minlength=len(labels)))
        return frame

    def _support(self, support) -> np.ndarray:
        if isinstance(support, Sessions):
            by_id = pd.Series(support.support, index=support.item_ids)
            return by_id.reindex(self.item_ids, fill_value=0).to_numpy()
        support = np.asarray(support)
        if support.shape != self.item_ids.shape:
            raise ParameterError(
                f"support has shape {support.shape}; expected the training sessions, "
                f"or a number for each of the {len(self.item_ids)} items"
            )
        return support

    def _breakdown(self, title, row, labels, k) -> pd.DataFrame:
        """A row for each label: the predictions with its index in `row` (P,)."""
        frame = pd.DataFrame(
            {_label(metric, k): _gains(metric, self.ranks, k) for metric in METRICS}
        )
        grouped = frame.groupby(row)
        table = grouped.mean()
        table.insert(0, "predictions", grouped.size())
        table = table.reindex(range(len(labels)))
        table["predictions"] = table["predictions"].fillna(0).astype(int)
        table.index = pd.Index(labels, name=title)
        return table

    def coverage(self, k: int = 20) -> float:
        """Share of the I items that stood in the first k after at least one click.

        Where scores tie at the end of a list, an arbitrary one of the equals is in it.
        Raises ParameterError for k above the largest cutoff, or without
        `evaluate(..., coverage=True)`.
        """
        if self.best_place is None:
            raise ParameterError(
                "coverage was not measured; call evaluate(..., coverage=True)"
            )
        k = check_integer("k", k, 1, max(self.cutoffs))
        return float((self.best_place <= k).mean())

    def _caption(self) -> str:
        removed = ", ".join(f"{n:,} {why}" for why, n in self.removed.items() if n)
        return (
            f"{self.name}: {self.n_predictions:,} predictions in "
            f"{self.n_sessions:,} sessions, ranked among {len(self.item_ids):,} items; "
            f"ties {self.ties}; removed: {removed or 'nothing'}"
        )

    def __repr__(self) -> str:
        return f"{self._caption()}\n{self._frame.to_string(float_format='%.4f')}"

    def _repr_html_(self) -> str:
        table = self._frame.to_html(float_format="%.4f", border=0)
        return f"{table}<p>{html.escape(self._caption())}</p>"


def _label(metric: str, k: int) -> str:
    return {"recall": "Recall", "mrr": "MRR"}[metric] + f"@{k}"


class Comparison(NamedTuple):
    """What `compare` returns; difference is a - b, low and high its interval."""

    metric: str
    k: int
    a: float
    b: float
    difference: float
    low: float
    high: float
    share_a_better: float

    def __repr__(self) -> str:
        return (
            f"{_label(self.metric, self.k)}: {self.a:.4f} and {self.b:.4f}, difference "
            f"{self.difference:+.4f} ({self.low:+.4f} to {self.high:+.4f}); the first "
            f"is better in {self.share_a_better:.1%} of the resamples"
        )


def compare(
    a: Report,
    b: Report,
    metric: str = "recall",
    k: int = 20,
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Paired bootstrap of the difference between two recommenders.

    Both are judged on the same redrawn sessions, so what makes a session hard for
    both cancels out: the interval is much narrower than those of the two reports.
    `share_a_better` is the share of resamples in which a is ahead, a draw counted as
    half.

    Raises DataError unless both reports are over the same predictions, ranked among
    the same items, and ParameterError where their rules for ties differ.
    """
    level = check_number("level", level, above=0, below=1)
    if a.ties != b.ties:
        raise ParameterError(
            f"the reports count ties differently, {a.ties!r} and {b.ties!r}; use "
            "with_ties to bring both under one rule"
        )
    if not np.array_equal(a.item_ids, b.item_ids):
        raise DataError(
            f"{a.name} ranks {len(a.item_ids)} items and {b.name} {len(b.item_ids)}, "
            "not the same ones; fit both on the same sessions to compare them"
        )
    same = np.array_equal(a.session_ids, b.session_ids) and all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for name in ("session", "position", "target")
    )
    if not same:
        raise DataError(
            f"the reports are not over the same predictions ({a.n_predictions} of "
            f"{a.name}, {b.n_predictions} of {b.name}); evaluate both on the same "
            "sessions to compare them"
        )
    gains = np.column_stack([_gains(metric, report.ranks, k) for report in (a, b)])
    gaps = gains[:, :1] - gains[:, 1:]  # (P, 1), of one prediction: this is the pairing
    differences = _resampled_means(a.session, gaps, resamples, seed)  # (resamples, 1)
    low, high = np.quantile(differences, [(1 - level) / 2, (1 + level) / 2])
    ahead = np.mean(differences > 0) + np.mean(differences == 0) / 2
    mean_a, mean_b = (float(mean) for mean in gains.mean(axis=0))
    return Comparison(
        metric, k, mean_a, mean_b, mean_a - mean_b,
        float(low), float(high), float(ahead),
    )  # fmt: skip


def _resampled_means(session, gains, resamples: int, seed: int) -> np.ndarray:
    """Means of gains (P, m) over S sessions drawn with replacement: (resamples, m).

    A session counts with all its predictions, so each mean is a ratio of two sums
    over the drawn sessions; the sums of each session are all that is needed.
    """
    resamples = check_integer("resamples", resamples, 1)
    rng = np.random.default_rng(check_integer("seed", seed, 0))
    columns = [*gains.T, np.ones(len(session))]
    sums = np.column_stack([np.bincount(session, column) for column in columns])
    n_sessions = len(sums)  # sums (S, m + 1), the last column the predictions
    if n_sessions == 1:
        return np.full((resamples, gains.shape[1]), np.nan)
    means = []
    block = max(1, 2**22 // n_sessions)  # resamples at a time, to bound memory
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = rng.integers(n_sessions, size=(rows, n_sessions))
        drawn += n_sessions * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * n_sessions)
        totals = times.reshape(rows, n_sessions) @ sums  # (rows, m + 1)
        means.append(totals[:, :-1] / totals[:, -1:])
    return np.concatenate(means)

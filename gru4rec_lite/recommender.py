"""What every recommender has in common: scores in, a ranking out.

A recommender says one thing: how well each item would follow the clicks so far.
`score_after` is that one thing; ranking a session, or a whole test set, needs no
more.  The names follow scikit-learn: `fit` returns self, and what it learns is kept
in attributes that the constructor does not set.
"""

from collections.abc import Iterator
from typing import Self

import numpy as np
import pandas as pd
import torch

from .errors import DataError, GRU4RecError, check_integer
from .sessions import Sessions, item_indices

MAX_SCORES = 7_000_000  # elements of one chunk of scores: 28 MB in float32


class Recommender:
    """Base class of GRU4Rec, the baselines, the successors and the oracle.

    A subclass implements `fit`, which sets `item_ids`, and `score_after`.
    """

    item_ids: np.ndarray | None = None  # the vocabulary (I,), sorted; set by fit

    def fit(self, sessions: Sessions) -> Self:
        """Learn from sessions.  Returns self."""
        raise NotImplementedError

    def score_after(
        self, sessions: Sessions, wanted: np.ndarray
    ) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
        """Scores of all items after each wanted click, in chunks.

        Parameters
        ----------
        sessions : Sessions
            Aligned to `item_ids`.
        wanted : bool array (E,)
            The clicks after which scores are wanted.

        Yields positions (n,) int64 and scores (n, I), each wanted click once, in any
        order.  Scores after a click depend on nothing but the clicks of its session
        up to and including it.  n * I is at most about MAX_SCORES.
        """
        raise NotImplementedError

    def score(self, sessions: Sessions) -> torch.Tensor:
        """Scores of all items after the last click of each session, (S, I).

        Raises DataError if a session clicked an item that `fit` has not seen: align
        the sessions first, ``sessions.align(recommender.item_ids)``.
        """
        self._check_fitted()
        if not np.array_equal(sessions.item_ids, self.item_ids):
            aligned = sessions.align(self.item_ids, min_length=1)
            if unknown := sessions.n_clicks - aligned.n_clicks:
                raise DataError(
                    f"{sessions.source}: {unknown:,} of {sessions.n_clicks:,} clicks "
                    "are on unknown items; expected sessions after "
                    "sessions.align(recommender.item_ids)"
                )
            sessions = aligned
        last = sessions.offsets[1:] - 1
        wanted = np.zeros(sessions.n_clicks, dtype=bool)
        wanted[last] = True
        result = None
        for positions, scores in self.score_after(sessions, wanted):
            if result is None:
                result = scores.new_empty(
                    sessions.n_sessions, scores.shape[1]
                )  # (S, I)
            result[np.searchsorted(last, positions)] = scores
        return result

    def recommend(self, items, k: int = 20) -> pd.DataFrame:
        """Rank what comes next after a session's clicks so far.

        Parameters
        ----------
        items : list of item IDs, or one
            Clicks in time order.
        k : int
            How many to return; all I where there are fewer.

        Returns a DataFrame with columns item and score, best first; equal scores
        stand in the order of the vocabulary.

        Raises ParameterError for k < 1, DataError for no or unknown items.
        """
        self._check_fitted()
        k = check_integer("k", k, 1)
        if isinstance(items, str | int | np.integer):
            items = [items]
        clicked = item_indices(list(items), self.item_ids)
        if len(clicked) == 0:
            raise DataError("items is empty; expected at least one item ID")
        session = Sessions(
            items=clicked,
            times=np.arange(len(clicked)),
            offsets=[0, len(clicked)],
            session_ids=[0],
            item_ids=self.item_ids,
        )
        scores = self.score(session)[0].cpu()  # (I,)
        best = torch.sort(scores, descending=True, stable=True)
        return pd.DataFrame(
            {
                "item": self.item_ids[best.indices[:k].numpy()],
                "score": best.values[:k].numpy(),
            }
        )

    def _check_aligned(self, sessions: Sessions) -> None:
        """For `score_after`: refuse sessions numbered by another vocabulary."""
        self._check_fitted()
        same = sessions.item_ids is self.item_ids
        if not same and not np.array_equal(sessions.item_ids, self.item_ids):
            raise DataError(
                f"{sessions.source}: {sessions.n_items:,} items other than the "
                f"{len(self.item_ids):,} known ones; expected sessions after "
                "sessions.align(recommender.item_ids)"
            )

    def _check_fitted(self) -> None:
        if self.item_ids is None:
            name = type(self).__name__
            raise GRU4RecError(
                f"this {name} knows no items yet; call fit(sessions) first"
            )


def chunks(positions: np.ndarray, cost) -> Iterator[np.ndarray]:
    """Split positions so that each chunk costs about MAX_SCORES elements of memory.

    cost : elements a position takes: I for its scores, or an array (P,)
    """
    if len(positions) == 0:
        return
    chunk = np.cumsum(np.broadcast_to(cost, len(positions))) // (MAX_SCORES + 1)
    yield from np.split(positions, np.flatnonzero(np.diff(chunk)) + 1)

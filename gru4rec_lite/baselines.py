"""The rivals: popularity, neighbours, matrix factors, and a Markov chain.

POP, S-POP, Item-KNN and BPR-MF are the baselines of Hidasi et al. 2016 (arXiv
1511.06939, section 4); the first-order Markov chain is the simplest recommender that
knows the order of clicks.  All but BPR-MF only count, so they fit in seconds.

What ties do to a figure is easily overlooked: a recommender that scores most items
zero looks good or bad as the tie rule wishes.  S-POP and the Markov chain therefore
break ties by popularity, always by less than one count.
"""

import numpy as np
import torch
from scipy import sparse
from tqdm.auto import tqdm

from .errors import ParameterError, check_choice, check_integer, check_number
from .recommender import Recommender, chunks
from .sessions import Sessions

BLOCK_ITEMS = 1024  # rows of the item-item matrix worked out at a time


class Baseline(Recommender):
    """Common to the baselines: scores of a chunk of clicks come from one call."""

    def score_after(self, sessions, wanted):
        self._check_aligned(sessions)
        positions = np.flatnonzero(wanted)
        starts = np.repeat(sessions.offsets[:-1], sessions.lengths)[positions]
        cost = np.maximum(positions - starts + 1, sessions.n_items)
        for chunk in chunks(positions, cost):
            yield chunk, torch.as_tensor(self._scores(sessions, chunk))

    def _scores(self, sessions: Sessions, positions: np.ndarray):
        """Scores (n, I) after the clicks at `positions` (n,)."""
        raise NotImplementedError


class POP(Baseline):
    """The most popular items of the training data, whatever was clicked."""

    def fit(self, sessions):
        _check_sessions(sessions)
        self.support = torch.from_numpy(sessions.support.astype(np.float64))  # (I,)
        self.item_ids = sessions.item_ids
        return self

    def _scores(self, sessions, positions):
        return self.support.expand(len(positions), -1)  # (n, I), without a copy


class SPOP(Baseline):
    """S-POP: the items clicked most often in the session so far, then by popularity."""

    def fit(self, sessions):
        _check_sessions(sessions)
        self.popularity = _below_one(sessions.support)  # (I,)
        self.item_ids = sessions.item_ids
        return self

    def _scores(self, sessions, positions):
        return _clicks_so_far(sessions, positions).toarray() + self.popularity


class ItemKNN(Baseline):
    """Items that share sessions with the last click.

    The similarity of j to i counts, for every click on i, whether its session holds
    j, over a geometric mean of both supports in clicks:

        sim(i, j) = count(i, j) / ((supp_i + lmbd)^alpha (supp_j + lmbd)^(1 - alpha))

    Parameters
    ----------
    n_neighbors : int, default 100
        Most similar items kept for each item; all others score 0.
    lmbd : float, default 20
        Added to the supports, so that rare items do not seem similar by accident.
    alpha : float, default 0.5
        Share of the last click's own support in the mean; 0.5 is the cosine's.

    Source: Hidasi et al. 2016, section 4; "cosine-like" since the paper adds `lmbd`.
    """

    def __init__(self, n_neighbors: int = 100, lmbd: float = 20, alpha: float = 0.5):
        self.n_neighbors = n_neighbors
        self.lmbd = lmbd
        self.alpha = alpha

    def fit(self, sessions):
        _check_sessions(sessions)
        n_neighbors = check_integer("n_neighbors", self.n_neighbors, 1)
        lmbd = check_number("lmbd", self.lmbd, minimum=0)
        alpha = check_number("alpha", self.alpha, minimum=0, maximum=1)
        clicks = _clicks_by_session(sessions)  # (S, I), counts
        present = clicks.copy()
        present.data[:] = 1  # (S, I), 0 or 1
        # an item without a click has no sessions, and so no similarity to divide
        support = np.maximum(sessions.support, 1) + lmbd  # (I,)
        row_weight, column_weight = support**-alpha, support ** (alpha - 1)
        by_item = clicks.T.tocsr()  # (I, S)
        blocks = []
        for start in range(0, sessions.n_items, BLOCK_ITEMS):
            block = (by_item[start : start + BLOCK_ITEMS] @ present).tocoo()
            row, column = block.coords
            value = block.data * row_weight[start + row] * column_weight[column]
            other = start + row != column
            entries = (value[other], (row[other], column[other]))
            nearest = sparse.csr_array(entries, shape=block.shape)
            blocks.append(_largest(nearest, n_neighbors))
        self.similarity = sparse.vstack(blocks, format="csr")  # (I, I)
        self.item_ids = sessions.item_ids
        return self

    def _scores(self, sessions, positions):
        return self.similarity[sessions.items[positions]].toarray()


class Markov(Baseline):
    """First-order Markov chain: how often each item came right after the last click.

    Popularity, always less than one count, orders the items that never came next;
    after an item that was never followed by anything it decides alone.
    """

    def fit(self, sessions):
        _check_sessions(sessions)
        follows = np.ones(sessions.n_clicks - 1, dtype=bool)  # (E - 1,)
        follows[sessions.offsets[1:-1] - 1] = False  # a session's last click: no next
        pairs = (sessions.items[:-1][follows], sessions.items[1:][follows])
        shape = (sessions.n_items, sessions.n_items)
        counts = sparse.coo_array((np.ones(len(pairs[0])), pairs), shape=shape)
        self.transitions = counts.tocsr()  # (I, I), equal pairs added up
        self.popularity = _below_one(sessions.support)  # (I,)
        self.item_ids = sessions.item_ids
        return self

    def _scores(self, sessions, positions):
        last = sessions.items[positions]
        return self.transitions[last].toarray() + self.popularity


class BPRMF(Baseline):
    """Matrix factorisation that learns to rank (Rendle et al. 2009, section 4).

    A session s and an item i have factors w_s and h_i; for a click on i and an item j
    drawn at random that s does not hold, a gradient step raises
    log sigmoid(w_s (h_i - h_j)).  A new session has no w_s: the mean of the factors
    of the items it clicked stands in (Hidasi et al. 2016, section 4).

    Parameters
    ----------
    n_factors : int, default 100
    n_epochs : int, default 10
        Passes over all clicks.
    learning_rate : float, default 0.1
    regularization : float, default 0.03
        Pulls the factors in use towards zero at each step.  Both defaults were chosen
        on a validation day of real clicks: a rival deserves tuning, too.
    batch_size : int, default 256
        Clicks whose steps are worked out together and added up.
    seed : int, default 0
    verbose : bool, default True
        Show progress on standard error.
    """

    def __init__(
        self,
        n_factors: int = 100,
        n_epochs: int = 10,
        learning_rate: float = 0.1,
        regularization: float = 0.03,
        batch_size: int = 256,
        seed: int = 0,
        verbose: bool = True,
    ):
        self.n_factors = n_factors
        self.n_epochs = n_epochs
        self.learning_rate = learning_rate
        self.regularization = regularization
        self.batch_size = batch_size
        self.seed = seed
        self.verbose = verbose

    def fit(self, sessions):
        _check_sessions(sessions)
        n_factors = check_integer("n_factors", self.n_factors, 1)
        n_epochs = check_integer("n_epochs", self.n_epochs, 1)
        rate = check_number("learning_rate", self.learning_rate, above=0)
        pull = check_number("regularization", self.regularization, minimum=0)
        batch_size = check_integer("batch_size", self.batch_size, 1)
        seed = check_integer("seed", self.seed, 0, 2**63 - 1)
        verbose = check_choice("verbose", self.verbose, (False, True))

        random = torch.Generator().manual_seed(seed)
        scale = n_factors**-0.5  # factors of length about one
        n_items, n_clicks = sessions.n_items, sessions.n_clicks
        w = scale * torch.randn(sessions.n_sessions, n_factors, generator=random)
        h = scale * torch.randn(n_items, n_factors, generator=random)
        items = torch.from_numpy(sessions.items).long()  # (E,)
        session = torch.arange(sessions.n_sessions).repeat_interleave(
            torch.from_numpy(sessions.lengths)
        )  # (E,)
        held = (session * n_items + items).unique()  # sorted (session, item) pairs

        bar = tqdm(total=n_epochs * n_clicks, unit="click", disable=not verbose)
        with bar:
            for _ in range(n_epochs):
                order = torch.randperm(n_clicks, generator=random)
                drawn = torch.randint(n_items, (n_clicks,), generator=random)
                pair = session[order] * n_items + drawn
                place = torch.searchsorted(held, pair).clamp_(max=len(held) - 1)
                order, drawn = order[held[place] != pair], drawn[held[place] != pair]
                for click, j in zip(
                    order.split(batch_size), drawn.split(batch_size), strict=True
                ):
                    s, i = session[click], items[click]
                    w_s = w.index_select(0, s)  # (B, F)
                    h_i, h_j = h.index_select(0, i), h.index_select(0, j)  # (B, F)
                    margin = (w_s * (h_i - h_j)).sum(1, keepdim=True)  # (B, 1)
                    push = torch.sigmoid(-margin)  # derivative of log sigmoid
                    w.index_add_(0, s, push * (h_i - h_j) - pull * w_s, alpha=rate)
                    h.index_add_(0, i, push * w_s - pull * h_i, alpha=rate)
                    h.index_add_(0, j, -push * w_s - pull * h_j, alpha=rate)
                    bar.update(len(click))
                bar.update(n_clicks - len(order))  # drawn items that the session holds
        if not h.isfinite().all():
            raise ParameterError(
                f"learning_rate={rate!r} is not allowed with these clicks: the factors "
                "grew without bound; expected a smaller one"
            )
        self.item_factors = h  # (I, F)
        self.item_ids = sessions.item_ids
        return self

    def _scores(self, sessions, positions):
        clicks = _clicks_so_far(sessions, positions)  # (n, I)
        mean = clicks @ self.item_factors.numpy() / clicks.sum(1)[:, None]  # (n, F)
        return torch.from_numpy(mean.astype(np.float32)) @ self.item_factors.T


BASELINES = {
    "pop": POP,
    "s-pop": SPOP,
    "item-knn": ItemKNN,
    "bpr-mf": BPRMF,
    "markov": Markov,
}


def _check_sessions(sessions) -> None:
    if not isinstance(sessions, Sessions):
        raise ParameterError(
            f"sessions={type(sessions).__name__} is not allowed; expected Sessions, "
            "as from Sessions.read"
        )


def _below_one(support: np.ndarray) -> np.ndarray:
    """Popularity as fractions: the same order, the largest below one.  float64 (I,)"""
    return support / (support.max() + 1)


def _clicks_by_session(sessions: Sessions) -> sparse.csr_array:
    """How often each session clicked each item, float64 (S, I)."""
    counts = sparse.csr_array(
        (np.ones(sessions.n_clicks), sessions.items, sessions.offsets),
        shape=(sessions.n_sessions, sessions.n_items),
        copy=True,  # the next line works in place
    )
    counts.sum_duplicates()
    return counts


def _clicks_so_far(sessions: Sessions, positions: np.ndarray) -> sparse.csr_array:
    """How often the session of each position clicked each item up to there. (n, I)"""
    starts = sessions.offsets[
        np.searchsorted(sessions.offsets, positions, side="right") - 1
    ]
    lengths = positions - starts + 1  # (n,)
    ends = np.concatenate([[0], np.cumsum(lengths)])  # (n + 1,)
    clicks = np.arange(ends[-1]) + np.repeat(starts - ends[:-1], lengths)
    return sparse.csr_array(
        (np.ones(len(clicks)), sessions.items[clicks], ends),
        shape=(len(positions), sessions.n_items),
    )


def _largest(matrix: sparse.csr_array, n: int) -> sparse.csr_array:
    """The n largest entries of each row; of equal ones those of the first columns."""
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((matrix.indices, -matrix.data, row))
    rank = np.arange(len(order)) - matrix.indptr[row]  # rows stand as they stood
    kept = order[rank < n]
    entries = (matrix.data[kept], (row[kept], matrix.indices[kept]))
    return sparse.csr_array(entries, shape=matrix.shape)

"""Right and wrong answers to the exercises of lesson 06."""

from collections import Counter

import numpy as np
import torch

from gru4rec_lite import POP, GRU4Rec, ItemKNN, Markov, load_shop
from gru4rec_lite.recommender import Recommender

# ---- Recall and MRR ----------------------------------------------------------------


def by_loop(ranks, k):
    hits, gains = 0, 0.0
    for rank in ranks:
        if rank <= k:
            hits += 1
            gains += 1 / rank
    return hits / len(ranks), gains / len(ranks)


def by_product(ranks, k):
    hit = (np.asarray(ranks) <= k).astype(float)
    return hit.mean(), hit @ (1 / ranks) / len(ranks)


def open_end(ranks, k):
    return np.mean(ranks < k), np.where(ranks < k, 1 / ranks, 0).mean()


def number_of_hits(ranks, k):
    return (ranks <= k).sum(), np.where(ranks <= k, 1 / ranks, 0).mean()


def no_cutoff(ranks, k):
    return np.mean(ranks <= k), np.mean(1 / ranks)


def over_hits(ranks, k):
    return np.mean(ranks <= k), np.mean(1 / ranks[ranks <= k])


def of_mean_rank(ranks, k):
    return np.mean(ranks <= k), 1 / ranks.mean()


def from_zero(ranks, k):
    return np.mean(ranks <= k), np.where(ranks <= k, 1 / (ranks + 1), 0).mean()


def swapped(ranks, k):
    return by_product(ranks, k)[::-1]


def recall_only(ranks, k):
    return np.mean(ranks <= k)


# ---- ranks -------------------------------------------------------------------------


def ranks_by_loop(scores, targets, ties):
    ranks = []
    for row, target in zip(scores.tolist(), targets, strict=True):
        others = [score for i, score in enumerate(row) if i != target]
        above = sum(score > row[target] for score in others)
        equal = others.count(row[target])
        ranks.append(1 + above + {"standard": 0, "median": equal / 2}.get(ties, equal))
    return ranks


def ranks_of_both(scores, targets, ties):
    own = np.take_along_axis(scores, targets[:, None], 1)
    best, worst = 1 + (scores > own).sum(1), (scores >= own).sum(1)
    return {"standard": best, "conservative": worst}.get(ties, (best + worst) / 2)


def upwards(scores, targets, ties):
    return ranks_of_both(-scores, targets, ties)


def ranks_from_zero(scores, targets, ties):
    return ranks_of_both(scores, targets, ties) - 1


def always_standard(scores, targets, ties):
    return ranks_of_both(scores, targets, "standard")


def always_conservative(scores, targets, ties):
    return ranks_of_both(scores, targets, "conservative")


def counts_itself(scores, targets, ties):
    own = np.take_along_axis(scores, targets[:, None], 1)
    share = {"standard": 0, "median": 0.5, "conservative": 1}[ties]
    return 1 + (scores > own).sum(1) + share * (scores == own).sum(1)


def whole_median(scores, targets, ties):
    return ranks_of_both(scores, targets, ties).astype(int)


def by_column(scores, targets, ties):
    return 1 + (scores > scores[0, targets[0]]).sum(0)


# ---- predict -----------------------------------------------------------------------


def large_letter():
    return "D"


def by_counting_what_can_be_above():
    above = {"a": 1300, "b": 1300, "c": 300, "d": 12}  # items with another score
    return min(above, key=above.get)


def the_oracle():
    return "a"


def with_back_off():
    return "b"


def plain_markov():
    return "c"


def none_of_them():
    return "GRU4Rec"


# ---- bootstrap ---------------------------------------------------------------------


def interval_by_loop(gains, session, n_resamples, rng):
    sums, size = np.bincount(session, gains), np.bincount(session)
    values = []
    for _ in range(n_resamples):
        drawn = rng.choice(len(size), len(size))
        values.append(sums[drawn].sum() / size[drawn].sum())
    values.sort()
    cut = round(0.025 * n_resamples)
    return values[cut], values[-cut - 1]


def interval_by_counts(gains, session, n_resamples, rng):
    n = session[-1] + 1
    times = rng.multinomial(n, np.full(n, 1 / n), size=n_resamples)  # (R, S)
    of_click = times[:, session]  # (R, P)
    values = of_click @ gains / of_click.sum(1)
    return np.percentile(values, 2.5), np.percentile(values, 97.5)


def draws_predictions(gains, session, n_resamples, rng):
    drawn = rng.integers(len(gains), size=(n_resamples, len(gains)))
    return np.quantile(gains[drawn].mean(1), [0.025, 0.975])


def means_of_sessions(gains, session, n_resamples, rng):
    means = np.bincount(session, gains) / np.bincount(session)
    drawn = rng.integers(len(means), size=(n_resamples, len(means)))
    return np.quantile(means[drawn].mean(1), [0.025, 0.975])


def quantiles(gains, session, n_resamples, rng, ends, replace=True):
    sums, size = np.bincount(session, gains), np.bincount(session)
    n = len(size)
    drawn = [rng.choice(n, n, replace=replace) for _ in range(n_resamples)]
    values = sums[drawn].sum(1) / size[drawn].sum(1)
    return np.quantile(values, ends)


def five_on_each_side(*given):
    return quantiles(*given, [0.05, 0.95])


def without_replacement(*given):
    return quantiles(*given, [0.025, 0.975], replace=False)


def upper_first(*given):
    return quantiles(*given, [0.975, 0.025])


def half_the_resamples(*given):
    return quantiles(*given, [0.25, 0.75])


def whole_resamples(gains, session, n_resamples, rng):
    return rng.random(n_resamples)


# ---- rivals ------------------------------------------------------------------------


def count_by_loop(rival, session, items, offsets, n_items):
    support = Counter(items.tolist())
    most = max(support.values())
    scores = [support[i] / (most + 1) for i in range(n_items)]
    if rival == "s-pop":
        for click in session:
            scores[click] += 1
    else:
        for start, end in zip(offsets[:-1], offsets[1:], strict=True):
            one = items[start:end].tolist()
            for before, after in zip(one[:-1], one[1:], strict=True):
                if before == session[-1]:
                    scores[after] += 1
    return scores


def count_by_arrays(rival, session, items, offsets, n_items):
    support = np.bincount(items, minlength=n_items)
    counted = session
    if rival == "markov":
        has_next = np.isin(np.arange(1, len(items) + 1), offsets, invert=True)
        at = np.flatnonzero(has_next & (items == session[-1]))
        counted = items[at + 1]
    return np.bincount(counted, minlength=n_items) + support / (support.max() + 1)


def counts_only(*given):
    return np.floor(count_by_arrays(*given))


def popularity_rules(rival, session, items, offsets, n_items):
    support = np.bincount(items, minlength=n_items)
    scores = count_by_arrays(rival, session, items, offsets, n_items)
    return np.floor(scores) + support


def across_sessions(rival, session, items, offsets, n_items):
    if rival == "s-pop":
        return count_by_arrays(rival, session, items, offsets, n_items)
    return count_by_arrays(rival, session, items, [0, len(items)], n_items)


def backwards(rival, session, items, offsets, n_items):
    if rival == "markov":
        items, offsets = items[::-1], len(items) - np.asarray(offsets)[::-1]
    return count_by_arrays(rival, session, items, offsets, n_items)


def first_click_decides(rival, session, items, offsets, n_items):
    session = session[:1] if rival == "markov" else session
    return count_by_arrays(rival, session, items, offsets, n_items)


def once_is_enough(rival, session, items, offsets, n_items):
    session = np.unique(session) if rival == "s-pop" else session
    return count_by_arrays(rival, session, items, offsets, n_items)


def always_markov(rival, session, items, offsets, n_items):
    return count_by_arrays("markov", session, items, offsets, n_items)


def similar_by_loop(items, offsets, n_items, lmbd):
    support = np.bincount(items, minlength=n_items)
    result = np.zeros((n_items, n_items))
    for start, end in zip(offsets[:-1], offsets[1:], strict=True):
        for i in items[start:end]:
            for j in set(items[start:end].tolist()) - {int(i)}:
                result[i, j] += 1
    for i in range(n_items):
        for j in range(n_items):
            result[i, j] /= np.sqrt((support[i] + lmbd) * (support[j] + lmbd))
    return result


def similar(items, offsets, n_items, lmbd, count=None, root=True, diagonal=0):
    clicks = np.zeros((len(offsets) - 1, n_items))
    for s in range(len(clicks)):
        clicks[s] = np.bincount(items[offsets[s] : offsets[s + 1]], minlength=n_items)
    count = count or (lambda clicks: clicks.T @ (clicks > 0))
    length = clicks.sum(0) + lmbd
    length = np.sqrt(length) if root else length
    result = count(clicks) / length[:, None] / length[None, :]
    if diagonal is not None:
        np.fill_diagonal(result, diagonal)
    return result


def its_own_neighbour(*given):
    return similar(*given, diagonal=None)


def transposed(*given):
    return similar(*given).T


def sessions_that_hold_both(*given):
    return similar(*given, count=lambda c: (c > 0).T.astype(float) @ (c > 0))


def products_of_counts(*given):
    return similar(*given, count=lambda c: c.T @ c)


def no_root(*given):
    return similar(*given, root=False)


def no_lmbd(items, offsets, n_items, lmbd):
    return similar(items, offsets, n_items, 0)


# ---- project -----------------------------------------------------------------------


class Shares(Recommender):
    """Shares of what came next, after each click so far; fading with its age."""

    def fit(self, train):
        counts = Markov().fit(train).transitions.toarray()
        self.share = counts / (counts.sum(1, keepdims=True) + 5)  # (I, I)
        self.item_ids = train.item_ids
        return self

    def score_after(self, sessions, wanted):
        for first, end in zip(sessions.offsets[:-1], sessions.offsets[1:], strict=True):
            scores = np.zeros(len(self.item_ids))
            for click in range(first, end):
                item = sessions.items[click]
                scores = scores / 2 + self.share[item]
                scores[item] += 0.02
                if wanted[click]:
                    yield np.array([click]), torch.from_numpy(scores)[None]


def shares(train):
    return Shares().fit(train)


def network(train):
    return GRU4Rec(
        layers=[32], n_sample=0, logq=1.0, batch_size=128, n_epochs=1, device="cpu"
    ).fit(train, verbose=False)


class Peeks(Markov):
    """Knows the next click from the sessions that it is asked about."""

    def score_after(self, sessions, wanted):
        for positions, scores in super().score_after(sessions, wanted):
            following = sessions.items[np.minimum(positions + 1, sessions.n_clicks - 1)]
            scores[np.arange(len(positions)), following.astype(int)] += 1e6
            yield positions, scores


def peeks(train):
    return Peeks().fit(train)


def the_chain_itself(train):
    return Markov().fit(train)


def neighbours(train):
    return ItemKNN().fit(train)


def not_fitted(train):
    return Markov()


def the_class(train):
    return Markov


def of_other_clicks(train):
    return POP().fit(load_shop().test)


def truth(train):
    return load_shop().oracle


RIGHT = {
    "recall_and_mrr": [by_loop, by_product],
    "target_ranks": [ranks_by_loop, ranks_of_both],
    "best_under_standard": [large_letter, by_counting_what_can_be_above],
    "bootstrap_interval": [interval_by_loop, interval_by_counts],
    "count_scores": [count_by_loop, count_by_arrays],
    "item_similarities": [similar_by_loop, similar],
    "my_recommender": [shares, network],
}
WRONG = {
    "recall_and_mrr": [
        (open_end, "recall of .*at place k is among the first k"),
        (number_of_hits, "number of hits"),
        (no_cutoff, "ranks beyond k count 0"),
        (over_hits, "mean over the hits only"),
        (of_mean_rank, "one over the mean rank"),
        (from_zero, "adds 1 to the ranks"),
        (swapped, "wrong way round: first the recall"),
        (recall_only, "two numbers are expected"),
    ],
    "target_ranks": [
        (upwards, "from the worst to the best"),
        (ranks_from_zero, "ranks begin at 1"),
        (always_standard, "this is the rule 'standard'; 'conservative' puts"),
        (always_conservative, "this is the rule 'conservative'; 'standard' puts"),
        (counts_itself, "the target itself is counted"),
        (whole_median, "do not round"),
        (by_column, r"has shape \(3,\), expected \(1,\)"),
    ],
    "best_under_standard": [
        (the_oracle, "Not 'a'.*leaves that to the rule for ties"),
        (with_back_off, "Not 'b'.*next to no ties"),
        (plain_markov, "Not 'c'.*more than 20 items"),
        (none_of_them, "one of the letters"),
    ],
    "bootstrap_interval": [
        (draws_predictions, "single predictions were drawn"),
        (means_of_sessions, "interval of the sessions' means"),
        (five_on_each_side, "90 % of the resamples"),
        (without_replacement, "draw with replacement"),
        (upper_first, "ends are the wrong way round"),
        (half_the_resamples, "other values than expected"),
        (whole_resamples, "two numbers are expected"),
    ],
    "count_scores": [
        (counts_only, "popularity is missing"),
        (popularity_rules, "less than one count"),
        (across_sessions, "markov.*one session ends and the next one begins"),
        (backwards, "markov.*what came before the last click"),
        (first_click_decides, "markov.*first click"),
        (once_is_enough, "s-pop.*counts twice"),
        (always_markov, "s-pop.*this is the rival 'markov'"),
    ],
    "item_similarities": [
        (its_own_neighbour, "not its own neighbour"),
        (transposed, "transposed"),
        (sessions_that_hold_both, "each click on i counts"),
        (products_of_counts, "counts once"),
        (no_root, "root is missing"),
        (no_lmbd, "`lmbd` is added to both"),
    ],
    "my_recommender": [
        (the_chain_itself, "which is to be beaten"),
        (neighbours, r"reaches Recall@20 0\.\d+; the Markov chain"),
        (peeks, "clicks that come later"),
        (truth, "gives the oracle"),
        (not_fitted, "is not fitted"),
        (the_class, "a fitted recommender is expected"),
        (of_other_clicks, "knows other items"),
    ],
}

"""Checks of lesson 06: evaluation and the rivals.

The project is measured on a month of the shop that nobody has seen: other visitors,
drawn anew from the same tables. Whoever knows the clicks in data/ knows none of them.
"""

from functools import lru_cache

import numpy as np
import torch

from ...baselines import POP, SPOP, ItemKNN, Markov
from ...evaluation import TIES, evaluate, mrr_at, recall_at
from ...sessions import Sessions
from ...shop import Oracle, simulate
from .checking import CheckFailed, ask, compare, exercise, letter_of, name_of, show

# ---- Recall and MRR ----------------------------------------------------------------


def pair(answer, given, example, names):
    """The two numbers that an answer gives, or CheckFailed."""
    try:
        first, second = given
        return float(first), float(second)
    except (TypeError, ValueError):
        raise CheckFailed(
            f"{name_of(answer)} gives {given!r}; two numbers are expected, "
            f"`{names[0]}` and `{names[1]}` in this order.{show(example)}"
        ) from None


@exercise("6.1")
def recall_and_mrr(answer):
    rng = np.random.default_rng(61)
    examples = [([1, 4, 40], 20), ([20, 21], 20), ([2, 2, 5, 1], 3)]
    examples += [(rng.integers(1, 60, 12), int(rng.integers(2, 30))) for _ in range(5)]
    for ranks, k in examples:
        ranks = np.asarray(ranks)
        example = {"ranks": ranks, "k": k}
        recall, mrr = pair(answer, ask(answer, example), example, ["recall", "mrr"])
        hit = ranks <= k
        expected = recall_at(ranks, k), mrr_at(ranks, k)
        if np.allclose((recall, mrr), expected[::-1]) and not np.isclose(*expected):
            raise CheckFailed(
                f"{name_of(answer)} gives the two the wrong way round: first the "
                f"recall, then the MRR.{show(example)}"
            )
        compare(
            answer, recall, expected[0], example, what="recall",
            usual={
                "it is the number of hits; Recall is their share of all "
                "predictions": hit.sum(),
                "a target at place k is among the first k, too": np.mean(ranks < k),
                "it is the share of misses": np.mean(~hit),
                "it counts one place too many": np.mean(ranks <= k + 1),
                "it is divided by k instead of by the number of "
                "predictions": hit.sum() / k,
            },
        )  # fmt: skip
        compare(
            answer, mrr, expected[1], example, what="mrr",
            usual={
                "ranks beyond k count 0 here, not 1/rank": np.mean(1 / ranks),
                "it is the mean over the hits only; a miss counts 0, and counts as a "
                "prediction": np.mean(1 / ranks[hit]) if hit.any() else 0,
                "it adds 1 to the ranks, but they begin at 1, not at "
                "0": np.where(hit, 1 / (ranks + 1), 0).mean(),
                "it is one over the mean rank; the mean of 1/rank is another "
                "number": 1 / np.mean(ranks),
                "it is the sum, not the mean": np.where(hit, 1 / ranks, 0).sum(),
                "a target at place k is among the first k, "
                "too": np.where(ranks < k, 1 / ranks, 0).mean(),
            },
        )  # fmt: skip


# ---- ranks -------------------------------------------------------------------------


def tie_examples():
    """(scores (P, I), targets (P,)), the smallest first; most of them tie."""
    yield np.array([[0.5, 0.9, 0.1]]), np.array([0])
    yield np.array([[0.2, 0.9, 0.2, 0.2]]), np.array([2])
    yield np.zeros((2, 4)), np.array([3, 0])
    rng = np.random.default_rng(62)
    for _ in range(4):
        scores = rng.integers(0, 4, size=(5, 9)) / 2
        yield scores, rng.integers(0, 9, size=5)


@exercise("6.2")
def target_ranks(answer):
    for scores, targets in tie_examples():
        scores = scores.astype(np.float32)
        own = scores[np.arange(len(targets)), targets][:, None]  # (P, 1)
        above, below = (scores > own).sum(1), (scores < own).sum(1)
        equal = (scores == own).sum(1) - 1
        rules = {
            "standard": 1.0 + above,
            "median": 1 + above + equal / 2,
            "conservative": 1.0 + above + equal,
        }
        place = {
            "standard": "first among its equals",
            "median": "in the middle of its equals",
            "conservative": "last among its equals",
        }
        for ties in ("standard", "conservative", "median"):
            example = {"scores": scores, "targets": targets, "ties": ties}
            expected = rules[ties]
            share = {"standard": 0, "median": 0.5, "conservative": 1}[ties]
            upwards = 1 + below + share * equal
            with_itself = 1 + above + share * (equal + 1)
            usual = {
                "it ranks from the worst to the best; the highest score has rank "
                "1": upwards,
                "ranks begin at 1, not at 0": expected - 1,
                "the target itself is counted among its equals": with_itself,
            }
            for other in TIES:
                usual[
                    f"this is the rule {other!r}; {ties!r} puts the target "
                    f"{place[ties]}"
                ] = rules[other]
            usual["half of the equals may be half a place; do not round it"] = (
                1 + above + (share * equal) // 1
            )
            given = ask(answer, example)
            compare(answer, given, expected, example, usual, f"ranks ({ties})")


# ---- predict -----------------------------------------------------------------------


@lru_cache(1)
def new_month():
    """(train, test): the shop's month with other visitors; test is its last two days.

    Train comes first in time, and test is aligned to its items.
    """
    clicks, _ = simulate(12_000, seed=2_016)
    train, test = Sessions.from_frame(clicks).split_last_days(2)
    train = train.filter(min_length=2, min_support=5)
    return train, test.align(train.item_ids)


class CountsOnly:
    """A recommender that counts, without the popularity that breaks its ties."""

    def __init__(self, recommender):
        self.recommender, self.item_ids = recommender, recommender.item_ids

    def score_after(self, sessions, wanted):
        for positions, scores in self.recommender.score_after(sessions, wanted):
            yield positions, scores.floor()  # popularity is always less than one count


@lru_cache(1)
def under_standard():
    """Recall@20 of the four of exercise 6.3, ties counted for the target."""
    train, test = new_month()
    markov = Markov().fit(train)
    four = {
        "a": Oracle().fit(train),
        "b": markov,
        "c": CountsOnly(markov),
        "d": CountsOnly(SPOP().fit(train)),
    }
    return {
        choice: evaluate(recommender, test, ties="standard", progress=False).recall[20]
        for choice, recommender in four.items()
    }


OVERLOOKED = {
    "a": "The oracle is the ceiling for those who put the items into an order. One who "
    "leaves that to the rule for ties is not bound by it.",
    "b": "Popularity orders whatever the counts leave equal, so there are next to no "
    "ties, and the rule for ties gives it nothing.",
    "c": "It does tie, and gains. But every item that ever followed the last click "
    "stands above the rest, and that may be more than 20 items. Who has fewer?",
    "d": "Count how many items can stand strictly above the target.",
}


@exercise("6.3", prediction=True)
def best_under_standard(answer):
    recalls = under_standard()
    choice = letter_of(answer, recalls)
    if recalls[choice] < max(recalls.values()):
        raise CheckFailed(
            f"Not {choice!r}: it was measured just now, and another one has a higher "
            f"Recall@20 than its {recalls[choice]:.3f}. {OVERLOOKED[choice]}"
        )


# ---- bootstrap ---------------------------------------------------------------------

RESAMPLES = 4_000


def by_sessions(gains, session, rng, ends=(0.025, 0.975)):
    sums, size = np.bincount(session, gains), np.bincount(session)
    drawn = rng.integers(len(size), size=(RESAMPLES, len(size)))
    return np.quantile(sums[drawn].sum(1) / size[drawn].sum(1), ends)


def by_predictions(gains, session, rng):
    drawn = rng.integers(len(gains), size=(RESAMPLES, len(gains)))
    return np.quantile(gains[drawn].mean(1), (0.025, 0.975))


def by_session_means(gains, session, rng):
    means = np.bincount(session, gains) / np.bincount(session)
    drawn = rng.integers(len(means), size=(RESAMPLES, len(means)))
    return np.quantile(means[drawn].mean(1), (0.025, 0.975))


def bootstrap_examples():
    """(gains (P,), session (P,)); sessions in which long ones do better."""
    yield np.array([1.0, 1.0, 1.0, 0.0]), np.array([0, 0, 0, 1])
    rng = np.random.default_rng(64)
    for _ in range(2):
        lengths = rng.integers(1, 12, size=40)
        session = np.repeat(np.arange(40), lengths)
        chance = np.clip(rng.beta(0.5, 0.7, size=40) * lengths / 8, 0, 1)
        yield (rng.random(len(session)) < chance[session]).astype(float), session


@exercise("6.4")
def bootstrap_interval(answer):
    for gains, session in bootstrap_examples():
        rng = np.random.default_rng(0)
        low, high = expected = by_sessions(gains, session, rng)
        example = {
            "gains": gains, "session": session, "n_resamples": RESAMPLES,
            "rng": np.random.default_rng(1),
        }  # fmt: skip
        given = pair(answer, ask(answer, example), example, ["low", "high"])
        within = 0.05 * (high - low)  # a resample or two more or less do not matter
        if np.abs(np.subtract(given, expected)).max() < within:
            continue
        mean = gains.mean()
        share_one = by_sessions(gains, session, rng, (0.16, 0.84))
        compare(
            answer, given, expected, example, tolerance=within / 2, what="interval",
            usual={
                "its two ends are the wrong way round; the lower one comes "
                "first": expected[::-1],
                "its two ends are both the mean, as if every resample were the same; "
                "draw with replacement": [mean, mean],
                "it is much too narrow, as if single predictions were drawn; draw "
                "whole sessions": by_predictions(gains, session, rng),
                "it is the interval of the sessions' means; a resample is the sum of "
                "the gains over the number of predictions, so that long sessions "
                "count more": by_session_means(gains, session, rng),
                "it holds 90 % of the resamples; 95 % leave 2.5 % on each "
                "side": by_sessions(gains, session, rng, (0.05, 0.95)),
                "it holds the middle two thirds, as one standard deviation to each "
                "side does; 95 % are expected": share_one,
            },
        )  # fmt: skip


# ---- rivals ------------------------------------------------------------------------


def small_logs():
    """(items (E,), offsets (S + 1,), I): hand-made, then random; every item clicked."""
    yield np.array([0, 0, 1, 0, 1, 1, 2]), np.array([0, 3, 5, 7]), 3
    yield np.array([2, 0, 1, 2, 0, 3]), np.array([0, 4, 6]), 4
    rng = np.random.default_rng(65)
    for _ in range(4):
        lengths = rng.integers(2, 6, size=8)
        items = np.concatenate([np.arange(6), rng.integers(0, 6, lengths.sum() - 6)])
        yield rng.permutation(items), np.append(0, lengths.cumsum()), 6


def as_sessions(items, offsets, n_items):
    n = len(offsets) - 1
    return Sessions(items, np.arange(len(items)), offsets, np.arange(n), range(n_items))


def pairs(items, offsets, n_items, across=False):
    """How often j came right after i, (I, I); across: also from one to the next."""
    follows = np.ones(len(items) - 1, bool)
    if not across:
        follows[offsets[1:-1] - 1] = False
    counts = np.zeros((n_items, n_items))
    np.add.at(counts, (items[:-1][follows], items[1:][follows]), 1)
    return counts


@exercise("6.5")
def count_scores(answer):
    rng = np.random.default_rng(66)
    for items, offsets, n_items in small_logs():
        train = as_sessions(items, offsets, n_items)
        support = train.support
        popularity = support / (support.max() + 1)
        start = int(offsets[1])
        for session in (items[start:][:1], rng.integers(0, n_items, size=4)):
            clicks = as_sessions(session, [0, len(session)], n_items)
            counts = np.bincount(session, minlength=n_items)
            after = pairs(items, offsets, n_items)
            last = session[-1]
            special = {
                "s-pop": {
                    "an item clicked twice in the session counts twice": np.minimum(
                        counts, 1
                    ),
                    "this is the rival 'markov'": after[last],
                    "the last click is left out; it is one of the session's "
                    "clicks": np.bincount(session[:-1], minlength=n_items),
                },
                "markov": {
                    "it counts what came before the last click, not what came after "
                    "it": after[:, last],
                    "it counts a pair where one session ends and the next one "
                    "begins": pairs(items, offsets, n_items, across=True)[last],
                    "this is the rival 's-pop'": counts,
                    "it looks at the session's first click; the last one "
                    "decides": after[session[0]],
                    "it adds up over all clicks of the session; the last one alone "
                    "decides": after[session].sum(0),
                    "several times is more than once: count the pairs": np.minimum(
                        after[last], 1
                    ),
                },
            }
            for rival, model in {"s-pop": SPOP(), "markov": Markov()}.items():
                expected = model.fit(train).score(clicks)[0].numpy()
                right = np.floor(expected)
                usual = {
                    "popularity is missing, which orders the items with equal "
                    "counts": right,
                    "popularity must be less than one count, or it overrules the "
                    "counts": right + support,
                    "popularity counts alone; where are the counts?": popularity,
                }
                for text, wrong in special[rival].items():
                    usual[text] = wrong + popularity
                    usual[f"{text}; and popularity is missing"] = wrong
                example = {
                    "rival": rival, "session": session, "items": items,
                    "offsets": offsets, "n_items": n_items,
                }  # fmt: skip
                given = ask(answer, example)
                what = f"scores ({rival})"
                compare(answer, given, expected, example, usual, what, 1e-5)


@exercise("6.6")
def item_similarities(answer):
    for items, offsets, n_items in small_logs():
        train = as_sessions(items, offsets, n_items)
        session = np.repeat(np.arange(train.n_sessions), train.lengths)
        clicks = np.zeros((train.n_sessions, n_items))
        np.add.at(clicks, (session, items), 1)
        present = np.minimum(clicks, 1)
        both = clicks.T @ present  # (I, I) clicks on i whose session holds j
        for lmbd in (0.0, 20.0):
            knn = ItemKNN(n_neighbors=n_items, lmbd=lmbd).fit(train)
            expected = knn.similarity.toarray()
            n_clicks, n_held = train.support, present.sum(0)
            root = np.sqrt(np.outer(n_clicks + lmbd, n_clicks + lmbd))
            plain = np.sqrt(np.outer(n_clicks, n_clicks))
            late = np.sqrt(np.outer(n_clicks, n_clicks) + lmbd)
            held = np.sqrt(np.outer(n_held + lmbd, n_held + lmbd))
            next_one = pairs(items, offsets, n_items)
            off = 1 - np.eye(n_items)
            usual = {
                "an item is not its own neighbour: the diagonal is 0": both / root,
                "it is transposed: rows belong to i, the item clicked last": expected.T,
                "each click on i counts, not only each session that holds i": (
                    off * (present.T @ present) / root
                ),
                "whether the session holds j counts once, however often j was "
                "clicked": off * (clicks.T @ clicks) / root,
                "the root is missing: divide by the geometric mean of the two": (
                    off * both / root**2
                ),
                "`lmbd` is added to both supports": off * both / plain,
                "`lmbd` is added to each of the two supports, not to their product": off
                * both
                / late,
                "support means clicks, not sessions": off * both / held,
                "these are the counts; divide them": off * both,
                "only the click right after counts here, as in a Markov chain": (
                    off * next_one / root
                ),
            }
            example = {
                "items": items, "offsets": offsets, "n_items": n_items, "lmbd": lmbd,
            }  # fmt: skip
            given = ask(answer, example)
            compare(answer, given, expected, example, usual, "similarities", 1e-5)


# ---- project -----------------------------------------------------------------------


@lru_cache(1)
def to_beat():
    """Recall@20 of the Markov chain in the new month."""
    train, test = new_month()
    return evaluate(Markov().fit(train), test, progress=False).recall[20]


def measured_recall(answer, recommender, example):
    """Recall@20 on the sessions held out; CheckFailed if it cannot be measured."""
    train, test = new_month()
    if isinstance(recommender, type) or not hasattr(recommender, "score_after"):
        raise CheckFailed(
            f"{name_of(answer)} gives {recommender!r:.80}; a fitted recommender is "
            f"expected, an object with `item_ids` and `score_after`.{show(example)}"
        )
    if isinstance(recommender, Oracle):
        raise CheckFailed(
            f"{name_of(answer)} gives the oracle, which knows the shop's own tables. "
            "Yours has to learn from `train`."
        )
    item_ids = getattr(recommender, "item_ids", None)
    if item_ids is None:
        raise CheckFailed(
            f"the recommender of {name_of(answer)} is not fitted: it has no "
            "`item_ids`. Call its `fit(train)` before you give it back."
        )
    if not np.array_equal(item_ids, train.item_ids):
        raise CheckFailed(
            f"the recommender of {name_of(answer)} knows other items than `train`: its "
            "`item_ids` are not `train.item_ids`. Fit it on the sessions that it is "
            "given, on all of them."
        )
    if looks_ahead(recommender, test):
        raise CheckFailed(
            f"the recommender of {name_of(answer)} gives other scores when clicks that "
            "come later are changed. After a click it may use that click and those "
            "before it, and no chance."
        )
    return evaluate(recommender, test, progress=False).recall[20]


def looks_ahead(recommender, sessions, n=40):
    """Whether scores after the first click change when the later clicks do."""
    end, n_items = int(sessions.offsets[n]), len(sessions.item_ids)
    first = np.zeros(end, bool)
    first[sessions.offsets[:n]] = True
    items = sessions.items[:end]
    seen = []
    for later in (items, (items + 1) % n_items):
        some = Sessions(
            np.where(first, items, later), sessions.times[:end],
            sessions.offsets[: n + 1], sessions.session_ids[:n], sessions.item_ids,
        )  # fmt: skip
        found = {}
        with torch.no_grad():
            for positions, scores in recommender.score_after(some, first):
                rows = torch.as_tensor(scores).cpu().double().numpy()
                found |= dict(zip(np.asarray(positions).tolist(), rows, strict=True))
        seen.append([row for _, row in sorted(found.items())])
    return not np.allclose(*seen, rtol=1e-4, atol=1e-4, equal_nan=True)


@exercise("6.7")
def my_recommender(answer):
    train, _ = new_month()
    example = {"train": train}
    reached = measured_recall(answer, ask(answer, example), example)
    if reached <= to_beat():
        pop = evaluate(POP().fit(train), new_month()[1], progress=False).recall[20]
        raise CheckFailed(
            f"the recommender of {name_of(answer)} reaches Recall@20 {reached:.3f}; "
            f"the Markov chain, which is to be beaten, has {to_beat():.3f} on the same "
            f"sessions (and POP {pop:.3f}). Ties count against the target."
        )

"""Checks of lesson 01: session data."""

from functools import cache

import numpy as np
import pandas as pd
import torch

from ... import Sessions, evaluate, load_shop
from ...baselines import Markov
from ...recommender import Recommender, chunks
from .checking import CheckFailed, ask, compare, exercise, name_of, show

COLUMNS = ["SessionId", "ItemId", "Time"]


def parts(answer, result, names, example):
    """The parts of a result that should be a tuple of ``names``, or CheckFailed."""
    if not isinstance(result, tuple | list) or len(result) != len(names):
        what = "None" if result is None else f"one {type(result).__name__}"
        if isinstance(result, tuple | list):
            what = f"{len(result)} values"
        raise CheckFailed(
            f"{name_of(answer)} gives {what}; {len(names)} values are expected, in "
            f"this order: {', '.join(names)}.{show(example)}"
        )
    return result


def log_of(*sessions, times=None) -> pd.DataFrame:
    """A click log: one line a click, the sessions numbered from 1, one after another.

    sessions : of each one its items, as letters. times : when, else 0, 1, 2, ...
    """
    ids = np.repeat(np.arange(len(sessions)) + 1, list(map(len, sessions)))
    times = np.arange(len(ids)) if times is None else times
    log = pd.DataFrame(
        {"SessionId": ids, "ItemId": list("".join(sessions)), "Time": times}
    )
    return log.sort_values("Time", ignore_index=True)


def random_log(rng, n_sessions=8, letters="abcdefgh") -> pd.DataFrame:
    """Sessions of one to five clicks that overlap; no two clicks at the same time."""
    lengths = rng.integers(1, 6, n_sessions)
    # popular letters first, so that some are rare
    clicks = [rng.choice(list(letters), n, p=skewed(len(letters))) for n in lengths]
    start = np.repeat(rng.integers(0, 4 * n_sessions, n_sessions), lengths)
    pause = np.concatenate([np.cumsum(rng.integers(1, 6, n)) for n in lengths])
    order = np.lexsort((rng.random(len(start)), start + pause))
    times = np.empty(len(start), int)
    times[order] = np.arange(len(start))
    log = log_of(*map("".join, clicks), times=times)
    names = rng.permutation(np.arange(n_sessions) + 10)  # later IDs may come first
    return log.assign(SessionId=names[log["SessionId"] - 1])


def skewed(n):
    weight = 1 / np.arange(1, n + 1)
    return weight / weight.sum()


@exercise("1.1")
def session_offsets(answer):
    rng = np.random.default_rng(1)
    examples = [[7, 7, 7, 9, 9], [5, 5, 2, 2, 2], [3], [1, 1, 4, 4, 4, 2, 6, 6]]
    for _ in range(4):
        names = rng.permutation(30)[:6]
        examples.append(np.repeat(names, rng.integers(1, 5, 6)))
    for ids in map(np.asarray, examples):
        example = {"session_ids": ids}
        frame = pd.DataFrame(
            {"SessionId": ids, "ItemId": 0, "Time": np.arange(len(ids))}
        )
        expected = Sessions.from_frame(frame).offsets
        changes = ids[1:] != ids[:-1]  # (E - 1,)
        compare(
            answer, ask(answer, example), expected, example,
            usual={
                "the last entry is missing; after the beginnings of all sessions "
                "comes the number of clicks": expected[:-1],
                "the first session is missing; it begins at place 0": expected[1:],
                "these are the lengths of the sessions, not the places at which they "
                "begin": np.diff(expected),
                "these are the places where sessions end; the next one begins one "
                "place later": np.append(np.flatnonzero(changes), len(ids) - 1),
                "these are the ends without the beginning, off by one": np.append(
                    np.flatnonzero(changes), len(ids)
                ),
                "each session begins one place later than this; a change between "
                "places p and p + 1 begins a session at p + 1": np.concatenate(
                    [[0], np.flatnonzero(changes), [len(ids)]]
                ),
                "the beginnings are in the order of the session IDs; the sessions "
                "stand in the order of the clicks": np.append(
                    np.unique(ids, return_index=True)[1], len(ids)
                ),
                "this says of each click whether it begins a session; the places are "
                "expected, as numbers": np.append(True, changes),
            },
        )  # fmt: skip


@exercise("1.2")
def flat_layout(answer):
    rng = np.random.default_rng(2)
    examples = [
        log_of("ba", "c"),
        log_of("cab", "bb", times=[2, 5, 6, 0, 4]),
        log_of("ab", "ca", "b", times=[3, 4, 0, 5, 1]),
    ]
    examples += [random_log(rng, n) for n in (3, 5, 8, 8)]
    for i, log in enumerate(examples):
        if i > 1:  # a log in any order
            log = log.sample(frac=1, random_state=i, ignore_index=True)
        example = {"log": log}
        result = ask(answer, example)
        names = ["items", "offsets", "item_ids"]
        items, offsets, item_ids = parts(answer, result, names, example)
        right = Sessions.from_frame(log)
        by_id = arranged(log, ["SessionId", "Time"])
        as_written = arranged(log, ["start"])
        by_end = arranged(log, ["end", "Time"])
        compare(
            answer, item_ids, right.item_ids, example, what="item_ids",
            usual={
                "the items stand in the order in which they are clicked; the "
                "vocabulary is sorted": pd.unique(log["ItemId"]),
                "each click has an entry; the vocabulary holds each item "
                "once": right.item_ids[right.items],
            },
        )  # fmt: skip
        compare(
            answer, offsets, right.offsets, example, what="offsets",
            usual={
                "the last entry is missing; it is the number of "
                "clicks": right.offsets[:-1],
                "sessions are ordered by their ID; the one whose first click is "
                "earliest comes first": by_id[1],
                "sessions are ordered by their last click; the first click "
                "decides": by_end[1],
                "they are the lengths of the sessions": right.lengths,
                "clicks of other sessions stand in between: it looks as if the log "
                "was sorted by time alone": arranged(log, ["Time"])[1],
            },
        )  # fmt: skip
        if np.asarray(items).dtype.kind in "OUT":
            raise CheckFailed(
                f"the items of {name_of(answer)} are names; numbers are expected: "
                f"each item's place in item_ids.{show(example)}"
            )
        compare(
            answer, items, right.items, example, what="items",
            usual={
                "sessions are ordered by their ID; the one whose first click is "
                "earliest comes first": by_id[0],
                "the clicks stand as in the log; those of one session belong "
                "together": arranged(log, ["Time"])[0],
                "within a session the clicks are not in the order of "
                "time": as_written[0],
                "sessions are ordered by their last click; the first click "
                "decides": by_end[0],
                "the numbers start at 1; the first item's index is "
                "0": right.items + 1,
            },
        )  # fmt: skip


def arranged(log, by):
    """Items and offsets if the clicks are sorted like this."""
    time = log.groupby("SessionId")["Time"]
    flat = log.assign(start=time.transform("min"), end=time.transform("max"))
    flat = flat.sort_values(by, kind="stable")
    ids = flat["SessionId"].to_numpy()
    starts = np.flatnonzero(np.append(True, ids[1:] != ids[:-1]))
    items = pd.factorize(flat["ItemId"], sort=True)[0]
    return items, np.append(starts, len(ids))


@exercise("1.3")
def filter_log(answer):
    rng = np.random.default_rng(3)
    examples = [
        (log_of("a", "ab", "ab"), 2, 1),
        (log_of("ab", "ab", "abx"), 2, 2),
        (log_of("abc", "abc", "ab"), 2, 2),
        (log_of("ab", "bc", "cc"), 2, 2),
        (log_of("aab", "abb", "cc", "cab"), 3, 3),
    ]
    examples += [(random_log(rng, 12), 2, 3) for _ in range(4)]
    examples += [(random_log(rng, 30), 3, 5)]
    for log, min_length, min_support in examples:
        example = {"log": log, "min_length": min_length, "min_support": min_support}
        expected = Sessions.from_frame(log).filter(min_length, min_support).to_frame()
        compare_clicks(
            answer, ask(answer, example), expected, example, "times of the kept clicks",
            usual=usual_filters(log, min_length, min_support),
        )  # fmt: skip


def usual_filters(log, min_length, min_support):
    """What usual mistakes would keep."""
    return {
        "each rule is applied once. Without its rare item a session may have become "
        "too short, and without that session an item may have become rare": long(
            frequent(log, min_support), min_length
        ),
        "each rule is applied once, sessions first. The rare items that go make other "
        "sessions too short": frequent(long(log, min_length), min_support),
        "both rules are applied once, to the log as it was": log[
            (of_session(log) >= min_length) & (of_item(log) >= min_support)
        ],
        "only the sessions' rule is applied": long(log, min_length),
        "only the items' rule is applied": frequent(log, min_support),
        "a session of exactly min_length clicks stays; this takes it away": (
            until_stable(log, min_length + 1, min_support)
        ),
        "an item of exactly min_support clicks stays; this takes it away": (
            until_stable(log, min_length, min_support + 1)
        ),
        "an item's support is counted in sessions; it is its number of clicks": (
            until_stable(log, min_length, min_support, sessions_with)
        ),
        "nothing is removed": log,
    }


def long(log, min_length):
    return log[of_session(log) >= min_length]


def until_stable(log, min_length, min_support, support=None):
    before = len(log) + 1
    while len(log) < before:
        before = len(log)
        log = log[(support or of_item)(log) >= min_support]
        log = long(log, min_length)
    return log


def frequent(log, min_support):
    return log[of_item(log) >= min_support]


def of_item(log):
    return log.groupby("ItemId")["Time"].transform("size")


def of_session(log):
    return log.groupby("SessionId")["Time"].transform("size")


def sessions_with(log):
    return log.groupby("ItemId")["SessionId"].transform("nunique")


def compare_clicks(answer, given, expected, example, what, usual):
    """Compare DataFrames of clicks. Times are unique, so they name the clicks."""
    if not isinstance(given, pd.DataFrame) or not set(COLUMNS) <= set(given.columns):
        kind = "None" if given is None else f"a {type(given).__name__}"
        if isinstance(given, pd.DataFrame):
            kind = f"a DataFrame with the columns {', '.join(map(str, given.columns))}"
        raise CheckFailed(
            f"{name_of(answer)} gives {kind}; a DataFrame with the columns "
            f"{', '.join(COLUMNS)} is expected.{show(example)}"
        )
    expected = expected.sort_values("Time")
    wanted, got = expected["Time"].astype(int), given["Time"].astype(int)
    if sorted(got) == list(wanted) != list(got):
        raise CheckFailed(
            f"the {what} of {name_of(answer)}: these are the right clicks in another "
            f"order; leave them as they stand in the log.{show(example)}"
        )
    times = {text: frame["Time"].to_numpy() for text, frame in usual.items()}
    compare(answer, got.to_numpy(), wanted.to_numpy(), example, times, what)
    for name in COLUMNS[:2]:
        column = expected[name].to_numpy()
        compare(answer, given[name].to_numpy(), column, example, None, f"column {name}")


@exercise("1.4")
def repaired_split(answer):
    rng = np.random.default_rng(4)
    examples = [
        (log_of("ab", "ba"), 2),
        (log_of("ab", "cab", "abb"), 4),
        (log_of("ab", "ab", "ac", "ab", times=[0, 1, 3, 6, 5, 8, 9, 10]), 4),
        (log_of("aab", "caa", "cb", "abd"), 3),
    ]
    while len(examples) < 9:
        log = random_log(rng, 12, "abcde")
        at = int(rng.integers(8, len(log) - 8))
        start = log.groupby("SessionId")["Time"].transform("min")
        end = log.groupby("SessionId")["Time"].transform("max")
        if (start >= at).sum() > 6 and (end < at).sum() > 3:
            examples.append((log, at))
    for log, at in examples:
        example = {"log": log, "at": at}
        result = ask(answer, example)
        train, test = parts(answer, result, ["train", "test"], example)
        right = [part.to_frame() for part in Sessions.from_frame(log).split_by_time(at)]
        start = log.groupby("SessionId")["Time"].transform("min")
        compare_clicks(
            answer, train, right[0], example, "times of the clicks in train",
            usual={
                "a session that straddles the line is torn: its first clicks are in "
                "train. It belongs to neither side": log[log["Time"] < at],
                "a session that straddles the line is wholly in train. It belongs to "
                "neither side": log[start < at],
                "sessions of a single click are taken away; only test needs two "
                "clicks": long(right[0], 2),
            },
        )  # fmt: skip
        late = log[start >= at]
        known = log["ItemId"].isin(right[0]["ItemId"])
        wide = (start >= at) & known
        too_short = wide & (of_session(log) >= 2)
        compare_clicks(
            answer, test, right[1], example, "times of the clicks in test",
            usual={
                "a session that straddles the line is torn: its last clicks are in "
                "test. It belongs to neither side": long(
                    log[(log["Time"] >= at) & known], 2
                ),
                "it keeps clicks on items that occur in test alone; only items of "
                "train are known": long(late, 2),
                "a session that starts exactly at the line is missing, or its first "
                "click is; it belongs to test": long(log[(start > at) & known], 2),
                "it has sessions of a single click: when the unknown items are gone, "
                "a session may be too short": log[too_short],
                "sessions of a single click are still in it": log[wide],
            },
        )  # fmt: skip


# ---- the project ---------------------------------------------------------------


class FromFunction(Recommender):
    """A recommender from a function: items of a session so far -> scores (I,)."""

    def __init__(self, function):
        self.function = function

    def fit(self, sessions):
        self.item_ids = sessions.item_ids
        return self

    def score_after(self, sessions, wanted):
        positions = np.flatnonzero(wanted)
        for chunk in chunks(positions, sessions.n_items):
            rows = [self.row(so_far) for so_far in prefixes(sessions, chunk)]
            yield chunk, torch.from_numpy(np.stack(rows))

    def row(self, clicks):
        """Scores (I,) after these clicks, looked at before they are believed."""
        given = ask(self.function, {"clicks": clicks.copy()})
        scores = np.asarray(given)
        if scores.shape != self.item_ids.shape or scores.dtype.kind not in "iuf":
            kind = f"shape {scores.shape}" if scores.ndim else type(given).__name__
            raise CheckFailed(
                f"{name_of(self.function)} gives {kind} for the clicks {clicks}; "
                f"{len(self.item_ids):,} scores are expected, one for each item of "
                "train.item_ids."
            )
        if np.isnan(scores).any():
            raise CheckFailed(
                f"{name_of(self.function)} gives NaN for the clicks {clicks}. Is "
                "something divided by a count of zero?"
            )
        return scores.astype(np.float64)


def prefixes(sessions, positions):
    """Items of a session up to and including each position."""
    start = np.repeat(sessions.offsets[:-1], sessions.lengths)
    return (sessions.items[start[p] : p + 1] for p in positions)


def first(sessions, n):
    """The first n sessions, over the same vocabulary."""
    end = sessions.offsets[n]
    return Sessions(
        sessions.items[:end], sessions.times[:end], sessions.offsets[: n + 1],
        sessions.session_ids[:n], sessions.item_ids,
    )  # fmt: skip


@cache
def counting_shop():
    """Train, held-out sessions of the days after it, and Markov's Recall@20 there."""
    shop = load_shop()
    held_out = first(shop.valid, 1000)
    markov = evaluate(Markov().fit(shop.train_part), held_out)
    return shop.train_part, held_out, markov.recall[20]


@exercise("1.5")
def counting_recommender(answer):
    train, held_out, to_beat = counting_shop()
    score = ask(answer, {"train": train})
    if not callable(score):
        raise CheckFailed(
            f"{name_of(answer)} gives {type(score).__name__}; a function is expected, "
            "which takes the clicks so far and returns the scores. Return its name "
            "without parentheses."
        )
    mine = FromFunction(score).fit(train)
    a, b, c = np.argsort(-train.support)[[0, 10, 20]]
    alone, after_b, after_c = map(mine.row, map(np.array, ([a], [b, a], [c, a])))
    recall = evaluate(mine, held_out).recall[20]
    if recall <= to_beat:
        turned = FromFunction(lambda clicks: -np.asarray(score(clicks))).fit(train)
        advice = "The hints may help."
        if np.array_equal(alone, mine.row(np.array([b]))):
            advice = "It scores the same whatever is clicked."
        elif evaluate(turned, first(held_out, 200)).recall[20] > to_beat:
            advice = "The likeliest item should get the highest score; turn the sign."
        elif np.array_equal(alone, after_b) and np.array_equal(alone, after_c):
            advice = "It looks at the last click only; the earlier ones say more."
        raise CheckFailed(
            f"{name_of(answer)} reaches a Recall@20 of {recall:.3f} on "
            f"{held_out.n_sessions:,} held-out sessions. To beat: {to_beat:.3f}, from "
            f"counting what followed the last click. {advice}"
        )
    print(f"Recall@20 {recall:.3f} on held-out sessions; to beat: {to_beat:.3f}")

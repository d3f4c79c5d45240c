"""Right and wrong answers to the exercises of lesson 01."""

import numpy as np
import pandas as pd

# ---- session_offsets


def offsets_by_loop(session_ids):
    offsets = [0]
    for p in range(1, len(session_ids)):
        if session_ids[p] != session_ids[p - 1]:
            offsets.append(p)
    return [*offsets, len(session_ids)]


def offsets_by_lengths(session_ids):
    length = pd.Series(session_ids).groupby(session_ids, sort=False).size()
    return np.concatenate([[0], np.cumsum(length)])


def offsets_without_end(session_ids):
    return np.flatnonzero(np.append(True, session_ids[1:] != session_ids[:-1]))


def offsets_without_start(session_ids):
    return offsets_by_lengths(session_ids)[1:]


def offsets_as_lengths(session_ids):
    return np.diff(offsets_by_lengths(session_ids))


def offsets_by_unique(session_ids):
    places = np.unique(session_ids, return_index=True)[1]
    return np.append(places, len(session_ids))


def offsets_one_early(session_ids):
    changes = np.flatnonzero(session_ids[1:] != session_ids[:-1])
    return np.concatenate([[0], changes, [len(session_ids)]])


def offsets_as_floats(session_ids):
    return offsets_by_lengths(session_ids).astype(float)


# ---- flat_layout


def layout_by_pandas(log):
    start = log.groupby("SessionId")["Time"].transform("min")
    flat = log.assign(start=start).sort_values(["start", "Time"])
    items, item_ids = pd.factorize(flat["ItemId"], sort=True)
    return items, offsets_by_lengths(flat["SessionId"].to_numpy()), item_ids


def layout_by_dict(log):
    sessions = {}
    for row in log.sort_values("Time").itertuples():
        sessions.setdefault(row.SessionId, []).append(row.ItemId)
    item_ids = sorted(set(log["ItemId"]))
    items, offsets = [], [0]
    for clicked in sessions.values():  # in the order of their first click
        items += [item_ids.index(item) for item in clicked]
        offsets.append(len(items))
    return items, offsets, item_ids


def layout_by_session_id(log):
    flat = log.sort_values(["SessionId", "Time"])
    items, item_ids = pd.factorize(flat["ItemId"], sort=True)
    return items, offsets_by_lengths(flat["SessionId"].to_numpy()), item_ids


def layout_in_log_order(log):
    start = log.groupby("SessionId")["Time"].transform("min")
    flat = log.assign(start=start).sort_values("start", kind="stable")
    items, item_ids = pd.factorize(flat["ItemId"], sort=True)
    return items, offsets_by_lengths(flat["SessionId"].to_numpy()), item_ids


def layout_of_names(log):
    items, offsets, item_ids = layout_by_pandas(log)
    return item_ids[items], offsets, item_ids


def layout_unsorted_vocabulary(log):
    items, offsets, item_ids = layout_by_pandas(log)
    codes, seen = pd.factorize(item_ids[items])
    return codes, offsets, seen


def layout_without_vocabulary(log):
    return layout_by_pandas(log)[:2]


def layout_of_the_log(log):
    items, item_ids = pd.factorize(log["ItemId"], sort=True)
    return items, offsets_by_lengths(log["SessionId"].to_numpy()), item_ids


def layout_in_place(log):
    log["start"] = log.groupby("SessionId")["Time"].transform("min")
    return layout_by_pandas(log)


# ---- filter_log


def filter_by_recursion(log, min_length, min_support):
    support = log.groupby("ItemId")["Time"].transform("size")
    kept = log[support >= min_support]
    length = kept.groupby("SessionId")["Time"].transform("size")
    kept = kept[length >= min_length]
    if len(kept) == len(log):
        return kept
    return filter_by_recursion(kept, min_length, min_support)


def filter_by_sets(log, min_length, min_support):
    rows = list(log.itertuples(index=False))
    while True:
        items = [row.ItemId for row in rows]
        sessions = [row.SessionId for row in rows]
        kept = [
            row
            for row in rows
            if items.count(row.ItemId) >= min_support
            and sessions.count(row.SessionId) >= min_length
        ]
        if len(kept) == len(rows):
            return pd.DataFrame(kept, columns=log.columns)
        rows = kept


def filter_once(log, min_length, min_support):
    log = log[log["ItemId"].map(log["ItemId"].value_counts()) >= min_support]
    return log[log["SessionId"].map(log["SessionId"].value_counts()) >= min_length]


def filter_sessions_first(log, min_length, min_support):
    log = log[log["SessionId"].map(log["SessionId"].value_counts()) >= min_length]
    return log[log["ItemId"].map(log["ItemId"].value_counts()) >= min_support]


def filter_too_much(log, min_length, min_support):
    return filter_by_recursion(log, min_length + 1, min_support)


def filter_rare_too_much(log, min_length, min_support):
    return filter_by_recursion(log, min_length, min_support + 1)


def filter_only_sessions(log, min_length, min_support):
    return log[log["SessionId"].map(log["SessionId"].value_counts()) >= min_length]


def filter_and_sort(log, min_length, min_support):
    kept = filter_by_recursion(log, min_length, min_support)
    return kept.sort_values(["SessionId", "Time"])


def filter_to_items(log, min_length, min_support):
    return filter_by_recursion(log, min_length, min_support)["ItemId"].tolist()


# ---- repaired_split


def split_by_groupby(log, at):
    time = log.groupby("SessionId")["Time"]
    train = log[time.transform("max") < at]
    test = log[(time.transform("min") >= at) & log["ItemId"].isin(train["ItemId"])]
    return train, test.groupby("SessionId").filter(lambda clicks: len(clicks) > 1)


def split_by_loop(log, at):
    train, test = [], []
    for _, clicks in log.groupby("SessionId"):
        if (clicks["Time"] < at).all():
            train += clicks.index.tolist()
    known = set(log.loc[train, "ItemId"])
    for _, clicks in log.groupby("SessionId"):
        if (clicks["Time"] >= at).all():
            clicks = clicks[[item in known for item in clicks["ItemId"]]]
            if len(clicks) >= 2:
                test += clicks.index.tolist()
    return [log.loc[sorted(train)], log.loc[sorted(test)]]


def split_clicks(log, at):
    train = log[log["Time"] < at]
    test = log[(log["Time"] >= at) & log["ItemId"].isin(train["ItemId"])]
    return train, test[test["SessionId"].duplicated(keep=False)]


def split_by_start(log, at):
    start = log.groupby("SessionId")["Time"].transform("min")
    return log[start < at], split_by_groupby(log, at)[1]


def split_with_all_items(log, at):
    start = log.groupby("SessionId")["Time"].transform("min")
    test = log[start >= at]
    test = test[test["SessionId"].duplicated(keep=False)]
    return split_by_groupby(log, at)[0], test


def split_line_in_neither(log, at):
    train, test = split_by_groupby(log, at)
    start = test.groupby("SessionId")["Time"].transform("min")
    return train, test[start > at]


def split_short_first(log, at):
    train, test = split_with_all_items(log, at)
    return train, test[test["ItemId"].isin(train["ItemId"])]


def split_leaves_singles(log, at):
    time = log.groupby("SessionId")["Time"]
    train = log[time.transform("max") < at]
    test = log[(time.transform("min") >= at) & log["ItemId"].isin(train["ItemId"])]
    return train, test


def split_turned_around(log, at):
    return split_by_groupby(log, at)[::-1]


# ---- counting_recommender


def transitions(train, distance=1):
    session = np.repeat(np.arange(train.n_sessions), train.lengths)
    p = np.flatnonzero(session[distance:] == session[:-distance])
    counts = np.zeros((train.n_items, train.n_items))
    np.add.at(counts, (train.items[p], train.items[p + distance]), 1)
    return counts


def fading_counts(train):
    counts = transitions(train)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    popularity = train.support / train.support.sum() / 1000

    def score(clicks):
        weights = 0.5 ** np.arange(len(clicks))[::-1]
        return weights @ shares[clicks] + popularity

    return score


class WiderCounts:
    """Counts at up to three clicks' distance, the last two clicks alone."""

    def __init__(self, train):
        self.counts = sum(transitions(train, d) / d for d in (1, 2, 3))
        self.counts /= self.counts.sum(axis=1, keepdims=True) + 5
        self.popularity = train.support / train.n_clicks / 100

    def __call__(self, clicks):
        score = self.popularity.copy()
        for back, item in enumerate(clicks[::-1][:2]):
            score += self.counts[item] / (1 + back)
        return list(score)


def last_click_only(train):
    counts = transitions(train) + train.support / (train.support.max() + 1)
    return lambda clicks: counts[clicks[-1]]


def popularity_only(train):
    return lambda clicks: train.support


def least_likely(train):
    score = fading_counts(train)
    return lambda clicks: -score(clicks)


def one_score(train):
    return lambda clicks: 1.0


def divided_by_zero(train):
    return lambda clicks: np.full(train.n_items, np.nan)


def scores_at_once(train):
    return fading_counts(train)(train.items[:2])


RIGHT = {
    "session_offsets": [offsets_by_loop, offsets_by_lengths],
    "flat_layout": [layout_by_pandas, layout_by_dict],
    "filter_log": [filter_by_recursion, filter_by_sets],
    "repaired_split": [split_by_groupby, split_by_loop],
    "counting_recommender": [fading_counts, WiderCounts],
}
WRONG = {
    "session_offsets": [
        (offsets_without_end, "last entry is missing"),
        (offsets_without_start, "begins at place 0"),
        (offsets_as_lengths, "lengths of the sessions"),
        (offsets_by_unique, "order of the session IDs"),
        (offsets_one_early, "begins a session at p \\+ 1"),
        (offsets_as_floats, "whole numbers are expected"),
    ],
    "flat_layout": [
        (layout_by_session_id, "offsets.*ordered by their ID"),
        (layout_in_log_order, "items.*not in the order of time"),
        (layout_of_names, "are names; numbers are expected"),
        (layout_unsorted_vocabulary, "vocabulary is sorted"),
        (layout_without_vocabulary, "gives 2 values; 3 values are expected"),
        (layout_of_the_log, "those of one session belong together"),
        (layout_in_place, "changes its argument `log`"),
    ],
    "filter_log": [
        (filter_once, "each rule is applied once. Without its rare item"),
        (filter_sessions_first, "applied once, sessions first"),
        (filter_too_much, "exactly min_length clicks stays"),
        (filter_rare_too_much, "exactly min_support clicks stays"),
        (filter_only_sessions, "only the sessions' rule"),
        (filter_and_sort, "another order"),
        (filter_to_items, "a DataFrame with the columns"),
    ],
    "repaired_split": [
        (split_clicks, "in train.*is torn: its first clicks"),
        (split_by_start, "wholly in train"),
        (split_with_all_items, "items that occur in test alone"),
        (split_line_in_neither, "starts exactly at the line"),
        (split_short_first, "when the unknown items are gone"),
        (split_leaves_singles, "single click"),
        (split_turned_around, "clicks in train"),
    ],
    "counting_recommender": [
        (last_click_only, "To beat: 0.5.*last click only"),
        (popularity_only, "the same whatever is clicked"),
        (least_likely, "turn the sign"),
        (one_score, "gives float for the clicks .* scores are expected"),
        (divided_by_zero, "gives NaN"),
        (scores_at_once, "a function is expected"),
    ],
}

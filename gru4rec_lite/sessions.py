"""Clicks as sessions: read, check, sort, filter, split by time.

A session is what one anonymous visitor clicked in one visit.  Session-based
recommendation knows no users, only sessions (Hidasi et al. 2016, arXiv 1511.06939).

`Sessions` keeps all clicks in flat arrays, session after session, and says with
`offsets` where each one starts.  No Python object stands for a session, so a click
costs 12 bytes and its session 16 more.

    items    3 7 7 1 4 | 7 2 | 0 0 5 ...     index into item_ids     (E,)
    times    . . . . . | . . | . . . ...     Unix seconds            (E,)
    offsets  0           5     7     ...     start of each session   (S + 1,)

Files are parsed and checked in `clicklog.py`.
"""

import csv
import os
import re

import numpy as np
import pandas as pd

from .clicklog import datetime_seconds, id_array, read_frame, read_log
from .errors import DataError, ParameterError, check_choice, check_integer, check_number


class Sessions:
    """All clicks of a log, session by session.  To be treated as immutable.

    Attributes
    ----------
    items : int32 array (E,)
        Item of each click as an index into `item_ids`.  The clicks of a session
        stand together and in time order; equal times keep the order of the file.
    times : float64 array (E,)
        Unix seconds (UTC).
    offsets : int64 array (S + 1,)
        Session s is clicks ``offsets[s]:offsets[s + 1]``; none is empty.
    session_ids : array (S,)
        Original IDs.  Sessions stand in the order of their first click's time; at
        equal times the one seen first in the file comes first.
    item_ids : array (I,)
        Original IDs, sorted; int64 where all are integers, else str objects.
    removed : dict of str to int
        What filtering, aligning or splitting took away, by reason.
    """

    def __init__(
        self,
        items,
        times,
        offsets,
        session_ids,
        item_ids,
        removed: dict[str, int] | None = None,
        source: str = "the sessions",
        item_column: str = "ItemId",
    ):
        self.items = np.asarray(items, dtype=np.int32)
        self.times = np.asarray(times, dtype=np.float64)
        self.offsets = np.asarray(offsets, dtype=np.int64)
        self.session_ids = id_array(session_ids)
        self.item_ids = id_array(item_ids)
        self.removed = dict(removed or {})
        self.source = source  # where it came from, for messages
        self.item_column = item_column
        if (
            len(self.items) != len(self.times)
            or len(self.offsets) != len(self.session_ids) + 1
            or self.offsets[0] != 0
            or self.offsets[-1] != len(self.items)
            or len(self.items) == 0
        ):
            raise DataError(
                f"{source}: {len(self.items)} items, {len(self.times)} times, "
                f"{len(self.session_ids)} session IDs and {len(self.offsets)} offsets "
                "do not fit together; expected E, E, S and S + 1 from 0 to E, E > 0"
            )

    @property
    def n_clicks(self) -> int:
        """E, the number of clicks."""
        return len(self.items)

    @property
    def n_sessions(self) -> int:
        """S, the number of sessions."""
        return len(self.session_ids)

    @property
    def n_items(self) -> int:
        """I, the size of the vocabulary (items without a click included)."""
        return len(self.item_ids)

    @property
    def lengths(self) -> np.ndarray:
        """Clicks per session, int64 (S,)."""
        return np.diff(self.offsets)

    @property
    def support(self) -> np.ndarray:
        """Clicks per item, int64 (I,)."""
        return np.bincount(self.items, minlength=self.n_items)

    def __repr__(self) -> str:
        return (
            f"Sessions({self.n_clicks:,} clicks, {self.n_sessions:,} sessions, "
            f"{self.n_items:,} items, "
            f"{_date(self.times.min())} to {_date(self.times.max())})"
        )

    def describe(self) -> pd.DataFrame:
        """One row: clicks, sessions, items, mean length, first and last click (UTC)."""
        bounds = pd.Series([self.times.min(), self.times.max()]).round()
        first, last = pd.to_datetime(bounds, unit="s", errors="coerce")
        return pd.DataFrame(
            {
                "clicks": self.n_clicks,
                "sessions": self.n_sessions,
                "items": self.n_items,
                "mean length": self.n_clicks / self.n_sessions,
                "from": first,
                "to": last,
            },
            index=["sessions"],
        )

    # ---- in and out ------------------------------------------------------------

    @classmethod
    def read(
        cls,
        path,
        session: str = "SessionId",
        item: str = "ItemId",
        time: str = "Time",
        sep: str | None = None,
        time_unit: str = "s",
    ) -> "Sessions":
        """Read a click log: one line a click, the first line names the columns.

        Parameters
        ----------
        path : str or path
            TSV or CSV in UTF-8, plain or gzip.  Blank lines are skipped.
        session, item, time : str
            Names of the columns; further columns are ignored.  An ID column in which
            all values are integers becomes int64 (so 007 is 7); any other is text,
            and nothing in it counts as missing except the empty field.  Times are
            numbers or ISO 8601 (without a zone: UTC).
        sep : str, optional
            Separator; None takes it from the header: tab, comma, semicolon or bar.
        time_unit : {"s", "ms"}
            Unit of numeric times.

        Raises
        ------
        DataError
            The file cannot be read or is not such a table; names the line or column.
        ParameterError
            An argument is not allowed.

        Nothing is left out: one-click sessions and rare items stay in until `filter`.
        """
        columns = (session, item, time)
        parsed = read_log(path, columns, sep, time_unit)
        return cls._arrange(*parsed, os.fspath(path), item)

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        session: str = "SessionId",
        item: str = "ItemId",
        time: str = "Time",
        time_unit: str = "s",
    ) -> "Sessions":
        """Take the clicks from a DataFrame, one row a click.

        As `read`; times may also be datetimes.  IDs that the frame holds as text stay
        text.  DataError names the column and the row (counted from 0).
        """
        parsed = read_frame(frame, (session, item, time), time_unit)
        return cls._arrange(*parsed, "DataFrame", item)

    @classmethod
    def _arrange(
        cls, session_codes, session_ids, item_codes, item_ids, times, source, column
    ):
        """Sort clicks in file order into sessions; codes count IDs as first seen."""
        item_rank = np.argsort(item_ids, kind="stable")
        position = np.empty(len(item_ids), np.int32)
        position[item_rank] = np.arange(len(item_ids), dtype=np.int32)
        items = position[item_codes]  # (E,)

        change = session_codes[1:] != session_codes[:-1]  # (E - 1,)
        together = np.count_nonzero(change) + 1 == len(session_ids)
        if not together or not np.all((times[1:] >= times[:-1]) | change):
            order = np.lexsort((times, session_codes))  # stable: ties as in the file
            session_codes = session_codes[order]
            items, times = items[order], times[order]
            change = session_codes[1:] != session_codes[:-1]
        starts = np.flatnonzero(change) + 1
        offsets = np.concatenate([[0], starts, [len(items)]])  # (S + 1,)
        arrays = _by_first_click(items, times, offsets, session_ids)
        return cls(*arrays, item_ids[item_rank], source=source, item_column=column)

    def to_frame(self) -> pd.DataFrame:
        """All clicks as a DataFrame: SessionId, ItemId (original IDs), Time (s)."""
        return pd.DataFrame(
            {
                "SessionId": np.repeat(self.session_ids, self.lengths),
                "ItemId": self.item_ids[self.items],
                "Time": self.times,
            }
        )

    def write(self, path) -> None:
        """Write a TSV that `read` gives back unchanged; gzip when named ``.gz``.

        Only a column of text in which every ID happens to be an integer comes back as
        integers.  Raises DataError if the file cannot be written.
        """
        packed = os.fspath(path).endswith(".gz")
        ids = (*self.session_ids.tolist(), *self.item_ids.tolist())
        returns = any("\r" in name for name in ids if isinstance(name, str))
        try:
            self.to_frame().to_csv(
                path,
                sep="\t",
                index=False,
                # a carriage return ends a line unless quoted
                quoting=csv.QUOTE_NONNUMERIC if returns else csv.QUOTE_MINIMAL,
                # without a time stamp the same clicks make the same bytes
                compression={"method": "gzip", "mtime": 0} if packed else None,
                lineterminator="\n",
            )
        except OSError as error:
            reason = error.strerror or str(error)
            raise DataError(f"{path}: cannot be written: {reason}") from None

    # ---- taking away -----------------------------------------------------------

    def filter(
        self, min_length: int = 2, min_support: int = 1, drop_repeats: bool = False
    ) -> "Sessions":
        """Leave out what nothing can be learnt from; items left unclicked go, too.

        Parameters
        ----------
        min_length : int
            Clicks that a session must have.  One click has no next one: 2.
        min_support : int
            Clicks that an item must have in all.
        drop_repeats : bool
            Count several clicks on one item in a row as one.

        Each rule can create new cases for the others, so they are repeated until
        none applies.  What each took away is added to `removed`.

        Raises ParameterError for bad values, DataError if nothing is left.
        """
        min_length = check_integer("min_length", min_length, 1)
        min_support = check_integer("min_support", min_support, 1)
        drop_repeats = check_choice("drop_repeats", drop_repeats, (False, True))
        kept, before = self, -1
        while kept.n_clicks != before:
            before = kept.n_clicks
            if drop_repeats:
                repeat = np.zeros(kept.n_clicks, dtype=bool)
                repeat[1:] = kept.items[1:] == kept.items[:-1]
                repeat[kept.offsets[:-1]] = False  # a new session repeats nothing
                kept = kept._without(repeat, {"repeats of the click before": repeat})
            support = kept.support
            rare = support < min_support
            gone = rare[kept.items]
            rule = f"items with fewer than {min_support} clicks"
            reasons = {rule: rare & (support > 0), f"clicks on {rule}": gone}
            kept = kept._without(gone, reasons, min_length)
        return kept._shrink_vocabulary()

    def align(self, item_ids, min_length: int = 2) -> "Sessions":
        """The same clicks with items numbered as in another vocabulary.

        Clicks on items that it does not know are removed, then sessions shorter than
        `min_length`; `removed` counts both.  Needed before a model that was trained
        on one file sees another.

        Raises DataError if nothing is left, ParameterError if `item_ids` is not
        sorted and free of repeats.
        """
        min_length = check_integer("min_length", min_length, 1)
        item_ids = np.asarray(item_ids)
        if not np.all(item_ids[1:] > item_ids[:-1]):
            raise ParameterError(
                f"item_ids={_some(item_ids)} is not allowed; "
                "expected sorted IDs, each once"
            )
        position = find_items(self.item_ids, item_ids)  # (I,)
        clicked = self.support > 0
        unknown = (position < 0) & clicked
        if np.array_equal(unknown, clicked):
            raise DataError(
                f"{self.source}, column {self.item_column!r}: none of the "
                f"{clicked.sum():,} items ({_some(self.item_ids[clicked])}) is among "
                f"the {len(item_ids):,} known ones ({_some(item_ids)}); "
                "expected clicks on items of the training data"
            )
        gone = unknown[self.items]
        kept = self._without(
            gone,
            {"unknown items": unknown, "clicks on unknown items": gone},
            min_length,
        )
        return kept._replace(items=position[kept.items], item_ids=item_ids)

    def split_by_time(self, at) -> tuple["Sessions", "Sessions"]:
        """Split into (train, test) at a moment; no session is on both sides.

        Parameters
        ----------
        at : number, str or datetime
            Unix seconds, ISO 8601 (without a zone: UTC) or a datetime.

        A session goes to train if it ends before `at`, to test if it starts at `at`
        or later; one that straddles the line is dropped, since its first clicks would
        tell training what its last ones are.  Test is aligned to the items of train,
        so what training never saw is dropped from it.  `train.removed` counts the
        sessions that straddle, `test.removed` what aligning took away.

        Raises ParameterError if a side would be empty, DataError if nothing of test
        is left after aligning.
        """
        moment = _moment(at)
        ends_before = self.times[self.offsets[1:] - 1] < moment  # (S,)
        starts_after = self.times[self.offsets[:-1]] >= moment  # (S,)
        if not ends_before.any() or not starts_after.any():
            side = "before" if not ends_before.any() else "after"
            raise ParameterError(
                f"at={at!r} is not allowed: no session lies wholly {side} it; "
                f"expected a moment between {_date(self.times.min())} "
                f"and {_date(self.times.max())}"
            )
        straddles = ~(ends_before | starts_after)
        lengths = self.lengths
        straddling = {}
        if straddles.any():
            straddling = {
                "sessions that straddle the split": int(straddles.sum()),
                "clicks in sessions that straddle the split": int(
                    lengths[straddles].sum()
                ),
            }
        train = self._keep(
            np.repeat(ends_before, lengths), straddling
        )._shrink_vocabulary()
        test = self._keep(np.repeat(starts_after, lengths), {})
        return train, test.align(train.item_ids)

    def split_last_days(self, days: float) -> tuple["Sessions", "Sessions"]:
        """`split_by_time` so many days (of 24 hours) before the last click."""
        days = check_number("days", days, above=0)
        last = self.times.max()
        if last - days * 86400 <= self.times.min():
            span = (last - self.times.min()) / 86400
            raise ParameterError(
                f"days={days!r} is not allowed; expected less than the {span:.2f} days "
                "that the clicks span"
            )
        return self.split_by_time(last - days * 86400)

    def indices(self, ids) -> np.ndarray:
        """Positions of item IDs in the vocabulary, int64; DataError names unknown."""
        return item_indices(ids, self.item_ids)

    # ---- helpers ---------------------------------------------------------------

    def _replace(self, **changes) -> "Sessions":
        names = "items times offsets session_ids item_ids removed source item_column"
        return Sessions(**{n: getattr(self, n) for n in names.split()} | changes)

    def _without(self, gone, reasons: dict, min_length: int = 1) -> "Sessions":
        """Drop the clicks where `gone` (E,), then the sessions left too short.

        `reasons` maps what to call it to a mask of what went; all are counted.
        """
        left = np.add.reduceat(~gone, self.offsets[:-1], dtype=np.int64)  # (S,)
        short = left < min_length
        in_short = np.repeat(short, self.lengths) & ~gone  # (E,)
        rule = f"sessions shorter than {min_length}"
        reasons = reasons | {rule: short, f"clicks in {rule}": in_short}
        removed = dict(self.removed)
        for reason, mask in reasons.items():
            if count := int(np.count_nonzero(mask)):
                removed[reason] = removed.get(reason, 0) + count
        return self._keep(~gone & ~in_short, removed)

    def _keep(self, keep, removed: dict) -> "Sessions":
        """Only the clicks where `keep` (E,); sessions without any go with them."""
        if not keep.any():
            what = "; ".join(f"{count:,} {reason}" for reason, count in removed.items())
            raise DataError(
                f"{self.source}: no click is left (removed: {what}); "
                "expected sessions that survive the filter"
            )
        left = np.add.reduceat(keep, self.offsets[:-1], dtype=np.int64)  # (S,)
        offsets = np.concatenate([[0], np.cumsum(left[left > 0])])
        arrays = _by_first_click(
            self.items[keep], self.times[keep], offsets, self.session_ids[left > 0]
        )
        names = ("items", "times", "offsets", "session_ids")
        changes = dict(zip(names, arrays, strict=True))
        return self._replace(**changes, removed=removed)

    def _shrink_vocabulary(self) -> "Sessions":
        used = self.support > 0
        if used.all():
            return self
        position = np.cumsum(used, dtype=np.int32) - 1
        return self._replace(items=position[self.items], item_ids=self.item_ids[used])


# ---- item IDs ------------------------------------------------------------------


def find_items(ids, item_ids: np.ndarray) -> np.ndarray:
    """Position of each ID in a sorted vocabulary, int64; -1 where it is unknown.

    An integer finds its text in a vocabulary of text and the other way round: one
    file may hold integers alone and another of the same shop an ID with a letter.
    """
    if len(item_ids) == 0:
        return np.full(len(ids), -1, dtype=np.int64)
    integers = np.issubdtype(item_ids.dtype, np.integer)
    if integers and isinstance(ids, np.ndarray) and ids.dtype == np.int64:
        wanted, valid = ids, np.ones(len(ids), dtype=bool)
    else:
        convert = _as_integer if integers else _as_text
        values = [convert(i.item() if isinstance(i, np.generic) else i) for i in ids]
        valid = np.array([value is not None for value in values], dtype=bool)
        filled = [item_ids[0] if value is None else value for value in values]
        wanted = np.array(filled, dtype=item_ids.dtype)
    position = np.searchsorted(item_ids, wanted)
    position[position == len(item_ids)] = 0
    found = valid & (item_ids[position] == wanted)
    return np.where(found, position, -1).astype(np.int64)


def item_indices(ids, item_ids: np.ndarray) -> np.ndarray:
    """As `find_items`, but unknown IDs are a DataError that names them."""
    position = find_items(ids, item_ids)
    unknown = np.flatnonzero(position < 0)
    if len(unknown):
        names = [ids[i] for i in unknown[:4]]
        raise DataError(
            f"unknown items: {_some(names)} ({len(unknown)} of {len(ids)}); "
            f"expected some of the {len(item_ids):,} known ones: {_some(item_ids)}"
        )
    return position


def _as_integer(value) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9]{1,19}\s*", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if -(2**63) <= value < 2**63 else None


def _as_text(value) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value)


# ---- arranging -----------------------------------------------------------------


def _by_first_click(items, times, offsets, session_ids):
    """Put sessions into the order of their first click's time; ties as they stand."""
    first = times[offsets[:-1]]  # (S,)
    if np.all(first[1:] >= first[:-1]):
        return items, times, offsets, session_ids
    rank = np.argsort(first, kind="stable")
    lengths = np.diff(offsets)[rank]
    moved = np.concatenate([[0], np.cumsum(lengths)])
    clicks = np.repeat(offsets[:-1][rank] - moved[:-1], lengths)  # (E,)
    clicks += np.arange(len(items))
    return items[clicks], times[clicks], moved, session_ids[rank]


# ---- times ---------------------------------------------------------------------


def _moment(at) -> float:
    """A split time in Unix seconds."""
    if isinstance(at, (int, float, np.integer, np.floating)):
        return check_number("at", at)
    try:
        seconds = datetime_seconds(pd.Series([pd.Timestamp(at)]))[0]
    except (ValueError, TypeError, OverflowError):
        seconds = np.nan
    if not np.isfinite(seconds):
        raise ParameterError(
            f"at={at!r} is not allowed; "
            "expected Unix seconds, an ISO 8601 string or a datetime"
        )
    return float(seconds)


def _date(seconds: float) -> str:
    try:
        return pd.Timestamp(round(seconds), unit="s").isoformat(" ")
    except (ValueError, OverflowError):  # not a time of our era: show the number
        return f"{seconds:g}"


def _some(ids, n: int = 3) -> str:
    """The first few IDs, for messages."""
    shown = [i.item() if isinstance(i, np.generic) else i for i in ids[:n]]
    return ", ".join([*map(repr, shown)] + ["..."] * (len(ids) > n))

"""Click logs: from a file or a DataFrame to checked columns of codes and times.

Reading is strict: whatever is wrong with a file ends in a `DataError` that names the
file and the line or column.  A good file is looked at twice, fast: once as bytes,
where counting separators finds every line with missing or extra fields, and once by
the parser of pandas.  Lines are read one by one only when something is wrong.
"""

import csv
import gzip
import io
import itertools
import os
import re
import warnings
import zlib
from contextlib import contextmanager

import numpy as np
import pandas as pd
from pandas.api.types import (
    infer_dtype,
    is_bool_dtype,
    is_datetime64_any_dtype,
    is_numeric_dtype,
)

from .errors import DataError, ParameterError, check_choice

CHUNK_ROWS = 1 << 20  # rows parsed at a time: bounds the memory for text columns
SCAN_BYTES = 1 << 22
LONGEST_HEADER = 1 << 20


def read_log(path, columns, sep: str | None, time_unit: str):
    """Parse a file; see `Sessions.read`.

    Returns session codes (E,), session IDs, item codes (E,), item IDs, times (E,) in
    Unix seconds; codes number the IDs in the order in which they were first seen.
    """
    _check_columns(columns)
    check_choice("time_unit", time_unit, ("s", "ms"))
    log = _ClickLog(path, columns, sep)
    parts, times = log.read()
    times = _to_seconds(times, log.numeric_time, time_unit, log.path)
    return *_join(parts[0]), *_join(parts[1]), times


def read_frame(frame: pd.DataFrame, columns, time_unit: str):
    """Take the columns of a DataFrame; see `Sessions.from_frame`.  As `read_log`."""
    source = "DataFrame"
    _check_columns(columns)
    session, item, time = columns
    check_choice("time_unit", time_unit, ("s", "ms"))
    if not isinstance(frame, pd.DataFrame):
        raise ParameterError(
            f"frame={type(frame).__name__} is not allowed; expected a DataFrame"
        )
    _locate(list(frame.columns), columns, source)
    if len(frame) == 0:
        raise DataError(f"{source}: no rows; expected at least one click")

    def fail(row, column, problem):
        raise DataError(f"{source}, row {row}, column {column!r}: {problem}")

    coded = []
    for column in (session, item):
        values = _frame_ids(frame[column], column, fail)
        codes, ids = pd.factorize(values)
        coded.append((codes.astype(np.int32), id_array(ids)))
    values = frame[time]
    if is_datetime64_any_dtype(values):
        numeric, times = False, datetime_seconds(values)
    elif is_numeric_dtype(values) and not is_bool_dtype(values):
        numeric, times = True, values.to_numpy(np.float64, na_value=np.nan)
    else:
        text = values.astype(object).where(values.notna(), "").map(str)
        numeric, times = _text_times(text, None)
    bad = ~np.isfinite(times)
    if bad.any():
        row = int(np.argmax(bad))
        fail(row, time, _time_problem(values.iloc[row], numeric))
    times = _to_seconds(times, numeric, time_unit, source)
    return *coded[0], *coded[1], times


# ---- the file ------------------------------------------------------------------


class _ClickLog:
    """One file: its header, its columns, and where in it something is wrong."""

    def __init__(self, path, columns: tuple[str, str, str], sep: str | None):
        if not isinstance(path, str | os.PathLike) or "\0" in os.fspath(path):
            raise ParameterError(f"path={path!r} is not allowed; expected a path")
        self.path = os.fspath(path)
        if sep is not None and (
            not isinstance(sep, str)
            or not re.fullmatch(r'[^\w."\r\n\0+-]', sep, re.A)
            or not sep.isascii()
        ):
            raise ParameterError(
                f"sep={sep!r} is not allowed; "
                "expected one character such as '\\t' or ','"
            )
        self.columns = columns
        self.numeric_time = None  # else ISO 8601
        self.quoted = False  # a quote stands somewhere: fields may hold separators
        with _opened(self.path) as (file, self.packed):
            self._read_header(file.readline(LONGEST_HEADER), sep)
            odd_lines = self._scan(file)
        if odd_lines:
            self._find_bad_line()

    def read(self):
        """Parse all chunks: per ID column a list of (codes, IDs), and all times."""
        as_text: set[int] = set()
        while True:
            parts, times, more = self._parse(as_text)
            if not more:
                return parts, np.concatenate(times)
            as_text |= more  # a column that did not hold numbers alone: once again

    def _read_header(self, line: bytes, sep: str | None) -> None:
        expected = f"expected a header with {', '.join(map(repr, self.columns))}"
        if not line:
            raise DataError(f"{self.path}: the file is empty; {expected}")
        self._check_bytes(line, 1)
        try:
            header = line.decode("utf-8-sig").rstrip("\r\n")
        except UnicodeDecodeError:
            raise DataError(
                f"{self.path}, line 1: not UTF-8 text; {expected}"
            ) from None
        if not header.strip():
            raise DataError(f"{self.path}, line 1: blank; {expected}")
        if header.count('"') % 2:
            raise DataError(f"{self.path}, line 1: a quote is not closed; {expected}")

        def split(sep):
            try:
                return [
                    name.strip() for name in next(csv.reader([header], delimiter=sep))
                ]
            except csv.Error as error:
                raise DataError(f"{self.path}, line 1: {error}; {expected}") from None

        candidates = "\t,;|" if sep is None else sep
        # the separator that finds most of the columns, then the one that finds most
        self.sep = max(
            candidates,
            key=lambda s: (len(set(self.columns) & set(split(s))), header.count(s)),
        )
        names = split(self.sep)
        self.positions = _locate(names, self.columns, f"{self.path}, line 1", self.sep)
        self.n_fields = len(names)

    def _check_bytes(self, block: bytes, first_line: int) -> None:
        """Refuse bytes that no text table has; parsers skip or stumble over them."""
        at, what = block.find(b"\0"), "a NUL byte"
        if at < 0 and not self.quoted and b"\r" in block:
            if found := re.search(rb"\r(?!\n)", block):
                at, what = found.start(), "a carriage return inside the line"
        if at >= 0:
            line = first_line + block.count(b"\n", 0, at)
            raise DataError(
                f"{self.path}, line {line}: {what}; expected UTF-8 text, "
                "plain or gzip, with lines ended by \\n or \\r\\n"
            )

    def _scan(self, file) -> bool:
        """Look at all bytes once; true if some lines may have missing fields.

        Counting separators here costs little and is exact where no quote stands.
        Pandas would drop fields too many and fill in fields too few.
        """
        sep, odd_lines, line = ord(self.sep), False, 2
        while block := file.read(SCAN_BYTES):
            block += file.readline()  # whole lines
            self.quoted = self.quoted or b'"' in block
            self._check_bytes(block, line)
            if not self.quoted:
                if not block.endswith(b"\n"):
                    block += b"\n"
                data = np.frombuffer(block, dtype=np.uint8)
                marks = np.flatnonzero((data == sep) | (data == 10))
                is_end = data[marks] == 10
                ends = np.flatnonzero(is_end)
                separators = np.diff(ends, prepend=-1) - 1  # per line
                odd = np.flatnonzero(separators != self.n_fields - 1)
                if len(odd):
                    ends = marks[ends]
                    starts = np.concatenate([[0], ends[:-1] + 1])[odd]
                    lengths = ends[odd] - starts
                    blank = (lengths == 0) | ((lengths == 1) & (data[starts] == 13))
                    odd_lines = odd_lines or not blank.all()
            line += block.count(b"\n")
        if line == 2:
            raise DataError(
                f"{self.path}: no lines after the header; expected at least one click"
            )
        return odd_lines

    def _parse(self, as_text: set[int]):
        ids, time = self.positions[:2], self.positions[2]
        parts, times, row = ([], []), [], 0
        try:
            with warnings.catch_warnings(), self._chunks(as_text) as chunks:
                # "loss of data" where the first line has fields too many
                warnings.simplefilter("error", pd.errors.ParserWarning)
                for chunk in chunks:
                    more = {
                        column
                        for column in self.positions
                        if column not in as_text
                        and chunk[column].dtype.name
                        not in (["int64"] if column != time else _NUMBERS)
                    }
                    if more:
                        return None, None, more
                    times.append(self._check_chunk(chunk, row))
                    for part, column in zip(parts, ids, strict=True):
                        codes, uniques = pd.factorize(chunk[column])
                        part.append((codes.astype(np.int32), id_array(uniques)))
                    row += len(chunk)
        except DataError:
            raise
        except (ValueError, OverflowError, pd.errors.ParserWarning) as error:
            if "EOF inside string" in str(error):
                line = 1
                for line, _ in self._rows():  # noqa: B007, the last one
                    pass
                raise DataError(
                    f"{self.path}, line {line}: a quote is not closed; "
                    "expected a second one, or none"
                ) from None
            self._find_bad_line()
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise DataError(
                f"{self.path}: not a table separated by {self.sep!r}: {reason}"
            ) from None
        if row == 0:
            raise DataError(
                f"{self.path}: no lines after the header; expected at least one click"
            )
        return parts, times, set()

    def _chunks(self, as_text: set[int]):
        return pd.read_csv(
            self.path,
            sep=self.sep,
            compression="gzip" if self.packed else None,
            encoding="utf-8",
            header=None,
            skiprows=1,
            names=range(self.n_fields),
            # with usecols pandas no longer minds fields too many: the scan did, but
            # not where there are quotes
            usecols=None if self.quoted else sorted(self.positions),
            dtype=dict.fromkeys(as_text, str),
            index_col=False,
            keep_default_na=False,
            na_values=[""],
            low_memory=False,
            chunksize=CHUNK_ROWS,
        )

    def _check_chunk(self, chunk: pd.DataFrame, first_row: int) -> np.ndarray:
        """Times of a chunk, float64; the first bad value in it is a DataError."""
        *ids, time = self.positions
        values = chunk[time]
        if is_numeric_dtype(values):
            numeric, times = True, values.to_numpy(np.float64)
        else:
            text = values.fillna("")
            numeric, times = _text_times(text, self.numeric_time)
        self.numeric_time = numeric
        bad = ~np.isfinite(times)
        for column in ids:
            bad |= chunk[column].isna().to_numpy()
        if bad.any():
            self._refuse_row(first_row + int(np.argmax(bad)))
        return times

    def _refuse_row(self, row: int) -> None:
        """Say what is wrong with a row of data, counted from 0."""
        line, fields = next(itertools.islice(self._rows(), row, None), (row + 2, []))
        where = f"{self.path}, line {line}"
        self._check_fields(line, fields)
        names = dict(zip(self.positions, self.columns, strict=True))
        *ids, time = self.positions
        for column in ids:
            if not fields[column]:
                raise DataError(
                    f"{where}, column {names[column]!r}: empty; expected an ID"
                )
        problem = _time_problem(fields[time], self.numeric_time)
        raise DataError(f"{where}, column {names[time]!r}: {problem}")

    def _find_bad_line(self) -> None:
        """Check line by line, slowly; returns only if no line is wrong by itself."""
        for line, fields in self._rows():
            self._check_fields(line, fields)

    def _check_fields(self, line: int, fields: list[str]) -> None:
        if len(fields) != self.n_fields:
            raise DataError(
                f"{self.path}, line {line}: {len(fields)} fields; "
                f"expected {self.n_fields}, separated by {self.sep!r}, as in the header"
            )
        if any(re.search("[\udc80-\udcff]", field) for field in fields):
            raise DataError(f"{self.path}, line {line}: not UTF-8; expected UTF-8 text")

    def _rows(self):
        """Each line of data that is not blank: (number from 1, fields)."""
        with _opened(self.path) as (file, _):
            text = io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="")
            reader = csv.reader(text, delimiter=self.sep)
            line = 1
            try:
                for fields in reader:
                    if line > 1 and (len(fields) > 1 or "".join(fields).strip()):
                        yield line, fields
                    line = reader.line_num + 1
            except csv.Error as error:
                raise DataError(f"{self.path}, line {line}: {error}") from None


_NUMBERS = ("int64", "uint64", "float64")


@contextmanager
def _opened(path: str):
    """The file as (bytes, unpacked if gzip; whether it was gzip)."""
    try:
        with open(path, "rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            yield (gzip.GzipFile(fileobj=raw) if packed else raw), packed
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; expected a click log") from None
    except IsADirectoryError:
        raise DataError(f"{path}: a directory; expected a file") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"{path}: damaged gzip ({reason}); expected a complete .gz file"
        ) from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"{path}: cannot be read: {reason}") from None


def _check_columns(columns) -> None:
    for name, value in zip(("session", "item", "time"), columns, strict=True):
        if columns.count(value) > 1:
            raise ParameterError(
                f"{name}={value!r} is not allowed; expected three different columns"
            )


def _locate(names: list, columns, where: str, sep: str | None = None) -> list[int]:
    """Positions of the columns among the names found."""
    found = ", ".join(map(repr, names[:20])) + ", ..." * (len(names) > 20)
    if len(found) > 400:
        found = found[:400] + "..."
    by = f" (separated by {sep!r})" if sep else ""
    for column in columns:
        if names.count(column) != 1:
            problem = "is missing" if column not in names else "stands there twice"
            raise DataError(
                f"{where}: column {column!r} {problem}; found {found}{by}; "
                "expected it once, or another name for it by argument"
            )
    return [names.index(column) for column in columns]


def _frame_ids(values: pd.Series, column: str, fail) -> pd.Series:
    """IDs of a frame as an int64 or object series."""
    missing = values.isna().to_numpy()
    if missing.any():
        fail(int(np.argmax(missing)), column, "missing; expected an ID")
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype)
    kind = infer_dtype(values, skipna=False)
    whole = kind == "integer" or (kind == "floating" and (values % 1 == 0).all())
    # further out a float no longer tells whole numbers apart, nor int64 hold them
    limit = 2**63 if kind == "integer" else 2**53
    if whole and -limit <= values.min() and values.max() < limit:
        return values.astype("int64")
    text = values.astype(object).map(str)
    empty = (text == "").to_numpy()
    if empty.any():
        fail(int(np.argmax(empty)), column, "empty; expected an ID")
    return text


# ---- columns -------------------------------------------------------------------


def id_array(values) -> np.ndarray:
    """IDs as int64, or as an object array of str."""
    values = np.asarray(values)
    if np.issubdtype(values.dtype, np.integer):
        return values.astype(np.int64, copy=False)
    return values.astype(object, copy=False)


def _join(parts):
    """Codes and IDs of the chunks as one: (codes (E,), IDs in the order first seen)."""
    if len(parts) == 1:
        return parts[0]
    all_ids = pd.Index(np.concatenate([ids for _, ids in parts]))
    position, ids = pd.factorize(all_ids)
    position = position.astype(np.int32)
    starts = np.cumsum([0] + [len(ids) for _, ids in parts])
    codes = [position[s:][c] for s, (c, _) in zip(starts, parts, strict=False)]
    return np.concatenate(codes), id_array(ids)


def _text_times(text: pd.Series, numeric: bool | None):
    """Times written out, as numbers or ISO 8601 by the first one: NaN where neither.

    Returns (numeric, values float64): as they are if numeric, else Unix seconds.
    """
    if numeric is None:
        numeric = bool(pd.to_numeric(text.iloc[:1], errors="coerce").notna().all())
    if numeric:
        return True, pd.to_numeric(text, errors="coerce").to_numpy(np.float64)
    parsed = pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce")
    # pandas takes these two words for the time of reading
    return False, datetime_seconds(parsed.mask(text.isin(["now", "today"])))


def datetime_seconds(values: pd.Series) -> np.ndarray:
    if values.dt.tz is not None:
        values = values.dt.tz_convert("UTC").dt.tz_localize(None)
    return ((values - pd.Timestamp(0)) / pd.Timedelta(seconds=1)).to_numpy(np.float64)


def _to_seconds(times, numeric: bool, time_unit: str, source: str) -> np.ndarray:
    times = np.asarray(times, dtype=np.float64)
    if numeric and time_unit == "ms":
        return times / 1000
    if numeric and np.median(times) > 1e11:  # as seconds: beyond the year 5000
        warnings.warn(
            f"{source}: times such as {times[0]:.0f} look like milliseconds; "
            "if they are, pass time_unit='ms'",
            stacklevel=3,
        )
    return times


def _time_problem(value, numeric: bool) -> str:
    expected = "a finite number"
    if not numeric:
        expected = "ISO 8601 times, or else finite numbers, in the whole column"
    value = value.item() if isinstance(value, np.generic) else value
    shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:60] + "..."
    return f"{shown} is not a time; expected {expected}"

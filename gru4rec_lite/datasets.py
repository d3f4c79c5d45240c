"""Public click logs: from the files as published to files to train on (lesson 11).

`prepare` reads the raw files of a dataset chunk by chunk, keeps what stands for a
visit to an item's page, cuts visitors' histories into sessions where the log has none,
filters, splits by time and writes

    train_full.tsv  test.tsv         to train and test
    train_tr.tsv    train_valid.tsv  train_full split once more, to choose parameters

`rsc15` follows Hidasi et al. 2016 (arXiv 1511.06939, section 4).  The others follow
what the authors say about the data of their 2023 papers (arXiv 2307.14956 and
hidasi.eu/gru4rec_third_party_comparison): views only, sessions end at a pause of one
hour, repeats of the click before are dropped, items with fewer than five clicks and
sessions with fewer than two are dropped until none is left, the last day is for
testing.  Diginetica and Retailrocket are too small for one day; their last week is,
for Diginetica as in Wu et al. 2019.  In one thing we differ: sessions that straddle
the line are dropped, where those papers leave their first clicks in training.
"""

import os
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from .clicklog import datetime_seconds
from .errors import DataError, GRU4RecError, check_choice
from .sessions import Sessions

CHUNK_ROWS = 1 << 20  # rows of raw text in memory at a time
PACKED = ("", ".gz", ".zip", ".bz2", ".xz")
TIMES = {
    "iso": "a date and time such as 2019-10-01 12:30:00",
    "ms": "Unix time in milliseconds",
    "day": "a date such as 2016-05-09",
}


@dataclass(frozen=True)
class Recipe:
    """How a dataset is published, and how it is turned into sessions."""

    files: tuple[str, ...]
    session: str  # column; of visitors where gap is given
    item: str
    time: str
    sep: str = ","
    names: tuple[str, ...] | None = None  # of the columns, where there is no header
    clock: str = "iso"  # see TIMES
    offset: str | None = None  # column of milliseconds since the session's start
    view: tuple[str, str] | None = None  # keep the rows where column = value
    text_ids: bool = False  # IDs are hashes, not integers
    gap: float | None = None  # seconds without a click after which a session ends
    drop_repeats: bool = True
    test_days: int = 1


_YOOCHOOSE = {
    "session": "session",
    "item": "item",
    "time": "timestamp",
    "names": ("session", "timestamp", "item", "category"),
}
DATASETS = {
    "rsc15": Recipe(files=("yoochoose-clicks.dat",), drop_repeats=False, **_YOOCHOOSE),
    "yoochoose": Recipe(
        files=("yoochoose-clicks.dat", "yoochoose-test.dat"), **_YOOCHOOSE
    ),
    "diginetica": Recipe(
        files=("train-item-views.csv",), sep=";", session="sessionId", item="itemId",
        time="eventdate", clock="day", offset="timeframe", test_days=7,
    ),
    "retailrocket": Recipe(
        files=("events.csv",), session="visitorid", item="itemid", time="timestamp",
        clock="ms", view=("event", "view"), gap=3600, test_days=7,
    ),
    "rees46": Recipe(  # with sessions of its own, but by pauses as in the papers
        files=("2019-Oct.csv", "2019-Nov.csv"), session="user_id", item="product_id",
        time="event_time", view=("event_type", "view"), gap=3600,
    ),
    "coveo": Recipe(
        files=("browsing_train.csv",), session="session_id_hash",
        item="product_sku_hash", time="server_timestamp_epoch_ms", clock="ms",
        view=("product_action", "detail"), text_ids=True,
    ),
}  # fmt: skip


def prepare(name: str, raw, out_dir, progress: bool = True) -> dict[str, dict]:
    """Write the four training files of a public dataset.

    Parameters
    ----------
    name : a key of DATASETS.
    raw : the directory with the raw files under their published names, or one raw
        file; plain or packed (.gz, .zip, .bz2, .xz).
    out_dir : where the files go; each of them is whole or not there.
    progress : show a bar on standard error.

    Returns for each file its clicks, sessions, items, and what was removed on the way
    to it, by reason.  Session IDs are numbers of our own where the raw file has none,
    or hashes.  Memory: about 100 bytes a view.

    Raises ParameterError for an unknown name, DataError for a raw file that cannot be
    used (naming file, line and column) or a directory that cannot be written.
    """
    recipe = DATASETS[check_choice("name", name, DATASETS)]
    paths = _find_files(name, recipe, Path(raw))
    sessions = _read(recipe, paths, progress)
    try:
        sessions = sessions.filter(
            min_length=2, min_support=5, drop_repeats=recipe.drop_repeats
        )
        full, test = sessions.split_last_days(recipe.test_days)
        part, valid = full.split_last_days(recipe.test_days)
    except GRU4RecError as error:
        message = str(error).removeprefix(f"{sessions.source}: ")
        raise DataError(f"{sessions.source}: {message}") from None
    tables = {
        "train_full.tsv": full,
        "test.tsv": test,
        "train_tr.tsv": part,
        "train_valid.tsv": valid,
    }
    _write(tables, Path(out_dir))
    counts = {
        file: {
            "clicks": table.n_clicks,
            "sessions": table.n_sessions,
            "items": int((table.support > 0).sum()),
            "removed": table.removed,
        }
        for file, table in tables.items()
    }
    counts["train_full.tsv"]["removed"] = sessions.removed | full.removed
    return counts


def _find_files(name, recipe, raw) -> list[Path]:
    if raw.is_file():
        return [raw]
    if not raw.is_dir():
        raise DataError(
            f"{raw}: no such file or directory; expected the directory with "
            f"{' and '.join(recipe.files)}"
        )
    found = []
    for file in recipe.files:
        candidates = [raw / (file + ending) for ending in PACKED]
        there = [path for path in candidates if path.is_file()]
        if not there:
            raise DataError(
                f"{raw}: {file} is not in it, nor a packed one ({', '.join(PACKED[1:])}"
                f"); expected the raw files of {name}: {', '.join(recipe.files)}"
            )
        found.append(there[0])
    return found


def _read(recipe, paths, progress) -> Sessions:
    """The clicks that count, as sessions in the order of time; nothing filtered yet."""
    numbers = ({}, {})  # of session and item, where IDs are text
    parts = []
    bar = tqdm(unit="row", unit_scale=True, disable=not progress, mininterval=0.5)
    with bar:
        for path in paths:
            bar.set_description_str(f"{path.name} ")
            for chunk in _chunks(path, recipe):
                bar.update(len(chunk))
                parts.append(_clicks(path, recipe, chunk, numbers))
    session, item, time, offset = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    del parts
    source = " and ".join(map(str, paths))
    if len(session) == 0:
        expected = f"rows with {recipe.view[0]} = {recipe.view[1]}"
        raise DataError(f"{source}: no row counts as a view; expected {expected}")
    if recipe.offset:
        # a session that goes on after midnight has rows with the next day's date
        time = pd.Series(time).groupby(session).transform("min").to_numpy() + offset
    if recipe.gap is not None:
        session, item, time = _cut(session, item, time, recipe.gap)
    if recipe.text_ids:
        item = pd.Categorical.from_codes(item, list(numbers[1]))
    frame = pd.DataFrame({"SessionId": session, "ItemId": item, "Time": time})
    del session, item, time
    sessions = Sessions.from_frame(frame)
    sessions.source = source
    return sessions


def _cut(visitor, item, time, gap):
    """Sessions of visitors: a new one after more than `gap` seconds without a click."""
    order = np.lexsort((time, visitor))
    visitor, item, time = visitor[order], item[order], time[order]
    starts = np.ones(len(visitor), dtype=bool)  # (E,)
    starts[1:] = (visitor[1:] != visitor[:-1]) | (np.diff(time) > gap)
    return np.cumsum(starts) - 1, item, time


# ---- raw files -------------------------------------------------------------------


def _chunks(path, recipe):
    """Pieces of a raw file with only the columns needed; the index is the row's."""
    wanted = [recipe.session, recipe.item, recipe.time, recipe.offset]
    wanted += recipe.view[:1] if recipe.view else []
    wanted = [column for column in wanted if column]
    options = {"sep": recipe.sep, "skip_blank_lines": False, "index_col": False}
    try:
        if recipe.names:
            columns = {name: name for name in wanted}
            options |= {"header": None, "names": list(recipe.names)}
        else:
            header = pd.read_csv(path, nrows=0, **options).columns
            columns = _match(path, recipe, header, wanted)
        reader = pd.read_csv(
            path, usecols=list(columns), chunksize=CHUNK_ROWS, low_memory=False,
            keep_default_na=False, na_values=[""], **options,
        )  # fmt: skip
        for chunk in reader:
            yield chunk.rename(columns=columns)
    except DataError:
        raise
    except (OSError, EOFError, ValueError, zlib.error, zipfile.BadZipFile) as error:
        raise DataError(_why(path, recipe, error)) from None


def _match(path, recipe, header, wanted) -> dict:
    """Columns of the file by the names wanted; sessionId may be called session_id."""
    plain = {name.replace("_", "").lower(): name for name in map(str, header)}
    found = {name.replace("_", "").lower(): name for name in wanted}
    missing = [name for key, name in found.items() if key not in plain]
    if missing:
        raise DataError(
            f"{path}, line 1: column {missing[0]!r} is missing; found "
            f"{', '.join(map(repr, list(header)[:12]))}; expected a header with "
            f"{', '.join(wanted)}, separated by {recipe.sep!r}"
        )
    return {plain[key]: name for key, name in found.items()}


def _why(path, recipe, error) -> str:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    if isinstance(error, OSError) and error.strerror:
        return f"{path}: cannot be read: {error.strerror}"
    if isinstance(error, pd.errors.EmptyDataError):
        return f"{path}: the file is empty; expected a raw click log"
    return f"{path}: cannot be read as text separated by {recipe.sep!r}: {reason}"


def _clicks(path, recipe, chunk, numbers):
    """Session (n,), item (n,), time (n,) and offset (n,) of the views in a chunk."""
    chunk = chunk.dropna(how="all")  # blank lines
    if recipe.view:
        column, value = recipe.view
        chunk = chunk[chunk[column] == value]
    read = [_numbered if recipe.text_ids else _integers] * 2
    session = read[0](path, recipe, chunk[recipe.session], numbers[0])
    item = read[1](path, recipe, chunk[recipe.item], numbers[1])
    time = _seconds(path, recipe, chunk[recipe.time])
    offset = np.zeros(len(time) if recipe.offset else 0)
    if recipe.offset:
        offset = _integers(path, recipe, chunk[recipe.offset]) / 1000
    return session, item, time, offset


def _integers(path, recipe, values, _=None, expected="an integer") -> np.ndarray:
    if not pd.api.types.is_integer_dtype(values):
        read = pd.to_numeric(values, errors="coerce")
        whole = (read % 1 == 0) & (read.abs() < 2**53)
        _refuse(path, recipe, values, ~whole, expected)
        values = read
    return values.to_numpy(np.int64)


def _numbered(path, recipe, values, numbers: dict) -> np.ndarray:
    """Text IDs as numbers in the order in which they were first seen."""
    _refuse(path, recipe, values, values.isna(), "an ID")
    codes, ids = pd.factorize(values.astype(str))
    numbered = [numbers.setdefault(value, len(numbers)) for value in ids]
    return np.array(numbered, dtype=np.int64)[codes]


def _seconds(path, recipe, values) -> np.ndarray:
    expected = TIMES[recipe.clock]
    if recipe.clock == "ms":
        return _integers(path, recipe, values, expected=expected) / 1000
    text = values.astype(str).str.removesuffix(" UTC")
    times = pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce")
    _refuse(path, recipe, values, times.isna(), expected)
    return datetime_seconds(times)


def _refuse(path, recipe, values, bad, expected) -> None:
    """Name the first bad value, if there is one, and its line."""
    if not bad.any():
        return
    row = bad.idxmax()
    line = row + (1 if recipe.names else 2)
    shown = "empty" if pd.isna(values[row]) else repr(values[row])[:60]
    raise DataError(
        f"{path}, line {line}, column {values.name!r}: {shown}; expected {expected}"
    )


# ---- training files --------------------------------------------------------------


def _write(tables: dict, out_dir: Path) -> None:
    """Write all files aside, then move them to their names: each is whole."""
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out_dir, prefix=".unfinished-") as aside:
            for name, sessions in tables.items():
                sessions.write(Path(aside) / name)
            for name in tables:
                os.replace(Path(aside) / name, out_dir / name)
    except OSError as error:
        raise DataError(
            f"{out_dir}: cannot be written: {error.strerror or error}"
        ) from None

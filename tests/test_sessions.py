"""Sessions against plain loops, and every message that bad input can cause."""

import gzip
import warnings
from collections import Counter, defaultdict
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gru4rec_lite import clicklog
from gru4rec_lite.errors import DataError, ParameterError
from gru4rec_lite.sessions import Sessions, find_items

HEADER = "SessionId\tItemId\tTime\n"


def check_invariants(sessions):
    s = sessions
    assert s.items.dtype == np.int32 and s.times.dtype == np.float64
    assert s.offsets.dtype == np.int64
    assert s.n_clicks == len(s.items) == len(s.times) > 0
    assert s.n_sessions == len(s.session_ids) == len(s.offsets) - 1
    assert s.offsets[0] == 0 and s.offsets[-1] == s.n_clicks
    assert (s.lengths > 0).all()
    assert np.isfinite(s.times).all()
    assert s.items.min() >= 0 and s.items.max() < s.n_items
    for ids in (s.item_ids, s.session_ids):
        assert ids.dtype == np.int64 or all(type(i) is str for i in ids)
    assert (s.item_ids[1:] > s.item_ids[:-1]).all()
    assert len(set(s.session_ids.tolist())) == s.n_sessions
    for start, end in zip(s.offsets[:-1], s.offsets[1:], strict=True):
        assert (np.diff(s.times[start:end]) >= 0).all()
    assert (np.diff(s.times[s.offsets[:-1]]) >= 0).all()


def as_lists(sessions):
    """[(session ID, [(item ID, time), ...]), ...]"""
    s = sessions
    clicks = list(zip(s.item_ids[s.items].tolist(), s.times.tolist(), strict=True))
    bounds = zip(s.offsets[:-1], s.offsets[1:], strict=True)
    parts = [clicks[start:end] for start, end in bounds]
    return list(zip(s.session_ids.tolist(), parts, strict=True))


def grouped(rows):
    """The reference: sessions of (session, item, time) rows, by plain Python."""
    groups = defaultdict(list)  # in the order first seen
    for session, item, time in rows:
        groups[session].append((item, float(time)))
    ordered = [(s, sorted(c, key=lambda click: click[1])) for s, c in groups.items()]
    return sorted(ordered, key=lambda pair: pair[1][0][1])


def frame_of(rows):
    return pd.DataFrame(rows, columns=["SessionId", "ItemId", "Time"])


def write(path, text):
    data = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(data)
    return path


# few values, so that sessions interleave and times are equal
click = st.tuples(
    st.integers(-3, 6), st.integers(0, 5), st.integers(0, 9).map(lambda t: t / 2)
)
clicks = st.lists(click, min_size=1, max_size=40)


# ---- reading -------------------------------------------------------------------


@given(clicks)
def test_sorts_like_plain_python(rows):
    sessions = Sessions.from_frame(frame_of(rows))
    check_invariants(sessions)
    assert as_lists(sessions) == grouped(rows)
    assert sessions.removed == {}
    assert sessions.support.sum() == sessions.lengths.sum() == len(rows)


@given(clicks, st.booleans(), st.sampled_from("\t,;|"), st.integers(1, 7))
def test_file_equals_frame(tmp_path_factory, rows, text_ids, sep, chunk):
    if text_ids:  # text in one row of many makes the whole column text
        rows = [(f"{s}" if i else f"s{s}", i, t) for i, (s, _, t) in enumerate(rows)]
    path = tmp_path_factory.mktemp("clicks") / "clicks.csv"
    frame_of(rows).to_csv(path, index=False, sep=sep)
    with (
        mock.patch.object(clicklog, "CHUNK_ROWS", chunk),
        mock.patch.object(clicklog, "SCAN_BYTES", 8 * chunk),
    ):
        sessions = Sessions.read(path)
    check_invariants(sessions)
    assert as_lists(sessions) == grouped(rows)


def test_worked_example(tmp_path):
    text = HEADER + "7\tb\t30\n5\ta\t20\n7\ta\t10\n5\tc\t20\n9\tb\t5\n"
    sessions = Sessions.read(write(tmp_path / "c.tsv", text))
    assert sessions.session_ids.tolist() == [9, 7, 5]
    assert sessions.item_ids.tolist() == ["a", "b", "c"]
    assert sessions.items.tolist() == [1, 0, 1, 0, 2]
    assert sessions.times.tolist() == [5, 10, 30, 20, 20]
    assert sessions.offsets.tolist() == [0, 1, 3, 5]
    assert sessions.lengths.tolist() == [1, 2, 2]
    assert sessions.support.tolist() == [2, 2, 1]
    assert sessions.n_clicks == 5 and sessions.n_sessions == 3
    assert repr(sessions) == (
        "Sessions(5 clicks, 3 sessions, 3 items, "
        "1970-01-01 00:00:05 to 1970-01-01 00:00:30)"
    )
    row = sessions.describe().iloc[0]
    assert row[["clicks", "sessions", "items"]].tolist() == [5, 3, 3]
    assert row["mean length"] == pytest.approx(5 / 3)
    assert row["to"] == pd.Timestamp(30, unit="s")


ROWS = [(1, 10, 0.5), (1, 11, 1.25), (2, 10, 2.0)]
PLAIN = HEADER + "1\t10\t0.5\n1\t11\t1.25\n2\t10\t2.0\n"


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        PLAIN[:-1],
        PLAIN.replace("\t", ","),
        PLAIN.replace("\t", ";"),
        PLAIN.replace("\t", "|"),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\n\n  \n"),
        "\ufeff" + PLAIN,
        PLAIN.replace("10", '"10"'),
        PLAIN.replace("ItemId", '"ItemId"'),
        PLAIN.replace("SessionId", " SessionId "),
        PLAIN.replace("10", "+10").replace("11", "0011"),
        PLAIN.replace("0.5", "5e-1"),
        "a\tb\tc\td\te\n".join(
            ["", "x\t10\t1\t0.5\t\n", "y,\t11\t1\t1.25\t?\n", "z\t10\t2\t2.0\tNA\n"]
        ).replace("a\tb\tc\td\te\n", ""),
    ],
)
def test_one_table_written_in_many_ways(tmp_path, text):
    if not text.lstrip("\ufeff ").startswith(("SessionId", '"')):
        text = "Kind\tItemId\tSessionId\tTime\tNote\n" + text
    sessions = Sessions.read(write(tmp_path / "c.txt", text))
    check_invariants(sessions)
    assert as_lists(sessions) == grouped(ROWS)


@pytest.mark.parametrize("name", ["c.tsv.gz", "c.tsv"])
def test_gzip_is_known_by_its_content(tmp_path, name):
    path = write(tmp_path / name, gzip.compress(PLAIN.encode(), mtime=0))
    assert as_lists(Sessions.read(path)) == grouped(ROWS)


def test_other_column_names_and_separator(tmp_path):
    path = write(tmp_path / "c", "ts who what\n1 a p\n2 a q\n")
    sessions = Sessions.read(path, session="who", item="what", time="ts", sep=" ")
    assert as_lists(sessions) == [("a", [("p", 1), ("q", 2)])]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (["1", "2", "-3"], [1, 2, -3]),
        (["1", "2", "2.0"], ["1", "2", "2.0"]),
        (["1", "2", "1e3"], ["1", "2", "1e3"]),
        (["1", "0", "True"], ["1", "0", "True"]),
        (["True", "False", "True"], ["True", "False", "True"]),
        (["NA", "null", "nan"], ["NA", "null", "nan"]),
        (["1", "NA", "None"], ["1", "NA", "None"]),
        (["007", "7", "x"], ["007", "7", "x"]),
        (["1", "2", str(2**63)], ["1", "2", str(2**63)]),
        (["1", "2", "9" * 30], ["1", "2", "9" * 30]),
        ([str(2**63 - 1), str(-(2**63)), "0"], [2**63 - 1, -(2**63), 0]),
        (["a b", 'q"q', "ü🜁"], ["a b", 'q"q', "ü🜁"]),
    ],
)
@pytest.mark.parametrize("chunk", [1, 100])
def test_ids_are_integers_or_text_and_never_floats(tmp_path, column, expected, chunk):
    lines = [f"{value}\tx{value}\t{t}\n" for t, value in enumerate(column)]
    path = write(tmp_path / "c.tsv", HEADER + "".join(lines))
    with mock.patch.object(clicklog, "CHUNK_ROWS", chunk):
        sessions = Sessions.read(path)
    check_invariants(sessions)
    kept = [sessions.session_ids[sessions.session_ids == e].tolist() for e in expected]
    assert kept == [[e] for e in expected]
    assert sessions.item_ids.tolist() == sorted({"x" + value for value in column})


@pytest.mark.parametrize(
    "times",
    [
        ["1396860669.277", "1396860670"],
        ["2014-04-07T08:51:09.277Z", "2014-04-07T08:51:10Z"],
        ["2014-04-07 08:51:09.277", "2014-04-07 08:51:10"],
        ["2014-04-07T10:51:09.277+02:00", "2014-04-07T08:51:10Z"],
    ],
)
def test_times(tmp_path, times):
    lines = [f"1\t{i}\t{time}\n" for i, time in enumerate(times)]
    path = write(tmp_path / "c.tsv", HEADER + "".join(lines))
    frame = frame_of([(1, i, time) for i, time in enumerate(times)])
    for sessions in (Sessions.read(path), Sessions.from_frame(frame)):
        assert sessions.times.tolist() == [1396860669.277, 1396860670.0]


def test_milliseconds(tmp_path):
    path = write(tmp_path / "c.tsv", HEADER + "1\t1\t1396860669277\n")
    with pytest.warns(UserWarning, match="look like milliseconds.*time_unit='ms'"):
        assert Sessions.read(path).times.tolist() == [1396860669277]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sessions = Sessions.read(path, time_unit="ms")
    assert sessions.times.tolist() == [1396860669.277]


def test_times_are_read_exactly(tmp_path):
    times = np.random.default_rng(0).uniform(1.3e9, 1.7e9, 5000)
    frame = frame_of({"SessionId": 1, "ItemId": 1, "Time": np.sort(times)})
    path = tmp_path / "c.tsv"
    frame.to_csv(path, sep="\t", index=False)
    assert np.array_equal(Sessions.read(path).times, np.sort(times))


def test_frame_with_other_types():
    when = pd.to_datetime(["2014-04-07 10:00", "2014-04-07 10:01"])
    seconds = [1396864800.0, 1396864860.0]
    item = pd.Categorical(["b", "a"])
    for times in (when, when.tz_localize("UTC"), when.tz_localize("UTC").astype(str)):
        frame = frame_of({"SessionId": [1.0, 1.0], "ItemId": item, "Time": times})
        sessions = Sessions.from_frame(frame)
        check_invariants(sessions)
        assert sessions.times.tolist() == seconds
        assert sessions.session_ids.tolist() == [1]
        assert sessions.item_ids.tolist() == ["a", "b"]
    frame = frame_of({"SessionId": ["1", "2"], "ItemId": [1, "x"], "Time": [1, 2]})
    frame["Extra"] = np.nan
    sessions = Sessions.from_frame(frame.set_index(np.array([5, 5])))
    assert sessions.session_ids.tolist() == ["1", "2"]
    assert sessions.item_ids.tolist() == ["1", "x"]
    big = frame_of({"SessionId": [1.5, 2], "ItemId": [2**63, 1], "Time": [1, 2]})
    sessions = Sessions.from_frame(big.astype({"ItemId": "uint64"}))
    assert sessions.session_ids.tolist() == ["1.5", "2.0"]
    assert sessions.item_ids.tolist() == ["1", str(2**63)]


def test_costs_at_most_24_bytes_a_click():
    session = np.repeat(np.arange(2500), 4)  # four clicks, as in public logs
    item = np.arange(10000) % 50
    frame = frame_of({"SessionId": session, "ItemId": item, "Time": np.arange(10000.0)})
    sessions = Sessions.from_frame(frame)
    arrays = [v for v in vars(sessions).values() if isinstance(v, np.ndarray)]
    assert 12 <= sum(array.nbytes for array in arrays) / sessions.n_clicks <= 24


# IDs that are not taken for numbers: reading would then make them integers
text_id = st.text(
    st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=4
).map(lambda text: "x" + text)


@given(
    st.lists(
        st.tuples(text_id, st.one_of(text_id, st.just('"')), st.floats(-1e9, 1e10)),
        min_size=1,
        max_size=10,
    ),
    st.sampled_from(["c.tsv", "c.tsv.gz"]),
)
def test_written_and_read_again(tmp_path_factory, rows, name):
    sessions = Sessions.from_frame(frame_of(rows))
    path = tmp_path_factory.mktemp("clicks") / name
    sessions.write(path)
    assert as_lists(Sessions.read(path)) == as_lists(sessions) == grouped(rows)
    with open(path, "rb") as file:
        assert (file.read(2) == b"\x1f\x8b") == name.endswith(".gz")


def test_same_clicks_write_the_same_bytes(tmp_path):
    sessions = Sessions.from_frame(frame_of(ROWS))
    paths = [tmp_path / "a" / "c.tsv.gz", tmp_path / "b" / "c.tsv.gz"]
    for path in paths:
        path.parent.mkdir()
        sessions.write(path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


# ---- messages ------------------------------------------------------------------

CSV = "SessionId,ItemId,Time\n"


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        (b"", ["is empty", "'SessionId', 'ItemId', 'Time'"]),
        (gzip.compress(b"", mtime=0), ["is empty"]),
        ("\n" + PLAIN, ["line 1", "blank"]),
        (HEADER, ["no lines after the header"]),
        (HEADER[:-1], ["no lines after the header"]),
        (HEADER + "\n \n\r\n", ["no lines after the header"]),
        ("SessionId\tTime\n1\t2\n", ["line 1", "'ItemId' is missing", "'Time'"]),
        ("a b c\n1 2 3\n", ["line 1", "'SessionId' is missing", "'a b c'"]),
        ("1\t2\t3\n4\t5\t6\n", ["line 1", "missing", "found '1', '2', '3'"]),
        ("SessionId\tItemId\tTime\tTime\n", ["line 1", "'Time' stands there twice"]),
        ('SessionId\tItemId\t"Time\n', ["line 1", "a quote is not closed"]),
        (PLAIN + "3\t1\tsoon\n", ["line 5", "'Time'", "'soon'", "a finite number"]),
        (PLAIN + "\n\n3\t1\tsoon\n", ["line 7", "'Time'", "'soon'"]),
        (PLAIN + "3\t1\tnan\n", ["line 5", "'Time'", "'nan'"]),
        (PLAIN + "3\t1\t-inf\n", ["line 5", "'Time'", "'-inf'"]),
        (PLAIN + "3\t1\t1e999\n", ["line 5", "'Time'", "'1e999'"]),
        (PLAIN + "3\t1\t\n", ["line 5", "'Time'", "''"]),
        (PLAIN + "3\t1\tTrue\n", ["line 5", "'Time'", "'True'"]),
        (HEADER + "3\t1\tTrue\n", ["line 2", "'Time'", "'True'"]),
        (HEADER + "3\t1\t0x1F\n", ["line 2", "'Time'", "'0x1F'", "ISO 8601"]),
        (HEADER + "3\t1\t1_0\n", ["line 2", "'Time'", "'1_0'"]),
        (HEADER + "3\t1\t2014-04-31\n", ["line 2", "'2014-04-31'", "ISO 8601"]),
        (HEADER + "3\t1\t2014-04-30\n3\t1\tnow\n", ["line 3", "'now'", "ISO 8601"]),
        (HEADER + "3\t1\t2014-04-30\n3\t1\t\n", ["line 3", "'Time'", "''"]),
        (HEADER + "3\t1\t" + "9" * 500 + "\n", ["line 2", "'Time'", "..."]),
        (PLAIN + "3\t\t5\n", ["line 5", "'ItemId'", "empty"]),
        (PLAIN + '3\t""\t5\n', ["line 5", "'ItemId'", "empty"]),
        (PLAIN + "\t3\t5\n", ["line 5", "'SessionId'", "empty"]),
        (HEADER + "a\tb\t1\n\tb\t2\n", ["line 3", "'SessionId'", "empty"]),
        (PLAIN + "3\t4\n", ["line 5", "2 fields", "expected 3"]),
        (PLAIN + "3\n", ["line 5", "1 fields", "expected 3"]),
        (PLAIN + "3\t4\t5\t6\n", ["line 5", "4 fields", "expected 3"]),
        (HEADER + "1\t2\t3\t4\n", ["line 2", "4 fields", "expected 3"]),
        (HEADER + '1\t"2"\t3\t4\n', ["line 2", "4 fields", "expected 3"]),
        (PLAIN + '3\t"4"\t5\t6\n', ["line 5", "4 fields", "expected 3"]),
        (PLAIN + '3\t"4"\n', ["line 5", "2 fields", "expected 3"]),
        (CSV + '1,"a\nb",1\n2,c,x\n', ["line 4", "'Time'", "'x'"]),
        (CSV + "1,a,1\n2;b;2\n", ["line 3", "1 fields", "separated by ','"]),
        (PLAIN + '3\t"4\t5\n6\t7\t8\n', ["line 5", "a quote is not closed"]),
        (PLAIN + "3\t4\x00\t5\n", ["line 5", "a NUL byte"]),
        (PLAIN.encode("utf-16"), ["line 1", "UTF-8"]),
        (PLAIN.replace("\n", "\r"), ["line 1", "a carriage return"]),
        (PLAIN + "3\t4\t5\r6\t7\t8\n", ["line 5", "a carriage return"]),
        (PLAIN.encode() + b"3\t\xe9t\xe9\t5\n", ["line 5", "not UTF-8"]),
        ("Größe".encode("latin-1") + b"\t\n", ["line 1", "not UTF-8"]),
        (gzip.compress(PLAIN.encode(), mtime=0)[:-9], ["damaged gzip", ".gz file"]),
        (gzip.compress(PLAIN.encode(), mtime=0)[:4], ["damaged gzip"]),
        (b"\x1f\x8bnonsense", ["damaged gzip"]),
        (gzip.compress(PLAIN.encode(), mtime=0) + b"tail", ["damaged gzip"]),
        (HEADER + "1\t" + '"' + "x" * 200000 + '"\t1\n2\t3\n', ["line 2", "limit"]),
    ],
)
@pytest.mark.parametrize("chunk", [2, 1000])
def test_bad_file(tmp_path, text, fragments, chunk):
    path = write(tmp_path / "bad.tsv", text)
    with (
        mock.patch.object(clicklog, "CHUNK_ROWS", chunk),
        mock.patch.object(clicklog, "SCAN_BYTES", 10 * chunk),
        pytest.raises(DataError) as caught,
    ):
        Sessions.read(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and "expected" in message or "limit" in message
    assert len(message.splitlines()) == 1 and len(message) < 800
    for fragment in fragments:
        assert fragment in message


def test_no_such_file(tmp_path):
    with pytest.raises(DataError, match="nowhere.tsv: no such file"):
        Sessions.read(tmp_path / "nowhere.tsv")
    with pytest.raises(DataError, match="a directory; expected a file"):
        Sessions.read(tmp_path)
    inside = write(tmp_path / "file", PLAIN) / "inside.tsv"
    with pytest.raises(DataError, match="inside.tsv: cannot be read: "):
        Sessions.read(inside)
    with pytest.raises(DataError, match="out.tsv: cannot be written: "):
        Sessions.from_frame(frame_of(ROWS)).write(tmp_path / "nowhere" / "out.tsv")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sep": ""}, "sep='' is not allowed; expected one character"),
        ({"sep": "::"}, "sep='::' is not allowed"),
        ({"sep": "1"}, "sep='1' is not allowed"),
        ({"sep": "—"}, "sep='—' is not allowed"),
        ({"sep": 9}, "sep=9 is not allowed"),
        ({"time_unit": "us"}, "time_unit='us' is not allowed; expected 's', 'ms'"),
        ({"item": "Time"}, "item='Time' is not allowed; expected three different"),
        ({"path": 3}, "path=3 is not allowed"),
        ({"path": "a\0b"}, "is not allowed; expected a path"),
    ],
)
def test_bad_arguments(tmp_path, arguments, message):
    arguments = {"path": write(tmp_path / "c.tsv", PLAIN)} | arguments
    with pytest.raises(ParameterError) as caught:
        Sessions.read(**arguments)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ItemId": ["a", None]}, "DataFrame, row 1, column 'ItemId': missing"),
        ({"ItemId": [np.nan, 1.0]}, "DataFrame, row 0, column 'ItemId': missing"),
        ({"ItemId": ["a", ""]}, "DataFrame, row 1, column 'ItemId': empty"),
        ({"Time": [1.0, np.nan]}, "DataFrame, row 1, column 'Time': nan is not a time"),
        ({"Time": [np.inf, 1]}, "DataFrame, row 0, column 'Time': inf is not a time"),
        ({"Time": ["1", "x"]}, "DataFrame, row 1, column 'Time': 'x' is not a time"),
        ({"Time": [True, False]}, "DataFrame, row 0, column 'Time'"),
        ({"Time": [None, None]}, "DataFrame, row 0, column 'Time'"),
        ({"Time": [pd.Timestamp(0), pd.NaT]}, "DataFrame, row 1, column 'Time': NaT"),
    ],
)
def test_bad_frame(changes, message):
    frame = frame_of({"SessionId": [1, 1], "ItemId": [1, 2], "Time": [1, 2]} | changes)
    with pytest.raises(DataError) as caught:
        Sessions.from_frame(frame)
    assert message in str(caught.value)


def test_no_frame():
    with pytest.raises(DataError, match="DataFrame: no rows"):
        Sessions.from_frame(frame_of([]))
    with pytest.raises(DataError, match="column 'ItemId' is missing; found 'a'"):
        Sessions.from_frame(pd.DataFrame({"a": [1]}), session="a")
    with pytest.raises(ParameterError, match="frame=list is not allowed"):
        Sessions.from_frame([])


def test_arrays_that_do_not_fit():
    with pytest.raises(DataError, match="do not fit together"):
        Sessions([0, 1], [1, 2], [0, 1], [1], [5, 6])


# ---- filtering -----------------------------------------------------------------


def filtered(sessions, min_length, min_support, drop_repeats):
    """The reference: one rule after the other until nothing changes."""
    while True:
        before = [list(c) for _, c in sessions]
        if drop_repeats:
            sessions = [
                (s, [x for k, x in enumerate(c) if k == 0 or c[k - 1][0] != x[0]])
                for s, c in sessions
            ]
        support = Counter(item for _, c in sessions for item, _ in c)
        kept = [
            (s, [click for click in c if support[click[0]] >= min_support])
            for s, c in sessions
        ]
        sessions = [(s, c) for s, c in kept if len(c) >= min_length]
        if [c for _, c in sessions] == before:
            return sorted(sessions, key=lambda pair: pair[1][0][1])


@given(clicks, st.integers(1, 3), st.integers(1, 4), st.booleans())
def test_filter_like_plain_loops(rows, min_length, min_support, drop_repeats):
    expected = filtered(grouped(rows), min_length, min_support, drop_repeats)
    sessions = Sessions.from_frame(frame_of(rows))
    if not expected:
        with pytest.raises(DataError, match="no click is left"):
            sessions.filter(min_length, min_support, drop_repeats)
        return
    kept = sessions.filter(min_length, min_support, drop_repeats)
    check_invariants(kept)
    assert sorted(as_lists(kept)) == sorted(expected)
    starts = [c[0][1] for _, c in as_lists(kept)]
    assert starts == [c[0][1] for _, c in expected]
    assert (kept.support >= min_support).all() and (kept.lengths >= min_length).all()
    again = kept.filter(min_length, min_support, drop_repeats)
    assert as_lists(again) == as_lists(kept) and again.removed == kept.removed
    # every click is kept or counted, and so is every session
    gone = {k: v for k, v in kept.removed.items() if k.startswith(("click", "repeat"))}
    assert sum(gone.values()) == sessions.n_clicks - kept.n_clicks
    gone = {k: v for k, v in kept.removed.items() if k.startswith("sessions")}
    assert sum(gone.values()) == sessions.n_sessions - kept.n_sessions
    assert as_lists(sessions) == grouped(rows)  # untouched


def test_filter_repeats_until_stable():
    # c is rare; without it session 2 is short; without that b is rare, and so on
    rows = [(1, "a", 1), (1, "a", 2), (1, "b", 3), (2, "b", 4), (2, "c", 5)]
    kept = Sessions.from_frame(frame_of(rows)).filter(min_support=2)
    assert as_lists(kept) == [(1, [("a", 1), ("a", 2)])]
    assert kept.item_ids.tolist() == ["a"]
    assert kept.removed == {
        "items with fewer than 2 clicks": 2,
        "clicks on items with fewer than 2 clicks": 2,
        "sessions shorter than 2": 1,
        "clicks in sessions shorter than 2": 1,
    }


def test_filter_sees_repeats_that_it_made():
    rows = [
        (1, "a", 1),
        (1, "x", 2),
        (1, "a", 3),
        (1, "b", 4),
        (2, "b", 5),
        (2, "a", 6),
    ]
    kept = Sessions.from_frame(frame_of(rows)).filter(min_support=2, drop_repeats=True)
    assert as_lists(kept)[0] == (1, [("a", 1), ("b", 4)])
    assert kept.removed["repeats of the click before"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_length": 0}, "min_length=0 is not allowed; expected an integer of at"),
        ({"min_length": 2.0}, "min_length=2.0 is not allowed"),
        ({"min_support": -1}, "min_support=-1 is not allowed"),
        ({"min_support": True}, "min_support=True is not allowed"),
        ({"drop_repeats": 1}, "drop_repeats=1 is not allowed; expected False, True"),
    ],
)
def test_filter_checks_its_arguments(arguments, message):
    with pytest.raises(ParameterError) as caught:
        Sessions.from_frame(frame_of(ROWS)).filter(**arguments)
    assert message in str(caught.value)


# ---- splitting and aligning ----------------------------------------------------


@given(clicks, st.integers(0, 9).map(lambda t: t / 2))
def test_split_like_plain_loops(rows, at):
    sessions = Sessions.from_frame(frame_of(rows))
    before = [(s, c) for s, c in grouped(rows) if c[-1][1] < at]
    after = [(s, c) for s, c in grouped(rows) if c[0][1] >= at]
    known = {item for _, c in before for item, _ in c}
    seen = [(s, [click for click in c if click[0] in known]) for s, c in after]
    expected = [(s, c) for s, c in seen if len(c) >= 2]
    if not before or not after:
        with pytest.raises(ParameterError, match=r"at=.* no session lies wholly"):
            sessions.split_by_time(at)
        return
    if not expected:
        with pytest.raises(DataError, match="no click is left|none of the"):
            sessions.split_by_time(at)
        return
    train, test = sessions.split_by_time(at)
    check_invariants(train)
    check_invariants(test)
    assert as_lists(train) == before
    assert sorted(as_lists(test)) == sorted(expected)
    assert test.item_ids.tolist() == train.item_ids.tolist() == sorted(known)
    straddling = len(grouped(rows)) - len(before) - len(after)
    assert train.removed.get("sessions that straddle the split", 0) == straddling
    clicks_of = {
        name: sum(len(c) for _, c in side)
        for name, side in (("before", before), ("after", after), ("test", expected))
    }
    lost = train.removed.get("clicks in sessions that straddle the split", 0)
    assert lost == len(rows) - clicks_of["before"] - clicks_of["after"]
    counts = test.removed
    assert counts.get("sessions shorter than 2", 0) == len(after) - len(expected)
    lost = counts.get("clicks on unknown items", 0)
    lost += counts.get("clicks in sessions shorter than 2", 0)
    assert lost == clicks_of["after"] - clicks_of["test"]


DAY = 86400


def test_split_worked_example():
    rows = [
        ("old", "a", 0), ("old", "b", 10),
        ("across", "a", 2 * DAY - 5), ("across", "b", 2 * DAY + 5),
        ("new", "b", 2 * DAY + 10), ("new", "z", 2 * DAY + 15), ("new", "a", 3 * DAY),
        ("gone", "z", 2 * DAY + 20), ("gone", "a", 2 * DAY + 30),
    ]  # fmt: skip
    sessions = Sessions.from_frame(frame_of(rows))
    splits = [sessions.split_last_days(1), sessions.split_by_time(2 * DAY)]
    splits += [
        sessions.split_by_time(at) for at in ("1970-01-03", pd.Timestamp(1970, 1, 3))
    ]
    for train, test in splits:
        assert as_lists(train) == [("old", [("a", 0), ("b", 10)])]
        assert as_lists(test) == [("new", [("b", 2 * DAY + 10), ("a", 3 * DAY)])]
        assert train.removed == {
            "sessions that straddle the split": 1,
            "clicks in sessions that straddle the split": 2,
        }
        assert test.removed == {
            "unknown items": 1,
            "clicks on unknown items": 2,
            "sessions shorter than 2": 1,
            "clicks in sessions shorter than 2": 1,
        }


@pytest.mark.parametrize("at", ["soon", None, np.nan, True, [1]])
def test_split_checks_the_moment(at):
    with pytest.raises(ParameterError, match="at=.* is not allowed"):
        Sessions.from_frame(frame_of(ROWS)).split_by_time(at)


@pytest.mark.parametrize("days", [0, -1, np.inf, "1", 1.0])
def test_split_checks_the_days(days):
    with pytest.raises(ParameterError, match=f"days={days!r} is not allowed"):
        Sessions.from_frame(frame_of(ROWS)).split_last_days(days)


@given(clicks, st.sets(st.integers(-1, 6)), st.integers(1, 3))
def test_align_like_plain_loops(rows, known, min_length):
    sessions = Sessions.from_frame(frame_of(rows))
    vocabulary = np.array(sorted(known), dtype=np.int64)
    seen = [(s, [c for c in cs if c[0] in known]) for s, cs in grouped(rows)]
    expected = [(s, cs) for s, cs in seen if len(cs) >= min_length]
    if not expected:
        with pytest.raises(DataError, match="no click is left|none of the"):
            sessions.align(vocabulary, min_length)
        return
    aligned = sessions.align(vocabulary, min_length)
    check_invariants(aligned)
    assert sorted(as_lists(aligned)) == sorted(expected)
    assert aligned.item_ids.tolist() == sorted(known)
    unknown = {item for _, item, _ in rows} - known
    assert aligned.removed.get("unknown items", 0) == len(unknown)


def test_align_with_only_unknown_items_names_file_and_column(tmp_path):
    path = write(tmp_path / "test.tsv", PLAIN)
    with pytest.raises(DataError) as caught:
        Sessions.read(path).align(np.array([1, 2, 3]))
    assert str(caught.value).startswith(
        f"{path}, column 'ItemId': none of the 2 items (10, 11) is among the 3 known "
        "ones (1, 2, 3)"
    )


def test_align_counts_on_top_of_what_was_removed():
    rows = [*ROWS, (3, 11, 9.0), (3, 12, 10.0), (3, 10, 11.0)]
    sessions = Sessions.from_frame(frame_of(rows)).filter()
    aligned = sessions.align([10, 11])
    assert sessions.removed == {
        "sessions shorter than 2": 1,
        "clicks in sessions shorter than 2": 1,
    }
    assert aligned.removed == sessions.removed | {
        "unknown items": 1,
        "clicks on unknown items": 1,
    }


@pytest.mark.parametrize("ids", [[2, 1], [1, 1], ["b", "a"]])
def test_align_wants_a_vocabulary(ids):
    with pytest.raises(ParameterError, match="item_ids=.*expected sorted IDs"):
        Sessions.from_frame(frame_of(ROWS)).align(ids)


def test_a_file_of_integers_aligns_to_a_vocabulary_of_text():
    integers = Sessions.from_frame(frame_of(ROWS))
    text = Sessions.from_frame(frame_of([(1, "10", 1), (1, "11", 2), (1, "x", 3)]))
    aligned = integers.align(text.item_ids)
    assert as_lists(aligned) == [(1, [("10", 0.5), ("11", 1.25)])]
    assert as_lists(text.align(integers.item_ids)) == [(1, [(10, 1), (11, 2)])]


def test_indices():
    sessions = Sessions.from_frame(frame_of(ROWS))
    assert sessions.indices([11, "10", np.int64(11)]).tolist() == [1, 0, 1]
    assert sessions.indices([]).tolist() == []
    with pytest.raises(DataError) as caught:
        sessions.indices(["10", "x", 12, 10.0])
    assert str(caught.value) == (
        "unknown items: 'x', 12, 10.0 (3 of 4); "
        "expected some of the 2 known ones: 10, 11"
    )
    text = Sessions.from_frame(frame_of([(1, "10", 1), (1, "x", 2)]))
    assert text.indices(["x", 10, np.array("10").item()]).tolist() == [1, 0, 0]


@given(st.lists(st.one_of(st.integers(), st.text(max_size=2), st.booleans())))
def test_find_items_finds_what_is_there(ids):
    for vocabulary in (np.array([-1, 0, 7]), np.array(["", "0", "a"], dtype=object)):
        found = find_items(ids, vocabulary)
        for value, position in zip(ids, found.tolist(), strict=True):
            if position >= 0:
                assume(not isinstance(value, str) or value.isascii())
                same = type(vocabulary[0])(value) == vocabulary[position]
                assert same and not isinstance(value, bool)
            else:
                assert not any(
                    type(value) is type(known) and value == known
                    for known in vocabulary.tolist()
                )
    assert find_items([1], np.array([], dtype=np.int64)).tolist() == [-1]


def test_real_clicks_have_the_published_sizes(rsc15):
    train = Sessions.read(rsc15 / "train_full.tsv")
    test = Sessions.read(rsc15 / "test.tsv")
    sizes = [(s.n_clicks, s.n_sessions, s.n_items) for s in (train, test)]
    assert sizes == [(70278, 17794, 2933), (13568, 3416, 1771)]
    assert test.align(train.item_ids).removed == {}
    # the same data one day earlier, split by those who published it
    tr, valid = train.split_last_days(1)
    assert tr.n_clicks == Sessions.read(rsc15 / "train_tr.tsv").n_clicks == 53254

"""`prepare` on tiny raw files, written as each dataset is published.

What it should leave is worked out here by the rules, click by click, on lists.
"""

import gzip
import zipfile

import numpy as np
import pandas as pd
import pytest

from gru4rec_lite import DataError, ParameterError, Sessions, datasets
from gru4rec_lite.datasets import DATASETS, prepare

FILES = ("train_full.tsv", "test.tsv", "train_tr.tsv", "train_valid.tsv")
START = 1_569_888_000  # 1 October 2019, 00:00 UTC
DAY, HOUR = 86_400, 3_600


def visits(n_days=40, per_day=12, n_items=9, seed=0):
    """(visitor, item, seconds): each visitor comes once a day, for a few clicks."""
    rng = np.random.default_rng(seed)
    rows = []
    for day in range(n_days):
        for visitor in range(1, per_day + 1):
            time = START + day * DAY + int(rng.integers(2 * HOUR, 20 * HOUR))
            for _ in range(rng.integers(1, 6)):
                rows.append((visitor, 100 + int(rng.integers(n_items)), time))
                time += int(rng.integers(1, 300))
    rows.append((1, 999, START + 3 * HOUR))  # an item clicked once
    return sorted(rows, key=lambda row: row[2])


def sessions_of(rows, gap=HOUR):
    """The visits as lists of (item, time): cut by pauses, in plain Python."""
    found = {}
    for visitor, item, time in rows:
        own = found.setdefault(visitor, [])
        if not own or time - own[-1][-1][1] > gap:
            own.append([])
        own[-1].append((item, time))
    return [session for own in found.values() for session in own]


def expected(sessions, days, drop_repeats):
    """The four files as sets of sessions, by the rules in plain Python."""
    before = None
    while sessions != before:
        before = sessions
        if drop_repeats:
            sessions = [
                [c for i, c in enumerate(s) if i == 0 or c[0] != s[i - 1][0]]
                for s in sessions
            ]
        support = {}
        for item, _ in (click for session in sessions for click in session):
            support[item] = support.get(item, 0) + 1
        sessions = [[c for c in s if support[c[0]] >= 5] for s in sessions]
        sessions = [s for s in sessions if len(s) > 1]
    full, test = split(sessions, days)
    return dict(zip(FILES, (full, test, *split(full, days)), strict=True))


def split(sessions, days):
    line = max(s[-1][1] for s in sessions) - days * DAY
    train = [s for s in sessions if s[-1][1] < line]
    known = {item for session in train for item, _ in session}
    test = [[c for c in s if c[0] in known] for s in sessions if s[0][1] >= line]
    return train, [s for s in test if len(s) > 1]


def as_sets(directory):
    found = {}
    for name in FILES:
        clicks = Sessions.read(directory / name).to_frame()
        found[name] = {
            tuple(zip(map(str, group.ItemId), group.Time.round(3), strict=True))
            for _, group in clicks.groupby("SessionId")
        }
    return found


def check(directory, counts, wanted):
    found = as_sets(directory)
    for name, sessions in wanted.items():
        assert len(sessions) > 5
        plain = {tuple((str(i), round(t, 3)) for i, t in s) for s in sessions}
        assert found[name] == plain, name
        assert counts[name]["sessions"] == len(sessions)
        assert counts[name]["clicks"] == sum(map(len, sessions))
        assert counts[name]["items"] == len({i for s in sessions for i, _ in s})
    assert sorted(path.name for path in directory.iterdir()) == sorted(FILES)


def numbered(rows):
    """The visits with a session ID of their own, as logs with sessions have them."""
    number = {}
    for visitor, item, time in rows:
        day = (time - START) // DAY
        yield number.setdefault((visitor, day), len(number) + 1), item, time


def iso(seconds):
    return pd.Timestamp(seconds, unit="s").isoformat()


# ---- one test for each format ----------------------------------------------------


@pytest.mark.parametrize("name", ["rsc15", "yoochoose"])
def test_yoochoose_has_no_header_and_iso_times(tmp_path, name):
    raw = tmp_path / "raw"
    raw.mkdir()
    rows = list(numbered(visits()))
    lines = [f"{s},{iso(t)}.277Z,{i},0\n" for s, i, t in rows]
    half = len(lines) // 2
    (raw / "yoochoose-clicks.dat").write_text("".join(lines[:half]))
    (raw / "yoochoose-test.dat").write_text("".join(lines[half:]))
    counts = prepare(name, raw, tmp_path / "out", progress=False)
    used = rows[:half] if name == "rsc15" else rows
    sessions = {}
    for session, item, time in used:
        sessions.setdefault(session, []).append((item, time + 0.277))
    wanted = expected(list(sessions.values()), 1, drop_repeats=name == "yoochoose")
    check(tmp_path / "out", counts, wanted)
    assert counts["train_full.tsv"]["removed"]["items with fewer than 5 clicks"] == 1


@pytest.mark.parametrize(
    "header", ["sessionId;userId;itemId", "session_id;user_id;item_id"]
)
def test_diginetica_counts_milliseconds_from_the_sessions_day(tmp_path, header):
    lines, sessions = [f"{header};timeframe;eventdate\n"], {}
    for session, item, time in numbered(visits(n_days=40)):
        day = START + (time - START) // DAY * DAY
        date = iso(day)[:10]
        offset = (time - day) * 1000 + 7
        lines.append(f"{session};NA;{item};{offset};{date}\n")
        sessions.setdefault(session, []).append((item, day + offset / 1000))
    # a session over midnight: its later rows bear the next day's date
    day = START + 5 * DAY
    lines.append(f"77777;12;101;1000;{iso(day)[:10]}\n")
    lines.append(f"77777;12;102;{25 * HOUR * 1000};{iso(day + DAY)[:10]}\n")
    sessions[77777] = [(101, day + 1), (102, day + 25 * HOUR)]
    raw = tmp_path / "train-item-views.csv"
    raw.write_text("".join(lines))
    counts = prepare("diginetica", raw, tmp_path / "out", progress=False)
    check(tmp_path / "out", counts, expected(list(sessions.values()), 7, True))


def test_retailrocket_views_are_cut_into_sessions_by_pauses(tmp_path):
    rows = visits()
    lines = [f"{t * 1000},{v},view,{i},\n" for v, i, t in rows]
    lines += [f"{t * 1000},{v},addtocart,{i},\n" for v, i, t in rows[::3]]
    lines += [f"{t * 1000},{v},transaction,{i},16\n" for v, i, t in rows[::7]]
    np.random.default_rng(1).shuffle(lines)  # the published file is not sorted
    raw = tmp_path / "raw"
    raw.mkdir()
    with zipfile.ZipFile(raw / "events.csv.zip", "w") as archive:
        text = "timestamp,visitorid,event,itemid,transactionid\n" + "".join(lines)
        archive.writestr("events.csv", text)
    counts = prepare("retailrocket", raw, tmp_path / "out", progress=False)
    check(tmp_path / "out", counts, expected(sessions_of(rows), 7, True))


def test_a_pause_of_exactly_the_gap_does_not_end_a_session():
    visitor = np.array([1, 1, 1, 2])
    time = np.array([0.0, 3600.0, 7200.5, 7200.5])
    session, item, _ = datasets._cut(visitor, np.arange(4), time, 3600)
    assert session.tolist() == [0, 0, 1, 2]


def test_rees46_months_are_joined(tmp_path):
    rows = visits(n_days=50)
    november = START + 31 * DAY
    head = (
        "event_time,event_type,product_id,category_id,category_code,brand,price,"
        "user_id,user_session\n"
    )
    months = {"2019-Oct.csv.gz": [head], "2019-Nov.csv.gz": [head]}
    for n, (visitor, item, time) in enumerate(rows):
        lines = months["2019-Nov.csv.gz" if time >= november else "2019-Oct.csv.gz"]
        when = f"{iso(time).replace('T', ' ')} UTC"
        tail = f"{item},2053013555631882655,,brand,9.99,{visitor},uuid-{n}\n"
        lines.append(f"{when},view,{tail}")
        if n % 4 == 0:
            lines.append(f"{when},cart,{tail}")
    raw = tmp_path / "raw"
    raw.mkdir()
    for name, lines in months.items():
        assert len(lines) > 100
        with gzip.open(raw / name, "wt") as file:
            file.writelines(lines)
    counts = prepare("rees46", raw, tmp_path / "out", progress=False)
    check(tmp_path / "out", counts, expected(sessions_of(rows), 1, True))


def test_coveo_hashes_and_detail_events(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "CHUNK_ROWS", 100)  # IDs must agree across chunks
    lines = [
        "session_id_hash,event_type,product_action,product_sku_hash,"
        "server_timestamp_epoch_ms,hashed_url\n"
    ]
    sessions = {}
    for session, item, time in numbered(visits()):
        sku = f"sku{item:x}"
        ms = time * 1000
        lines.append(f"hash{session},event_product,detail,{sku},{ms},url\n")
        lines.append(f"hash{session},pageview,,,{ms},url\n")
        if item % 3 == 0:
            lines.append(f"hash{session},event_product,add,{sku},{ms},url\n")
        sessions.setdefault(session, []).append((sku, time))
    raw = tmp_path / "browsing_train.csv"
    raw.write_text("".join(lines))
    counts = prepare("coveo", tmp_path, tmp_path / "out", progress=False)
    check(tmp_path / "out", counts, expected(list(sessions.values()), 1, True))


def test_chunks_and_one_piece_give_the_same(tmp_path, monkeypatch):
    lines = [f"{s},{iso(t)}Z,{i},S\n" for s, i, t in numbered(visits())]
    raw = tmp_path / "yoochoose-clicks.dat"
    raw.write_text("".join(lines) + "\n\n")  # blank lines at the end do no harm
    prepare("rsc15", raw, tmp_path / "whole", progress=False)
    monkeypatch.setattr(datasets, "CHUNK_ROWS", 7)
    prepare("rsc15", raw, tmp_path / "pieces", progress=False)
    for name in FILES:
        whole = (tmp_path / "whole" / name).read_bytes()
        assert whole == (tmp_path / "pieces" / name).read_bytes()


# ---- what is wrong with a raw file -----------------------------------------------

GOOD = "timestamp,visitorid,event,itemid,transactionid\n"


@pytest.mark.parametrize(
    "text, said",
    [
        ("", ["empty"]),
        ("timestamp,visitorid,itemid\n1,2,3\n", ["line 1", "'event' is missing"]),
        (GOOD, ["no row counts", "event = view"]),
        (GOOD + "5,1,addtocart,7,\n", ["no row counts", "event = view"]),
        (GOOD + "5,1,view,7,\nnoon,1,view,7,\n", ["line 3", "timestamp", "'noon'"]),
        (GOOD + "5,1,view,7,\n\n5,1,view,x7,\n", ["line 4", "itemid", "'x7'"]),
        (GOOD + "5,1,view,7,\n5,,view,7,\n", ["line 3", "visitorid", "empty"]),
        (GOOD + "5,1,view,7.5,\n", ["line 2", "itemid", "7.5", "integer"]),
        (GOOD + "5,1,view,1e300,\n", ["line 2", "itemid", "1e+300"]),
        (GOOD + "5,1,view,7,\n5,1,view\n", ["line 3", "itemid", "empty"]),
        (GOOD + "5000,1,view,7,\n5001,1,view,8,\n", ["no click is left"]),
        (
            GOOD + "".join(f"{n},1,view,{7 + n % 2},\n" for n in range(18)),
            ["days=7", "less than"],
        ),
        (b"\xff\xfe" + GOOD.encode("utf-16-le"), ["cannot be read"]),
    ],
)  # fmt: skip
def test_a_bad_raw_file_is_named_with_its_line(tmp_path, text, said):
    raw = tmp_path / "events.csv"
    raw.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError) as error:
        prepare("retailrocket", tmp_path, tmp_path / "out", progress=False)
    message = str(error.value)
    assert message.startswith(str(raw)) and "\n" not in message
    for part in said:
        assert part in message
    assert not (tmp_path / "out").exists()


def test_a_damaged_archive(tmp_path):
    packed = gzip.compress((GOOD + "5,1,view,7,\n" * 9000).encode())
    (tmp_path / "events.csv.gz").write_bytes(packed[:-20])
    with pytest.raises(DataError, match="events.csv.gz: cannot be read"):
        prepare("retailrocket", tmp_path, tmp_path / "out", progress=False)
    (tmp_path / "events.csv.gz").unlink()
    (tmp_path / "events.csv.zip").write_bytes(b"PK not a zip")
    with pytest.raises(DataError, match="events.csv.zip: cannot be read"):
        prepare("retailrocket", tmp_path, tmp_path / "out", progress=False)


def test_arguments(tmp_path):
    with pytest.raises(ParameterError, match="name='movielens'.*'rsc15'"):
        prepare("movielens", tmp_path, tmp_path / "out")
    with pytest.raises(DataError, match="no such file or directory; .*events.csv"):
        prepare("retailrocket", tmp_path / "none", tmp_path / "out")
    with pytest.raises(DataError, match="2019-Oct.csv is not in it.*2019-Nov.csv"):
        prepare("rees46", tmp_path, tmp_path / "out")


def test_an_output_directory_that_cannot_be_written(tmp_path):
    lines = [f"{s},{iso(t)}Z,{i},0\n" for s, i, t in numbered(visits())]
    raw = tmp_path / "yoochoose-clicks.dat"
    raw.write_text("".join(lines))
    (tmp_path / "file").write_text("keep me")
    with pytest.raises(DataError, match="file.*cannot be written"):
        prepare("rsc15", raw, tmp_path / "file", progress=False)
    assert (tmp_path / "file").read_text() == "keep me"


def test_files_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    lines = [f"{s},{iso(t)}Z,{i},0\n" for s, i, t in numbered(visits())]
    raw = tmp_path / "yoochoose-clicks.dat"
    raw.write_text("".join(lines))
    write = Sessions.write

    def full_disk(self, path):
        write(self, path)
        if path.name == "train_valid.tsv":
            raise DataError(f"{path}: cannot be written: No space left on device")

    monkeypatch.setattr(Sessions, "write", full_disk)
    with pytest.raises(DataError, match="No space left"):
        prepare("rsc15", raw, tmp_path / "out", progress=False)
    assert list((tmp_path / "out").iterdir()) == []


def test_every_dataset_names_its_files():
    for recipe in DATASETS.values():
        assert recipe.files and recipe.clock in datasets.TIMES
        assert recipe.test_days >= 1

"""Whatever bytes a file holds, reading it gives valid sessions or our own error.

Valid files are damaged in the ways in which files get damaged: bytes changed, cut out
or put in, pieces repeated or swapped, compressed files cut off.
"""

import gzip
import random
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_sessions import check_invariants

from gru4rec_lite.errors import GRU4RecError
from gru4rec_lite.sessions import Sessions

VALID = [
    b"SessionId\tItemId\tTime\n1\t10\t0.5\n1\t11\t1.25\n2\t10\t2.0\n",
    b"SessionId,ItemId,Time\r\na,x,2014-04-07T10:51:09Z\r\nb,y,2014-04-08\r\n",
    b'k;SessionId;ItemId;Time\n"q;1";1;NA;5\n"q""2";2;"a\nb";6\n;3;x;7\n',
    "\ufeffItemId|Time|SessionId\nü|1396860669|1\nñ|1396860670|1\n".encode(),
]
# what means something to a parser is put in more often than chance would
PIECES = st.one_of(
    st.binary(max_size=4),
    st.sampled_from(
        [b"\t", b",", b";", b"\n", b"\r", b"\r\n", b'"', b'""', b"\0", b"\xff", b"'"]
        + [b"nan", b"inf", b"1e999", b"-", b".", b" ", b"NA", b"True", b"now", b"\\"]
        + [b"9" * 25, b"9" * 400, b"0x1", b"1_0", b"1j", b"\x1a", b"\xed\xa0\x80"]
        + [b"9999-99-99", b"99999-01-01", b"0000-00-00", b"2014-04-07T25:00", b"NaT"]
        + [b"\xe2\x80\xa8", b"\x1f\x8b", b"SessionId", b"\tTime", b"\n\n", b"#"]
    ),
)
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["put", "over", "cut", "repeat", "end"]),
        st.floats(0, 1, exclude_max=True),
        PIECES,
        st.integers(1, 30),
    ),
    min_size=1,
    max_size=4,
)


def damage(data: bytes, edits) -> bytes:
    for kind, place, piece, n in edits:
        at = int(place * (len(data) + 1))
        if kind == "put":
            data = data[:at] + piece + data[at:]
        elif kind == "over":
            data = data[:at] + piece + data[at + len(piece) :]
        elif kind == "cut":
            data = data[:at] + data[at + n :]
        elif kind == "repeat":
            data = data[: at + n] + data[at:]
        else:
            data = data[:at]
    return data


def read(path, data: bytes) -> str:
    path.write_bytes(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of pandas or numpy: a surprise as well
            warnings.filterwarnings("ignore", "(?s).*look like milliseconds")
            sessions = Sessions.read(path)
    except GRU4RecError as error:
        message = str(error)
        assert str(path) in message and len(message) < 1000, message
        assert message.isprintable(), repr(message)  # so it is one line, too
        return "refused"
    check_invariants(sessions)
    repr(sessions), sessions.describe()
    return "read"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz") / "clicks.tsv"


fuzz = settings(suppress_health_check=list(HealthCheck), database=None, deadline=None)


@given(st.sampled_from(VALID), EDITS)
@settings(fuzz, max_examples=1200)
def test_damaged_text(path, valid, edits):
    read(path, damage(valid, edits))


@given(st.sampled_from(VALID), EDITS)
@settings(fuzz, max_examples=300)
def test_damaged_gzip(path, valid, edits):
    read(path, damage(gzip.compress(valid, mtime=0), edits))


@given(st.binary(max_size=300), st.booleans())
@settings(fuzz, max_examples=300)
def test_any_bytes(path, data, headed):
    read(path, VALID[0][:23] + data if headed else data)


@given(
    st.lists(
        st.lists(st.text(max_size=6), min_size=2, max_size=4).map("\t".join),
        max_size=5,
    )
)
@settings(fuzz, max_examples=200)
def test_any_fields(path, lines):
    read(path, (VALID[0][:23].decode() + "\n".join(lines)).encode())


def test_the_fuzzer_reaches_both_ends(path):
    # a fuzzer whose files are all refused at the first check would prove little
    rng = random.Random(0)
    pieces = [b"\t", b"\n", b'"', b"x", b"7", b"\0"]
    counts = {"read": 0, "refused": 0}
    for _ in range(200):
        edit = (rng.choice(["put", "over", "cut"]), rng.random(), rng.choice(pieces), 1)
        counts[read(path, damage(rng.choice(VALID), [edit]))] += 1
    assert min(counts.values()) >= 40

"""Long measurements: kept row by row, gone on with after an interruption."""

import pandas as pd
import pytest

from gru4rec_lite import DataError
from gru4rec_lite.course import measured


@pytest.fixture(autouse=True)
def docs(tmp_path, monkeypatch):
    monkeypatch.setattr(measured, "DOCS", tmp_path)
    return tmp_path


def test_rows_are_kept_when_interrupted_and_measured_once(docs):
    rows, asked = {"b": {"x": 2}, "a": {"x": 1}, "c": {"x": 3}}, []

    def measure(x, stop):
        if x == stop:
            raise KeyboardInterrupt
        asked.append(x)
        return {"double": 2 * x}

    with pytest.raises(KeyboardInterrupt):
        measured.extend("t", rows, lambda x: measure(x, stop=3))
    assert list(measured.read("t")["double"]) == [4, 2]
    table = measured.extend("t", rows, lambda x: measure(x, stop=None))
    assert asked == [2, 1, 3]
    assert list(table["label"]) == ["b", "a", "c"]  # in the order of the rows
    assert list(table["double"]) == [4, 2, 6]
    pd.testing.assert_frame_equal(measured.read("t"), table)
    assert {"machine", "date"} <= set(table)
    assert [path.name for path in docs.iterdir()] == ["t.csv"]


def test_rows_that_are_not_asked_for_stay(docs):
    def measure(x):
        return {"result": x}

    measured.extend("t", {"a": {"x": 1}, "b": {"x": 2}}, measure)
    table = measured.extend(
        "t", {"c": {"x": 3}, "a": {"x": 1}}, lambda x: {"result": x}
    )
    assert list(table["label"]) == ["c", "a", "b"]
    assert list(table["result"]) == [3, 1, 2]


def test_absent_table_is_named_with_what_to_do():
    with pytest.raises(DataError, match=r"nothing\.csv.*make results"):
        measured.read("nothing")

"""Every check accepts right answers of several styles, and names what is wrong."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from gru4rec_lite.course import checks, progress, record
from gru4rec_lite.course.checks import CheckFailed
from tools.exercises import headings

ROOT = Path(__file__).resolve().parents[2]
SOLUTIONS = sorted((ROOT / "solutions").glob("*.ipynb"))
CASES = [
    importlib.import_module(f".{path.stem}", __package__)
    for path in sorted(Path(__file__).parent.glob("cases_*.py"))
]
CHECKS = checks.all_checks()
BY_NAME = {check.__name__: check for check in CHECKS.values()}
RIGHT = {name: right for case in CASES for name, right in case.RIGHT.items()}
WRONG = {name: wrong for case in CASES for name, wrong in case.WRONG.items()}


def each(table):
    return [
        pytest.param(name, one, id=f"{name}-{i}")
        for name, some in table.items()
        for i, one in enumerate(some)
    ]


def test_every_check_has_right_and_wrong_answers():
    assert len(BY_NAME) == len(CHECKS), "two checks of one name"
    assert set(RIGHT) == set(WRONG) == set(BY_NAME)
    for name in BY_NAME:
        assert len(RIGHT[name]) >= 2, name
        assert len(WRONG[name]) >= 3, name


@pytest.mark.parametrize("name, answer", each(RIGHT))
def test_right_answer_is_accepted(name, answer, count, capsys):
    BY_NAME[name](answer)
    assert f"{name}: right" in capsys.readouterr().out
    assert BY_NAME[name].number in record.passed()
    count(accepted=1)


@pytest.mark.parametrize("name, case", each(WRONG))
def test_wrong_answer_is_rejected(name, case, count, capsys):
    answer, message = case
    with pytest.raises(CheckFailed, match=f"(?s){message}") as error:
        BY_NAME[name](answer)
    assert_readable(str(error.value), name)
    assert capsys.readouterr().out.count("right") == 0
    assert BY_NAME[name].number not in record.passed()
    count(rejected=1)


def first_argument(*arguments):
    return arguments[0] if arguments else None


def fails(*arguments):
    raise RuntimeError("no idea")


def ends(*arguments):
    raise SystemExit


CONSTANTS = [None, 0, 1, 0.5, True, "a", [], (), {}]


@pytest.mark.parametrize("name", BY_NAME)
def test_no_constant_no_input_and_no_error_passes(name):
    answers = [first_argument, fails, ends]
    answers += [lambda *a, constant=constant: constant for constant in CONSTANTS]
    if BY_NAME[name].prediction:  # there, some constant is right
        answers = [answers[i] for i in (1, 2, 3, 4)]
    for answer in answers:
        with pytest.raises(CheckFailed):
            BY_NAME[name](answer)


@pytest.mark.parametrize("name", BY_NAME)
def test_blank_is_told_what_to_do(name):
    def blank(*arguments):
        raise NotImplementedError

    with pytest.raises(CheckFailed, match="`blank` is not written yet"):
        BY_NAME[name](blank)
    with pytest.raises(CheckFailed, match="the function itself"):
        BY_NAME[name](3)


def assert_readable(message, name):
    assert max(map(len, message.split("\n"))) < 500, message
    for line in solution_lines().get(name, ()):
        assert line not in message, "the message holds the solution"


def solution_lines():
    """Check name to the solution's lines that say enough to give it away."""
    found = {}
    for path in SOLUTIONS:
        for cell in nbformat.read(path, as_version=4).cells:
            inside = re.search(r"(?s)### BEGIN SOLUTION\n(.*)### END", cell.source)
            name = re.search(r"^(?:def|class) (\w+)", cell.source, re.M)
            if inside and name:
                lines = map(str.strip, inside[1].split("\n"))
                found[name[1]] = [line for line in lines if len(line) > 25]
    return found


def test_notebooks_and_checks_agree():
    """Each exercise has its heading, its blank, its check; in order; and 32 in all."""
    numbers = []
    for path in SOLUTIONS:
        lesson, found = int(path.name[:2]), [h["exercise"] for h in headings(path)]
        assert all(int(number.split(".")[0]) == lesson for number in found)
        assert found == [f"{lesson}.{i + 1}" for i in range(len(found))], path.name
        assert len(found) >= 3, path.name
        source = [cell.source for cell in nbformat.read(path, as_version=4).cells]
        at = [
            next(i for i, text in enumerate(source) if f"## Exercise {number} " in text)
            for number in found
        ]
        for number, start, end in zip(found, at, [*at[1:], len(source)], strict=True):
            name = CHECKS[number].__name__
            part = source[start:end]
            assert f"check.{name}({name})" in part, number
            assert any("### BEGIN SOLUTION" in text for text in part), number
            assert "\n".join(part).count("<details>") == 3, number
        numbers += found
    assert numbers == list(CHECKS)
    assert len(numbers) >= 32


PASS_MANY = """
import sys
from pathlib import Path
from gru4rec_lite.course import record

record.FILE = Path(sys.argv[1])
for n in range(200):
    record.keep(f"{sys.argv[2]}.{n}")
"""


def test_notebooks_that_run_side_by_side_lose_nothing(tmp_path):
    command = [sys.executable, "-c", PASS_MANY, str(record.FILE)]
    both = [subprocess.Popen([*command, lesson]) for lesson in ("4", "5")]
    assert [process.wait() for process in both] == [0, 0]
    assert record.passed() == {f"{x}.{n}" for x in (4, 5) for n in range(200)}


def test_progress_lists_what_is_passed(tmp_path, capsys):
    number, name = next((c.number, n) for n, c in BY_NAME.items())
    lesson = number.split(".")[0]
    assert set(progress(lesson)["passed"]) == {"not yet"}
    BY_NAME[name](RIGHT[name][0])
    table = progress()
    assert table.loc[number, "passed"] == "yes"
    assert (table["passed"] == "yes").sum() == 1
    assert len(table) == len(CHECKS)
    (tmp_path / ".progress.txt").write_text("{damaged")
    assert (progress()["passed"] == "not yet").all()


def test_where_nothing_can_be_written_the_check_still_answers(monkeypatch, capsys):
    monkeypatch.setattr(record, "FILE", Path("/nowhere/at/all/.progress.txt"))
    name = next(iter(RIGHT))
    BY_NAME[name](RIGHT[name][0])
    assert "right" in capsys.readouterr().out

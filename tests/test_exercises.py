"""exercises/ is made from solutions/; its blanks fail and say so; nbgrader grades."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbgrader.api import Gradebook

from tools.exercises import headings, readme, without_solutions
from tools.render import KERNEL_ENVIRONMENT

ROOT = Path(__file__).resolve().parents[1]
SOLUTIONS = sorted((ROOT / "solutions").glob("*.ipynb"))
EXERCISES = sorted((ROOT / "exercises").glob("*.ipynb"))


def cells(path):
    return nbformat.read(path, as_version=4).cells


def is_check(cell):
    grading = cell.metadata.get("nbgrader", {})
    return grading.get("locked") and grading.get("grade")


# ---- generated -------------------------------------------------------------------


def test_exercises_are_generated_from_solutions():
    assert [p.name for p in EXERCISES] == [p.name for p in SOLUTIONS] != []
    for path in SOLUTIONS:
        kept = (ROOT / "exercises" / path.name).read_text(encoding="utf-8")
        assert without_solutions(path) == kept, f"{path.name}: run `make exercises`"
    kept = (ROOT / "exercises/README.md").read_text(encoding="utf-8")
    assert readme(SOLUTIONS) == kept, "run `make exercises`"


def test_drift_is_noticed(tmp_path):
    for folder in ("tools", "solutions", "exercises"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    command = [sys.executable, "tools/exercises.py", "--check"]
    subprocess.run(command, cwd=tmp_path, check=True)
    path = tmp_path / "exercises" / "00_made_by_hand.ipynb"
    path.write_text("{}")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and "make exercises" in done.stderr
    assert path.name in done.stderr


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.name)
def test_solutions_keep_to_the_form(path):
    lesson = ROOT / "notebooks" / path.name
    assert lesson.is_file(), "an exercise notebook has its lesson's name"
    found = headings(path)
    blanks = [c for c in cells(path) if "### BEGIN SOLUTION" in c.source]
    assert len(blanks) == len(found)
    for cell in blanks:
        assert re.match(r"(?s)(def|class) .*### BEGIN SOLUTION.*### END", cell.source)
        assert cell.metadata["jupyter"]["source_hidden"]
    checks = [c for c in cells(path) if is_check(c)]
    points = [c.metadata["nbgrader"]["points"] for c in checks]
    assert points == [int(one["difficulty"]) for one in found]
    for cell in cells(path):
        lines = cell.source.split("\n")
        assert max(map(len, lines)) <= 88, cell.source
        assert cell.cell_type == "markdown" or len(lines) <= 30, cell.source


@pytest.mark.parametrize("path", EXERCISES, ids=lambda path: path.name)
def test_exercises_hold_no_solution(path):
    for cell in cells(path):
        assert "SOLUTION" not in cell.source
        assert not cell.get("outputs"), "outputs would give it away"
        assert "jupyter" not in cell.metadata, "a blank must not be folded"


# ---- run -------------------------------------------------------------------------


def run(path, folder):
    """Run a notebook, also past errors. Returns its cells."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=120,  # s, for one cell
        kernel_name="python3",
        allow_errors=True,
        resources={"metadata": {"path": str(folder)}},
    )
    return client.execute(env=KERNEL_ENVIRONMENT).cells


@pytest.mark.slow
@pytest.mark.parametrize("path", EXERCISES, ids=lambda path: path.name)
def test_exactly_the_blanks_fail_and_say_what_to_do(path, tmp_path):
    for cell in run(path, tmp_path):
        errors = [o for o in cell.get("outputs", []) if o.output_type == "error"]
        if not is_check(cell):
            assert errors == [], cell.source
            continue
        (error,) = errors
        name = re.search(r"check\.(\w+)", cell.source)[1]
        assert error.ename == "CheckFailed", cell.source
        assert f"`{name}` is not written yet" in error.evalue
        assert "In the cell above, put your code" in error.evalue
        assert len(error.traceback) == 1, "no more than the message"
    assert not (tmp_path / ".progress.txt").exists()


# ---- graded ----------------------------------------------------------------------


def nbgrader(course, *command):
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", *command],
        cwd=course,
        env={**KERNEL_ENVIRONMENT, "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_nbgrader_grades_a_class(tmp_path, monkeypatch):
    """Full marks for the solutions, none for the blanks, a mixture's for a mixture."""
    # nbgrader calls alembic, which stands beside this Python.
    beside = os.path.dirname(sys.executable)
    monkeypatch.setenv("PATH", beside + os.pathsep + os.environ["PATH"])
    source = SOLUTIONS[0]
    notebook = source.name
    config = (ROOT / "tools/nbgrader_config.py").read_text()
    config += f"\nc.CourseDirectory.root = {str(tmp_path)!r}\n"
    (tmp_path / "nbgrader_config.py").write_text(config)

    def place(*folders):
        path = tmp_path.joinpath(*folders, "lesson", notebook)
        path.parent.mkdir(parents=True)
        return path

    shutil.copy(source, place("source"))
    nbgrader(tmp_path, "generate_assignment", "lesson")
    released = tmp_path / "release" / "lesson" / notebook
    shutil.copy(released, place("submitted", "untouched"))
    solved, mixed = cells(source), nbformat.read(released, as_version=4)
    points, mixture = 0, 0
    filled = nbformat.read(released, as_version=4)
    for i, cell in enumerate(solved):
        grading = cell.metadata.get("nbgrader", {})
        filled.cells[i].source = cell.source
        points += grading.get("points", 0)
    blanks = [i for i, c in enumerate(solved) if "### BEGIN SOLUTION" in c.source]
    for i in blanks[::2]:  # every other exercise
        mixed.cells[i].source = solved[i].source
        mixture += next(
            c.metadata["nbgrader"]["points"] for c in solved[i:] if is_check(c)
        )
    nbformat.write(filled, place("submitted", "solved"))
    nbformat.write(mixed, place("submitted", "mixed"))

    nbgrader(tmp_path, "autograde", "lesson")
    with Gradebook(f"sqlite:///{tmp_path}/gradebook.db") as gradebook:
        score = {
            student: gradebook.find_submission("lesson", student).score
            for student in ("solved", "untouched", "mixed")
        }
    assert 0 < mixture < points
    assert score == {"solved": points, "untouched": 0, "mixed": mixture}

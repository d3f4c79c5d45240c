"""Generates exercises/ from solutions/: python tools/exercises.py [--check]

nbgrader's own preprocessors take the solutions out, lock the checks and clear the
outputs, as `nbgrader generate_assignment` does. exercises/README.md lists what there
is. With --check nothing is written: it ends with 1 if anything would change.
"""

import argparse
import re
import sys
from pathlib import Path

import nbformat
from nbconvert.exporters import NotebookExporter
from nbgrader.preprocessors import (
    CheckCellMetadata,
    ClearHiddenTests,
    ClearOutput,
    ClearSolutions,
    ComputeChecksums,
    LockCells,
)
from traitlets.config import PyFileConfigLoader

ROOT = Path(__file__).resolve().parents[1]
STEPS = [
    LockCells, ClearSolutions, ClearOutput, CheckCellMetadata, ClearHiddenTests,
    ComputeChecksums, CheckCellMetadata,
]  # fmt: skip
HEADING = re.compile(
    r"^## Exercise (?P<exercise>\d+\.\d+) · (?P<title>.+)\n\n"
    r"\*difficulty (?P<difficulty>[1-5]) of 5 · "
    r"importance (?P<importance>[1-5]) of 5 · (?P<minutes>\d+) minutes\*$",
    re.M,
)


def without_solutions(path: Path) -> str:
    """The learner's copy of a notebook of solutions/."""
    config = PyFileConfigLoader("nbgrader_config.py", str(ROOT / "tools")).load_config()
    exporter = NotebookExporter(config=config)
    for step in STEPS:
        exporter.register_preprocessor(step(parent=exporter), enabled=True)
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.metadata.pop("jupyter", None)  # solutions are folded, blanks are not
    notebook.metadata.pop("widgets", None)
    text, _ = exporter.from_notebook_node(notebook)
    return text.rstrip("\n") + "\n"


def headings(path: Path) -> list[dict]:
    """What stands under each exercise's heading: number, title, difficulty, ..."""
    cells = nbformat.read(path, as_version=4).cells
    text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return [match.groupdict() for match in HEADING.finditer(text)]


def readme(paths: list[Path]) -> str:
    lines, total, minutes = [], 0, 0
    for path in paths:
        found = headings(path)
        total += len(found)
        minutes += sum(int(one["minutes"]) for one in found)
        title = nbformat.read(path, as_version=4).cells[0].source.split("\n")[0]
        title = title.lstrip("# ").split(" · ")[0]
        lines += [f"\n## [{title}]({path.name})\n", TABLE]
        lines += ["| " + " | ".join(one.values()) + " |" for one in found]
    top = README.format(total=total, hours=round(minutes / 60))
    return top + "\n".join(lines) + "\n"


TABLE = """\
| exercise | what you do | difficulty | importance | minutes |
| --- | --- | --- | --- | --- |"""
README = """\
# Exercises

{total} exercises, some {hours} hours in all. Open a notebook in JupyterLab
(`make lab`), write your code where it says so, and run the check below it: it tells you
that you are right, or what is wrong. Two hints are folded under every exercise, and the
solutions are in [solutions/](../solutions). Difficulty and importance go from 1 to 5.

What you have passed so far is kept in `.progress.txt` beside the notebooks; to see it,
run `from gru4rec_lite import course; course.progress()`, and delete the file to begin
anew.

The notebooks are made from `solutions/` by `make exercises`: change those, never these.
Teachers: they carry nbgrader's metadata, one point for each step of difficulty.
[CONTRIBUTING.md](../CONTRIBUTING.md#teach-with-it) tells how to grade with it.
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    args = parser.parse_args()
    paths = sorted((ROOT / "solutions").glob("[0-9][0-9]_*.ipynb"))
    wanted = {path.name: without_solutions(path) for path in paths}
    wanted["README.md"] = readme(paths)
    folder = ROOT / "exercises"
    there = {p.name for p in folder.glob("*.ipynb")} if folder.is_dir() else set()
    changed = [name for name in sorted(there - wanted.keys())]
    for name, text in wanted.items():
        path = folder / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            changed.append(name)
    if args.check:
        if changed:
            sys.exit(
                f"exercises/ differs from solutions/: {', '.join(changed)}. "
                "Run `make exercises`."
            )
        return
    folder.mkdir(exist_ok=True)
    for name in changed:
        if name in wanted:
            (folder / name).write_text(wanted[name], encoding="utf-8")
        else:
            (folder / name).unlink()
    print(f"{len(paths)} notebooks, {len(changed)} files written.")


if __name__ == "__main__":
    main()

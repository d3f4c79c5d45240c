"""Rendering and comparing notebooks: stable for what is stable, strict for the rest."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tools.render import normalise, render

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.slow

CELLS = [
    """\
import ipywidgets as widgets
import matplotlib.pyplot as plt
from tqdm.auto import tqdm
""",
    """\
for _ in tqdm(range(3), desc="epoch"):
    pass
print("trained")
""",
    """\
def draw(n=3):
    plt.plot(range(n))
    plt.show()
    print("drawn", n)


widgets.interact(draw, n=(1, 9));
""",
    """\
output = widgets.Output()
with output:
    print("inside")
widgets.VBox([widgets.Button(description="Press"), output])
""",
    "plt.plot([1, 2, 3]);",
    "object()",
]


def write(path, sources):
    cells = [new_code_cell(source, id=f"cell-{i}") for i, source in enumerate(sources)]
    nbformat.write(new_notebook(cells=cells), path)
    return path


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("notebooks")


@pytest.fixture(scope="module")
def rendered(directory):
    """A notebook with everything that is hard to compare, rendered."""
    path = write(directory / "lesson.ipynb", CELLS)
    render(path)
    return path


@pytest.fixture(scope="module")
def compared(rendered, directory):
    """What nbval says of three notebooks: a good, a changed and a broken one."""
    changed = write(directory / "changed.ipynb", ["print(1)", "print(2)", "print(3)"])
    render(changed)
    notebook = nbformat.read(changed, as_version=4)
    notebook.cells[1].outputs[0].text = "20\n"
    nbformat.write(notebook, changed)

    inside = "import ipywidgets\n\nwith ipywidgets.Output():\n    1 / 0"
    render(write(directory / "broken.ipynb", [inside]))

    # As for the lessons, with the settings of pyproject.toml and conftest.py.
    command = [sys.executable, "-m", "pytest", "--nbval", "-v", "--color=no"]
    settings = ["-c", ROOT / "pyproject.toml", "--rootdir", ROOT, "-p", "conftest"]
    return subprocess.run(
        [*command, *settings, "-p", "no:cacheprovider", directory],
        cwd=ROOT,
        capture_output=True,
        text=True,
    ).stdout


def test_rendering_again_changes_nothing(rendered, tmp_path):
    again = tmp_path / "again.ipynb"
    shutil.copy(rendered, again)
    render(again)
    address = re.compile(r"object at 0x[0-9a-f]+")  # the one thing that may differ
    assert address.sub("", again.read_text()) == address.sub("", rendered.read_text())


def test_widgets_are_kept_and_progress_bars_are_not(rendered):
    text = rendered.read_text()
    assert "drawn 3" in text and "inside" in text and "IntSliderModel" in text
    assert "FloatProgressModel" not in text
    notebook = nbformat.read(rendered, as_version=4)
    (output,) = notebook.cells[1].outputs
    assert output.text == "trained\n"
    assert "version" not in notebook.metadata.language_info
    assert normalise(nbformat.read(rendered, as_version=4)) == notebook


def test_a_rendered_notebook_passes_comparison(compared):
    assert compared.count("lesson.ipynb::Cell") == len(CELLS)
    assert compared.count("PASSED") == len(CELLS) + 2


def test_a_changed_output_fails_comparison(compared):
    assert re.search(r"changed.ipynb::Cell 1 FAILED", compared), compared
    assert "Cell outputs differ" in compared


def test_an_error_inside_a_widget_fails_comparison(compared):
    assert re.search(r"broken.ipynb::Cell 0 FAILED", compared), compared
    assert "ZeroDivisionError" in compared


def test_a_notebook_that_fails_is_left_as_it_was(tmp_path):
    path = write(tmp_path / "fails.ipynb", ["print(1)", "raise ValueError('too bad')"])
    before = path.read_bytes()
    result = subprocess.run(
        [sys.executable, ROOT / "tools" / "render.py", path],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert "too bad" in result.stderr
    assert path.read_bytes() == before

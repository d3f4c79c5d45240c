"""Do the tests' own tools work: a button in a small notebook, clicked in JupyterLab."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

COUNTER = """\
import ipywidgets as widgets

presses = 0
button = widgets.Button(description="Press")
output = widgets.Output()


def press(_):
    global presses
    presses += 1
    output.clear_output(wait=True)
    with output:
        print(f"pressed {presses} times")


button.on_click(press)
widgets.VBox([button, output])
"""


def write(lab, name, *cells):
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    nbformat.write(new_notebook(cells=list(cells), metadata=kernel), lab.root / name)
    return name


def test_click_on_a_widget_changes_its_output(notebook, lab):
    name = write(
        lab,
        "counter.ipynb",
        new_markdown_cell("# A counter"),
        new_code_cell(COUNTER),
        new_code_cell("print('last cell')"),
    )
    notebook.open(name)
    notebook.run_all()
    assert notebook.errors() == []
    assert notebook.cells()[-1]["outputs"][0]["text"] == "last cell\n"

    output = notebook.output("widgets.Button")
    expect(output).not_to_contain_text("pressed")
    for times in (1, 2):
        output.get_by_role("button", name="Press").click()
        expect(output).to_contain_text(f"pressed {times} times")
    assert notebook.screenshot().stat().st_size > 10_000


def test_errors_are_seen(notebook, lab):
    name = write(
        lab,
        "broken.ipynb",
        new_code_cell(COUNTER.replace("presses += 1", "presses += None")),
        new_code_cell("1 / 0"),
        new_code_cell("print('never reached')"),
    )
    notebook.open(name)
    notebook.run_all()
    raised, unrun = notebook.errors()
    assert raised == "ZeroDivisionError: division by zero"
    assert unrun.startswith("not run") and "never reached" in unrun

    # In a callback, which JupyterLab itself would not show in the notebook.
    notebook.output("widgets.Button").get_by_role("button", name="Press").click()
    notebook.page.wait_for_function("kernelErrors.length === 2")
    assert "unsupported operand" in notebook.errors()[1]

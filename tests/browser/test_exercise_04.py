"""The exercises of lesson 04 in JupyterLab, as a learner does the first one."""

import re

import nbformat
import pytest
from playwright.sync_api import expect

from .conftest import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NAME = "04_session_parallel_mini_batches.ipynb"


def solution_of(function):
    """The solution's code of a blank, with its `def` line."""
    for cell in nbformat.read(ROOT / "solutions" / NAME, as_version=4).cells:
        if cell.source.startswith(f"def {function}(") and "BEGIN SOL" in cell.source:
            return re.sub(r" *### (BEGIN|END) SOLUTION\n?", "", cell.source)
    raise LookupError(function)


def run(notebook, part):
    """Runs the one cell whose source contains this text, and waits for its end."""
    notebook.cell(part).locator(".jp-InputPrompt").click()
    notebook.page.evaluate("window.jupyterapp.commands.execute('notebook:run-cell')")
    notebook.wait_idle()


def code_cells(notebook):
    return [cell for cell in notebook.cells() if cell["cell_type"] == "code"]


def test_first_blank_says_what_to_do_and_the_solution_passes(notebook):
    notebook.open(f"exercises/{NAME}")
    notebook.run_all()  # as far as the first check, which fails
    check = "check.reset_mask(reset_mask)"
    output = notebook.output(check)
    expect(output).to_contain_text("`reset_mask` is not written yet")
    expect(output).not_to_contain_text("Traceback")

    # What comes after it can be run all the same: every check says the same.
    for cell in code_cells(notebook):
        if cell["execution_count"] is None:
            run(notebook, "".join(cell["source"]))
    for cell in code_cells(notebook):
        source = "".join(cell["source"])
        failed = [out for out in cell["outputs"] if out["output_type"] == "error"]
        assert len(failed) == source.startswith("check."), source
        assert all("is not written yet" in out["evalue"] for out in failed)

    # The solution, pasted in place of the blank.
    blank = notebook.cell("def reset_mask(")
    blank.locator(".cm-content").click()
    notebook.page.keyboard.press("ControlOrMeta+a")
    notebook.page.keyboard.insert_text(solution_of("reset_mask"))
    run(notebook, "def reset_mask(")
    run(notebook, check)
    expect(notebook.output(check)).to_have_text("✓ Exercise 4.1, reset_mask: right.")
    run(notebook, "course.progress(4)")
    row = notebook.output("course.progress(4)").locator("tr", has_text="reset_mask")
    expect(row).to_contain_text("yes")
    assert notebook.page.broken == []

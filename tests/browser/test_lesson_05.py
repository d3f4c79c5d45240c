"""Lesson 05 in JupyterLab: the dials redraw their figures, formulas are set."""

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_dials_redraw_their_figures(notebook):
    notebook.open_and_run("notebooks/05_sampling_and_losses.ipynb")

    for part in ("interact(draw, alpha=dial)", "interact(draw, score=slider)"):
        output = notebook.output(part)
        slider = output.get_by_role("slider")
        notebook.redraws(output, lambda slider=slider: slider.press("ArrowRight"))

    formulas = notebook.page.locator("mjx-container")
    expect(formulas.first).to_be_visible()
    assert notebook.errors() == []

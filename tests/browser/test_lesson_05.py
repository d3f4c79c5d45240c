"""Lesson 05 in JupyterLab: the dials redraw their figures, formulas are set."""

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_dials_redraw_their_figures(notebook):
    notebook.open("notebooks/05_sampling_and_losses.ipynb")
    notebook.run_all()
    assert notebook.errors() == []

    for part in ("interact(draw, alpha=dial)", "interact(draw, score=slider)"):
        output = notebook.output(part)
        figure = output.locator("img")
        expect(figure).to_have_count(1)
        before = figure.get_attribute("src")
        output.get_by_role("slider").press("ArrowRight")
        expect(figure).not_to_have_attribute("src", before)
        notebook.wait_idle()

    formulas = notebook.page.locator("mjx-container")
    expect(formulas.first).to_be_visible()
    assert notebook.errors() == []

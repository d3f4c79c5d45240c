"""Lesson 09 in JupyterLab: the dials redraw their figures, formulas are set."""

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_dials_redraw_their_figures(notebook):
    notebook.open("notebooks/09_top_k_gains.ipynb")
    notebook.run_all()
    assert notebook.errors() == []

    for part in ("interact(where,", "interact(dials,"):
        output = notebook.output(part)
        figure = output.locator("img")
        expect(figure).to_have_count(1)
        before = figure.get_attribute("src")
        output.get_by_role("slider").first.press("ArrowRight")
        expect(figure).not_to_have_attribute("src", before)
        notebook.wait_idle()

    formulas = notebook.page.locator("mjx-container")
    expect(formulas.first).to_be_visible()
    assert notebook.errors() == []

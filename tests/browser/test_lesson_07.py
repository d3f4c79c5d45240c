"""Lesson 07 in JupyterLab: the two lists redraw the curves, formulas are set."""

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_lists_redraw_the_curves(notebook):
    notebook.open("notebooks/07_training_gru4rec.ipynb")
    notebook.run_all()
    assert notebook.errors() == []

    output = notebook.output("interact(draw_sweep, ")
    figure = output.locator("img")
    expect(figure).to_have_count(1)
    for number, choice in ((0, "TOP1"), (1, "batch_size")):
        before = figure.get_attribute("src")
        output.get_by_role("combobox").nth(number).select_option(choice)
        expect(figure).not_to_have_attribute("src", before)
        notebook.wait_idle()

    formulas = notebook.page.locator("mjx-container")
    expect(formulas.first).to_be_visible()
    assert notebook.errors() == []

"""Lesson 07 in JupyterLab: the two lists redraw the curves, formulas are set."""

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_lists_redraw_the_curves(notebook):
    notebook.open_and_run("notebooks/07_training_gru4rec.ipynb")

    output = notebook.output("interact(draw_sweep, ")
    for number, choice in ((0, "TOP1"), (1, "batch_size")):
        menu = output.get_by_role("combobox").nth(number)
        notebook.redraws(output, lambda menu=menu, to=choice: menu.select_option(to))

    formulas = notebook.page.locator("mjx-container")
    expect(formulas.first).to_be_visible()
    assert notebook.errors() == []

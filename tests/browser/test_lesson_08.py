"""Lesson 08 in JupyterLab: the dropdown redraws the curves and tells the symptom."""

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_curves_follow_the_chosen_mistake(notebook):
    notebook.open_and_run("notebooks/08_getting_it_wrong.ipynb")

    output = notebook.output("lesson_08.Chooser(curves)")
    expect(output).to_contain_text("softmax twice")
    menu = output.locator("select")
    notebook.redraws(
        output, lambda: menu.select_option(label="no logq (cross-entropy)")
    )
    expect(output).to_contain_text("rare items")
    assert notebook.errors() == []

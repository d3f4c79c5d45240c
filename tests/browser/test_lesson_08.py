"""Lesson 08 in JupyterLab: the dropdown redraws the curves and tells the symptom."""

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_curves_follow_the_chosen_mistake(notebook):
    notebook.open("notebooks/08_getting_it_wrong.ipynb")
    notebook.run_all()
    assert notebook.errors() == []

    output = notebook.output("lesson_08.Chooser(curves)")
    figure = output.locator("img")
    expect(figure).to_have_count(1)
    expect(output).to_contain_text("softmax twice")
    before = figure.get_attribute("src")
    output.locator("select").select_option(label="no logq (cross-entropy)")
    expect(output).to_contain_text("rare items")
    expect(figure).not_to_have_attribute("src", before)
    notebook.wait_idle()
    assert notebook.errors() == []

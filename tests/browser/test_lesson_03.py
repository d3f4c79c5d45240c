"""Lesson 03 in JupyterLab: its diagram and its map are drawn anew."""

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


def test_network_is_redrawn_when_controls_change(notebook):
    notebook.open("notebooks/03_the_network.ipynb")
    notebook.run_all()
    assert notebook.errors() == []

    # The diagram: another input, then one more GRU layer (after the slider for H).
    output = notebook.output("interact(draw, **controls)")
    figure = output.locator("img")
    expect(figure).to_have_count(1)
    before = figure.get_attribute("src")
    output.get_by_role("combobox").select_option("one-hot")
    expect(figure).not_to_have_attribute("src", before)
    notebook.wait_idle()
    before = figure.get_attribute("src")
    output.get_by_role("slider").nth(1).press("ArrowRight")
    expect(figure).not_to_have_attribute("src", before)

    # The map of the items: another department.
    output = notebook.output("interact(draw, department=choice)")
    figure = output.locator("img")
    expect(figure).to_have_count(1)
    before = figure.get_attribute("src")
    output.get_by_role("combobox").select_option("travel")
    expect(figure).not_to_have_attribute("src", before)
    notebook.wait_idle()
    assert notebook.errors() == []

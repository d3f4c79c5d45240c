"""Lesson 02 in JupyterLab: both of its controls redraw their figure."""

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


def test_gru_gates_redraw_when_sliders_move(notebook):
    notebook.open("notebooks/02_gru_gates.ipynb")
    notebook.run_all()
    assert notebook.errors() == []

    # The strength of the plain RNN, then the reset gate and the update gate.
    for cell, n in (("draw, strength=", 0), ("draw, r=reset", 0), ("draw, r=reset", 1)):
        output = notebook.output(cell)
        figure = output.locator("img")
        expect(figure).to_have_count(1)
        before = figure.get_attribute("src")
        slider = output.get_by_role("slider").nth(n)
        value = slider.get_attribute("aria-valuetext")
        slider.press("ArrowLeft")
        expect(slider).not_to_have_attribute("aria-valuetext", value)
        expect(figure).not_to_have_attribute("src", before)
        notebook.wait_idle()
    assert notebook.errors() == []

"""Lesson 02 in JupyterLab: both of its controls redraw their figure."""

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


def test_gru_gates_redraw_when_sliders_move(notebook):
    notebook.open_and_run("notebooks/02_gru_gates.ipynb")

    # The strength of the plain RNN, then the reset gate and the update gate.
    for cell, n in (("draw, strength=", 0), ("draw, r=reset", 0), ("draw, r=reset", 1)):
        output = notebook.output(cell)
        slider = output.get_by_role("slider").nth(n)
        value = slider.get_attribute("aria-valuetext")
        notebook.redraws(output, lambda slider=slider: slider.press("ArrowLeft"))
        expect(slider).not_to_have_attribute("aria-valuetext", value)
    assert notebook.errors() == []

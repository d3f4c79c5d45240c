"""Lesson 06 in JupyterLab: cutoff, tie rule and sample size redraw their figures."""

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_controls_redraw_their_figures(notebook):
    notebook.open("notebooks/06_evaluation.ipynb")
    notebook.run_all()
    assert notebook.errors() == []

    def changes(output, move):
        figure = output.locator("img")
        expect(figure).to_have_count(1)
        before = figure.get_attribute("src")
        move()
        expect(figure).not_to_have_attribute("src", before)
        notebook.wait_idle()

    output = notebook.output("interact(draw, k=slider, ties=rules)")
    changes(output, lambda: output.get_by_role("slider").press("ArrowRight"))
    choice = output.get_by_role("combobox")
    changes(output, lambda: choice.select_option("conservative"))
    output = notebook.output("interact(draw, N=slider)")
    changes(output, lambda: output.get_by_role("slider").press("ArrowRight"))
    assert notebook.errors() == []

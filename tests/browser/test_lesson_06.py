"""Lesson 06 in JupyterLab: cutoff, tie rule and sample size redraw their figures."""

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_controls_redraw_their_figures(notebook):
    notebook.open_and_run("notebooks/06_evaluation.ipynb")

    output = notebook.output("interact(draw, k=slider, ties=rules)")
    notebook.redraws(output, lambda: output.get_by_role("slider").press("ArrowRight"))
    choice = output.get_by_role("combobox")
    notebook.redraws(output, lambda: choice.select_option("conservative"))
    output = notebook.output("interact(draw, N=slider)")
    notebook.redraws(output, lambda: output.get_by_role("slider").press("ArrowRight"))
    assert notebook.errors() == []

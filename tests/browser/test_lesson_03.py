"""Lesson 03 in JupyterLab: its diagram and its map are drawn anew."""

import pytest

pytestmark = pytest.mark.browser


def test_network_is_redrawn_when_controls_change(notebook):
    notebook.open_and_run("notebooks/03_the_network.ipynb")

    # The diagram: another input, then one more GRU layer (after the slider for H).
    output = notebook.output("interact(draw, **controls)")
    choice, layers = output.get_by_role("combobox"), output.get_by_role("slider").nth(1)
    notebook.redraws(output, lambda: choice.select_option("one-hot"))
    notebook.redraws(output, lambda: layers.press("ArrowRight"))

    # The map of the items: another department.
    output = notebook.output("interact(draw, department=choice)")
    department = output.get_by_role("combobox")
    notebook.redraws(output, lambda: department.select_option("travel"))
    assert notebook.errors() == []

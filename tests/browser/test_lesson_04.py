"""Lesson 04 in JupyterLab: the slider of the stepper moves the picture."""

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_schedule_is_redrawn_when_the_sliders_move(notebook):
    notebook.open_and_run("notebooks/04_session_parallel_mini_batches.ipynb")

    # The number of slots.
    output = notebook.output("interact(draw, B=slider)")
    figure = output.locator("img")
    expect(figure).to_have_count(1)
    before = figure.get_attribute("src")
    output.get_by_role("slider").press("ArrowRight")
    expect(figure).not_to_have_attribute("src", before)

    # The stepper: picture and table of the batch.
    output = notebook.output("lesson_04.Stepper(")
    figure, table = output.locator("img"), output.locator("table")
    expect(table).to_contain_text("running-shoes")
    before = figure.get_attribute("src")
    for _ in range(4):
        output.get_by_role("slider").press("ArrowRight")
    expect(table).to_contain_text("camera-bag")
    expect(figure).not_to_have_attribute("src", before)
    notebook.wait_idle()
    assert notebook.errors() == []

"""Lesson 04 in JupyterLab: the slider of the stepper moves the picture."""

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_stepper_goes_through_the_schedule(notebook):
    notebook.open("notebooks/04_session_parallel_mini_batches.ipynb")
    notebook.run_all()
    assert notebook.errors() == []

    output = notebook.output("lesson_04.Stepper(")
    expect(output.locator("table")).to_contain_text("running-shoes")
    before = output.locator("img").get_attribute("src")
    handle = output.get_by_role("slider").first
    handle.focus()
    for _ in range(4):
        handle.press("ArrowRight")
    expect(output.locator("table")).to_contain_text("camera-bag")
    expect(output.locator("img")).not_to_have_attribute("src", before)
    assert notebook.errors() == []

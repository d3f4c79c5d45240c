"""The lessons as a learner has them: in JupyterLab, run to the end, controls moved."""

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


def test_start_here_reranks_after_a_click(notebook):
    notebook.open_and_run("notebooks/00_start_here.ipynb")

    shop = notebook.output("ClickThrough(model")
    rows = shop.get_by_role("button").filter(has_not_text="Start again")
    before = rows.all_inner_texts()
    half = len(before) // 2  # the model's ranking stands first, then the oracle's
    assert half >= 5 and all(before)
    clicked = before[1]
    rows.nth(1).click()
    expect(shop).to_contain_text(f"→ {clicked} → ?")
    notebook.wait_idle()
    after = rows.all_inner_texts()
    assert after[:half] != before[:half]
    assert after[half:] != before[half:]

    shop.get_by_role("button", name="Start again").click()
    expect(shop).not_to_contain_text(f"→ {clicked} → ?")
    notebook.wait_idle()
    assert rows.all_inner_texts() != after
    assert notebook.errors() == []


def test_session_data_redraws_when_the_slider_moves(notebook):
    notebook.open_and_run("notebooks/01_session_data.ipynb")

    output = notebook.output("interact(draw")
    figure = output.locator("img")
    expect(figure).to_have_count(1)
    before = figure.get_attribute("src")
    slider = output.get_by_role("slider")
    support = float(slider.get_attribute("aria-valuenow"))
    slider.press("ArrowRight")
    expect(slider).not_to_have_attribute("aria-valuenow", str(support))
    expect(figure).not_to_have_attribute("src", before)
    assert notebook.errors() == []

"""The figures of lesson 03: the numbers they show are the network's."""

import numpy as np
import pandas as pd
import pytest
import torch
from ipywidgets import IntSlider, interactive
from matplotlib.patches import FancyBboxPatch

from gru4rec_lite.course import lesson_03
from gru4rec_lite.network import Network

MODES = {
    "one-hot": {},
    "separate": {"embedding": 5},
    "shared": {"shared": True},
}


def texts(figure):
    figure.canvas.draw()
    (axes,) = figure.axes
    return [text.get_text() for text in axes.texts]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
def test_n_parameters_counts_all_but_the_padding(mode, cell):
    network = Network(9, [7, 6], feedforward=[4], cell=cell, **MODES[mode])
    counted = lesson_03.n_parameters(network)
    state = network.state_dict()
    matrices = [state[name] for name in ("input", "output", "output_bias")
                if name in state]  # fmt: skip
    padding = sum(matrix[-1].numel() for matrix in matrices)
    assert sum(counted.values()) == sum(w.numel() for w in state.values()) - padding
    assert list(counted) == ["input", "GRU 1", "GRU 2", "feed-forward 1", "output"]
    assert (counted["input"] == 0) == (mode == "shared")


@pytest.mark.parametrize("mode", MODES)
def test_architecture_draws_every_block(mode):
    network = Network(1234, [7, 6], feedforward=[4], **MODES[mode])
    figure = lesson_03.architecture(network)
    drawn = texts(figure)
    blocks = ["item\nclicked", "GRU\nlayer 1", "GRU\nlayer 2", "scores of\nall items"]
    assert set(blocks) <= set(drawn)
    assert ("one shared matrix" in drawn) == (mode == "shared")
    assert ("one-hot:\nrow of W" in drawn) == (mode == "one-hot")
    assert "(B, 1,234)" in drawn
    total = sum(lesson_03.n_parameters(network).values())
    assert f"{total:,}" in figure.axes[0].get_title("left")
    boxes = [p for p in figure.axes[0].patches if isinstance(p, FancyBboxPatch)]
    assert len(boxes) == 6


def test_a_slider_redraws_the_architecture():
    def draw(layers):
        return lesson_03.architecture(Network(20, [4] * layers, shared=True))

    slider = IntSlider(1, 1, 3)
    control = interactive(draw, layers=slider)
    for layers in (1, 3):
        slider.value = layers
        control.update()
        assert sum("GRU" in text for text in texts(control.result)) == layers


def test_lookup_frames_the_row():
    matrix = torch.arange(12.0).reshape(4, 3)
    figure = lesson_03.lookup(torch.tensor([0.0, 0, 1, 0]), matrix)
    figure.canvas.draw()
    left, middle, right = figure.axes
    np.testing.assert_allclose(right.collections[0].get_array(), matrix[2:3])
    assert middle.patches[0].get_y() == 2
    assert left.get_xlabel() and middle.get_ylabel() and right.get_xlabel()


def test_top_lists_put_the_best_at_the_top():
    table = pd.DataFrame({"item": ["a", "b"], "score": [0.3, 0.1]})
    figure = lesson_03.top_lists({"before": table, "after": table}, n_items=50)
    figure.canvas.draw()
    for axes in figure.axes:
        assert axes.get_xlabel() and axes.yaxis_inverted()
        assert [bar.get_width() for bar in axes.patches] == [0.3, 0.1]
        assert set(axes.lines[0].get_xdata()) == {1 / 50}
        assert [text.get_text() for text in axes.texts] == ["30.00%", "10.00%"]


def test_parameter_bars_add_up():
    table = pd.DataFrame(
        {"table": [1e6, 0], "gru": [2e6, 3e6]}, index=["one-hot", "shared"]
    )
    figure = lesson_03.parameter_bars({"small": table, "large": 10 * table})
    figure.canvas.draw()
    for axes, factor in zip(figure.axes, (1, 10), strict=True):
        assert axes.get_xlabel() == "million weights"
        ends = [bar.get_x() + bar.get_width() for bar in axes.patches]
        assert ends == pytest.approx(np.array([1, 0, 3, 3]) * factor)


def test_item_map_colours_the_departments_asked_for():
    rng = np.random.default_rng(0)
    department = np.array(["photo", "water", "winter"]).repeat([3, 4, 5])
    points = rng.normal(size=(12, 2))
    figure = lesson_03.item_map({"map": points}, department, ["water", "photo"])
    figure.canvas.draw()
    (axes,) = figure.axes
    drawn = {c.get_label(): c.get_offsets() for c in axes.collections}
    assert {name: len(offsets) for name, offsets in drawn.items()} == {
        "others": 5,
        "water": 4,
        "photo": 3,
    }
    np.testing.assert_allclose(drawn["water"], points[3:7])
    assert axes.get_xlabel() and axes.get_ylabel()


def test_alike_and_layers_compared_show_the_table():
    table = pd.DataFrame({"before": [0.1, 0.0], "after": [0.9, 0.8]}, ["type", "brand"])
    (axes,) = lesson_03.alike(table).axes
    assert [bar.get_width() for bar in axes.patches] == [0.1, 0.0, 0.9, 0.8]
    assert axes.get_xlabel() and axes.get_ylabel()

    table = pd.DataFrame({"weights": [10, 20], "recall": [0.6, 0.5]}, ["one", "two"])
    (axes,) = lesson_03.layers_compared(table).axes
    assert axes.lines[0].get_xydata() == pytest.approx(table.to_numpy())
    assert [text.get_text() for text in axes.texts] == ["one\n0.600", "two\n0.500"]
    assert axes.get_xlabel() and axes.get_ylabel()

"""The figures of lesson 02: labelled, and showing what they are given."""

import numpy as np
import pandas as pd
import pytest
import torch
from ipywidgets import FloatSlider, interactive

from gru4rec_lite.course import lesson_02


def title(axes):
    return axes.get_title("left") or axes.get_title("center")


def labelled(figure):
    """The figure's axes, after a look at their labels and drawing it once."""
    figure.canvas.draw()
    for axes in figure.axes:
        at_edge = axes.get_subplotspec() is None or (
            axes.get_subplotspec().is_last_row()
        )
        assert axes.get_xlabel() or axes.get_ylabel() or not at_edge
    return figure.axes


def test_fading_shows_every_curve_on_a_logarithmic_axis():
    curves = {"slow": 0.9 ** np.arange(41), "fast": 0.1 ** np.arange(41)}
    figure = lesson_02.fading(curves, "Fading")
    (axes,) = labelled(figure)
    assert axes.get_xlabel() and axes.get_ylabel() and title(axes) == "Fading"
    assert axes.get_yscale() == "log"
    assert axes.get_ylim()[0] >= 1e-12  # the fast one leaves the figure at the bottom
    slow, fast = axes.lines[:2]
    assert slow.get_ydata() == pytest.approx(curves["slow"])
    assert (slow.get_linestyle(), slow.get_marker()) != (
        fast.get_linestyle(),
        fast.get_marker(),
    )
    assert [text.get_text() for text in figure.legends[0].texts] == list(curves)


@pytest.mark.parametrize("n", [1, 2, 4])
def test_one_unit_draws_a_panel_a_setting(n):
    inputs = torch.tensor([1.0, 0.0, -1.0])
    states = {f"setting {i}": inputs * i / 4 for i in range(n)}
    panels = labelled(lesson_02.one_unit(inputs, states))
    assert [title(axes) for axes in panels] == list(states)
    for axes, state in zip(panels, states.values(), strict=True):
        assert axes.lines[0].get_ydata() == pytest.approx(state.numpy())


def test_gate_maps_sort_units_by_the_first_gate():
    z = np.array([[0.1, 0.9, 0.5], [0.2, 0.8, 0.4]])  # (T, H)
    first, second, bar = labelled(lesson_02.gate_maps({"z": z, "r": 1 - z}, ["a", "b"]))
    order = [1, 2, 0]
    np.testing.assert_allclose(first.collections[0].get_array(), z.T[order])
    np.testing.assert_allclose(second.collections[0].get_array(), 1 - z.T[order])
    assert [label.get_text() for label in first.get_xticklabels()] == ["a", "b"]
    assert first.get_xlabel() and first.get_ylabel() and bar.get_ylabel()


def test_compared_shows_each_cell_below_the_ceiling():
    recall = pd.Series({"rnn": 0.60, "gru": 0.62})
    (axes,) = labelled(lesson_02.compared(recall, ceiling=0.68))
    assert axes.get_xlabel() and axes.get_ylabel()
    assert list(axes.lines[0].get_xdata()) == list(recall)
    assert set(axes.lines[1].get_xdata()) == {0.68}
    assert [text.get_text().strip() for text in axes.texts] == [
        "0.600",
        "0.620",
        "oracle 0.680",
    ]


def test_a_slider_redraws_the_unit():
    """As in the lesson: the state that is drawn follows the slider."""
    inputs = torch.tensor([1.0, 0.0])

    def draw(z):
        states = torch.stack([(1 - z) * inputs[0], (1 - z) * z * inputs[0]])
        return lesson_02.one_unit(inputs, {f"z = {z}": states})

    slider = FloatSlider(0.5, min=0, max=1)
    control = interactive(draw, z=slider)
    drawn = {}
    for z in (0.5, 0.25):
        slider.value = z
        control.update()
        (axes,) = control.result.axes
        assert title(axes) == f"z = {z}"
        drawn[z] = axes.lines[0].get_ydata()
    assert drawn[0.5] == pytest.approx([0.5, 0.25])
    assert drawn[0.25] == pytest.approx([0.75, 0.1875])

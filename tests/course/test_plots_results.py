"""Figures of results draw the numbers they are given, where they should be."""

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pytest
from matplotlib import pyplot as plt

from depthkit.course import plots
from depthkit.course.plots.results import _seen_from
from depthkit.scoring.errors import binned_errors


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def score(mean, low, high):
    return {"mean": mean, "low": low, "high": high}


def test_score_intervals_draw_means_bars_and_baseline():
    panels = {
        "AbsRel": {"constant": score(0.3, 0.2, 0.4), "model": score(0.1, 0.05, 0.2), "one image": 0.25},
        "δ1": {"model": score(0.9, 0.8, 0.95)},
    }
    fig = plots.score_intervals(panels, {"model": 1}, baseline="constant")
    left, right = fig.axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["constant", "model", "one image"]
    bars, dots, dashed = left.lines[0:5:2], left.lines[1:6:2], left.lines[6]
    assert [tuple(bar.get_xdata()) for bar in bars] == [(0.2, 0.4), (0.05, 0.2), (0.25, 0.25)]
    assert [float(dot.get_xdata()[0]) for dot in dots] == [0.3, 0.1, 0.25]
    assert list(dashed.get_xdata()) == [0.3, 0.3]
    assert dots[1].get_color() == plots.LINES[1]["color"]
    assert [text.get_text() for text in left.texts] == ["0.300", "0.100", "0.250"]
    assert left.get_ylim()[0] > left.get_ylim()[1]  # the first row on top
    assert len(right.lines) == 2 and float(right.lines[1].get_ydata()[0]) == 1  # the model keeps its row
    assert (left.get_xlabel(), right.get_xlabel()) == ("AbsRel", "δ1")


def test_scale_by_focal_has_the_line_of_apparent_size():
    fig = plots.scale_by_focal({"rooms": (np.array([1.2, 1.2]), np.array([0.9, 1.1])), "wide": ([0.7], [1.5])}, 1.2)
    ax = fig.axes[0]
    x, y = ax.lines[2].get_data()
    np.testing.assert_allclose(np.multiply(x, y), 1.2)
    assert list(ax.lines[0].get_ydata()) == [0.9, 1.1] and list(ax.lines[1].get_xdata()) == [0.7]
    assert ax.get_xscale() == ax.get_yscale() == "log"
    to_angle = ax.child_axes[0]._functions[0]
    assert to_angle(np.array([0.5 * 4 / 3])) == pytest.approx(90)  # f = half the width


def test_error_profiles_draw_the_bins():
    t = np.array([[1.0, 3.0, 20.0]])
    edges = [0, 2, 4, np.inf]
    errors = binned_errors([t], [t * (1.2, 0.9, 1.0)], [t], [t > 0], edges)
    ax = plots.error_profiles({"true depth (m)": (edges, errors)}).axes[0]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0 to 2", "2 to 4", "over 4"]
    np.testing.assert_allclose([bar.get_height() for bar in ax.patches], 1 / 3)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [0.2, 0.1, 0.0], atol=1e-12)
    np.testing.assert_allclose(ax.lines[1].get_ydata(), [0.2, -0.1, 0.0], atol=1e-12)
    assert ax.get_xlabel() == "true depth (m)"


def cloud(scale=1.0):
    """A grid of points 3 to 5 m ahead, and colours that tell left from right."""
    x, y, z = (axis.ravel() for axis in np.meshgrid(np.linspace(-1, 1, 9), [-1.0, 0.0, 1.0], [3.0, 4.0, 5.0]))
    colours = np.where(x[:, None] < 0, (255, 0, 0), (0, 0, 255)).astype(np.uint8)
    return np.column_stack([x, y, z]) * scale, colours


def test_point_clouds_share_limits_and_slice_the_marked_wall():
    clouds = {"truth": cloud(), "prediction": cloud(0.8)}
    marked = {name: points[:, 2] == points[:, 2].max() for name, (points, _) in clouds.items()}
    fig = plots.point_clouds(clouds, marked, slab=0.5)
    above = [ax for ax in fig.axes if "slice" in ax.get_title()]
    assert len(fig.axes) == 4 and len(above) == 2
    for top, bottom in (above, [ax for ax in fig.axes if "side" in ax.get_title()]):
        assert top.get_xlim() == bottom.get_xlim() and top.get_ylim() == bottom.get_ylim()
    for ax, wall in zip(above, (5.0, 4.0), strict=True):
        everything, orange = (collection.get_offsets() for collection in ax.collections)
        assert len(everything) == 27 and len(orange) == 9  # the slab has one of three heights
        np.testing.assert_allclose(orange[:, 1], wall)
        assert ax.get_ylim()[0] < 0  # the camera is in the picture


def test_turned_camera_keeps_the_pivot_in_the_middle():
    pivot = np.array([0.2, -0.1, 4.0])
    np.testing.assert_allclose(_seen_from(pivot[None], pivot, 30, 15), [[0, 0, 4.6]], atol=1e-12)
    straight = _seen_from(pivot + [[1.0, 0, 0], [0, 1.0, 0]], pivot, 0, 0)
    np.testing.assert_allclose(straight[:, :2], np.array([[1, 0], [0, 1]]) / 4.6, atol=1e-12)
    right, left = _seen_from(pivot + [[1.0, 0, 0], [-1.0, 0, 0]], pivot, 30, 0)[:, 2]
    assert left > right  # turned to the right-hand side: what lies right is nearer
    assert _seen_from(pivot + [[0, -1.0, 0]], pivot, 0, 20)[0, 2] < 4.6  # from above: what lies higher is nearer

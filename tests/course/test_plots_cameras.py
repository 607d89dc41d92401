import matplotlib

matplotlib.use("Agg")

import numpy as np
import pytest
from matplotlib import pyplot as plt

from depthkit.course import plots

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 255, (30, 40, 3), dtype=np.uint8)
DEPTH = np.linspace(1, 4, 30)[:, None] + np.zeros((30, 40))


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def bars(fig):
    """The labels of a figure's colour bars, which lie below or beside."""
    boxes = [ax for ax in fig.axes if ax.get_label() == "<colorbar>"]
    return {ax.get_xlabel() or ax.get_ylabel() for ax in boxes}


def test_overview_marks_the_column_and_draws_each_scene():
    scenes = {"true": RNG.random((5, 2)), "other": RNG.random((7, 2))}
    fig = plots.overview(PHOTO, DEPTH, 1 / DEPTH, 12, scenes)
    assert bars(fig) == {"m", "no unit"}
    marked = [ax for ax in fig.axes if any(list(line.get_xdata()) == [12, 12] for line in ax.lines)]
    assert len(marked) == 3
    side = next(ax for ax in fig.axes if ax.get_xlabel() == "distance (m)")
    assert [len(line.get_xdata()) for line in side.lines] == [5, 7, 1]  # the last is the camera
    assert side.get_aspect() == 1


def test_probes_name_the_pixel_and_its_metres_and_grey_the_holes():
    depth = DEPTH.copy()
    depth[3, 4] = 0
    fig = plots.probes(PHOTO, depth, {"cup": (20, 29)})
    assert [text.get_text() for ax in fig.axes for text in ax.texts] == ["cup", "4.00 m"]
    shown = fig.axes[1].images[0].get_array()
    assert shown.mask[3, 4] and shown.mask.sum() == 1


def test_probes_keep_the_limits_that_they_are_given():
    assert plots.probes(PHOTO, DEPTH, {}, limits=(2, 9)).axes[1].images[0].get_clim() == (2, 9)


def test_a_wall_is_flat_in_depth_and_bent_in_distance():
    fig = plots.planar_and_ray(np.linspace(-45, 45, 11), 2.0)
    planar, distance = (line.get_ydata() for line in fig.axes[1].lines[:2])
    assert np.allclose(planar, 2.0)
    assert distance[0] == pytest.approx(2 * np.sqrt(2)) and distance[5] == pytest.approx(2.0)


def test_twins_show_difference_and_ratio():
    fig = plots.twins(PHOTO, np.clip(PHOTO.astype(int) + 3, 0, 255).astype(np.uint8), DEPTH, DEPTH / 10)
    difference, ratio = (fig.axes[i].images[0].get_array() for i in (2, 5))
    assert difference.max() == 3 and np.allclose(ratio, 10)
    assert bars(fig) == {"m", "levels of 255", "ratio"}


def test_slices_keep_a_labels_colour_and_share_limits_on_request():
    small, large = np.array([[1.0, 0.0], [1.0, 0.5]]), np.array([[10.0, 0.0], [10.0, 5.0]])
    panels = {"both": {"large": large, "small": small}, "one": {"small": small}}
    fig = plots.slices(panels, rays=[[(10, 5)], []])
    first, second = fig.axes
    colours = [[line.get_color() for line in ax.lines if line.get_label() == "small"] for ax in (first, second)]
    assert colours[0] == colours[1] != [first.lines[1].get_color()]
    assert first.get_xlim() == second.get_xlim() and first.get_xlim()[1] > 10
    assert len(first.lines) == 4 and len(second.lines) == 2  # with ray and camera; with camera
    own = plots.slices(panels, shared=False).axes
    assert own[1].get_xlim()[1] < 2 < own[0].get_xlim()[1]


def test_stored_maps_are_bright_where_near_whatever_they_hold():
    fig = plots.stored([1000 * DEPTH, 1 / DEPTH], [DEPTH, DEPTH], ["depth", "disparity"], ["mm", "1/m"], ["a", "b"])
    colours = [ax.images[0].get_cmap().name for ax in fig.axes[:2]]
    assert colours == [plots.DEPTH_CMAP.name, plots.DISPARITY_CMAP.name]
    assert fig.axes[2].images[0].get_clim() == fig.axes[3].images[0].get_clim()
    assert [fig.axes[k].get_title() for k in (0, 1, 3)] == ["depth (mm)", "disparity (1/m)", "b"]


def test_labels_are_drawn_image_by_image():
    panels = {"scale": [(np.arange(3), np.arange(3))] * 4, "shift": [(np.arange(3), np.ones(3))]}
    fig = plots.labels_against_truth(panels, ["x", "y"], ["label", "other"])
    assert [len(ax.lines) for ax in fig.axes] == [4, 1]
    assert fig.axes[1].get_xlabel() == "y" and fig.axes[1].get_ylabel() == "other"


def test_timeline_reads_the_month_and_spreads_the_labels_of_a_lane():
    models = [
        ("first", "2312.02145", "a"),
        ("second", "2401.10891", "a"),
        ("third", "2402", "a"),
        ("other", "1406.2", "b"),
    ]
    ax = plots.timeline(models, ["a", "b"]).axes[0]
    points = [tuple(dots.get_offsets()[0]) for dots in ax.collections]  # in the order of their numbers
    assert points[0] == pytest.approx((2014 + 5.5 / 12, 1)) and points[1] == pytest.approx((2023 + 11.5 / 12, 0))
    heights = {text.get_text(): text.get_position()[1] for text in ax.texts}
    assert heights["first"] > 0 > heights["second"] and heights["third"] > heights["first"]
    assert heights["other"] > 1

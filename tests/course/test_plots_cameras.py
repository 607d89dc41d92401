import matplotlib

matplotlib.use("Agg")

import numpy as np
import pytest
from matplotlib import pyplot as plt

from depthkit.course import plots
from depthkit.course.plots import cameras

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


def test_a_wall_is_flat_in_depth_and_bent_in_distance():
    fig = plots.planar_and_ray(np.linspace(-45, 45, 11), 2.0)
    planar, distance = (line.get_ydata() for line in fig.axes[1].lines[:2])
    assert np.allclose(planar, 2.0)
    assert distance[0] == pytest.approx(2 * np.sqrt(2)) and distance[5] == pytest.approx(2.0)


def test_strip_shares_one_scale_and_outlines_what_it_is_told():
    fig = plots.strip([PHOTO, PHOTO], [DEPTH, 2 * DEPTH], ["a", "b"], [None, (1, 2, 10, 5)])
    left, right = (ax.images[0].get_clim() for ax in fig.axes[2:4])
    assert left == right and left[1] > DEPTH.max()
    assert [len(ax.patches) for ax in fig.axes[:4]] == [0, 1, 0, 1]
    assert bars(fig) == {"depth (m)"}


def test_twins_show_difference_and_ratio():
    fig = plots.twins(PHOTO, np.clip(PHOTO.astype(int) + 3, 0, 255).astype(np.uint8), DEPTH, DEPTH / 10)
    difference, ratio = (fig.axes[i].images[0].get_array() for i in (2, 5))
    assert difference.max() == 3 and np.allclose(ratio, 10)
    assert bars(fig) == {"m", "levels of 255", "ratio"}


def test_matching_draws_each_cost_and_the_truth():
    costs = {"wall": np.arange(6.0), "box": np.arange(6.0)[::-1]}
    fig = plots.matching({name: PHOTO[:9, :9] for name in costs}, costs, {"wall": 1.5, "box": 4.0})
    chart = next(ax for ax in fig.axes if ax.get_xlabel() == "disparity (pixels)")
    lines = [line.get_xdata() for line in chart.lines]
    assert [len(x) for x in lines] == [6, 2, 6, 2] and lines[1][0] == 1.5 and lines[3][0] == 4.0
    assert sum(len(ax.images) for ax in fig.axes) == 2


def test_error_is_relative_and_masked_where_either_is_missing():
    estimate = 1.05 * DEPTH
    estimate[:10] = 0
    truth = DEPTH.copy()
    truth[:, 30:] = 0
    fig = plots.against_truth(truth, estimate, "stereo")
    error = fig.axes[1].images[0].get_array()
    assert np.allclose(error.compressed(), 0.05) and error.mask[:5].all() and error.mask[:, 15:].all()
    assert "mean 0.050" in fig.axes[1].get_title()
    assert fig.axes[0].images[0].get_clim() == plots.depth_limits(truth)


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
    assert colours == [cameras.DEPTH_CMAP.name, cameras.DISPARITY_CMAP.name]
    assert fig.axes[2].images[0].get_clim() == fig.axes[3].images[0].get_clim()
    assert [fig.axes[k].get_title() for k in (0, 1, 3)] == ["depth (mm)", "disparity (1/m)", "b"]


def test_labels_are_drawn_image_by_image():
    panels = {"scale": [(np.arange(3), np.arange(3))] * 4, "shift": [(np.arange(3), np.ones(3))]}
    fig = plots.labels_against_truth(panels, ["x", "y"], ["label", "other"])
    assert [len(ax.lines) for ax in fig.axes] == [4, 1]
    assert fig.axes[1].get_xlabel() == "y" and fig.axes[1].get_ylabel() == "other"


def test_timeline_reads_the_month_and_keeps_labels_of_a_lane_apart():
    models = [("first model", "2312.02145", "a", 100.0), ("second", "2401.10891", "a", None)]
    models += [("third one", "2402.00001", "a", 400.0), ("elsewhere", "1406.2283", "b", None)]
    ax = plots.timeline(models, ["a", "b"]).axes[0]
    points = [tuple(dots.get_offsets()[0]) for dots in ax.collections]  # in the order of their numbers
    assert points[0] == pytest.approx((2014 + 5.5 / 12, 1)) and points[1] == pytest.approx((2023 + 11.5 / 12, 0))
    sizes = [dots.get_sizes()[0] for dots in ax.collections]
    assert sizes[3] == pytest.approx(4 * sizes[1])  # areas go with the parameters
    named = {text.get_text().split("\n")[0]: text for text in ax.texts}
    assert named["first model"].get_text().endswith("100 M") and named["second"].get_text() == "second"
    first, second, third = (named[name].get_position() for name in ("first model", "second", "third one"))
    assert (first[1] - 0) * (second[1] - 0) < 0 < first[1] * third[1] and third[0] - first[0] > 0.8

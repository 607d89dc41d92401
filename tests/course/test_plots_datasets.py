"""Figures of data sets: the numbers, limits and marks in the axes are those that were given."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle

from depthkit.course import plots

mpl.use("agg")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def sample(near, far, height=48, width=64):
    """A ramp of depth with a hole in its first corner."""
    depth = np.linspace(near, far, height * width, dtype=np.float32).reshape(height, width)
    depth[:4, :4] = 0
    return {"image": np.full((3, height, width), 90, np.uint8), "depth": depth}


def maps(fig):
    """The scalar maps of a figure, without colour bars."""
    return [ax.images[0] for ax in fig.axes if ax.images and ax.images[0].get_array().ndim == 2]


def rectangle(ax):
    (patch,) = (patch for patch in ax.patches if isinstance(patch, Rectangle))
    return (*patch.get_xy(), patch.get_width(), patch.get_height())


def test_splits_share_one_scale_and_mask_holes():
    fig = plots.splits({"train": [sample(1, 2), sample(1, 3)], "test": [sample(2, 5)]})
    shown = maps(fig)
    assert [ax.get_title() for ax in fig.axes[:3]] == ["train", "train", "test"]
    assert len(shown) == 3
    assert len({image.get_clim() for image in shown}) == 1
    assert shown[0].get_clim()[1] > 4
    assert all(image.get_array().mask[:4, :4].all() and image.get_array().mask.sum() == 16 for image in shown)


def test_close_ups_enlarge_the_marked_box():
    item = sample(1, 2)
    fig = plots.close_ups([item, sample(3, 4)], ["a", "b"], (10, 20, 12, 16))
    photo, detail, depth, depth_detail = fig.axes[:4]
    assert detail.images[0].get_array().shape == (12, 16, 3)
    np.testing.assert_array_equal(depth_detail.images[0].get_array(), item["depth"][10:22, 20:36])
    assert rectangle(photo) == rectangle(depth) == (20, 10, 16, 12)
    assert not detail.patches


def test_pictures_paint_outlines_and_leave_the_input_alone():
    photo, outline = np.full((6, 8, 3), 50, np.uint8), np.zeros((6, 8), bool)
    outline[2, 3] = True
    fig = plots.pictures([[photo, photo]], [["one", "two"]], [[outline, ~outline]])
    first, second = (ax.images[0].get_array() for ax in fig.axes)
    assert (first[2, 3] == (0, 229, 255)).all() and (first[0, 0] == 50).all()
    assert (second[2, 3] == 50).all() and (second[0, 0] == (0, 229, 255)).all()
    assert (photo == 50).all()
    assert [ax.get_title() for ax in fig.axes] == ["one", "two"]


def test_sensor_traces_draw_steps_in_millimetres():
    depth = np.linspace(1, 5, 50)
    spectra = {"train": (np.array([0.1, 0.2]), np.array([10.0, 1.0]))}
    fig = plots.sensor_traces(spectra, {"train": (depth, depth**2 / 100)}, lambda z: z**2 / 100, "law")
    left, right = fig.axes
    dots, law = right.lines
    np.testing.assert_allclose(dots.get_ydata(), 10 * depth**2)
    np.testing.assert_allclose(law.get_ydata(), 10 * law.get_xdata() ** 2)
    np.testing.assert_array_equal(left.lines[0].get_ydata(), [10, 1])
    assert "mm" in right.get_ylabel() and left.get_yscale() == "log"


def test_depth_distribution_leaves_holes_out():
    fig = plots.depth_distribution({"train": np.array([0, 0, 0, 1, 2, 3.0]), "test": np.array([4.0, 4, 4])})
    assert [text.get_text() for text in fig.axes[0].get_legend().get_texts()] == [
        "train, median 2.00 m",
        "test, median 4.00 m",
    ]
    outline = fig.axes[0].patches[0].get_xy()
    steps = dict(outline[1::2])  # height by left edge
    assert steps[0.0] == 0


def test_hole_position_profiles_are_means():
    share = np.zeros((4, 6))
    share[:, 0] = 1
    share[3] = 1
    fig = plots.hole_position({"train": share, "test": np.zeros((4, 6))}, aspect=0.5)
    first, across, down = fig.axes[:3]
    np.testing.assert_allclose(across.lines[0].get_ydata(), [1, 0.25, 0.25, 0.25, 0.25, 0.25])
    np.testing.assert_allclose(down.lines[0].get_ydata(), [1 / 6, 1 / 6, 1 / 6, 1])
    assert not across.lines[1].get_ydata().any()
    np.testing.assert_array_equal(first.images[0].get_array(), share)
    assert first.get_aspect() == 0.5


def test_hash_distances_count_near_pairs():
    fig = plots.hash_distances({"same": np.array([0, 12, 13, 64]), "other": np.array([30, 31])}, limit=12)
    same, other = fig.axes
    assert same.get_title().startswith("same: 2 of 4 pairs")
    assert other.get_title().startswith("other: 0 of 2 pairs")
    assert sum(bar.get_height() for bar in same.patches) == 4
    assert same.lines[0].get_xdata()[0] == 12.5


def test_geometry_steps_are_to_scale_with_a_line_a_patch():
    pictures = (np.zeros((shape[0], shape[1], 3), np.uint8) for shape in ((48, 64), (56, 84), (56, 56)))
    fig = plots.geometry_steps(*pictures, left=14)
    stored, resized, crop = fig.axes
    assert "48 × 64 = 3.429 × 4.571 patches" in stored.get_title()
    assert "56 × 56 = 4 × 4 patches" in crop.get_title()
    assert rectangle(resized) == (14, 0, 55, 55)
    assert stored.get_ylim() == resized.get_ylim() == crop.get_ylim()
    assert [len(lines.get_segments()) for lines in crop.collections] == [5, 5]


def test_flying_pixels_are_drawn_apart():
    points = np.array([[0.0, 0, 1], [0.1, 0, 2], [0.2, 0, 3]])
    views = {"nearest": (points, np.zeros(3, bool)), "bilinear": (points, np.array([False, True, False]))}
    fig = plots.flying_pixels(sample(1, 3)["depth"], (5, 6, 7, 8), views)
    strip, nearest, bilinear = fig.axes[:3]
    assert rectangle(strip) == (6, 5, 8, 7)
    assert nearest.get_title() == "nearest: 0 flying" and bilinear.get_title() == "bilinear: 1 flying"
    surface, flying = bilinear.lines
    np.testing.assert_array_equal(surface.get_ydata(), [1, 3])
    np.testing.assert_array_equal(flying.get_xdata(), [0.1])
    assert nearest.get_xlim() == bilinear.get_xlim() and nearest.get_ylim() == bilinear.get_ylim()


def test_throughput_bars_are_medians_and_stages_add_up():
    rates = {"slow": {0: [9, 10, 14], 2: [20, 20, 20]}, "quick": {0: [100, 90, 95], 2: [1, 2, 3]}}
    stages = {"slow": {"read": 2.0, "noise": 5.0}, "quick": {"read": 2.0, "crop": 1.0}}
    left, right = plots.throughput(rates, stages).axes
    assert [bar.get_height() for bar in left.patches] == [10, 20, 95, 2]
    spans = [(bar.get_x(), bar.get_width()) for bar in right.patches]
    assert spans == [(0, 2), (2, 5), (0, 2), (2, 1)]
    colours = [bar.get_facecolor() for bar in right.patches]
    assert colours[0] == colours[2] and len(set(colours)) == 3
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["read", "noise", "crop"]
    assert [text.get_text().strip() for text in right.texts] == ["7 ms", "3 ms"]

"""Figures carry what they were given: data, limits, labels and colours, read back from the axes."""

import matplotlib as mpl

mpl.use("Agg")

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt

from depthkit.course import plots

GREY = (0.6, 0.6, 0.6, 1.0)


@pytest.fixture(autouse=True)
def closed():
    """No figure outlives its test."""
    yield
    plt.close("all")


def depth_map(near=1.0, far=5.0, shape=(6, 8)):
    """Metres, growing downwards, with one hole in the corner."""
    depth = np.broadcast_to(np.linspace(near, far, shape[0])[:, None], shape).astype(np.float32).copy()
    depth[0, 0] = 0
    return depth


def drawn(ax):
    """The one image of an axes as RGBA in [0, 1], (H, W, 4)."""
    (image,) = ax.images
    return image.to_rgba(image.get_array())


def panels(fig):
    """Axes that show something, without the colour bars."""
    return [ax for ax in fig.axes if ax.get_label() != "<colorbar>" and ax.axison]


def bars(fig):
    return [ax for ax in fig.axes if ax.get_label() == "<colorbar>"]


def brightness(rgba):
    return np.asarray(rgba)[..., :3].mean(-1)


def test_depth_is_bright_where_near_and_grey_in_holes():
    _, ax = plt.subplots()
    plots.draw_depth(ax, depth_map(), 1, 5, "a title")
    rgba = drawn(ax)
    assert np.all(np.diff(brightness(rgba)[:, 4]) < 0)
    assert rgba[0, 0] == pytest.approx(GREY)
    assert ax.get_title() == "a title"
    assert ax.images[0].get_clim() == (1, 5)


@pytest.mark.parametrize("order", ["HWC", "CHW"])
def test_pictures_in_either_order(order):
    image = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    _, ax = plt.subplots()
    plots.draw_image(ax, torch.from_numpy(image.transpose(2, 0, 1).copy()) if order == "CHW" else image)
    assert np.array_equal(ax.images[0].get_array(), image)


def test_limits_leave_out_holes_and_outermost():
    depth = np.linspace(1, 2, 1000)[None]
    depth[0, -1], holes = 50, np.zeros((1, 500))
    near, far = plots.depth_limits(depth, holes)
    assert 1 < near < 1.02
    assert 1.97 < far < 2


def test_grid_shares_limits_and_masks_holes():
    near, far = depth_map(1, 2), depth_map(3, 9)
    fig = plots.grid([[near, far]], [["near", "far"]], limits=(1, 9))
    left, right = panels(fig)
    assert left.images[0].get_clim() == right.images[0].get_clim() == (1, 9)
    assert [left.get_title(), right.get_title()] == ["near", "far"]
    assert brightness(drawn(left)[-1, -1]) > brightness(drawn(right)[-1, -1])
    assert drawn(left)[0, 0] == pytest.approx(GREY)
    assert [bar.get_ylabel() for bar in bars(fig)] == ["depth (m)"]


def test_grid_takes_limits_from_all_maps():
    fig = plots.grid([[depth_map(1, 2), depth_map(3, 9)]], [["", ""]])
    (low, high), other = (ax.images[0].get_clim() for ax in panels(fig))
    assert (low, high) == other
    assert 1 <= low < 1.5 < 8 < high <= 9


def test_grid_disparity_is_bright_where_high_and_shows_zero():
    disparity = np.array([[0.0, 0.5, 1.0, np.nan]])
    fig = plots.grid([[disparity]], [[""]], "disparity", "normalised", limits=(0, 1))
    rgba = drawn(panels(fig)[0])[0]
    assert np.all(np.diff(brightness(rgba[:3])) > 0)
    assert rgba[3] == pytest.approx(GREY)
    assert bars(fig)[0].get_ylabel() == "normalised"


def test_grid_leaves_places_empty():
    fig = plots.grid([[depth_map(), None], [depth_map(), depth_map()]], [["a", None], ["b", "c"]])
    assert [ax.get_title() for ax in panels(fig)] == ["a", "b", "c"]


def test_grid_own_bars_start_at_zero():
    small, large = np.linspace(0, 1, 101)[None], np.linspace(0, 40, 101)[None]
    fig = plots.grid([[small, large]], [["", ""]], "error", own_bars=True)
    assert [ax.images[0].get_clim() for ax in panels(fig)] == [pytest.approx((0, 0.99)), pytest.approx((0, 39.6))]
    assert len(bars(fig)) == 2


def test_grid_with_few_colours():
    ramp = np.linspace(0, 1, 1000)[None]
    fig = plots.grid([[np.where(ramp == 0, np.nan, ramp)]], [[""]], "error", limits=(0, 1), levels=16)
    rgba = drawn(panels(fig)[0])[0]
    assert len(np.unique(rgba[1:], axis=0)) == 16
    assert rgba[0] == pytest.approx(GREY)


def test_samples_share_one_scale():
    items = [
        {"image": np.zeros((6, 8, 3), np.uint8), "depth": depth_map(1, far), "name": f"val/{far}.h5"} for far in (2, 9)
    ]
    fig = plots.samples(items, [1, 0])
    pictures, depths = panels(fig)[:2], panels(fig)[2:]
    assert [ax.get_title() for ax in pictures] == ["val/9", "val/2"]
    assert (
        depths[0].images[0].get_clim()
        == depths[1].images[0].get_clim()
        == plots.depth_limits(items[0]["depth"], items[1]["depth"])
    )


def test_predictions_state_the_mean_error_without_holes():
    item = {"image": np.zeros((6, 8, 3), np.uint8), "depth": depth_map()}
    fig = plots.predictions([item], [(1.2 * depth_map(), np.full((6, 8), 3.0))], ("ours", "constant"))
    titles = [ax.get_title() for ax in panels(fig)]
    assert titles[:4] == ["image", "truth", "ours", "|error| / truth, mean 0.20"]
    error = panels(fig)[3].images[0].get_array()
    assert error.mask.sum() == 1 and error.mask[0, 0]
    assert panels(fig)[1].images[0].get_clim() == panels(fig)[2].images[0].get_clim()


def test_history_shows_each_epoch_and_the_baseline():
    rows = [
        {"epoch": i, "train_loss": 3 - i, "abs_rel": 0.5 - 0.1 * i, "lr_encoder": 1e-5 / (i + 1), "lr_decoder": 1e-4}
        for i in range(3)
    ]
    loss, score, rate = plots.history(rows, baseline=0.3).axes
    assert loss.lines[0].get_ydata().tolist() == [3, 2, 1]
    assert score.lines[1].get_ydata()[0] == 0.3
    assert [text.get_text() for text in rate.get_legend().texts] == ["encoder", "decoder"]
    assert rate.lines[0].get_ydata()[2] == pytest.approx(1e-5 / 3)


def test_schedules_draw_every_step_of_each_part_at_its_own_rate():
    factors = {"down": 1 - np.arange(10) / 10, "flat": [0.5] * 10}
    fig = plots.schedules(factors, {"encoder": 1e-3, "decoder": 1e-2})
    for ax, rate in zip(fig.axes, (1e-3, 1e-2), strict=True):
        assert ax.lines[0].get_ydata() == pytest.approx(rate * (1 - np.arange(10) / 10))
        assert ax.lines[1].get_ydata() == pytest.approx(rate / 2)


def test_curves_of_one_name_look_alike_and_share_the_axis():
    fig = plots.curves({"a": {"x": [1, 2], "y": [3, 4]}, "b": {"x": [5, 6], "y": [7, 80]}}, [0, 1], "step", "score")
    left, right = fig.axes
    assert left.lines[0].get_color() == right.lines[0].get_color() != left.lines[1].get_color()
    assert left.get_ylim() == right.get_ylim()
    assert list(right.lines[1].get_ydata()) == [7, 80]


def test_logarithmic_ticks_are_plain_numbers():
    fig = plots.curves({"a": {"x": [1, 2, 3]}}, [0.25, 1, 4], "ratio", "cost", xscale="log")
    fig.draw_without_rendering()
    ticks = [label.get_text() for label in fig.axes[0].get_xticklabels()]
    assert {"0.25", "1", "4"} <= set(ticks)


def test_histograms_have_area_one_and_their_labels():
    values = np.random.default_rng(0).normal(size=5000)
    fig = plots.histograms({"before": [values, 2 * values], "after": [values, values]}, ["p", "q"], ["m", "no unit"])
    before, after = fig.axes
    assert [after.get_xlabel(), before.get_xlabel()] == ["no unit", "m"]
    corners = before.patches[0].get_xy()
    area = np.sum(np.diff(corners[:, 0]) * (corners[1:, 1] + corners[:-1, 1]) / 2)
    assert abs(area) == pytest.approx(1, abs=0.02)


def test_landscapes_keep_scale_across_and_shift_up():
    scales, shifts = np.array([0.5, 1, 2, 4]), np.array([-1.0, 0, 1])
    values = np.abs(np.log2(scales))[:, None] + 10 * (shifts[None] > 0)
    values[0, 0] = np.nan
    fig = plots.landscapes([values, 0 * values], scales, shifts, ["bowl", "flat"], ["u", "v"], "a", "b")
    bowl, flat = panels(fig)
    mesh = bowl.collections[0].get_array()
    assert mesh.shape == (3, 4) and mesh.mask[0, 0] and mesh[2, 1] == 10 and mesh[1, 3] == 2
    assert bowl.lines[0].get_xydata().tolist() == [[1, 0]]
    assert [text.get_text() for text in flat.texts] == ["0 everywhere"]
    assert not bowl.texts


def test_landscapes_end_where_they_are_told():
    fig = plots.landscapes([np.ones((2, 2))], [0.5, 1], [0, 1], ["t"], ["u"], "a", "b", end=3.0)
    assert panels(fig)[0].collections[0].norm.vmax == 3


def test_a_row_and_its_costs_as_shares_of_the_worst():
    rows = {"truth": np.array([1.0, 2]), "prediction": np.array([3.0, 4])}
    row, bars = plots.row_and_costs(rows, {"mse": 2.0, "ssi": 0.5}, {"mse": 4.0, "ssi": 1.0}, (0, 5)).axes
    assert [list(line.get_ydata()) for line in row.lines] == [[1, 2], [3, 4]] and row.get_ylim() == (0, 5)
    assert [bar.get_width() for bar in bars.patches] == [0.5, 0.5]
    assert [text.get_text() for text in bars.texts] == ["2.000", "0.500"]


def test_alignment_fits_invert_the_left_line():
    pred = np.linspace(1, 4, 50)
    fig = plots.alignment_fits(pred, 1 / (0.2 * pred + 0.1), (0.2, 0.1), (-0.5, 3.0))
    left, right = fig.axes
    x, y = left.lines[0].get_data()
    assert y == pytest.approx(0.2 * x + 0.1)
    assert right.lines[0].get_ydata() == pytest.approx(1 / y)
    assert right.lines[1].get_ydata() == pytest.approx(3 - 0.5 * x)
    assert len(left.collections[0].get_offsets()) == 50


def test_score_matrix_colours_by_share_of_the_worst():
    scores = {"good": {"err": 0.1, "hit": 0.9, "same": 0.5}, "bad": {"err": 0.4, "hit": 0.6, "same": 0.5}}
    fig = plots.score_matrix(scores, {"err": "low", "hit": "high", "same": "low"})
    (ax,) = panels(fig)
    colour = ax.images[0].get_array()
    assert np.allclose(colour.data[:, :2], [[0.25, 0.25], [1, 1]])
    assert not colour.mask[:, :2].any()
    assert colour.mask[:, 2].all()
    assert [text.get_text() for text in ax.texts] == ["0.100", "0.900", "0.500", "0.400", "0.600", "0.500"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["err ↓", "hit ↑", "same ↓"]


def test_verdicts_put_costs_under_their_maps():
    picture = np.zeros((3, 6, 8), np.uint8)
    maps = {"truth": depth_map(), "far": 2 * depth_map()}
    fig = plots.verdicts(picture, maps, {"mse": [0.0, 4.0], "none": [0.0, 0.0]}, (1, 5))
    ax = fig.axes[0]
    where = {text.get_text(): text.get_position()[0] for text in ax.texts}
    assert where["far"] == where["4.000"] == 2.5
    assert [image.get_clim() for image in ax.images[1:]] == [(1, 5), (1, 5)]
    assert [image.get_extent()[0] for image in ax.images] == pytest.approx([0.02, 1.02, 2.02])
    free, worst = (brightness(patch.get_facecolor()) for patch in ax.patches[:2])
    assert worst > free
    assert bars(fig)[0].get_ylabel() == "depth (m)"


def test_flow_chains_boxes_from_left_to_right():
    fig = plots.flow([["a", "b", "c"], ["d", "b", "e"]], ["one", "two", "three"], {"b": "#ff0000"})
    (ax,) = fig.axes
    boxes = [patch for patch in ax.patches if isinstance(patch, mpl.patches.FancyBboxPatch)]
    assert len(boxes) == 6
    assert [box.get_facecolor() == (1, 0, 0, 1) for box in boxes] == [False, True, False] * 2
    arrows = [text for text in ax.texts if isinstance(text, mpl.text.Annotation)]
    assert len(arrows) == 4
    assert all(arrow.xy[0] > arrow.get_position()[0] for arrow in arrows)

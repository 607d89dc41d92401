"""Pictures and maps: photos, depth, disparity, errors, side by side in one colour convention."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import matplotlib as mpl
import numpy as np

from depthkit.course.plots.basics import Array, Axes, AxesImage, Figure, Kind, Limits, Sample, Texts, new_axes

DEPTH_CMAP = mpl.colormaps["magma_r"].with_extremes(bad="0.6")
ERROR_CMAP = mpl.colormaps["viridis"].with_extremes(bad="0.6")
DISPARITY_CMAP = mpl.colormaps["magma"].with_extremes(bad="0.6")
MAP_CMAPS = {"depth": DEPTH_CMAP, "disparity": DISPARITY_CMAP, "error": ERROR_CMAP}
MAP_LABELS = {"depth": "depth (m)", "disparity": "disparity (1/m)", "error": "error"}


def draw_depth(
    ax: Axes, depth: Array, near: float | None = None, far: float | None = None, title: str | None = None
) -> AxesImage:
    """Draw one depth map (H, W), metres, holes (0) in grey; maps to compare share `near` and `far`."""
    return draw_map(ax, _masked(depth, "depth"), "depth", title, near, far)


def draw_map(
    ax: Axes, values: Array, kind: Kind, title: str | None, *limits: float | None, levels: int = 256
) -> AxesImage:
    """Draw values (H, W) in `levels` colours of their kind, between `limits` (low, high) if they are given."""
    shown = ax.imshow(values, cmap=MAP_CMAPS[kind].resampled(levels), interpolation="nearest")
    shown.set_clim(*limits)
    return _finish(ax, shown, title)


def draw_image(ax: Axes, image: Array, title: str | None = None) -> AxesImage:
    """Draw one picture: (H, W, 3) or (3, H, W), uint8, or floats from 0 to 1."""
    return _finish(ax, ax.imshow(as_picture(image)), title)


def as_picture(image: Array) -> Array:
    """Return a picture as (H, W, 3) that may be (3, H, W)."""
    image = np.asarray(image)
    return image.transpose(1, 2, 0) if image.shape[0] == 3 else image


def depth_limits(*maps: Array) -> Limits:
    """Return limits that leave out the outermost 1 % of the measured depths of `maps` together, in metres."""
    measured = np.concatenate([np.asarray(depth)[np.asarray(depth) > 0] for depth in maps])
    near, far = np.percentile(measured, [1, 99])
    return near, far


def samples(dataset: Any, indices: Iterable[int]) -> Figure:
    """Draw pictures above their depth maps, with one depth scale for the whole row."""
    items = [dataset[i] for i in indices]
    near, far = depth_limits(*(item["depth"] for item in items))
    fig, axes = new_axes(2, len(items), 2.6 * len(items), 4.2)
    for column, item in zip(axes.T, items, strict=True):
        draw_image(column[0], item["image"], item["name"].rsplit(".", 1)[0])
        shown = draw_depth(column[1], item["depth"], near, far)
    fig.colorbar(shown, ax=axes[1], shrink=0.9, label="depth (m)")
    return fig


def predictions(items: Sequence[Sample], depths: Sequence[Sequence[Array]], names: Texts = ("prediction",)) -> Figure:
    """Draw one row per image: picture, truth, each prediction on the truth's depth scale, and its relative error.

    Args:
        items: samples of a data set.
        depths: for each of `items` a sequence of maps (H, W), metres: one for each of `names`.
    """
    columns = 2 + 2 * len(names)
    height, width = np.shape(items[0]["depth"])
    fig, axes = new_axes(len(items), columns, min(2.4, 1.8 * width / height + 0.4) * columns, 1.95 * len(items))
    error_cmap = ERROR_CMAP.resampled(64)  # as many as the eye tells apart in a busy map, in a lighter file
    for row, item, maps in zip(axes, items, depths, strict=True):
        truth = np.asarray(item["depth"])
        near, far = depth_limits(truth)
        draw_image(row[0], item["image"], "image")
        depth_shown = draw_depth(row[1], truth, near, far, "truth")
        fig.colorbar(depth_shown, ax=row[1], shrink=0.85).set_label("m")
        for k, (name, depth) in enumerate(zip(names, maps, strict=True)):
            draw_depth(row[2 + 2 * k], depth, near, far, name)
            error = np.ma.masked_where(truth <= 0, np.abs(depth - truth) / np.maximum(truth, 1e-3))
            shown = row[3 + 2 * k].imshow(error, cmap=error_cmap, vmin=0, vmax=0.5)
            _finish(row[3 + 2 * k], shown, f"|error| / truth, mean {error.mean():.2f}")
        fig.colorbar(shown, ax=row[-1], shrink=0.85)
    return fig


def grid(
    rows: Sequence[Sequence[Array | None]], titles: Sequence[Sequence[str | None]], kind: Kind = "depth",
    label: str | None = None, limits: Limits | None = None, own_bars: bool = False, side: float = 2.6,
    levels: int = 256,
) -> Figure:  # fmt: skip
    """Draw maps (H, W) in rows, each with its title; holes and NaN are grey.

    Args:
        rows, titles: lists of lists of equal lengths; a map that is None leaves its place empty.
        kind: "depth" in metres, "disparity" (high is near), or "error".
        label: text of the colour bar; what `kind` suggests if None.
        limits: (low, high) for all maps; None takes them from all the maps together.
        own_bars: each map of errors gets a colour bar of its own instead, from 0 to its own 99th percentile.
        side: width of one map in inches.
        levels: number of colours; 64 of them are hard to tell from 256 in a busy map, at two thirds of the file.
    """
    maps = [[None if values is None else _masked(values, kind) for values in row] for row in rows]
    present = [values for row in maps for values in row if values is not None]
    height = side * present[0].shape[-2] / present[0].shape[-1] + 0.35  # with the title
    width = side + 0.5 if own_bars else side
    fig, axes = new_axes(len(maps), len(maps[0]), width * len(maps[0]) + 0.6, height * len(maps), layout="compressed")
    measured = np.concatenate([values.compressed() for values in present])
    low, high = limits or np.percentile(measured, [1, 99])
    for ax, values, title in zip(axes.flat, chain(*maps), chain(*titles), strict=True):
        if values is None:
            ax.set_axis_off()
            continue
        shown = draw_map(ax, values, kind, title, low, high, levels=levels)
        if own_bars:
            shown.set_clim(0, max(np.percentile(values.compressed(), 99), 1e-9))
            fig.colorbar(shown, ax=ax, shrink=0.8, extend="max")
    if not own_bars:
        fig.colorbar(shown, ax=axes, shrink=0.9, label=label or MAP_LABELS[kind])
    return fig


def _masked(values: Array, kind: Kind) -> np.ma.MaskedArray:
    """Return the map as a masked array, without what is not finite and without depths at or below 0."""
    masked = np.ma.masked_invalid(np.asarray(values, dtype=float))
    return np.ma.masked_less_equal(masked, 0) if kind == "depth" else masked


def _finish(ax: Axes, shown: AxesImage, title: str | None) -> AxesImage:
    ax.set(xticks=[], yticks=[])
    if title:
        ax.set_title(title, fontsize=9)
    return shown

"""Pictures and maps: photos, depth, disparity, errors, side by side in one colour convention."""

from itertools import chain

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt

DEPTH_CMAP = mpl.colormaps["magma_r"].with_extremes(bad="0.6")
ERROR_CMAP = mpl.colormaps["viridis"].with_extremes(bad="0.6")
DISPARITY_CMAP = mpl.colormaps["magma"].with_extremes(bad="0.6")
MAP_CMAPS = {"depth": DEPTH_CMAP, "disparity": DISPARITY_CMAP, "error": ERROR_CMAP}


def draw_depth(ax, depth, near=None, far=None, title=None):
    """One depth map (H, W), metres, holes (0) in grey, limits `near` and `far` shared where maps are compared."""
    depth = np.asarray(depth, dtype=float)
    shown = ax.imshow(
        np.ma.masked_where(depth <= 0, depth), cmap=DEPTH_CMAP, vmin=near, vmax=far, interpolation="nearest"
    )
    return _finish(ax, shown, title)


def draw_image(ax, image, title=None):
    """One picture: (H, W, 3) or (3, H, W), uint8, or floats from 0 to 1."""
    image = np.asarray(image)
    if image.shape[0] == 3:
        image = image.transpose(1, 2, 0)
    return _finish(ax, ax.imshow(image), title)


def depth_limits(*maps):
    """Limits that leave out the outermost 1 % of the measured depths of `maps` together."""
    measured = np.concatenate([np.asarray(depth)[np.asarray(depth) > 0] for depth in maps])
    return tuple(np.percentile(measured, [1, 99]))


def samples(dataset, indices):
    """Pictures above their depth maps, one depth scale for the whole row."""
    items = [dataset[i] for i in indices]
    near, far = depth_limits(*(item["depth"] for item in items))
    fig, axes = plt.subplots(2, len(items), figsize=(2.6 * len(items), 4.2), layout="constrained", squeeze=False)
    for column, item in zip(axes.T, items, strict=True):
        draw_image(column[0], item["image"], item["name"].rsplit(".", 1)[0])
        shown = draw_depth(column[1], item["depth"], near, far)
    _colour_bar(fig, shown, axes[1], "depth (m)")
    return fig


def predictions(items, depths, names=("prediction",)):
    """A row an image: picture, truth, each prediction on the truth's depth scale, and its relative error.

    Args:
        items: samples of a data set.
        depths: a list, parallel to `items`, of tuples of maps (H, W), metres: one for each of `names`.
    """
    columns = 2 + 2 * len(names)
    fig, axes = plt.subplots(
        len(items), columns, figsize=(2.4 * columns, 1.95 * len(items)), layout="constrained", squeeze=False
    )
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


def grid(rows, titles, kind="depth", label=None, limits=None, own_bars=False, side=2.6, levels=256):
    """Maps in rows, a title for each: "depth" in metres, "disparity" (high is near), or "error"; NaN and holes grey.

    Args:
        rows, titles: lists of lists, alike in length; None leaves a place empty.
        limits: (low, high) for all; None takes them from all the maps together.
        own_bars: instead, limits from 0 to its own 99th percentile and a colour bar for each map, of errors.
        levels: number of colours; 64 of them are hard to tell from 256 in a busy map, at two thirds of the file.
    """
    cmap = MAP_CMAPS[kind].resampled(levels)
    columns = max(len(row) for row in rows)
    some = next(np.asarray(m) for row in rows for m in row if m is not None)
    height = side * some.shape[-2] / some.shape[-1] + 0.35
    figsize = ((side + 0.5 * own_bars) * columns + 0.6, height * len(rows))
    fig, axes = plt.subplots(len(rows), columns, figsize=figsize, layout="compressed", squeeze=False)
    shown = [[None if m is None else _masked(m, kind) for m in row] for row in rows]
    if limits is None and not own_bars:
        limits = np.percentile(np.concatenate([m.compressed() for row in shown for m in row if m is not None]), [1, 99])
    for ax, m, title in zip(axes.flat, chain(*shown), chain(*titles), strict=True):
        if m is None:
            ax.set_axis_off()
            continue
        low, high = (0, max(np.percentile(m.compressed(), 99), 1e-9)) if own_bars else limits
        drawn = ax.imshow(m, cmap=cmap, vmin=low, vmax=high, interpolation="nearest")
        _finish(ax, drawn, title)
        if own_bars:
            fig.colorbar(drawn, ax=ax, shrink=0.8, extend="max")
    if not own_bars:
        _colour_bar(
            fig, drawn, axes, label or {"depth": "depth (m)", "disparity": "disparity (1/m)"}.get(kind, "error")
        )
    return fig


def _masked(values, kind):
    """The map as a masked array: without what is not finite, nor depths at or below 0."""
    values = np.ma.masked_invalid(np.asarray(values, dtype=float))
    return np.ma.masked_less_equal(values, 0) if kind == "depth" else values


def _finish(ax, shown, title):
    ax.set_xticks([])
    ax.set_yticks([])
    if title:
        ax.set_title(title, fontsize=9)
    return shown


def _colour_bar(fig, shown, axes, label):
    bar = fig.colorbar(shown, ax=axes, shrink=0.9)
    bar.set_label(label)
    return bar

"""Figures of cameras and of what they leave open: rays, stereo, slices, clouds, stored depths, a timeline."""

from collections.abc import Sequence
from itertools import cycle, product
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from scipy.spatial.transform import Rotation

from depthkit.course.plots.basics import Array, Axes, AxesImage, Figure, Kind, Limits, Named, Texts, new_axes
from depthkit.course.plots.charts import LINES, whole_numbers
from depthkit.course.plots.maps import depth_limits, draw_depth, draw_image, draw_map


def overview(image: Array, depth: Array, disparity: Array, column: int, scenes: Named[Array]) -> Figure:
    """Draw one picture, its metric and its relative map, and slices of scenes that share the latter.

    Args:
        image, depth, disparity: (H, W, 3), (H, W) metres, and (H, W) in any scale and shift.
        column: the column of the picture that `scenes` show from the side.
        scenes: {label: (N, 2) distance and height, metres}.
    """
    fig = plt.figure(figsize=(12, 2.75), layout="constrained")
    maps, views = fig.subfigures(1, 2, width_ratios=[2.1, 1], squeeze=False)[0]
    axes, side = maps.subplots(1, 3, subplot_kw={"anchor": "N"}), views.subplots()
    draw_image(axes[0], image, "one picture")
    add_bar(maps, axes[1], draw_depth(axes[1], depth, *depth_limits(depth), title="metric depth"), "m", panchor=False)
    shown = draw_map(axes[2], disparity, "disparity", "relative depth")
    add_bar(maps, axes[2], shown, "no unit", ticks=[], panchor=False)
    for ax in axes:
        ax.axvline(column, color="#00e5ff", lw=1.2, ls="--")
    _slice(side, scenes, list(scenes))
    side.axis("equal")
    side.set_title("scenes that share the relative map, side view", fontsize=9)
    side.set(xlabel="distance (m)", ylabel="height (m)")
    return fig


def add_bar(fig: Any, ax: Axes, shown: AxesImage, label: str | None, **options: Any) -> None:
    """Put a colour bar under a picture, so that pictures side by side keep one size; panchor=False keeps its anchor."""
    fig.colorbar(shown, ax=ax, location="bottom", aspect=30, pad=0.03, label=label, **options)


def probes(
    image: Array, depth: Array, pixels: Named[tuple[int, int]], width: float = 6.9, limits: Limits | None = None
) -> Figure:
    """Draw a picture and its depth map (H, W), metres, within `limits`, with marked pixels, {name: (u, v)}."""
    fig, (axes,) = new_axes(1, 2, width, 0.28 * width + 1.1, subplot_kw={"anchor": "N"})
    draw_image(axes[0], image, "picture")
    shown = draw_depth(axes[1], depth, *(limits or depth_limits(depth)), "metric depth (grey: not measured)")
    add_bar(fig, axes[1], shown, "depth (m)", panchor=False)
    for name, (u, v) in pixels.items():
        for ax, text in zip(axes, (name, f"{depth[v, u]:.2f} m"), strict=True):
            ax.plot(u, v, "o", ms=7, mfc="none", mec="#00e5ff", mew=2)
            ax.annotate(
                text, (u, v), (0, 9), textcoords="offset points", ha="center", fontsize=8.5, color="w",
                bbox={"fc": "k", "ec": "none", "alpha": 0.65, "pad": 1.5},
            )  # fmt: skip
    return fig


def against_truth(truth: Array, estimate: Array, name: str) -> Figure:
    """Draw an estimate (H, W), metres, with holes (0), on the truth's scale, and its relative error up to 10 %."""
    both = (truth > 0) & (estimate > 0)
    error = np.ma.masked_where(~both, np.abs(estimate - truth) / np.maximum(truth, 1e-3))
    fig, (axes,) = new_axes(1, 2, 7.6, 3.2)
    add_bar(fig, axes[0], draw_depth(axes[0], estimate, *depth_limits(truth), title=name), "depth (m)")
    shown = draw_map(axes[1], error[::2, ::2], "error", f"|error| / truth, mean {error.mean():.3f}", 0, 0.1)
    add_bar(fig, axes[1], shown, "share of the true depth", extend="max")
    return fig


def baseline_error(depth: Array, focal: float, baseline: float, widest: float) -> Figure:
    """Draw what a second camera, `baseline` metres to the right, would see of a depth map (H, W) in metres.

    Left: the disparity in pixels, on one scale up to that of the `widest` baseline; right: the range of depths that fit
    a disparity which is known to a pixel either way, against the true depth. `focal` is in pixels.
    """
    near, far = depth_limits(depth)
    fig, (axes,) = new_axes(1, 2, 7.2, 2.9, layout=None, width_ratios=[1.25, 1])
    fig.subplots_adjust(0.02, 0.17, 0.98, 0.9, wspace=0.22)
    disparity = focal * baseline / np.ma.masked_less_equal(depth, 0)
    shown = draw_map(axes[0], disparity, "disparity", "disparity of a second camera", 0, focal * widest / near)
    add_bar(fig, axes[0], shown, "pixels")
    z = np.linspace(0.9 * near, 1.1 * far, 100)
    low, high = (focal * baseline / (focal * baseline / z + error) for error in (1, -1))
    axes[1].fill_between(z, low, high, color=LINES[1]["color"], alpha=0.4, lw=0)
    axes[1].plot(z, z, color=LINES[0]["color"])
    axes[1].set(xlim=(z[0], z[-1]), ylim=(0, 1.6 * far), xlabel="true depth (m)", ylabel="depths that fit (m)")
    axes[1].set_title("matched to a pixel, either way", fontsize=9)
    axes[1].grid(alpha=0.3)
    return fig


def planar_and_ray(angles: Array, depth: float) -> Figure:
    """Draw a wall at `depth` metres from above, and its depth and distance at each viewing angle (N,), degrees."""
    x = depth * np.tan(np.radians(angles))
    fig, ((scene, chart),) = new_axes(1, 2, 11, 3.1)
    scene.plot(x, np.full_like(x, depth), "k", lw=3)
    for k in range(0, len(x), max(1, len(x) // 8)):
        scene.plot([0, x[k]], [0, depth], color=LINES[1]["color"], lw=0.9)
    scene.annotate("", (0, depth), (0, 0), arrowprops={"arrowstyle": "->", "color": LINES[0]["color"], "lw": 2.5})
    scene.plot(0, 0, "k^", ms=9)
    scene.set(title="from above: camera, rays, wall", xlabel="x (m)", ylabel="z (m)", aspect="equal")
    chart.plot(angles, np.full_like(x, depth), lw=2, **LINES[0], label="planar depth z")
    chart.plot(angles, np.hypot(x, depth), lw=2, **LINES[1], label="distance along the ray")
    for fov in (41, 57, 90):
        chart.vlines([-fov / 2, fov / 2], 0, 1, "0.6", lw=0.8, transform=chart.get_xaxis_transform())
        chart.text(fov / 2, 0.97, f"{fov}° ", transform=chart.get_xaxis_transform(), ha="right", va="top", fontsize=8)
    chart.set(title="the same wall as two kinds of depth", xlabel="angle from the optical axis (degrees)", ylabel="m")
    chart.legend(fontsize=8, loc="center")
    return fig


def twins(room: Array, model: Array, depth_room: Array, depth_model: Array) -> Figure:
    """Draw two pictures uint8 (H, W, 3) and how they differ, above their depths (H, W), metres, and their ratio."""
    fig, axes = new_axes(2, 3, 6.9, 4.8, subplot_kw={"anchor": "N"})
    draw_image(axes[0, 0], room, "the room")
    draw_image(axes[0, 1], model, "its model, 1:10")
    for ax, depth, name in zip(axes[1], (depth_room, depth_model), ("the room", "its model"), strict=False):
        add_bar(fig, ax, draw_depth(ax, depth, *depth_limits(depth), title=f"depth of {name}"), "m", panchor=False)
    difference = np.abs(room.astype(float) - model).mean(-1)
    shown = draw_map(axes[0, 2], difference, "error", "difference of the pictures", 0, 8)
    add_bar(fig, axes[0, 2], shown, "levels of 255", extend="max", panchor=False)
    shown = draw_map(axes[1, 2], depth_room / depth_model, "error", "depth of the room / of its model", 9, 11)
    add_bar(fig, axes[1, 2], shown, "ratio", panchor=False)
    return fig


def slices(
    panels: Named[Named[Array]], xlabel: str = "distance z (m)", ylabel: str = "height (m)",
    rays: Sequence[Sequence[Array]] | None = None, shared: bool = True, side: float = 4.0,
) -> Figure:  # fmt: skip
    """Draw slices through scenes, {title: {label: (N, 2) points, metres}}, the camera a triangle at the origin.

    A label looks the same in all panels. `rays` gives far ends of lines from the camera, (M, 2) for each panel. Axes
    are equal, and have the same limits in all panels if `shared`.
    """
    labels = list(dict.fromkeys(label for scenes in panels.values() for label in scenes))
    boxes = [_limits(scenes) for scenes in panels.values()]
    if shared:
        boxes = [np.stack([np.min(boxes, axis=0)[0], np.max(boxes, axis=0)[1]])] * len(boxes)
    shape = max((high - low)[1] / (high - low)[0] for low, high in boxes)
    fig, axes = new_axes(1, len(panels), side * len(panels), side * shape + 0.75)
    for k, (ax, (title, scenes)) in enumerate(zip(axes[0], panels.items(), strict=True)):
        for end in rays[k] if rays else []:
            ax.plot([0, end[0]], [0, end[1]], color="0.7", lw=0.9, zorder=0)
        _slice(ax, scenes, labels)
        (left, bottom), (right, top) = boxes[k]
        ax.set(xlim=(left, right), ylim=(bottom, top), aspect="equal", xlabel=xlabel)
        ax.set_title(title, fontsize=9.5)
    axes[0, 0].set_ylabel(ylabel)
    return fig


def _limits(scenes: Named[Array]) -> Array:
    """Return the lower left and upper right corner, (2, 2), of all points and the camera, with a margin."""
    points = np.concatenate([np.zeros((1, 2)), *scenes.values()])
    low, high = points.min(0), points.max(0)
    return np.stack([low - 0.08 * (high - low), high + 0.08 * (high - low)])


def _slice(ax: Axes, scenes: Named[Array], labels: Texts) -> None:
    """Draw points of scenes in one plane through the camera, in the colours of their places in `labels`."""
    for label, points in scenes.items():
        ax.plot(*np.asarray(points).T, ".", ms=3, color=LINES[labels.index(label)]["color"], label=label)
    ax.plot(0, 0, "k>", ms=8)
    ax.grid(alpha=0.3)
    if len(labels) > 1:
        ax.legend(fontsize=7.5, markerscale=3, loc="best")


def stored(maps: Sequence[Array], aligned: Sequence[Array], labels: Texts, units: Texts, titles: Texts) -> Figure:
    """Draw what data sets store, each map with its own bar, above the metres that alignment makes of it, on one scale.

    Args:
        maps, aligned: lists of (H, W); `aligned` in metres.
        labels, units, titles: the name of each map, its unit, and the title of its aligned form.
    """
    fig, axes = new_axes(2, len(maps), 2.3 * len(maps), 4.9)
    near, far = depth_limits(*aligned)
    for k, (upper, lower) in enumerate(axes.T):
        rises = np.corrcoef(np.ravel(maps[k]), np.ravel(aligned[k]))[0, 1] > 0
        kind: Kind = "depth" if rises else "disparity"
        add_bar(fig, upper, draw_map(upper, maps[k], kind, f"{labels[k]} ({units[k]})"), None)
        shown = draw_depth(lower, aligned[k], near, far, titles[k])
    fig.colorbar(shown, ax=axes[1], location="bottom", shrink=0.4, aspect=40, label="aligned depth (m)")
    return fig


def labels_against_truth(panels: Named[Sequence[tuple[Array, Array]]], xlabels: Texts, ylabels: Texts) -> Figure:
    """Draw stored labels against what they mean, {title: one (x, y) per image}, with one colour per image."""
    fig, axes = new_axes(1, len(panels), 3.0 * len(panels), 3.0)
    for ax, xlabel, ylabel, (title, images) in zip(axes[0], xlabels, ylabels, panels.items(), strict=True):
        for k, (x, y) in enumerate(images):
            ax.plot(x, y, ls="", marker=".", ms=2.5, color=LINES[k % 5]["color"], alpha=0.7, rasterized=True)
        ax.set_title(title, fontsize=9.5)
        ax.set(xlabel=xlabel, ylabel=ylabel)
        ax.grid(alpha=0.3)
    return fig


def view_cloud(points: Array, colours: Array, yaw: float, pitch: float, zoom: float, shape: tuple[int, int]) -> Array:
    """Draw points (N, 3) in metres in their colours, uint8 (N, 3), from far away: parallel rays, white background.

    Args:
        yaw, pitch: degrees by which the cloud is turned about the vertical axis, then tipped towards the viewer.
        zoom: pixels per metre.
        shape: height and width of the picture; its middle is that of the cloud.
    """
    turn = Rotation.from_euler("yx", [yaw, pitch], degrees=True)
    x, y, z = turn.apply(points - np.percentile(points, [2, 98], axis=0).mean(0)).T
    order = np.argsort(-z)  # the nearest are painted last
    u, v = (np.rint(zoom * w + side / 2).astype(int)[order] for w, side in ((x, shape[1]), (y, shape[0])))
    inside = (u >= 0) & (u < shape[1] - 1) & (v >= 0) & (v < shape[0] - 1)
    picture = np.full((*shape, 3), 255, np.uint8)
    for right, down in product((0, 1), repeat=2):  # each point covers 2 × 2 pixels
        picture[v[inside] + down, u[inside] + right] = colours[order][inside]
    return picture


def timeline(models: Sequence[tuple[str, str, str]], lanes: Texts) -> Figure:
    """Draw models by the month of their first version: (name, number, lane).

    A number begins with year and month, as in arXiv's 2406.09414; `lanes` are the rows, from the bottom up.
    """
    fig, ax = plt.subplots(figsize=(10.5, 1.35 * len(lanes) + 0.3), layout="constrained")
    places = {lane: cycle((0.16, -0.16, 0.34, -0.34)) for lane in lanes}  # labels above and below, near and far in turn
    for name, number, lane in sorted(models, key=lambda model: model[1]):
        when = 2000 + int(number[:2]) + (int(number[2:4]) - 0.5) / 12
        y, colour = lanes.index(lane), LINES[lanes.index(lane)]["color"]
        ax.scatter(when, y, s=50, fc=colour, ec="w", zorder=2)
        rise = next(places[lane])
        line = {"arrowstyle": "-", "color": "0.7", "lw": 0.7}
        va = "bottom" if rise > 0 else "top"
        ax.annotate(name, (when, y), (when, y + rise), fontsize=8, ha="center", va=va, arrowprops=line, zorder=3)
    ax.set(yticks=range(len(lanes)), yticklabels=lanes, ylim=(-0.6, len(lanes) - 0.4), xlim=(2014, 2028))
    whole_numbers(ax)
    ax.grid(axis="x", alpha=0.3)
    return fig

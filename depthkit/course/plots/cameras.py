"""Figures of cameras and of what they leave open: rays, slices through scenes, stereo, stored depths, a timeline."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.colors import Colormap

from depthkit.course.plots.basics import Array, Axes, AxesImage, Figure, Named, Texts, new_axes
from depthkit.course.plots.charts import LINES, whole_numbers
from depthkit.course.plots.maps import DEPTH_CMAP, DISPARITY_CMAP, ERROR_CMAP, depth_limits, draw_depth, draw_image


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
    _bar(maps, axes[1], draw_depth(axes[1], depth, *depth_limits(depth), title="metric depth"), "m", panchor=False)
    shown = _map(axes[2], disparity, DISPARITY_CMAP, "relative depth")
    _bar(maps, axes[2], shown, "no unit", ticks=[], panchor=False)
    for ax in axes:
        ax.axvline(column, color="#00e5ff", lw=1.2, ls="--")
    _slice(side, scenes, list(scenes))
    side.axis("equal")
    side.set_title("scenes that share the relative map, side view", fontsize=9)
    side.set(xlabel="distance (m)", ylabel="height (m)")
    return fig


def _map(ax: Axes, values: Array, cmap: Colormap, title: str, *limits: float) -> AxesImage:
    """Draw values (H, W) in any colours, between `limits` (low, high) if they are given, without ticks."""
    shown = ax.imshow(values, cmap=cmap, interpolation="nearest")
    shown.set_clim(*limits)
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize=9)
    return shown


def _bar(fig: Any, ax: Axes, shown: AxesImage, label: str | None, **options: Any) -> None:
    """Put a colour bar under a picture, so that pictures side by side keep one size; panchor=False keeps its anchor."""
    fig.colorbar(shown, ax=ax, location="bottom", aspect=30, pad=0.03, label=label, **options)


def probes(image: Array, depth: Array, pixels: Named[tuple[int, int]], width: float = 6.9) -> Figure:
    """Draw a picture and its depth map (H, W), metres, with marked pixels, {name: (u, v)}."""
    fig, (axes,) = new_axes(1, 2, width, 0.28 * width + 1.1, subplot_kw={"anchor": "N"})
    draw_image(axes[0], image, "picture")
    shown = draw_depth(axes[1], depth, *depth_limits(depth), title="metric depth (grey: not measured)")
    _bar(fig, axes[1], shown, "depth (m)", panchor=False)
    for name, (u, v) in pixels.items():
        for ax, text in zip(axes, (name, f"{depth[v, u]:.2f} m"), strict=True):
            ax.plot(u, v, "o", ms=7, mfc="none", mec="#00e5ff", mew=2)
            ax.annotate(
                text, (u, v), (0, 9), textcoords="offset points", ha="center", fontsize=8.5, color="w",
                bbox={"fc": "k", "ec": "none", "alpha": 0.65, "pad": 1.5},
            )  # fmt: skip
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


def strip(
    images: Sequence[Array], depths: Sequence[Array], titles: Texts, boxes: Sequence | None = None, side: float = 1.6
) -> Figure:
    """Draw pictures above depth maps on one scale; `boxes` has an outline (u, v, width, height) or None for each."""
    near, far = depth_limits(*depths)
    height = side * depths[0].shape[0] / depths[0].shape[1]
    fig, axes = new_axes(2, len(images), side * len(images) + 0.8, 2 * height + 0.4, layout="compressed")
    for k, column in enumerate(axes.T):
        draw_image(column[0], images[k], titles[k])
        shown = draw_depth(column[1], depths[k], near, far)
        box = boxes[k] if boxes else None
        if box:
            u, v, width, height = box
            for ax in column:
                ax.add_patch(plt.Rectangle((u, v), width, height, fill=False, ec="#00e5ff", lw=2))
    fig.colorbar(shown, ax=axes, shrink=0.9, label="depth (m)")
    return fig


def twins(room: Array, model: Array, depth_room: Array, depth_model: Array) -> Figure:
    """Draw two pictures uint8 (H, W, 3) and how they differ, above their depths (H, W), metres, and their ratio."""
    fig, axes = new_axes(2, 3, 6.9, 4.8, subplot_kw={"anchor": "N"})
    draw_image(axes[0, 0], room, "the room")
    draw_image(axes[0, 1], model, "its model, 1:10")
    for ax, depth, name in zip(axes[1], (depth_room, depth_model), ("the room", "its model"), strict=False):
        _bar(fig, ax, draw_depth(ax, depth, *depth_limits(depth), title=f"depth of {name}"), "m", panchor=False)
    difference = np.abs(room.astype(float) - model).mean(-1)
    shown = _map(axes[0, 2], difference, ERROR_CMAP, "difference of the pictures", 0, 8)
    _bar(fig, axes[0, 2], shown, "levels of 255", extend="max", panchor=False)
    shown = _map(axes[1, 2], depth_room / depth_model, ERROR_CMAP, "depth of the room / of its model", 9, 11)
    _bar(fig, axes[1, 2], shown, "ratio", panchor=False)
    return fig


def matching(patches: Named[Array], costs: Named[Array], truths: Named[float]) -> Figure:
    """Draw patches of the left picture, and the cost of matching each at every disparity.

    Args:
        patches, costs, truths: {name: (n, n, 3) uint8}, {name: (N,) for disparities 0 to N − 1}, {name: pixels}.
    """
    places: Any = [[name, "chart"] for name in patches]
    fig, axes = plt.subplot_mosaic(places, figsize=(9.5, 3.3), layout="constrained", width_ratios=[1, 7])
    chart = axes["chart"]
    for style, (name, cost) in zip(LINES, costs.items(), strict=False):
        draw_image(axes[name], patches[name], name)
        axes[name].spines[:].set(edgecolor=style["color"], linewidth=3)
        chart.plot(cost, lw=1.8, label=name, **style)
        chart.axvline(truths[name], color=style["color"], lw=0.9, ls=":")
    chart.set(title="cost of matching (dotted: true disparity)", xlabel="disparity (pixels)", ylim=(0, None))
    chart.set_ylabel("mean |left − right|")
    chart.legend(fontsize=8)
    return fig


def against_truth(truth: Array, estimate: Array, name: str, worst: float = 0.1) -> Figure:
    """Draw an estimate (H, W), metres, with holes (0), on the truth's scale, and its relative error up to `worst`."""
    both = (truth > 0) & (estimate > 0)
    error = np.ma.masked_where(~both, np.abs(estimate - truth) / np.maximum(truth, 1e-3))
    fig, (axes,) = new_axes(1, 2, 7.6, 3.2)
    _bar(fig, axes[0], draw_depth(axes[0], estimate, *depth_limits(truth), title=name), "depth (m)")
    shown = _map(axes[1], error[::2, ::2], ERROR_CMAP, f"|error| / truth, mean {error.mean():.3f}", 0, worst)
    _bar(fig, axes[1], shown, "share of the true depth", extend="max")
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
        cmap = DEPTH_CMAP if rises else DISPARITY_CMAP
        _bar(fig, upper, _map(upper, maps[k], cmap, f"{labels[k]} ({units[k]})"), None)
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


def timeline(models: Sequence[tuple[str, str, str, float | None]], lanes: Texts) -> Figure:
    """Draw models by the month of their first version on arXiv, (name, arXiv number, lane, million parameters or None).

    Areas are in proportion to the parameters (hollow where None); `lanes` are the rows, from the bottom up.
    """
    fig, ax = plt.subplots(figsize=(11, 1.45 * len(lanes) + 0.3), layout="constrained")
    free = {(lane, side): -np.inf for lane in lanes for side in (1, -1)}  # where the next label may start
    sides = {lane: 1 if k % 2 else -1 for k, lane in enumerate(lanes)}
    for name, number, lane, size in sorted(models, key=lambda model: model[1]):
        when = 2000 + int(number[:2]) + (int(number[2:4]) - 0.5) / 12
        y, colour = lanes.index(lane), LINES[lanes.index(lane)]["color"]
        ax.scatter(when, y, s=0.75 * size if size else 30, fc=colour if size else "w", ec=colour, alpha=0.8, zorder=2)
        sides[lane] = side = -sides[lane]  # labels above and below in turn
        reach = 0.045 * len(name)  # half of the label, in years
        x = max(when, free[lane, side] + reach)
        free[lane, side] = x + reach
        ax.annotate(
            f"{name}\n{size:,.0f} M" if size else name, (when, y), (x, y + 0.27 * side), fontsize=8, ha="center",
            va="bottom" if side > 0 else "top", arrowprops={"arrowstyle": "-", "color": "0.7", "lw": 0.7},
        )  # fmt: skip
    ax.set(yticks=range(len(lanes)), yticklabels=lanes, ylim=(-0.6, len(lanes) - 0.4), xlim=(2014, 2026.2))
    whole_numbers(ax)
    ax.grid(axis="x", alpha=0.3)
    return fig

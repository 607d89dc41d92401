"""Figures of results: scores with intervals, learning curves, where errors lie, and point clouds."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axis import Axis
from scipy.spatial.transform import Rotation

from depthkit.course.plots.basics import Array, Axes, Figure, Limits, Named, new_axes, new_charts
from depthkit.course.plots.charts import LINES
from depthkit.scoring.statistics import Interval

Score = Mapping[str, float] | float  # {"mean", "low", "high"}, or a number without an interval
MARKERS = "os^Dv"


def score_intervals(
    panels: Named[Named[Score]], colours: Named[int] | None = None, baseline: str | None = None
) -> Figure:
    """Draw scores as dots with their intervals, {panel: {row: score}}; a row keeps its place and colour in all panels.

    Args:
        panels: the panel's name is its axis label; a score is {"mean", "low", "high"}, or a float without an interval;
            a row that a panel lacks stays empty there.
        colours: {row: number of a colour}; all alike when left out.
        baseline: the row whose mean is drawn as a dashed line through each panel.
    """
    rows = list(dict.fromkeys(row for scores in panels.values() for row in scores))
    colours = colours or {}
    fig, axes = new_axes(1, len(panels), 2.6 + 3.6 * len(panels), 0.36 * len(rows) + 0.9, sharey=True)
    for ax, (label, scores) in zip(axes[0], panels.items(), strict=True):
        for row, score in scores.items():
            y = rows.index(row)
            colour = LINES[colours.get(row, 0)]["color"]
            mean, low, high = _parts(score)
            ax.plot([low, high], [y, y], color=colour, lw=2.5, alpha=0.5, solid_capstyle="butt")
            ax.plot(mean, y, "o", color=colour, ms=6)
            text = ax.annotate(f"{mean:.3f}", (mean, y), (0, 5), textcoords="offset points", ha="center", fontsize=8)
            text.set_bbox({"fc": "w", "ec": "none", "alpha": 0.8, "pad": 0.3})
        if baseline is not None and baseline in scores:
            ax.axvline(_parts(scores[baseline])[0], color="0.4", ls="--", lw=1)
        ax.set_xlabel(label)
        ax.margins(x=0.09)
        ax.grid(axis="x", alpha=0.3)
    axes[0, 0].set_yticks(range(len(rows)), rows)
    axes[0, 0].set_ylim(len(rows) - 0.5, -0.7)
    return fig


def learning_curve(panels: Named[Named[dict[int, Interval]]], live: Named[dict[int, Interval]] | None = None) -> Figure:
    """Draw scores over the number of training images, {panel: {model: {images: score}}}, with 95 % intervals.

    `live` is drawn as crosses, {panel: {images: score}}: two fitted numbers that the notebook measured itself.
    """
    named = dict.fromkeys(name for models in panels.values() for name in models)
    looks = dict(zip(named, zip(LINES, MARKERS, strict=False), strict=False))  # a model looks the same in every panel
    fig, axes = new_charts(1, len(panels), 5.2 * len(panels), 3.6, sharey=True)
    for ax, (title, models) in zip(axes[0], panels.items(), strict=True):
        for name, points in models.items():
            style, marker = looks[name]
            mean, low, high = np.transpose([_parts(score) for score in points.values()])
            ax.fill_between(list(points), low, high, color=style["color"], alpha=0.12, lw=0)
            ax.plot(list(points), mean, marker=marker, ms=5, lw=1.6, label=name, **style)
        if crosses := (live or {}).get(title, {}):
            means = [score["mean"] for score in crosses.values()]
            ax.plot(list(crosses), means, "kx", ms=7, label="two numbers, bundled rooms")
        counts = sorted({images for points in models.values() for images in points} | set(crosses))
        ticks = [tick for before, tick in pairwise([0, *counts]) if tick > 1.2 * before]
        ax.set(xscale="log", xlabel="training images", title=title)
        ax.set_xticks(ticks, [str(tick) for tick in ticks])
        ax.minorticks_off()
        ax.legend(fontsize=8)
    axes[0, 0].set_ylabel("AbsRel on the test rooms")
    return fig


def grouped_scores(groups: Named[Named[Interval]]) -> Figure:
    """Draw scores with their intervals side by side, {test set: {recipe: score}}; a recipe keeps its colour."""
    recipes = list(dict.fromkeys(recipe for scores in groups.values() for recipe in scores))
    fig, ((ax,),) = new_charts(1, 1, 8.6, 3.4)
    for k, recipe in enumerate(recipes):
        places = [(x, scores[recipe]) for x, scores in enumerate(groups.values()) if recipe in scores]
        x = np.array([x for x, _ in places]) + 0.2 * (k - (len(recipes) - 1) / 2)
        mean, low, high = np.transpose([_parts(score) for _, score in places])
        ax.errorbar(x, mean, [mean - low, high - mean], fmt=MARKERS[k], color=LINES[k]["color"], ms=6, label=recipe)
    ax.set_xticks(range(len(groups)), list(groups))
    ax.set(ylabel="AbsRel (lower is better)", ylim=(0, None))
    ax.legend(fontsize=8)
    return fig


def scale_by_focal(sets: Named[tuple[Array, Array]], trained: float) -> Figure:
    """Draw how much too far the predicted metres are, per image, against the camera's focal length.

    Args:
        sets: {name: (focal, ratio)}, arrays: focal length as a share of the picture's height, and median prediction
            over median truth.
        trained: the focal length of the training pictures, in the same unit.
    """
    fig, ((ax,),) = new_charts(1, 1, 7.6, 3.9)
    for style, marker, (name, (focal, ratio)) in zip(LINES, "osD^v", sets.items(), strict=False):
        ax.plot(focal, ratio, marker, color=style["color"], ms=6, alpha=0.75, label=name)
    everything = np.concatenate([np.ravel(focal) for focal, _ in sets.values()])
    line = np.array([min(everything.min(), trained) * 0.9, max(everything.max(), trained) * 1.1])
    ax.plot(line, trained / line, "k--", lw=1.3, label="if it only saw how large things look")
    ax.axhline(1, color="0.4", lw=1)
    ax.axvline(trained, color="0.4", lw=1, ls=":")
    ax.set(xscale="log", xlabel="focal length / picture height")
    ax.set(yscale="log", ylabel="median prediction / median truth")
    _plain_log_ticks(ax.xaxis, (0.6, 0.8, 1, 1.2, 1.5, 2, 3), line)
    _plain_log_ticks(ax.yaxis, (0.3, 0.4, 0.5, 0.7, 1, 1.4, 2, 3), ax.get_ylim())
    ax.legend(fontsize=8)
    top = ax.secondary_xaxis("top", functions=(_angle, _focal))
    top.set_xlabel("horizontal field of view of a 4:3 picture (degrees)")
    _plain_log_ticks(top.xaxis, (30, 40, 57, 70, 80, 90), _angle(line)[::-1])
    return fig


def error_profiles(panels: Named[tuple[Sequence[float], Named[Array]]]) -> Figure:
    """Draw size and bias of errors and the share of pixels over a key, {axis label: (edges, `binned_errors`)}."""
    fig, axes = new_axes(1, len(panels), 5.3 * len(panels), 3.5, sharey=True)
    for ax, (label, (edges, errors)) in zip(axes[0], panels.items(), strict=True):
        x = np.arange(len(edges) - 1)
        ax.bar(x, errors["share"], width=0.9, color="0.88", label="share of pixels")
        curves = {"abs_rel": "mean |error| / truth", "bias": "mean error / truth (below 0: too near)"}
        for style, (key, name) in zip(LINES, curves.items(), strict=False):
            mean, low, high = errors[key].T
            ax.fill_between(x, low, high, color=style["color"], alpha=0.2, lw=0)
            ax.plot(x, mean, "o-", ms=4, color=style["color"], label=name)
        ax.axhline(0, color="0.4", lw=1)
        names = [f"{low:g} to {high:g}" if np.isfinite(high) else f"over {low:g}" for low, high in pairwise(edges)]
        ax.set_xticks(x, names, fontsize=8)
        ax.set_xlabel(label)
        ax.grid(axis="y", alpha=0.3)
    axes[0, 0].set_ylabel("share of the true depth, or of pixels")
    axes[0, 0].legend(fontsize=8)
    return fig


def point_clouds(clouds: Named[tuple[Array, Array]], marked: Named[Array] | None = None, slab: float = 0.6) -> Figure:
    """Draw point clouds side by side: from a standpoint to the side (above), and a slice from above (below).

    Args:
        clouds: {name: (points (N, 3), metres, x right, y down, z forward; colours uint8 (N, 3))}. The first one, the
            truth, decides standpoint and limits for all.
        marked: {name: bool (N,)}: points painted orange in the slice.
        slab: the slice has the points within so many metres of the camera's height.
    """
    truth = next(iter(clouds.values()))[0]
    pivot = np.median(truth, axis=0)
    frame = _limits(_seen_from(truth, pivot)[:, :2])
    plan = _limits(truth[:, [0, 2]], include=(0.0, 0.0))
    ratios = [(up[1] - up[0]) / (across[1] - across[0]) for across, up in (frame, plan)]
    height = 3.8 * min(sum(ratios), 2.3) + 0.8
    fig, axes = new_axes(2, len(clouds), 4.2 * len(clouds), height, height_ratios=ratios)
    for (view, above), (name, (points, colours)) in zip(axes.T, clouds.items(), strict=True):
        seen = _seen_from(points, pivot)
        order = np.argsort(-seen[:, 2])  # far points first
        _draw_points(view, seen[order, :2] * (1, -1), colours[order], (frame[0], (-frame[1][1], -frame[1][0])))
        view.set_title(f"{name}: from the side", fontsize=10)
        view.set(xticks=[], yticks=[])
        near = np.abs(points[:, 1]) < slab
        _draw_points(above, points[near][:, [0, 2]], colours[near], plan)
        if marked is not None:
            wall = near & marked[name]
            above.scatter(points[wall][:, 0], points[wall][:, 2], s=1.2, c="#FF7F0E", lw=0, rasterized=True)
        above.plot(0, 0, "^", color="w", ms=8, clip_on=False)
        above.set_title(f"{name}: slice from above", fontsize=10)
        above.set_xlabel("x (m)")
    axes[1, 0].set_ylabel("z (m)")
    return fig


def _seen_from(points: Array, pivot: Array, yaw: float = 22.0, pitch: float = 12.0) -> Array:
    """Return picture coordinates (x right, y down, no unit) and distance (N, 3) for a camera turned about `pivot`.

    `yaw` and `pitch` are degrees to the right and up.
    """
    turn = Rotation.from_euler("yx", [yaw, pitch], degrees=True)
    turned = turn.apply(points - pivot) + (0, 0, 1.15 * pivot[2])
    turned[turned[:, 2] < 0.1] = np.nan
    return np.column_stack([turned[:, :2] / turned[:, 2:], turned[:, 2]])


def _draw_points(ax: Axes, places: Array, colours: Array, limits: Sequence[Limits]) -> None:
    ax.scatter(places[:, 0], places[:, 1], s=1.6, marker="s", c=colours / 255, lw=0, rasterized=True)
    ax.set(xlim=limits[0], ylim=limits[1], aspect="equal", facecolor="0.13")


def _limits(values: Array, include: Limits | None = None) -> list[Limits]:
    """Return limits of each column that leave out its outermost half percent, with a margin, and hold `include`."""
    low, high = np.nanpercentile(values, [0.5, 99.5], axis=0)
    if include is not None:
        low, high = np.minimum(low, include), np.maximum(high, include)
    margin = 0.06 * (high - low)
    return list(zip(low - margin, high + margin, strict=True))


def _parts(score: Score) -> tuple[float, float, float]:
    if isinstance(score, Mapping):
        return score["mean"], score["low"], score["high"]
    return score, score, score


def _plain_log_ticks(axis: Axis, ticks: Sequence[float], limits: Any) -> None:
    axis.set_ticks([tick for tick in ticks if limits[0] <= tick <= limits[1]])
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(plt.NullLocator())


def _angle(focal: Any) -> Any:
    """Turn focal length over height into degrees across a picture 4/3 as wide as high."""
    return np.degrees(2 * np.arctan(2 / 3 / np.maximum(focal, 1e-6)))


def _focal(angle: Any) -> Any:
    """Turn degrees across a picture 4/3 as wide as high into focal length over height."""
    return 2 / 3 / np.tan(np.radians(np.clip(angle, 1e-3, 179)) / 2)

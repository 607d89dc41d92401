"""Figures of the network itself: its stages with their shapes, and the way its labels come about."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.colors import Normalize
from matplotlib.patches import FancyArrowPatch, Rectangle

from depthkit.course.architecture import Stage
from depthkit.course.plots.basics import Array, Axes, Figure, Kind
from depthkit.course.plots.maps import MAP_CMAPS, as_picture

COLOURS = {"picture": "0.85", "encoder": "#cfe3f3", "reassemble": "#f6d9c4", "fusion": "#cfe8d5", "head": "#f3ecb4"}
ROWS, GAP = 4, 1.15


def architecture(stages: Sequence[Stage]) -> Figure:
    """Draw the stages of a Depth Anything from left to right, shapes as C × H × W.

    Four maps tapped from the encoder are brought to four resolutions, finest at the top, and fused from the coarsest.
    A box's size goes with the root of its map's height and width.
    """
    fig, ax = plt.subplots(figsize=(12, 5.2), layout="constrained")
    side = max(max(shape[1:]) for shape in stages[0].shapes) ** 0.5
    places: dict[tuple[str, int], tuple[float, float, float, float]] = {}
    for x, stage in enumerate(stages):
        shapes = stage.shapes[::-1] if stage.name == "fusion" else stage.shapes  # fused from the coarsest up
        for row, (channels, height, width) in enumerate(shapes):
            h, w = height**0.5 / side * 0.72, width**0.5 / side * 0.72
            y = -row * GAP
            ax.add_patch(Rectangle((2 * x - w / 2, y - h / 2), w, h, fc=COLOURS[stage.name], ec="0.35", lw=1))
            text = f"{channels} × {height} × {width}"
            if stage.layers:
                text = f"layer {stage.layers[row]}: {text}"
            ax.text(2 * x, y - h / 2 - 0.05, text, ha="center", va="top", fontsize=8)
            places[stage.name, row] = (2 * x, y, w / 2, h / 2)
        ax.text(2 * x, 0.75, stage.name, ha="center", fontsize=11, weight="bold")
        if stage.parameters:
            ax.text(2 * x, 0.56, f"{stage.parameters / 1e6:.2f} M parameters", ha="center", fontsize=9, color="0.3")
    for before, after in pairwise(stages):
        for row in range(min(len(before.shapes), len(after.shapes))):
            (x0, y0, w0, _), (x1, y1, w1, _) = places[before.name, row], places[after.name, row]
            _arrow(ax, (x0 + w0, y0), (x1 - w1, y1))
    for row in range(ROWS - 1, 0, -1):
        (x0, y0, _, h0), (_, y1, _, h1) = places["fusion", row], places["fusion", row - 1]
        _arrow(ax, (x0, y0 + h0), (x0, y1 - h1 - 0.2))
        (x0, y0, _, h0), (_, y1, _, h1) = places["encoder", row - 1], places["encoder", row]
        _arrow(ax, (x0, y0 - h0 - 0.2), (x0, y1 + h1))
    ax.set(xlim=(-0.8, 2 * len(stages) - 1.2), ylim=(-(ROWS - 1) * GAP - 0.6, 1.0), aspect="equal")
    ax.set_axis_off()
    return fig


def pipeline(render: Array, exact: Array, photo: Array, sensor: Array, label: Array) -> Figure:
    """Draw how Depth Anything V2 gets its labels: renders teach a teacher, which labels photos for a student.

    Args:
        render, photo: pictures, uint8; `exact` is the depth of the first, metres, `sensor` that of the second, 0 where
            it has holes, and `label` what the teacher predicts for it, affine disparity; maps are (H, W).
    """
    fig, ax = plt.subplots(figsize=(11, 4.3), layout="constrained")
    tiles = [  # column, row, what is drawn, and the text below
        (0, 1, as_picture(render), "a render"),
        (1, 1, _coloured(exact, "depth"), "its depth: exact"),
        (0, 0, _coloured(sensor, "depth"), "a sensor's depth: not used"),
        (1, 0, as_picture(photo), "a photo, unlabelled"),
        (2, 0, _coloured(label, "disparity"), "pseudo-label: disparity"),
    ]
    for column, row, image, text in tiles:
        x, y = 2 * column, 1.6 * row
        ax.imshow(image, extent=(x, x + 4 / 3, y, y + 1))
        ax.text(x + 2 / 3, y - 0.06, text, ha="center", va="top", fontsize=9)
    ax.plot([0, 4 / 3], [0, 1], color="#D55E00", lw=2)
    boxes = {"teacher": (4, 1.6), "student": (6, 0), "a metric model:\nthis notebook": (8, 0)}
    for text, (x, y) in boxes.items():
        ax.add_patch(Rectangle((x, y), 4 / 3, 1, fc=COLOURS["fusion" if y else "encoder"], ec="0.35"))
        ax.text(x + 2 / 3, y + 0.5, text, ha="center", va="center", fontsize=10, weight="bold")
    ax.add_patch(Rectangle((-0.08, 1.38), 3.5, 1.3, fc="none", ec="0.6", ls=":"))  # they are learnt from together
    for left in (3.4, 5.4, 7.4):
        _arrow(ax, (left, 0.5), (left + 0.56, 0.5))
    _arrow(ax, (3.45, 2.1), (3.96, 2.1))
    _arrow(ax, (4 + 2 / 3, 1.56), (4 + 2 / 3, 1.04))
    ax.set(xlim=(-0.1, 9.45), ylim=(-0.3, 2.7), aspect="equal")
    ax.set_axis_off()
    return fig


def _coloured(values: Array, kind: Kind) -> Array:
    """Return a map (H, W) as colours (H, W, 4), from its 1st to its 99th percentile; what is not above 0 is grey."""
    masked = np.ma.masked_less_equal(np.asarray(values, dtype=float), 0)
    low, high = np.percentile(masked.compressed(), [1, 99])
    return MAP_CMAPS[kind](Normalize(low, high)(masked))


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    ax.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=9, color="0.45", lw=0.9))

"""Figures of the network itself: its stages with their shapes, and its features as colours."""

from collections.abc import Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.patches import FancyArrowPatch, Rectangle

from depthkit.course.architecture import Stage
from depthkit.course.plots.basics import Array, Axes, Figure, Named, new_axes
from depthkit.course.plots.maps import draw_image

COLOURS = {"picture": "0.85", "encoder": "#cfe3f3", "reassemble": "#f6d9c4", "fusion": "#cfe8d5", "head": "#f3ecb4"}
ROWS, GAP = 4, 1.15


def architecture(stages: Sequence[Stage]) -> Figure:
    """Draw the stages of a Depth Anything from left to right, shapes as C × H × W.

    Four maps tapped from the encoder are brought to four resolutions, finest at the top, and fused from the coarsest.
    A box's size goes with the root of its map's height and width.
    """
    fig, ax = plt.subplots(figsize=(12, 5.2), layout="constrained")
    middle = (ROWS - 1) / 2  # the row of a stage with a single map
    side = max(max(shape[1:]) for shape in stages[0].shapes) ** 0.5
    places: dict[tuple[str, float], tuple[float, float, float, float]] = {}
    for x, stage in enumerate(stages):
        rows = [middle] if len(stage.shapes) == 1 else list(range(ROWS))
        shapes = stage.shapes[::-1] if stage.name == "fusion" else stage.shapes  # fused from the coarsest up
        for row, (channels, height, width) in zip(rows, shapes, strict=True):
            h, w = height**0.5 / side * 0.72, width**0.5 / side * 0.72
            y = -row * GAP
            ax.add_patch(Rectangle((2 * x - w / 2, y - h / 2), w, h, fc=COLOURS[stage.name], ec="0.35", lw=1))
            text = f"{channels} × {height} × {width}"
            if stage.layers:
                text = f"layer {stage.layers[int(row)]}: {text}"
            ax.text(2 * x, y - h / 2 - 0.05, text, ha="center", va="top", fontsize=8)
            places[stage.name, row] = (2 * x, y, w / 2, h / 2)
        size = f"{stage.parameters / 1e6:.2f} M parameters" if stage.parameters else ""
        ax.text(2 * x, 0.75, stage.name, ha="center", fontsize=11, weight="bold")
        ax.text(2 * x, 0.56, size, ha="center", fontsize=9, color="0.3")
    pairs: list[tuple[tuple[str, float], tuple[str, float]]] = [(("picture", middle), ("encoder", 0))]
    pairs += [(("encoder", row), ("reassemble", row)) for row in range(ROWS)]
    pairs += [(("reassemble", row), ("fusion", row)) for row in range(ROWS)] + [(("fusion", 0), ("head", middle))]
    for start, end in pairs:
        (x0, y0, w0, _), (x1, y1, w1, _) = places[start], places[end]
        _arrow(ax, (x0 + w0, y0), (x1 - w1, y1))
    for row in range(ROWS - 1, 0, -1):
        (x0, y0, _, h0), (_, y1, _, h1) = places["fusion", row], places["fusion", row - 1]
        _arrow(ax, (x0, y0 + h0), (x0, y1 - h1 - 0.2))
        (x0, y0, _, h0), (_, y1, _, h1) = places["encoder", row - 1], places["encoder", row]
        _arrow(ax, (x0, y0 - h0 - 0.2), (x0, y1 + h1))
    ax.set(xlim=(-0.8, 2 * len(stages) - 1.2), ylim=(-(ROWS - 1) * GAP - 0.6, 1.0), aspect="equal")
    ax.set_axis_off()
    return fig


def features(images: Array, colours: Named[Array]) -> Figure:
    """Draw pictures uint8 (B, 3, H, W) above one row per encoder of their patches' colours, {encoder: (B, h, w, 3)}."""
    rows = {"picture": images, **colours}
    fig, axes = new_axes(len(rows), len(images), 2.6 * len(images), 2.0 * len(rows), layout="compressed")
    for row, (name, values) in zip(axes, rows.items(), strict=True):
        row[0].set_ylabel(name)
        for ax, value in zip(row, np.asarray(values), strict=True):
            draw_image(ax, value)
    return fig


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    ax.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=9, color="0.45", lw=0.9))

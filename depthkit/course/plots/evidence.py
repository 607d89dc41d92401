"""Figures of stored measurements: learning curves, and scores of several recipes on several test sets."""

from itertools import pairwise

import numpy as np

from depthkit.course.plots.basics import Figure, Named, add_grid, new_axes
from depthkit.course.plots.charts import LINES
from depthkit.scoring.statistics import Interval

MARKERS = "os^Dv"


def learning_curve(panels: Named[Named[dict[int, Interval]]], live: dict[int, Interval] | None = None) -> Figure:
    """Draw scores over the number of training images, {panel: {model: {images: score}}}, with 95 % intervals.

    `live` is drawn as crosses in every panel: {images: score} of what the notebook measured itself.
    """
    fig, axes = new_axes(1, max(len(panels), 1), 5.2 * max(len(panels), 1), 3.6, sharey=True)
    for ax, (title, models) in zip(axes[0], panels.items(), strict=False):
        for style, marker, (name, points) in zip(LINES, MARKERS, models.items(), strict=False):
            mean, low, high = np.array([[score[key] for key in ("mean", "low", "high")] for score in points.values()]).T
            ax.fill_between(list(points), low, high, color=style["color"], alpha=0.12, lw=0)
            ax.plot(list(points), mean, marker=marker, ms=5, lw=1.6, label=name, **style)
        if live:
            ax.plot(list(live), [score["mean"] for score in live.values()], "kx", ms=7, label="two numbers, live")
        counts = sorted({images for points in models.values() for images in points} | set(live or ()))
        ticks = [tick for before, tick in pairwise([0, *counts]) if tick > 1.2 * before]
        ax.set(xscale="log", xlabel="training images", title=title)
        ax.set_xticks(ticks, [str(tick) for tick in ticks])
        ax.minorticks_off()
        add_grid(ax, legend=True)
    axes[0, 0].set_ylabel("AbsRel on the test rooms")
    return fig


def grouped_scores(groups: Named[Named[Interval]], ylabel: str = "AbsRel (lower is better)") -> Figure:
    """Draw scores with their intervals side by side, {test set: {recipe: score}}; a recipe keeps its colour."""
    recipes = list(dict.fromkeys(recipe for scores in groups.values() for recipe in scores))
    fig, ((ax,),) = new_axes(1, 1, 8.6, 3.4)
    for k, recipe in enumerate(recipes):
        places = [(x, scores[recipe]) for x, scores in enumerate(groups.values()) if recipe in scores]
        x = np.array([x for x, _ in places]) + 0.2 * (k - (len(recipes) - 1) / 2)
        mean, low, high = np.array([[score[key] for key in ("mean", "low", "high")] for _, score in places]).T
        ax.errorbar(x, mean, [mean - low, high - mean], fmt=MARKERS[k], color=LINES[k]["color"], ms=6, label=recipe)
    ax.set_xticks(range(len(groups)), list(groups))
    ax.set(ylabel=ylabel, ylim=(0, None))
    add_grid(ax, legend=bool(recipes))
    return fig

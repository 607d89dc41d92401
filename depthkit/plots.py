"""The figures of the course, in one colour convention: near is bright, what was not measured is grey.

Every function draws and returns a matplotlib figure; the notebook shows it.
"""

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt

DEPTH_CMAP = mpl.colormaps["magma_r"].with_extremes(bad="0.6")
ERROR_CMAP = mpl.colormaps["viridis"].with_extremes(bad="0.6")


def draw_depth(ax, depth, near=None, far=None, title=None):
    """One depth map (H, W), metres, holes (0) in grey, limits `near` and `far` shared where maps are compared."""
    depth = np.asarray(depth, dtype=float)
    shown = ax.imshow(
        np.ma.masked_where(depth <= 0, depth), cmap=DEPTH_CMAP, vmin=near, vmax=far, interpolation="nearest"
    )
    return _finish(ax, shown, title)


def draw_image(ax, image, title=None):
    """One picture: (H, W, 3) or (3, H, W), uint8."""
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
        len(items), columns, figsize=(2.6 * columns, 2.1 * len(items)), layout="constrained", squeeze=False
    )
    for row, item, maps in zip(axes, items, depths, strict=True):
        truth = np.asarray(item["depth"])
        near, far = depth_limits(truth)
        draw_image(row[0], item["image"], "image")
        depth_shown = draw_depth(row[1], truth, near, far, "truth")
        fig.colorbar(depth_shown, ax=row[1], shrink=0.85).set_label("m")
        for k, (name, depth) in enumerate(zip(names, maps, strict=True)):
            draw_depth(row[2 + 2 * k], depth, near, far, name)
            error = np.ma.masked_where(truth <= 0, np.abs(depth - truth) / np.maximum(truth, 1e-3))
            shown = row[3 + 2 * k].imshow(error, cmap=ERROR_CMAP, vmin=0, vmax=0.5)
            _finish(row[3 + 2 * k], shown, f"|error| / truth, mean {error.mean():.2f}")
        fig.colorbar(shown, ax=row[-1], shrink=0.85)
    return fig


def history(rows, baseline=None):
    """Curves of `history.json`: training loss, AbsRel (with the best constant depth's, if given) and learning rates."""
    epochs = [row["epoch"] for row in rows]
    fig, (loss, score, rate) = plt.subplots(1, 3, figsize=(12, 3.2), layout="constrained")
    loss.plot(epochs, [row["train_loss"] for row in rows], "o-", ms=3)
    loss.set(title="training loss", xlabel="epoch", ylabel="loss")
    score.plot(epochs, [row["abs_rel"] for row in rows], "o-", ms=3, label="model")
    if baseline is not None:
        score.axhline(baseline, color="0.4", ls="--", label="best constant depth")
        score.legend()
    score.set(title="validation AbsRel", xlabel="epoch", ylabel="AbsRel (lower is better)", ylim=(0, None))
    for part, style in (("encoder", "o-"), ("decoder", "s-")):
        rate.plot(epochs, [row[f"lr_{part}"] for row in rows], style, ms=3, label=part)
    rate.set(title="learning rate after the epoch", xlabel="epoch", ylabel="learning rate", ylim=(0, None))
    rate.legend()
    for ax in (loss, score, rate):
        ax.grid(alpha=0.3)
    return fig


def schedules(factors, total, labels):
    """Learning-rate factors over `total` optimiser steps, one curve a function."""
    fig, ax = plt.subplots(figsize=(6, 2.8), layout="constrained")
    for factor, label in zip(factors, labels, strict=True):
        ax.plot(range(total), [factor(step) for step in range(total)], label=label)
    ax.set(xlabel="optimiser step", ylabel="factor of the learning rate", ylim=(0, 1.05))
    ax.legend()
    ax.grid(alpha=0.3)
    return fig


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

"""The figures of the course, in one colour convention: near is bright, what was not measured is grey.

Every function draws and returns a matplotlib figure; the notebook shows it.
"""

from itertools import chain

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt

DEPTH_CMAP = mpl.colormaps["magma_r"].with_extremes(bad="0.6")
ERROR_CMAP = mpl.colormaps["viridis"].with_extremes(bad="0.6")
DISPARITY_CMAP = mpl.colormaps["magma"].with_extremes(bad="0.6")
MAP_CMAPS = {"depth": DEPTH_CMAP, "disparity": DISPARITY_CMAP, "error": ERROR_CMAP}
# Colours that stay apart for colour-blind eyes (Okabe & Ito 2008), and dashes for lines that lie on one another.
LINES = [
    {"color": colour, "ls": dashes}
    for colour, dashes in zip(
        ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00"),
        ("-", "--", "-.", ":", "--", "-"),
        strict=True,
    )
]


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
        ax.xaxis.get_major_locator().set_params(integer=True)
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


def grid(rows, titles, kind="depth", label=None, limits=None, own_bars=False, side=2.6):
    """Maps in rows, a title for each: "depth" in metres, "disparity" (high is near), or "error"; NaN and holes grey.

    Args:
        rows, titles: lists of lists, alike in length; None leaves a place empty.
        limits: (low, high) for all; None takes them from all the maps together.
        own_bars: instead, limits from 0 to its own 99th percentile and a colour bar for each map, of errors.
    """
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
        drawn = ax.imshow(m, cmap=MAP_CMAPS[kind], vmin=low, vmax=high, interpolation="nearest")
        _finish(ax, drawn, title)
        if own_bars:
            fig.colorbar(drawn, ax=ax, shrink=0.8, extend="max")
    if not own_bars:
        _colour_bar(
            fig, drawn, axes, label or {"depth": "depth (m)", "disparity": "disparity (1/m)"}.get(kind, "error")
        )
    return fig


def histograms(series, labels):
    """Distributions of the same maps before and after a normalisation, {title: list of (N,) arrays}, outlines only."""
    fig, axes = plt.subplots(1, len(series), figsize=(5.2 * len(series), 2.9), layout="constrained", squeeze=False)
    for ax, (title, arrays) in zip(axes[0], series.items(), strict=True):
        bins = np.linspace(*np.percentile(np.concatenate(arrays), [0.2, 99.8]), 80)
        for values, label, style in zip(arrays, labels, LINES, strict=False):
            ax.hist(
                values, bins, density=True, histtype="step", lw=1.8, label=label, ls=style["ls"], color=style["color"]
            )
        ax.set(title=title, xlabel="value", ylabel="share of pixels per unit")
        ax.grid(alpha=0.3)
    axes[0, -1].legend(fontsize=8)
    return fig


def landscapes(values, scales, shifts, titles, labels, xlabel, ylabel):
    """Losses over scale (across, logarithmic) and shift (up), arrays (scales, shifts); NaN grey, + at scale 1, shift 0.

    Colour goes with the root of the loss, so that valleys show; contours at 1, 5, 20 and 50 % of the bar's end.
    """
    fig, axes = plt.subplots(1, len(values), figsize=(4.1 * len(values), 3.3), layout="constrained", sharey=True)
    for ax, value, title, label in zip(axes, values, titles, labels, strict=True):
        value = np.ma.masked_invalid(np.asarray(value, dtype=float).T)
        top = max(np.percentile(value.compressed(), 95), 0.05)
        norm = mpl.colors.PowerNorm(0.5, 0, top)
        shown = ax.pcolormesh(scales, shifts, value, cmap=ERROR_CMAP, norm=norm, shading="nearest", rasterized=True)
        if value.max() > 0.01 * top:
            ax.contour(scales, shifts, value, np.array([0.01, 0.05, 0.2, 0.5]) * top, colors="w", linewidths=0.7)
        else:
            ax.text(0.5, 0.85, "0 everywhere", color="w", ha="center", transform=ax.transAxes)
        ax.plot(1, 0, "+", color="#ff7f50", ms=13, mew=2.5)
        ax.set_xscale("log", base=2)
        ax.xaxis.set_major_formatter(mpl.ticker.FormatStrFormatter("%g"))
        ax.set(title=title, xlabel=xlabel, facecolor="0.6")
        fig.colorbar(shown, ax=ax, extend="max", label=label)
    axes[0].set_ylabel(ylabel)
    return fig


def curves(panels, x, xlabel, ylabel, xscale="linear", yscale="linear"):
    """Lines over a common `x`, {panel title: {name: values}}; the same name looks the same in all panels."""
    fig, axes = plt.subplots(
        1, len(panels), figsize=(5.6 * len(panels), 3.2), layout="constrained", sharey=True, squeeze=False
    )
    for ax, (title, lines) in zip(axes[0], panels.items(), strict=True):
        for style, (name, values) in zip(LINES, lines.items(), strict=False):
            ax.plot(x, values, label=name, lw=1.8, **style)
        ax.set(title=title, xlabel=xlabel, xscale=xscale, yscale=yscale)
        ax.grid(alpha=0.3)
    axes[0, 0].set_ylabel(ylabel)
    axes[0, -1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return fig


def score_matrix(scores, better):
    """A table of numbers, {row: {metric: value}}, each column coloured from its best row (dark) to its worst (bright).

    `better` names for each metric "low" or "high".
    """
    rows, columns = list(scores), list(better)
    table = np.array([[scores[row][column] for column in columns] for row in rows], dtype=float)
    cost = np.where([better[column] == "low" for column in columns], table, 1 - table)
    colour = cost / np.maximum(cost.max(0), 1e-9)
    fig, ax = plt.subplots(figsize=(1.15 * len(columns) + 2.6, 0.42 * len(rows) + 1.1), layout="constrained")
    shown = ax.imshow(colour, cmap=ERROR_CMAP, vmin=0, vmax=1, aspect="auto")
    for (i, j), value in np.ndenumerate(table):
        ax.text(j, i, f"{value:.3f}", ha="center", va="center", color="k" if colour[i, j] > 0.6 else "w", fontsize=9)
    arrows = {"low": "↓", "high": "↑"}
    ax.set_xticks(range(len(columns)), [f"{column} {arrows[better[column]]}" for column in columns])
    ax.set_yticks(range(len(rows)), rows)
    ax.tick_params(length=0)
    fig.colorbar(shown, ax=ax, label="share of the column's worst")
    return fig


def alignment_fits(pred, depth, disparity_fit, depth_fit, points=4000):
    """One affine disparity against 1 / depth and against depth, (N,) arrays of valid pixels, with both linear fits.

    Each fit is (scale, shift). The curve on the right is the left line, inverted.
    """
    chosen = np.random.default_rng(0).permutation(len(pred))[:points]
    line = np.linspace(pred.min(), pred.max(), 200)
    right_line, wrong_line = (scale * line + shift for scale, shift in (disparity_fit, depth_fit))
    fig, (left, right) = plt.subplots(1, 2, figsize=(10.5, 3.5), layout="constrained")
    left.scatter(pred[chosen], 1 / depth[chosen], s=3, color="0.55", rasterized=True)
    left.plot(line, right_line, **LINES[0], lw=2, label="fit in disparity")
    left.set(title="right: disparity against 1 / depth", ylabel="1 / true depth (1/m)")
    right.scatter(pred[chosen], depth[chosen], s=3, color="0.55", rasterized=True)
    right.plot(
        line[right_line > 0.1], 1 / right_line[right_line > 0.1], **LINES[0], lw=2, label="fit in disparity, inverted"
    )
    right.plot(line, wrong_line, **LINES[1], lw=2, label="fit in depth")
    right.set(title="wrong: disparity against depth", ylabel="true depth (m)")
    for ax in (left, right):
        ax.set_xlabel("prediction (affine disparity, no unit)")
        ax.grid(alpha=0.3)
        ax.legend(fontsize=8)
    return fig


def flow(rows, heads, colours):
    """A table drawn as chains of boxes, left to right: rows of texts under `heads`; `colours` is {text: colour}."""
    fig, ax = plt.subplots(figsize=(2.35 * len(heads), 0.78 * len(rows) + 0.5), layout="constrained")
    for j, head in enumerate(heads):
        ax.text(j, -0.62, head, ha="center", va="center", fontsize=10, weight="bold")
    for i, row in enumerate(rows):
        for j, text in enumerate(row):
            ax.text(
                j, i, text, ha="center", va="center", fontsize=9,
                bbox={"boxstyle": "round,pad=0.45", "fc": colours.get(text, "0.95"), "ec": "0.4"},
            )  # fmt: skip
            if j:
                ax.annotate("", (j - 0.39, i), (j - 0.61, i), arrowprops={"arrowstyle": "->", "color": "0.4"})
    ax.set(xlim=(-0.55, len(heads) - 0.45), ylim=(len(rows) - 0.5, -0.85))
    ax.set_axis_off()
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

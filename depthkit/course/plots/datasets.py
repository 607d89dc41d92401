"""Figures of a data set: what its files hold, how its frames spread, and what the loader makes of them."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle

from depthkit.course.plots.basics import Array, Axes, Box, Figure, Named, Sample, Texts, new_axes, new_charts
from depthkit.course.plots.charts import LINES
from depthkit.course.plots.maps import ERROR_CMAP, depth_limits, draw_depth, draw_image

MARK = "#00E5FF"  # lines over photos and depth maps


def splits(sets: Named[Sequence[Sample]]) -> Figure:
    """Draw pictures above their depth maps, {split: samples of it}, side by side on one depth scale."""
    named = [(name, item) for name, items in sets.items() for item in items]
    near, far = depth_limits(*(item["depth"] for _, item in named))
    fig, axes = new_axes(2, len(named), 1.6 * len(named) + 0.9, 2.7, layout="compressed")
    for column, (name, item) in zip(axes.T, named, strict=True):
        draw_image(column[0], item["image"], name)
        shown = draw_depth(column[1], item["depth"], near, far)
    fig.colorbar(shown, ax=axes, shrink=0.85).set_label("depth (m)")
    return fig


def close_ups(items: Sequence[Sample], labels: Texts, box: Box) -> Figure:
    """Draw one row per sample: picture and depth, each beside an enlarged detail of it; one depth scale for all.

    Args:
        items: samples of a data set.
        box: the detail as (top, left, height, width), pixels.
    """
    top, left, height, width = box
    detail = (slice(top, top + height), slice(left, left + width))
    near, far = depth_limits(*(item["depth"] for item in items))
    fig, axes = new_axes(len(items), 4, 7.9, 1.5 * len(items), layout="compressed")
    for row, item, label in zip(axes, items, labels, strict=True):
        draw_image(row[0], item["image"], label)
        draw_image(row[1], item["image"][:, *detail], "detail")
        draw_depth(row[2], item["depth"], near, far, "depth, holes grey")
        shown = draw_depth(row[3], item["depth"][detail], near, far, "detail")
        for ax in (row[0], row[2]):
            ax.add_patch(Rectangle((left, top), width, height, fill=False, ec=MARK, lw=1.5))
    fig.colorbar(shown, ax=axes, shrink=0.8).set_label("depth (m)")
    return fig


def pictures(
    rows: Sequence[Sequence[Array]], titles: Sequence[Texts], outlines: Sequence | None = None, side: float = 2.2
) -> Figure:
    """Draw photos in rows of equal length, uint8 (H, W, 3); True pixels of `outlines`, bool (H, W), are painted."""
    height = side * rows[0][0].shape[0] / rows[0][0].shape[1] + 0.28
    fig, axes = new_axes(len(rows), len(rows[0]), side * len(rows[0]), height * len(rows), layout="compressed")
    for (i, j), ax in np.ndenumerate(axes):
        image = np.array(rows[i][j])
        if outlines is not None:
            image[np.asarray(outlines[i][j])] = (0, 229, 255)  # MARK
        draw_image(ax, image, titles[i][j])
    return fig


def sensor_traces(
    spectra: Named[tuple[Array, Array]], steps: Named[tuple[Array, Array]],
    law: Callable[[Array], Array], law_label: str,
) -> Figure:  # fmt: skip
    """Draw what a sensor leaves behind: loss of detail in pictures, and rounding in depth.

    Args:
        spectra: {name: (frequency, power)}, cycles per pixel.
        steps: {name: (depth, step)}, metres: each stored depth and the distance to the next larger one.
        law: function of depth, metres → metres, drawn over the steps.
    """
    fig, ((left, right),) = new_charts(1, 2, 10.4, 3.3)
    for style, (name, (frequency, power)) in zip(LINES, spectra.items(), strict=False):
        left.plot(frequency, power, lw=1.8, label=name, **style)
    left.set(title="pictures: power by spatial frequency", xlabel="frequency (cycles per pixel)", yscale="log")
    left.set_ylabel("power (grey levels², median)")
    for style, (name, (depth, step)) in zip(LINES, steps.items(), strict=False):
        right.plot(depth, 1000 * np.asarray(step), ".", ms=3, alpha=0.35, color=style["color"], label=name)
    low, high = np.percentile(np.concatenate([depth for depth, _ in steps.values()]), [1, 99])
    line = np.linspace(low, high, 100)
    right.plot(line, 1000 * law(line), "k--", lw=1.5, label=law_label)
    right.set(title="depth maps: step to the next stored value", xlabel="depth (m)", ylabel="step (mm)", yscale="log")
    for ax in (left, right):
        for handle in ax.legend(fontsize=8).legend_handles:
            handle.set_alpha(1)
    return fig


def depth_distribution(depths: Named[Array]) -> Figure:
    """Draw depth histograms, {name: (N,) metres}, without the holes, each with its median as a thin line."""
    measured = {name: np.asarray(values)[np.asarray(values) > 0] for name, values in depths.items()}
    edges = np.linspace(0, np.percentile(np.concatenate(list(measured.values())), 99.9), 37).tolist()
    fig, ((ax,),) = new_charts(1, 1, 8, 2.9)
    for style, (name, values) in zip(LINES, measured.items(), strict=False):
        middle = np.median(values)
        ax.hist(values, edges, density=True, histtype="step", lw=1.8, label=f"{name}, median {middle:.2f} m", **style)
        ax.axvline(middle, lw=1, **style)
    ax.set(xlabel="depth (m)", ylabel="share of pixels per metre")
    ax.legend(fontsize=8)
    return fig


def hole_position(shares: Named[Array], aspect: float = 0.75) -> Figure:
    """Draw where in the frame depth is missing: the share of frames with a hole, and its means over columns and rows.

    Args:
        shares: {name: (H, W) in 0 to 1}; the first is shown as a map, all as profiles. Axes go from 0 to 1 of the side.
        aspect: height over width of the frame.
    """
    fig, ((first, across, down),) = new_axes(1, 3, 11.5, 3.2)
    name, share = next(iter(shares.items()))
    shown = first.imshow(share, cmap=ERROR_CMAP, vmin=0, vmax=max(np.percentile(share, 98), 0.01), extent=(0, 1, 1, 0))
    first.set(title=f"{name}: share of frames with a hole", xlabel="across", ylabel="down")
    first.set_aspect(aspect)
    fig.colorbar(shown, ax=first, shrink=0.85, extend="max")
    for style, (name, share) in zip(LINES, shares.items(), strict=False):
        for ax, axis in ((across, 0), (down, 1)):
            values = np.asarray(share).mean(axis)
            ax.plot((np.arange(len(values)) + 0.5) / len(values), values, label=name, lw=1.8, **style)
    across.set(title="mean over each column", xlabel="across, 0 = left edge")
    down.set(title="mean over each row", xlabel="down, 0 = top edge")
    for ax in (across, down):
        ax.set(ylabel="share of holes", ylim=(-0.02, None))
        ax.grid(alpha=0.3)
        ax.legend(fontsize=8)
    return fig


def hash_distances(distances: Named[Array], limit: int) -> Figure:
    """Draw histograms of distances in 64 bits, {kind of pair: (N,)}, one below the other, and the limit for "near"."""
    fig, axes = new_charts(len(distances), 1, 8, 1.35 * len(distances) + 0.4, sharex=True)
    for ax, style, (name, values) in zip(axes[:, 0], LINES, distances.items(), strict=False):
        near = np.count_nonzero(np.asarray(values) <= limit)
        ax.hist(values, np.arange(-0.5, 65), color=style["color"])
        ax.axvline(limit + 0.5, color="k", ls="--", lw=1)
        ax.set_title(f"{name}: {near} of {len(values)} pairs at most {limit} bits apart", fontsize=9)
        ax.set_ylabel("pairs")
    axes[-1, 0].set(xlabel="Hamming distance (of 64 bits)", xlim=(-1, 64))
    return fig


def geometry_steps(image: Array, resized: Array, crop: Array, left: int, patch: int = 14) -> Figure:
    """Draw the way of one picture into the network, all panels to one scale: as stored, resized, cropped into patches.

    Args:
        image, resized, crop: uint8 (H, W, 3), each of its own size.
        left: first column of `resized` that is in the crop.
    """
    steps = {"stored": image, "resized": resized, "crop": crop}
    widths = [picture.shape[1] for picture in steps.values()]
    fig, axes = plt.subplots(1, 3, figsize=(8.2, 2.5), layout="constrained", width_ratios=widths, sharey=True)
    for ax, (name, picture) in zip(axes, steps.items(), strict=True):
        height, width = picture.shape[:2]
        draw_image(ax, picture, f"{name}: {height} × {width} = {height / patch:.4g} × {width / patch:.4g} patches")
        ax.set(xlim=(-0.5, width - 0.5), ylim=(resized.shape[0] - 0.5, -0.5), frame_on=False)
    height, width = crop.shape[:2]
    axes[1].add_patch(Rectangle((left, 0), width - 1, height - 1, fill=False, ec=MARK, lw=2))
    style = {"color": "w", "lw": 0.4, "alpha": 0.7}
    axes[2].vlines(np.arange(0, width + 1, patch) - 0.5, -0.5, height - 0.5, **style)
    axes[2].hlines(np.arange(0, height + 1, patch) - 0.5, -0.5, width - 0.5, **style)
    return fig


def flying_pixels(depth: Array, box: Box, views: Named[tuple[Array, Array]]) -> Figure:
    """Draw a strip of a depth map seen from above, resized in several ways: points that hang between two surfaces.

    Args:
        depth: (H, W), metres, as stored.
        box: the strip in it as (top, left, height, width), pixels.
        views: {name: (points, flying)}: points (N, 3), metres, and bool (N,), True where a point is on no surface.
    """
    fig, axes = plt.subplots(1, 1 + len(views), figsize=(3.6 + 2.5 * len(views), 2.9), layout="constrained")
    shown = draw_depth(axes[0], depth, *depth_limits(depth), title="the strip, in its depth map")
    top, left, height, width = box
    axes[0].add_patch(Rectangle((left, top), width, height, fill=False, ec=MARK, lw=2))
    fig.colorbar(shown, ax=axes[0], shrink=0.8).set_label("depth (m)")
    for ax, (name, (points, flying)) in zip(axes[1:], views.items(), strict=True):
        x, _, z = np.asarray(points).T
        ax.plot(x[~flying], z[~flying], ".", ms=4, color=LINES[0]["color"], label="on a surface")
        ax.plot(x[flying], z[flying], "x", ms=5, color=LINES[1]["color"], label="flying")
        ax.set_title(f"{name}: {int(flying.sum())} flying", fontsize=9)
        ax.set_xlabel("x, across (m)")
        ax.grid(alpha=0.3)
        if ax is not axes[1]:
            ax.sharex(axes[1])
            ax.sharey(axes[1])
            ax.tick_params(labelleft=False)
    axes[1].set_ylabel("z, depth (m)")
    axes[-1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return fig


def throughput(rates: Named[dict[int, Sequence[float]]], stages: Named[Named[float]]) -> Figure:
    """Draw images per second by number of loader workers, and where the time of one image goes.

    Args:
        rates: {pipeline: {workers: [images per second of each pass]}}; bars are medians, whiskers span all.
        stages: {pipeline: {stage: milliseconds}}, in the order of work.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(11.5, 3.3), layout="constrained", width_ratios=[1, 1.25])
    workers = list(next(iter(rates.values())))
    for k, (style, (name, passes)) in enumerate(zip(LINES, rates.items(), strict=False)):
        low, middle, high = np.array([(min(passes[n]), np.median(passes[n]), max(passes[n])) for n in workers]).T
        spread = [middle - low, high - middle]
        places = np.arange(len(workers)) + 0.38 * k - 0.19
        bars = left.bar(places, middle, 0.36, color=style["color"], label=name, yerr=spread, capsize=3)
        left.bar_label(bars, [f"{m:.0f}" for m in middle], fontsize=8, padding=2)
    left.set_xticks(range(len(workers)), workers)
    left.set(title="images per second (more is better)", xlabel="loader workers (0: in the main process)")
    left.margins(y=0.25)
    left.legend(fontsize=8, loc="upper center", ncols=len(rates))
    _stage_bars(right, stages)
    return fig


def _stage_bars(ax: Axes, stages: Named[Named[float]]) -> None:
    names = dict.fromkeys(stage for parts in stages.values() for stage in parts)
    colours = {stage: f"C{k}" for k, stage in enumerate(names)}
    for place, parts in enumerate(stages.values()):
        ms = np.array(list(parts.values()))
        ends = ms.cumsum()
        ax.barh(place, ms, 0.55, left=ends - ms, color=[colours[stage] for stage in parts], label=list(parts))
        ax.text(ends[-1], place, f" {ends[-1]:.0f} ms", va="center", fontsize=9)
    handles, labels = ax.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    ax.legend(unique.values(), unique, fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1))
    ax.set_yticks(range(len(stages)), stages)
    ax.set(title="one image, stage by stage", xlabel="milliseconds")
    ax.invert_yaxis()
    ax.margins(x=0.12)

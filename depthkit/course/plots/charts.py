"""Charts: curves, histograms, landscapes and tables drawn as pictures."""

from collections.abc import Sequence
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.patches import FancyBboxPatch, Rectangle

from depthkit.course.plots.basics import Array, Axes, Figure, Limits, Named, Scale, Texts, new_axes, new_charts
from depthkit.course.plots.maps import ERROR_CMAP, as_picture, draw_depth

# Colours that stay apart for colour-blind eyes (Okabe & Ito 2008), and dashes for lines that lie on one another.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00")
DASHES = ("-", "--", "-.", ":", "--", "-")
LINES: list[dict[str, Any]] = [{"color": colour, "ls": dash} for colour, dash in zip(COLOURS, DASHES, strict=True)]


def history(rows: Sequence[Named[float]], baseline: float) -> Figure:
    """Draw `history.json`: training loss, AbsRel (and the best constant depth's, `baseline`) and learning rates."""
    epochs = [row["epoch"] for row in rows]
    fig, ((loss, score, rate),) = new_charts(1, 3, 12, 3.2)
    loss.plot(epochs, [row["train_loss"] for row in rows], "o-", ms=3)
    loss.set(title="training loss", xlabel="epoch", ylabel="loss")
    score.plot(epochs, [row["abs_rel"] for row in rows], "o-", ms=3, label="model")
    score.axhline(baseline, color="0.4", ls="--", label="best constant depth")
    score.legend(loc="lower left")
    score.set(title="AbsRel where the epoch is picked", xlabel="epoch", ylabel="AbsRel (lower is better)")
    score.set_ylim(0)
    rate.plot(epochs, [row["lr_encoder"] for row in rows], "o-", ms=3, label="encoder")
    rate.plot(epochs, [row["lr_decoder"] for row in rows], "s-", ms=3, label="decoder")
    rate.set(title="learning rate after the epoch", xlabel="epoch", ylabel="learning rate", ylim=(0, None))
    rate.legend()
    for ax in (loss, score, rate):
        whole_numbers(ax)
    return fig


def schedules(factors: Named[Sequence[float]], rates: Named[float]) -> Figure:
    """Draw learning rates by optimiser step, from {label: the factor of each step} and {part: its full rate}."""
    fig, axes = new_charts(1, len(rates), 5 * len(rates), 2.8)
    for ax, (part, rate) in zip(axes[0], rates.items(), strict=True):
        for (label, factor), style in zip(factors.items(), LINES, strict=False):
            ax.plot(rate * np.asarray(factor), label=label, **style)
        ax.set(title=part, xlabel="optimiser step", ylabel="learning rate", ylim=(0, 1.05 * rate))
        ax.ticklabel_format(axis="y", scilimits=(0, 0))
    axes[0, 0].legend(fontsize=8)
    return fig


def curves(
    panels: Named[Named[Array]], x: Array, xlabel: str, ylabel: str, xscale: Scale = "linear", yscale: Scale = "linear"
) -> Figure:
    """Draw lines over a common `x`, {panel title: {name: values}}; the same name looks the same in all panels.

    On a logarithmic x the ticks are powers of two, as plain numbers.
    """
    fig, axes = new_charts(1, len(panels), 5.6 * len(panels), 3.2, sharey=True)
    for ax, (title, lines) in zip(axes[0], panels.items(), strict=True):
        for style, (name, values) in zip(LINES, lines.items(), strict=False):
            ax.plot(x, values, label=name, lw=1.8, **style)
        ax.set(title=title, xlabel=xlabel, yscale=yscale)
        if xscale == "log":
            _powers_of_two(ax)
    axes[0, 0].set_ylabel(ylabel)
    axes[0, -1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return fig


def histograms(series: Named[Sequence[Array]], labels: Texts, xlabels: Texts) -> Figure:
    """Draw outlines of the distributions of the same maps before and after a normalisation, {title: (N,) arrays}."""
    fig, axes = new_charts(1, len(series), 5.2 * len(series), 2.9)
    for ax, (title, arrays), xlabel in zip(axes[0], series.items(), xlabels, strict=True):
        low, high = np.percentile(np.concatenate(arrays), [0.2, 99.8])
        bins = np.linspace(low, high, 80)
        for values, label, style in zip(arrays, labels, LINES, strict=False):
            ax.hist(values, bins, density=True, histtype="step", lw=1.8, label=label, **style)
        ax.set(title=title, xlabel=xlabel, ylabel="density (area under a line = 1)")
    axes[0, 0].legend(fontsize=8)
    return fig


def landscapes(
    values: Sequence[Array], scales: Array, shifts: Array, titles: Texts, labels: Texts, xlabel: str, ylabel: str,
    end: float | None = None,
) -> Figure:  # fmt: skip
    """Draw losses, arrays (scales, shifts), over scale (across, logarithmic) and shift (up).

    NaN is grey, and a + marks scale 1 and shift 0. Colour goes with the root of the loss, so that valleys show, up to
    `end` if it is given; contours are at 5, 20 and 50 % of the bar's end.
    """
    fig, (axes,) = new_axes(1, len(values), 3.9 * len(values), 3.1, sharey=True)
    for ax, value, title, label in zip(axes, values, titles, labels, strict=True):
        loss = np.ma.masked_invalid(np.asarray(value, dtype=float).T)
        top = end or max(np.percentile(loss.compressed(), 95), 0.05)
        norm = mpl.colors.PowerNorm(0.5, 0, top)
        style = {"cmap": ERROR_CMAP.resampled(64), "norm": norm, "shading": "nearest", "rasterized": True}
        shown = ax.pcolormesh(scales, shifts, loss, **style)
        if loss.max() > 0.01 * top:
            ax.contour(scales, shifts, loss, np.array([0.05, 0.2, 0.5]) * top, colors="w", linewidths=0.7)
        else:
            ax.text(0.5, 0.85, "0 everywhere", color="w", ha="center", transform=ax.transAxes)
        ax.plot(1, 0, "+", color="#ff7f50", ms=13, mew=2.5)
        _powers_of_two(ax)
        ax.set(title=title, xlabel=xlabel, facecolor="0.6")
        fig.colorbar(shown, ax=ax, extend="max", label=label)
    axes[0].set_ylabel(ylabel)
    return fig


def row_and_costs(rows: Named[Array], costs: Named[float], worst: Named[float], limits: Limits) -> Figure:
    """Draw one row of pixels of several maps, {name: (W,)}, within `limits`, beside what each loss says, as bars.

    A bar is the loss as a share of its `worst` value, so that losses in different units fit one axis.
    """
    fig, ((row, bars),) = new_axes(1, 2, 7.2, 2.6, layout=None, width_ratios=[1.7, 1])
    fig.subplots_adjust(0.1, 0.19, 0.99, 0.9, wspace=0.55)
    for style, (name, values) in zip(LINES, rows.items(), strict=False):
        row.plot(values, lw=1.8, label=name, **style)
    row.set(ylim=limits, xlabel="column", ylabel="disparity (1/m)", title="one row of pixels")
    row.grid(alpha=0.3)
    row.legend(fontsize=8, loc="upper right")
    shown = bars.barh(list(costs), [costs[name] / worst[name] for name in costs], color=COLOURS[: len(costs)])
    bars.bar_label(shown, [f"{value:.3f}" for value in costs.values()], padding=3, fontsize=9)
    bars.set(xlim=(0, 1.3), xlabel="share of the worst here", title="losses and their values")
    bars.invert_yaxis()
    return fig


def whole_numbers(ax: Axes) -> None:
    """Put the ticks of the x axis at whole numbers."""
    ax.xaxis.set_major_locator(mpl.ticker.MaxNLocator("auto", steps=[1, 2, 2.5, 5, 10], integer=True))


def _powers_of_two(ax: Axes) -> None:
    """Make the x axis logarithmic, with ticks that read 0.25, 0.5, 1, 2."""
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter(mpl.ticker.FormatStrFormatter("%g"))


def alignment_fits(pred: Array, depth: Array, disparity_fit: Limits, depth_fit: Limits) -> Figure:
    """Draw one affine disparity against 1 / depth and against depth, (N,) valid pixels, with both linear fits.

    Each fit is (scale, shift). The curve on the right is the left line, inverted.
    """
    chosen = np.random.default_rng(0).permutation(len(pred))[:900]
    line = np.linspace(pred.min(), pred.max(), 200)
    right_line, wrong_line = (scale * line + shift for scale, shift in (disparity_fit, depth_fit))
    fig, ((left, right),) = new_charts(1, 2, 10.5, 3.5)
    left.scatter(pred[chosen], 1 / depth[chosen], s=3, color="0.55", rasterized=True)
    left.plot(line, right_line, **LINES[0], lw=2, label="fit in disparity")
    left.set(title="as it should be: fitted to 1 / depth", ylabel="1 / true depth (1/m)")
    right.scatter(pred[chosen], depth[chosen], s=3, color="0.55", rasterized=True)
    far = right_line > 0.1  # nearer than 10 m
    right.plot(line[far], 1 / right_line[far], **LINES[0], lw=2, label="fit in disparity, inverted")
    right.plot(line, wrong_line, **LINES[1], lw=2, label="fit in depth")
    right.set(title="the mistake: fitted to depth", ylabel="true depth (m)")
    for ax in (left, right):
        ax.set_xlabel("prediction (affine disparity, no unit)")
        ax.legend(fontsize=8)
    return fig


def score_matrix(scores: Named[Named[float]], better: Named[Literal["low", "high"]]) -> Figure:
    """Draw a table of numbers, {row: {metric: value}}, coloured column by column as a share of its worst: dark is good.

    `better` names for each metric "low" or "high" (then the share missing to 1 counts). A column whose rows all agree
    stays grey.
    """
    rows, columns = list(scores), list(better)
    table = np.array([[scores[row][column] for column in columns] for row in rows], dtype=float)
    cost = np.where([better[column] == "low" for column in columns], table, 1 - table)
    colour = _share_of_worst(cost)
    fig, ax = plt.subplots(figsize=(1.15 * len(columns) + 2.6, 0.42 * len(rows) + 1.1), layout="constrained")
    shown = ax.imshow(colour, cmap=ERROR_CMAP, vmin=0, vmax=1, aspect="auto")
    for (i, j), value in np.ndenumerate(table):
        ax.text(j, i, f"{value:.3f}", ha="center", va="center", color=_ink(colour[i, j]), fontsize=9)
    arrows = {"low": "↓", "high": "↑"}
    ax.set_xticks(range(len(columns)), [f"{column} {arrows[better[column]]}" for column in columns])
    ax.set_yticks(range(len(rows)), rows)
    ax.tick_params(length=0)
    fig.colorbar(shown, ax=ax, label="share of the column's worst")
    return fig


def verdicts(image: Array, maps: Named[Array], scores: Named[Sequence[float]], limits: Limits) -> Figure:
    """Draw a picture and several depth maps of it, {name: (H, W) metres}, above the value of each loss for each map.

    `scores` is {loss: one value per map}; a row is coloured as a share of its worst value, dark is cheap. `limits` are
    the nearest and farthest depth of the colours.
    """
    image = as_picture(image)
    height, line = image.shape[0] / image.shape[1], 0.2
    columns, bottom = len(maps) + 1, -line * len(scores) - 0.04
    fig, ax = plt.subplots(figsize=(1.6 * columns + 0.8, 1.6 * (height - bottom + 0.2)), layout="constrained")
    ax.text(0.5, height + 0.04, "the picture", ha="center", va="bottom", fontsize=9)
    ax.imshow(image, extent=(0.02, 0.98, 0, height))
    for j, (name, values) in enumerate(maps.items(), 1):
        ax.text(j + 0.5, height + 0.04, name, ha="center", va="bottom", fontsize=9)
        shown = draw_depth(ax, values, *limits)
        shown.set_extent((j + 0.02, j + 0.98, 0, height))
    for i, (loss, costs) in enumerate(scores.items()):
        y = -0.04 - (i + 0.5) * line
        ax.text(0.94, y, loss, ha="right", va="center", fontsize=9)
        for j, (value, share) in enumerate(zip(costs, _share_of_worst(np.array(costs)), strict=True), 1):
            ax.add_patch(Rectangle((j + 0.02, y - 0.45 * line), 0.96, 0.9 * line, color=ERROR_CMAP(share)))
            ax.text(j + 0.5, y, f"{value:.3f}", ha="center", va="center", color=_ink(share), fontsize=9)
    ax.set(xlim=(0, columns), ylim=(bottom, height + 0.15))
    ax.set_axis_off()
    fig.colorbar(shown, ax=ax, label="depth (m)", shrink=0.45, anchor=(0, 0.9), aspect=10, pad=0.01, extend="both")
    return fig


def _share_of_worst(cost: Array) -> np.ma.MaskedArray:
    """Divide each cost by the largest in its column, from 0 to 1; masked where all are the same to a thousandth."""
    worst, best = cost.max(0, keepdims=True), cost.min(0, keepdims=True)
    share = cost / np.maximum(worst, 1e-9)
    return np.ma.masked_where(np.broadcast_to(worst - best <= 1e-3 * worst, cost.shape), share)


def _ink(share: Any) -> str:
    """Return a text colour that can be read on that share's colour; masked cells are grey."""
    return "k" if np.ma.is_masked(share) or share > 0.6 else "w"


def flow(rows: Sequence[Texts], heads: Texts, colours: Named[str]) -> Figure:
    """Draw a table as chains of boxes, left to right: rows of texts under `heads`; `colours` is {text: colour}."""
    fig, ax = plt.subplots(figsize=(2.5 * len(heads), 0.7 * len(rows) + 0.5), layout="constrained")
    for j, head in enumerate(heads):
        ax.text(j, -0.66, head, ha="center", va="center", fontsize=10, weight="bold")
    for i, row in enumerate(rows):
        for j, text in enumerate(row):
            fill = colours.get(text, "0.95")
            ax.add_patch(FancyBboxPatch((j - 0.37, i - 0.3), 0.74, 0.6, "round,pad=0.02", fc=fill, ec="0.4"))
            ax.text(j, i, text, ha="center", va="center", fontsize=9)
            if j:
                ax.annotate("", (j - 0.39, i), (j - 0.61, i), arrowprops={"arrowstyle": "->", "color": "0.4"})
    ax.set(xlim=(-0.45, len(heads) - 0.55), ylim=(len(rows) - 0.6, -0.9))
    ax.set_axis_off()
    return fig

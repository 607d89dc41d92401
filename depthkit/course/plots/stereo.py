"""Figures of stereo: an estimate beside the truth, and what the baseline does to an error."""

import numpy as np

from depthkit.course.plots.basics import Array, Figure, new_axes
from depthkit.course.plots.cameras import add_bar
from depthkit.course.plots.charts import LINES
from depthkit.course.plots.maps import depth_limits, draw_depth, draw_map


def against_truth(truth: Array, estimate: Array, name: str, worst: float = 0.1) -> Figure:
    """Draw an estimate (H, W), metres, with holes (0), on the truth's scale, and its relative error up to `worst`."""
    both = (truth > 0) & (estimate > 0)
    error = np.ma.masked_where(~both, np.abs(estimate - truth) / np.maximum(truth, 1e-3))
    fig, (axes,) = new_axes(1, 2, 7.6, 3.2)
    add_bar(fig, axes[0], draw_depth(axes[0], estimate, *depth_limits(truth), title=name), "depth (m)")
    shown = draw_map(axes[1], error[::2, ::2], "error", f"|error| / truth, mean {error.mean():.3f}", 0, worst)
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

"""The figures of the course, in one colour convention: near is bright, what was not measured is grey.

Every function draws and returns a matplotlib figure; the notebook shows it. (`draw_*` draw into given axes.)
"""

from depthkit.plots.charts import (
    LINES,
    alignment_fits,
    curves,
    flow,
    histograms,
    history,
    landscapes,
    schedules,
    score_matrix,
)
from depthkit.plots.maps import (
    DEPTH_CMAP,
    DISPARITY_CMAP,
    ERROR_CMAP,
    depth_limits,
    draw_depth,
    draw_image,
    grid,
    predictions,
    samples,
)

__all__ = [
    "DEPTH_CMAP",
    "DISPARITY_CMAP",
    "ERROR_CMAP",
    "LINES",
    "alignment_fits",
    "curves",
    "depth_limits",
    "draw_depth",
    "draw_image",
    "flow",
    "grid",
    "histograms",
    "history",
    "landscapes",
    "predictions",
    "samples",
    "schedules",
    "score_matrix",
]

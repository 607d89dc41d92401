# ruff: noqa: F401, I001 (the list of all figures, packed)
"""The figures of the course, in one colour convention: near is bright, what was not measured is grey.

Every function draws and returns a matplotlib figure; the notebook shows it. (`draw_*` draw into given axes.)
"""

from depthkit.course.plots.basics import describe
from depthkit.course.plots.cameras import (
    against_truth, labels_against_truth, matching, overview, planar_and_ray, probes, slices, stored, strip,
    timeline, twins,
)  # fmt: skip
from depthkit.course.plots.charts import (
    LINES, alignment_fits, curves, flow, histograms, history, landscapes, schedules, score_matrix, verdicts,
)  # fmt: skip
from depthkit.course.plots.datasets import (
    close_ups, depth_distribution, flying_pixels, geometry_steps, hash_distances, hole_position, pictures,
    sensor_traces, splits, throughput,
)  # fmt: skip
from depthkit.course.plots.maps import (
    DEPTH_CMAP, DISPARITY_CMAP, ERROR_CMAP, depth_limits, draw_depth, draw_image, grid, predictions, samples,
)  # fmt: skip
from depthkit.course.plots.networks import architecture, features
from depthkit.course.plots.results import (
    error_profiles, median_depths, point_clouds, ranked, scale_by_focal, score_intervals,
)  # fmt: skip

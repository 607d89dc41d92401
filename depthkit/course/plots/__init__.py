# ruff: noqa: F401, I001 (the list of all figures, packed)
"""The figures of the course, in one colour convention: near is bright, what was not measured is grey.

Every function draws and returns a matplotlib figure; the notebook shows it. (`draw_*` draw into given axes.)
"""

from depthkit.course.plots.basics import describe
from depthkit.course.plots.cameras import (
    against_truth, baseline_error, labels_against_truth, overview, planar_and_ray, probes, slices, stored, timeline,
    twins, view_cloud,
)  # fmt: skip
from depthkit.course.plots.charts import (
    LINES, alignment_fits, curves, flow, histograms, history, landscapes, row_and_costs, schedules, score_matrix,
    verdicts,
)  # fmt: skip
from depthkit.course.plots.datasets import (
    close_ups, depth_distribution, flying_pixels, geometry_steps, hash_distances, hole_position, pictures,
    sensor_traces, splits, throughput,
)  # fmt: skip
from depthkit.course.plots.maps import (
    DEPTH_CMAP, DISPARITY_CMAP, ERROR_CMAP, depth_limits, draw_depth, draw_image, grid, predictions, samples,
)  # fmt: skip
from depthkit.course.plots.moving import compare, slider
from depthkit.course.plots.networks import architecture, pipeline
from depthkit.course.plots.results import (
    error_profiles, grouped_scores, learning_curve, point_clouds, scale_by_focal, score_intervals,
)  # fmt: skip

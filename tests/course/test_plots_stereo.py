"""Figures of stereo: what is drawn is what was given."""

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pytest
from matplotlib import pyplot as plt

from depthkit.course import plots

DEPTH = np.linspace(1, 4, 30)[:, None] + np.zeros((30, 40))


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_error_is_relative_and_masked_where_either_is_missing():
    estimate = 1.05 * DEPTH
    estimate[:10] = 0
    truth = DEPTH.copy()
    truth[:, 30:] = 0
    fig = plots.against_truth(truth, estimate, "stereo")
    error = fig.axes[1].images[0].get_array()
    assert np.allclose(error.compressed(), 0.05) and error.mask[:5].all() and error.mask[:, 15:].all()
    assert "mean 0.050" in fig.axes[1].get_title()
    assert fig.axes[0].images[0].get_clim() == plots.depth_limits(truth)


def test_a_baseline_gives_its_disparity_and_the_depths_that_fit_it():
    depth = DEPTH.copy()
    depth[0, 0] = 0
    fig = plots.baseline_error(depth, 1000.0, 0.1, 0.2)
    shown = fig.axes[0].images[0].get_array()
    assert shown.mask.sum() == 1 and shown[-1, 0] == pytest.approx(1000 * 0.1 / 4)
    assert shown.max() < fig.axes[0].images[0].get_clim()[1] == pytest.approx(2 * shown.max(), rel=0.1)
    corners = fig.axes[1].collections[0].get_paths()[0].vertices
    z = corners[:, 0].max()
    fits = corners[np.isclose(corners[:, 0], z), 1]
    disparity = 1000 * 0.1 / z
    assert (fits.min(), fits.max()) == pytest.approx((100 / (disparity + 1), 100 / (disparity - 1)))

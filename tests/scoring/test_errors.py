"""What is said about scores, on records and maps whose answers are known."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers import tree

from depthkit.course.tables import markdown_table
from depthkit.course.walls import fit_plane, largest_wall
from depthkit.data.datasets import thinned
from depthkit.models.build import build_model
from depthkit.scoring.baselines import ConstantDepth, InverseDepth
from depthkit.scoring.errors import binned_errors, edge_distance
from depthkit.scoring.evaluate import evaluate
from depthkit.scoring.protocol import Protocol
from depthkit.scoring.statistics import paired_difference


def records(scores, names=None):
    names = names or [f"val/{i}.h5" for i in range(len(scores))]
    return [{"name": name, "abs_rel": score} for name, score in zip(names, scores, strict=True)]


def test_paired_difference_drops_what_is_common():
    """Scores from 0.1 to 0.9, always 0.01 apart: far narrower than either mean is known."""
    hard = np.linspace(0.1, 0.9, 20)
    result = paired_difference(records(hard + 0.01), records(hard))
    assert (result["mean"], result["low"], result["high"]) == pytest.approx((0.01, 0.01, 0.01), abs=1e-12)
    assert result["images"] == 20


def test_paired_difference_has_the_interval_of_the_mean():
    noise = np.random.default_rng(1).normal(0.02, 0.1, 400)
    result = paired_difference(records(1 + noise), records(np.ones(400)))
    assert result["mean"] == pytest.approx(noise.mean())
    assert result["high"] - result["low"] == pytest.approx(2 * 1.96 * noise.std() / 20, rel=0.1)


def test_pairs_go_by_name_and_skipped_images_take_no_part():
    one = records([0.3, 0.1, None], ["a", "b", "c"])
    other = records([0.2, 0.1, 0.2], ["c", "b", "a"])
    result = paired_difference(one, other)
    assert result["mean"] == pytest.approx(0.05) and result["images"] == 2
    with pytest.raises(ValueError, match="2 image"):
        paired_difference(one, records([0.1, 0.1, 0.1], ["a", "b", "z"]))


def test_binned_errors_by_hand():
    t = np.array([[1.0, 2.0, 4.0, 4.0]])
    p = np.array([[1.1, 1.8, 5.0, 99.0]])
    mask = np.array([[True, True, True, False]])
    result = binned_errors([t], [p], [t], [mask], [0, 1.5, 3, 3.5, 4])
    np.testing.assert_allclose(result["abs_rel"], np.repeat([[0.1], [0.1], [np.nan], [0.25]], 3, axis=1))
    np.testing.assert_allclose(result["bias"][:, 0], [0.1, -0.1, np.nan, 0.25])
    np.testing.assert_allclose(result["share"], [1 / 3, 1 / 3, 0, 1 / 3])


def test_bins_pool_pixels_and_resample_images():
    """Two images, 10 % and 30 % off: the mean is 20 %, and draws of two reach from one to the other."""
    t = [np.ones((2, 2))] * 2
    result = binned_errors(t, [1.1 * t[0], 0.7 * t[1]], t, [np.ones((2, 2), bool)] * 2, [0, 2])
    np.testing.assert_allclose(result["abs_rel"], [[0.2, 0.1, 0.3]])
    np.testing.assert_allclose(result["bias"], [[-0.1, -0.3, 0.1]])


def test_edge_distance_counts_from_a_step():
    depth = np.where(np.arange(10) < 5, 1.0, 2.0)[None] + np.zeros((4, 1))
    np.testing.assert_allclose(edge_distance(depth, depth > 0)[0], [4, 3, 2, 1, 0, 0, 1, 2, 3, 4], atol=1e-4)


def test_slants_and_holes_are_no_edges():
    slant = 2.0 * 1.05 ** np.arange(10)[None] + np.zeros((4, 1))
    assert np.isinf(edge_distance(slant, slant > 0)).all()
    assert (edge_distance(slant, slant > 0, ratio=1.04) == 0).all()
    slant[1, 4] = 0
    assert np.isinf(edge_distance(slant, slant > 0)).all()


def test_plane_of_points_on_one():
    """z = 3 + 0.5 x: normal along (0.5, 0, −1), towards the camera; noise along it is the rms."""
    rng = np.random.default_rng(0)
    points = np.column_stack([xy := rng.uniform(-1, 1, (4000, 2)), 3 + 0.5 * xy[:, 0]])
    direction = np.array([0.5, 0, -1]) / np.sqrt(1.25)
    normal, rms = fit_plane(points)
    np.testing.assert_allclose(normal, direction, atol=1e-9)
    assert rms < 1e-9
    assert fit_plane(points + rng.normal(0, 0.05, (4000, 1)) * direction)[1] == pytest.approx(0.05, rel=0.05)


def test_largest_wall_is_the_wall_even_where_the_floor_is_larger():
    rng = np.random.default_rng(0)
    wall = np.column_stack([rng.uniform(-1, 1, (300, 2)), np.full(300, 4.0)])
    floor = np.column_stack([rng.uniform(-1, 1, 600), np.full(600, 1.2), rng.uniform(1, 4, 600)])
    found = largest_wall(np.vstack([floor, wall, rng.uniform(-1, 1, (100, 3))]))
    assert found[600:900].all() and found[:600].mean() < 0.05 and found[900:].mean() < 0.1
    with pytest.raises(ValueError, match="no standing plane"):
        largest_wall(floor)


def test_thinned_keeps_both_ends_and_names(tmp_path):
    dataset = tree(tmp_path, [np.full((28, 28), depth) for depth in (1.0, 2.0, 3.0, 4.0, 5.0)])
    few = thinned(dataset, 3)
    assert [few[i]["name"] for i in range(3)] == [dataset[i]["name"] for i in (0, 2, 4)]
    assert len(thinned(dataset, 9)) == len(dataset) == 5


def test_inverse_depth_is_aligned_as_disparity(tmp_path):
    """A metric model that is right up to 1/p = a/t + b scores 0 once it is read as disparity."""
    depth = np.repeat([1.0, 2.0, 4.0, 5.0], 7)[None] + np.zeros((28, 1))
    dataset = tree(tmp_path, [depth])

    class Biased(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(()))
            self.config = SimpleNamespace(depth_estimation_type="metric", input_size=28)

        def forward(self, pixel_values):
            said = torch.from_numpy(1 / (0.5 / depth + 0.3)).float()
            return SimpleNamespace(predicted_depth=said[None] * self.weight)

    model = Biased()
    (as_it_is,) = evaluate(model, dataset)
    (aligned,) = evaluate(InverseDepth(model), dataset, Protocol(align="disparity"))
    assert as_it_is["abs_rel"] > 0.1 and aligned["abs_rel"] < 1e-6
    assert model.config.depth_estimation_type == "metric"
    with pytest.raises(ValueError, match="disparity already"):
        InverseDepth(build_model("tiny", "relative"))
    assert InverseDepth(ConstantDepth(2.0))(pixel_values=torch.zeros(1, 3, 4, 4)).predicted_depth.unique().item() == 0.5


def test_markdown_table():
    rows = [{"model": "ours", "AbsRel": {"mean": 0.25, "low": 0.2, "high": 0.3}, "δ1": 0.5, "images": 24}]
    assert markdown_table(rows).splitlines() == [
        "| model | AbsRel | δ1 | images |",
        "| --- | --- | --- | --- |",
        "| ours | 0.250 (0.200 to 0.300) | 0.500 | 24 |",
    ]
    near_zero = markdown_table([{"difference": {"mean": -0.0001, "low": -0.0004, "high": 0.0004}, "bias": -0.0001}])
    assert near_zero.splitlines()[-1] == "| 0.000 (0.000 to 0.000) | 0.000 |"

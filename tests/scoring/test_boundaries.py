import numpy as np
import pytest
import torch
from helpers import tree

from depthkit.scoring.boundaries import boundary_f1
from depthkit.scoring.evaluate import evaluate
from depthkit.scoring.statistics import means, paired_difference, summarise

THRESHOLDS = np.linspace(1.05, 1.25, 10)


def oracle(pred, target, mask):
    """Pair by pair and threshold by threshold, in float64."""
    height, width = target.shape
    scores = []
    for threshold in THRESHOLDS:
        said, there, both = np.zeros(4), np.zeros(4), np.zeros(4)
        for y in range(height):
            for x in range(width):
                for direction, (dy, dx) in enumerate(((0, 1), (0, -1), (1, 0), (-1, 0))):
                    v, u = y + dy, x + dx
                    if not (0 <= v < height and 0 <= u < width and mask[y, x] and mask[v, u]):
                        continue
                    p, t = pred[y, x] / pred[v, u] > threshold, target[y, x] / target[v, u] > threshold
                    said[direction] += p
                    there[direction] += t
                    both[direction] += p and t
        precision, recall = np.mean(both / np.maximum(said, 1)), np.mean(both / np.maximum(there, 1))
        scores.append(2 * precision * recall / (precision + recall) if precision + recall else 0)
    return np.average(scores, weights=THRESHOLDS)


@pytest.fixture
def scene():
    rng = np.random.default_rng(2)
    target = np.cumsum(rng.uniform(-0.4, 0.4, (3, 14, 17)), axis=2) + rng.uniform(3, 6, (3, 14, 1))
    pred = target * rng.lognormal(0, 0.05, target.shape)
    mask = rng.random(target.shape) > 0.15
    return tuple(torch.from_numpy(x) for x in (pred, np.abs(target) + 0.5, mask))


def test_against_a_walk_over_all_pairs(scene):
    pred, target, mask = scene
    pred = pred.abs() + 0.1
    expected = [oracle(*(x[i].numpy() for x in scene_of)) for scene_of in [(pred, target, mask)] for i in range(3)]
    assert boundary_f1(pred, target, mask).tolist() == pytest.approx(expected, abs=1e-5)
    assert 0.2 < min(expected) < max(expected) < 0.95


def test_no_scale_matters_and_holes_bound_nothing(scene):
    pred, target, mask = scene
    pred = pred.abs() + 0.1
    clean = boundary_f1(pred, target, mask)
    assert torch.allclose(boundary_f1(pred * 7, target, mask), clean, atol=1e-4)
    for junk in (0.0, -1.0, 1e30, float("nan"), float("inf")):
        p, t = pred.clone(), target.clone()
        p[~mask], t[~mask] = junk, junk
        assert torch.equal(boundary_f1(p, t, mask), clean)


def test_by_hand():
    """A step from 1 m to 1.12 m: above the thresholds 1.05 to 1.117, of ten; one of four directions has it."""
    target = torch.ones(1, 4, 6)
    target[..., 3:] = 1.12
    mask = torch.ones_like(target, dtype=torch.bool)
    share = THRESHOLDS[:4].sum() / THRESHOLDS.sum()
    assert boundary_f1(target, target, mask).item() == pytest.approx(0.25 * share, rel=1e-5)
    assert boundary_f1(1 / target, target, mask).item() == 0  # the other side is nearer
    late = torch.ones(1, 4, 6)
    late[..., 4:] = 1.12
    assert boundary_f1(late, target, mask).item() == 0  # a pixel beside it
    assert boundary_f1(target, torch.ones_like(target), mask).isnan().all()  # nothing to find
    assert boundary_f1(torch.ones_like(target), target, mask).item() == 0


def test_records_and_summaries_hold_it_beside_the_other_scores(tmp_path):
    """A flat wall has no boundary: its record says None, and the mean is over the other image."""
    step = np.ones((28, 28))
    step[:, 14:] = 2.0
    dataset = tree(tmp_path, [step, np.ones((28, 28))])

    class Exact(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.from_numpy(step).float())
            self.config = type("Config", (), {"depth_estimation_type": "metric", "input_size": 28})()

        def forward(self, pixel_values):
            return type("Output", (), {"predicted_depth": self.weight[None]})()

    records = evaluate(Exact(), dataset)
    assert records[0]["boundary_f1"] == pytest.approx(0.25) and records[1]["boundary_f1"] is None
    for average in ("image", "pixel"):
        summary = summarise(records, average)["boundary_f1"]
        assert (summary["mean"], summary["low"], summary["high"]) == pytest.approx((0.25, 0.25, 0.25))
    assert means(records)["boundary_f1"] == pytest.approx(0.25)
    assert paired_difference(records, records, "boundary_f1")["images"] == 1


def test_records_without_it_are_summarised_as_before(tmp_path):
    from depthkit.scoring.baselines import ConstantDepth

    records = evaluate(ConstantDepth(2.0), tree(tmp_path, [np.full((28, 28), 1.0)] * 2))
    without = [{key: value for key, value in record.items() if key != "boundary_f1"} for record in records]
    assert summarise(without) == summarise(records)  # no image has a boundary: nothing to tell
    assert "boundary_f1" not in summarise(records)

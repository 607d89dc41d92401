import math

import numpy as np
import pytest
import torch

from depthkit.masked import MIN_VALID
from depthkit.scoring.metrics import METRICS, depth_metrics, metric_sums, metrics_from_sums

JUNK = [0.0, -3.0, 50.0, float("nan"), float("inf"), -float("inf")]


def reference(p, t):
    """Every score of one image from its valid pixels, in float64, as formulas have it."""
    p, t = np.asarray(p, np.float64), np.asarray(t, np.float64)
    g = np.log(p) - np.log(t)
    ratio = np.maximum(p / t, t / p)
    return {
        "abs_rel": np.mean(np.abs(p - t) / t),
        "sq_rel": np.mean((p - t) ** 2 / t),
        "rmse": np.sqrt(np.mean((p - t) ** 2)),
        "rmse_log": np.sqrt(np.mean(g**2)),
        "log10": np.mean(np.abs(np.log10(p) - np.log10(t))),
        "mae": np.mean(np.abs(p - t)),
        "silog": np.sqrt(np.mean(g**2) - 0.5 * np.mean(g) ** 2),
        "d1": np.mean(ratio < 1.25),
        "d2": np.mean(ratio < 1.25**2),
        "d3": np.mean(ratio < 1.25**3),
    }


@pytest.fixture
def batch():
    rng = np.random.default_rng(1)
    target = rng.uniform(0.3, 9, (4, 10, 14)).astype(np.float32)
    pred = (target * rng.lognormal(0.1, 0.3, target.shape)).astype(np.float32)
    mask = rng.random(target.shape) > np.array([0.1, 0.5, 0.8, 0.3])[:, None, None]
    return torch.from_numpy(pred), torch.from_numpy(target), torch.from_numpy(mask)


def test_scores_by_hand():
    """Twice the depth at 2 m in half of the pixels, exact in the rest."""
    target = torch.full((1, 4, 4), 2.0)
    pred = target.clone()
    pred[:, :2] = 4.0
    scores = {name: value.item() for name, value in depth_metrics(pred, target, pred > 0).items()}
    log2 = math.log(2)
    assert scores == pytest.approx(
        {
            "abs_rel": 0.5,
            "sq_rel": 1.0,
            "rmse": math.sqrt(2),
            "rmse_log": log2 / math.sqrt(2),
            "log10": math.log10(2) / 2,
            "mae": 1.0,
            "silog": math.sqrt(log2**2 / 2 - 0.5 * (log2 / 2) ** 2),
            "d1": 0.5,
            "d2": 0.5,
            "d3": 0.5,
        },
        rel=1e-12,
    )


def test_scores_of_a_batch_are_those_of_each_image(batch):
    pred, target, mask = batch
    scores = depth_metrics(pred, target, mask)
    assert tuple(scores) == METRICS
    for i in range(len(pred)):
        expected = reference(pred[i][mask[i]].numpy(), target[i][mask[i]].numpy())
        assert {name: value[i].item() for name, value in scores.items()} == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("power", [1, 2, 3])
def test_thresholds_are_strict_on_both_sides(power):
    """1.25, 1.5625 and 1.953125 are exact in binary: a ratio of just that is a miss, one step less is a hit."""
    bound = np.float32(1.25**power)
    inside = np.nextafter(bound, np.float32(1))
    for p, t, hit in ((bound, 1, 0), (inside, 1, 1), (1, bound, 0), (1, inside, 1)):
        pred, target = (torch.full((1, 4, 4), float(x)) for x in (p, t))
        assert depth_metrics(pred, target, pred > 0)[f"d{power}"].item() == hit


@pytest.mark.parametrize("junk", JUNK)
def test_holes_do_not_matter_whatever_stands_in_them(batch, junk):
    pred, target, mask = batch
    clean = depth_metrics(pred, target, mask)
    for spoilt in (pred, target):
        spoilt[~mask] = junk
    for name, value in depth_metrics(pred, target, mask).items():
        assert torch.equal(value, clean[name]), name


def test_silog_halves_the_share_of_a_global_scale(batch):
    _, target, mask = batch
    scores = depth_metrics(3 * target, target, mask)
    assert scores["rmse_log"].numpy() == pytest.approx(math.log(3), rel=1e-6)
    assert scores["silog"].numpy() == pytest.approx(math.log(3) * math.sqrt(0.5), rel=1e-6)


def test_images_with_too_few_pixels_have_no_score():
    pred = torch.full((3, 4, 5), 2.0)
    mask = torch.zeros_like(pred, dtype=torch.bool)
    for image, count in enumerate((0, MIN_VALID - 1, MIN_VALID)):
        mask[image].view(-1)[:count] = True
    assert MIN_VALID == 10
    for name, value in depth_metrics(pred, pred, mask).items():
        assert value[:2].isnan().all() and value[2].item() == (1 if name[0] == "d" else 0), name
    assert metric_sums(pred, pred, mask)["pixels"].tolist() == [0, 9, 10]


@pytest.mark.parametrize("value", [0.0, -2.0])
def test_predictions_that_are_no_depth_are_gross_and_finite_errors(value):
    """−2 m against 2 m has p/t = t/p = −1, below every threshold: it must not count as right."""
    target = torch.full((1, 4, 4), 2.0)
    scores = depth_metrics(torch.full_like(target, value), target, target > 0)
    assert scores["abs_rel"].item() == (2 - value) / 2 and scores["rmse"].item() == 2 - value
    assert scores["rmse_log"].item() == pytest.approx(math.log(2 / 1e-6), rel=1e-6)
    assert scores["log10"].item() == pytest.approx(math.log10(2 / 1e-6), rel=1e-6)
    assert [scores[f"d{k}"].item() for k in (1, 2, 3)] == [0, 0, 0]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_prediction_that_is_not_finite_shows(batch, value):
    pred, target, mask = batch
    first = mask[1].nonzero()[0]
    pred[1, first[0], first[1]] = value
    scores = depth_metrics(pred, target, mask)
    for name in METRICS:
        assert not scores[name][1].isfinite() and scores[name][[0, 2, 3]].isfinite().all(), name


def test_added_sums_are_the_score_of_all_pixels_together(batch):
    """Pooled rmse is no mean of rmse: roots are taken once."""
    pred, target, mask = batch
    sums = metric_sums(pred, target, mask)
    pooled = metrics_from_sums({name: value.sum(0, keepdim=True) for name, value in sums.items()})
    expected = reference(pred[mask].numpy(), target[mask].numpy())
    assert {name: value.item() for name, value in pooled.items()} == pytest.approx(expected, rel=1e-10)
    assert depth_metrics(pred, target, mask)["rmse"].mean().item() != pytest.approx(expected["rmse"], rel=1e-3)


def test_sums_are_float64():
    """A million errors of 0.1 in float32 steps would drift; float64 has them to 1e-12."""
    target = torch.full((1, 1000, 1000), 1.0)
    pred = torch.full_like(target, 1.1)
    scores = depth_metrics(pred, target, target > 0)
    assert all(value.dtype == torch.float64 for value in scores.values())
    assert scores["mae"].item() == pytest.approx(float(np.float32(1.1)) - 1, rel=1e-12)


def test_wrong_arguments_are_refused(batch):
    pred, target, mask = batch
    with pytest.raises(ValueError, match=r"one shape \(B, H, W\)"):
        depth_metrics(pred[:, :-1], target, mask)
    with pytest.raises(TypeError, match="mask must be bool"):
        depth_metrics(pred, target, mask.to(torch.uint8))

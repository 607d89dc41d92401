"""The usual scores of depth maps, image by image. Align first where a prediction needs it; nothing here does.

Sums come first and scores from sums, so that a mean over images and a score pooled over pixels see the same arithmetic.
"""

import math

import torch
from torch import Tensor

from depthkit.masked import MIN_VALID, check_maps

METRICS = ("abs_rel", "sq_rel", "rmse", "rmse_log", "log10", "mae", "silog", "d1", "d2", "d3")
FLOOR = 1e-6  # metres; logarithms and ratios see predictions at or below 0 as this


def depth_metrics(pred: Tensor, target: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Score predicted depth against measured depth (B, H, W), each image on its own.

    With p, t in metres and g = log p − log t, over the valid pixels: abs_rel = mean |p−t|/t; sq_rel = mean (p−t)²/t;
    rmse = √mean (p−t)²; rmse_log = √mean g²; log10 = mean |log10 p − log10 t|; mae = mean |p−t|; d1, d2, d3 = share
    of pixels with max(p/t, t/p) < 1.25, 1.25², 1.25³ (strictly); silog = √(mean g² − 0.5 (mean g)²), as the authors
    of Depth Anything V2 report it. ZoeDepth and Marigold put 1 for 0.5, times 100: not comparable. (Eigen 2014, arXiv
    1406.2283, sec. 4; for silog `metric_depth/util/metric.py` of Depth Anything V2.)

    A prediction at or below 0 is no depth: logarithms and ratios see 1e-6 m, a gross finite error. Targets are above 0
    where `mask` is True; holes may hold anything.

    Returns: {metric: (B,)} for each name in METRICS. All NaN where an image has fewer than MIN_VALID valid pixels:
    skip it, count it, say so. NaN or inf in a prediction, at a valid pixel, makes that image's scores NaN or inf.
    Raises: ValueError or TypeError as `check_maps` does.
    """
    return metrics_from_sums(metric_sums(pred, target, mask))


def metric_sums(pred: Tensor, target: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Sum what the scores of `depth_metrics` are made of, {name: (B,)}, and count valid "pixels".

    In float64, but float32 on Apple's mps, which has no other.
    """
    check_maps(pred, target, mask)
    dtype = torch.float32 if pred.device.type == "mps" else torch.float64
    pred, target = (torch.where(mask, depth.to(dtype), 1.0) for depth in (pred, target))  # holes add 0 to every sum
    error = pred - target
    squared = error**2
    positive = pred.clamp_min(FLOOR)
    log_error = positive.log() - target.log()
    terms = {
        "abs_rel": error.abs() / target,
        "sq_rel": squared / target,
        "squared": squared,
        "squared_log": log_error**2,
        "log": log_error,
        "abs_log": log_error.abs(),
        "mae": error.abs(),
    }
    sums = {"pixels": mask.sum((1, 2)).to(dtype)} | {name: term.sum((1, 2)) for name, term in terms.items()}
    ratio = torch.maximum(positive / target, target / positive)
    broken = ~ratio.isfinite().all(2).all(1)  # a NaN must not pass for a mere miss
    for power in (1, 2, 3):
        within = (mask & (ratio < 1.25**power)).sum((1, 2)).to(dtype)
        sums[f"d{power}"] = within.masked_fill(broken, torch.nan)
    return sums


def metrics_from_sums(sums: dict[str, Tensor]) -> dict[str, Tensor]:
    """Turn sums into the scores in METRICS, {name: (B,)} → {metric: (B,)}; NaN for fewer than MIN_VALID pixels.

    For a score pooled over pixels pass the sums of all scored images added up: roots are then taken once.
    """
    enough = sums["pixels"] >= MIN_VALID
    mean = {name: torch.where(enough, value / sums["pixels"], torch.nan) for name, value in sums.items()}
    scores = mean | {
        "rmse": mean["squared"].sqrt(),
        "rmse_log": mean["squared_log"].sqrt(),
        "log10": mean["abs_log"] / math.log(10),
        "silog": (mean["squared_log"] - 0.5 * mean["log"] ** 2).sqrt(),
    }
    return {name: scores[name] for name in METRICS}

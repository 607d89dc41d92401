"""Whether a prediction has its depth edges where the truth has them: the boundary F1 of Depth Pro."""

import torch
from torch import Tensor

from depthkit.masked import check_maps
from depthkit.scoring.metrics import FLOOR

THRESHOLDS = torch.linspace(1.05, 1.25, 10)


def boundary_f1(pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Score the occluding boundaries of predicted depth, each image on its own; no scale matters.

    A boundary of threshold τ lies between two neighbours whose depths have a ratio above τ, in one of four directions:
    left, right, above or below is the farther. Recall is the share of true boundaries that are predicted, precision the
    share of predicted ones that are true, each as the mean over directions, where one without boundaries counts 0. The
    score is the mean of F1 over ten τ from 1.05 to 1.25, weighted by τ (Bochkovskii 2024, Depth Pro, arXiv 2410.02073,
    and its `eval/boundary_metrics.py`). Here holes bound nothing: both pixels of a pair must be valid. Depth (B, H, W)
    may have any unit; a prediction at or below 0 counts as 1e-6.

    Returns: (B,), float32, 0 to 1; NaN for an image whose truth has no boundary, where there is nothing to find.
    Raises: ValueError or TypeError as `check_maps` does.
    """
    check_maps(pred, target, mask)
    thresholds = THRESHOLDS.to(pred.device)
    pred, target = pred.clamp_min(FLOOR).float(), target.float()
    recall = torch.zeros(len(pred), len(thresholds), device=pred.device)
    precision, boundaries = recall.clone(), recall.clone()
    for dim in (1, 2):
        length = pred.shape[dim] - 1
        (p, q), (t, u), (m, n) = ((x.narrow(dim, 0, length), x.narrow(dim, 1, length)) for x in (pred, target, mask))
        p, t = p / q, t / u
        # Few pairs differ by more than 4 % in either map; the others are below every threshold.
        steps = (m & n & (((p - 1).abs() > 0.04) | ((t - 1).abs() > 0.04))).nonzero(as_tuple=True)
        p, t = p[steps], t[steps]
        for predicted, true in ((p, t), (1 / p, 1 / t)):
            levels = torch.bucketize(predicted, thresholds), torch.bucketize(true, thresholds)
            predicted_there, there, both = (
                _pairs_above(level, steps[0], recall.shape) for level in (*levels, torch.min(*levels))
            )
            recall += both / there.clamp_min(1) / 4
            precision += both / predicted_there.clamp_min(1) / 4
            boundaries += there
    f1 = 2 * precision * recall / (precision + recall).clamp_min(1e-12)
    score = (f1 * thresholds).sum(1) / thresholds.sum()
    return torch.where(boundaries[:, 0] > 0, score, torch.nan)


def _pairs_above(level: Tensor, image: Tensor, shape: torch.Size) -> Tensor:
    """Count the pairs of each image above each threshold, (B, thresholds), where a pair exceeds the first `level`."""
    images, levels = shape[0], shape[1] + 1
    counts = torch.bincount(image * levels + level, minlength=images * levels).view(images, levels)
    return counts.flip(1).cumsum(1).flip(1)[:, 1:]

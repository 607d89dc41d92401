"""Training losses: SiLog for metric depth; scale-and-shift invariance and gradient matching for relative depth.

All take (pred, target, mask), maps (B, H, W), and give a float32 scalar. They compute in float32 whatever autocast
does, never wait for the device, and neither their value nor their gradient depends on what stands in holes.
"""

import torch
from torch import nn

from depthkit.alignment import check_maps, masked_median
from depthkit.metrics import MIN_VALID

FLOOR = 1e-4  # metres; SiLog sees predictions below it as this
MIN_SPREAD = 1e-4  # 1/m; a disparity map of smaller mean deviation counts as flat: it is divided by this instead
EPS = 1e-12  # under SiLog's root, whose slope at 0 is infinite; shifts a loss of 0 to 1e-6


class _MaskedLoss(nn.Module):
    """Check the arguments, leave autocast, and put 1 into holes before any arithmetic.

    Multiplying by the mask afterwards would not do: NaN · 0 is NaN, in the loss and again in its gradient.
    """

    min_valid = 1  # images with fewer valid pixels are treated as if they had none

    def forward(self, pred, target, mask):
        check_maps(pred, target, mask)
        with torch.autocast(pred.device.type, enabled=False):
            mask = mask & (mask.sum((1, 2), keepdim=True) >= self.min_valid)
            pred, target = (torch.where(mask, values.float(), 1.0) for values in (pred, target))
            return self._compute(pred, target, mask)


class SiLogLoss(_MaskedLoss):
    """Scale-invariant logarithmic loss: √(mean g² − λ (mean g)²), g = log pred − log target.

    The means are over all valid pixels of the batch. λ = 0 is the RMSE of the logarithm, λ = 1 ignores a global scale,
    0.5 is the usual mix (Eigen 2014, arXiv 1406.2283, sec. 3.2; with the root, Depth Anything V2,
    `metric_depth/util/loss.py`).

    Predictions and targets are metres; targets are above 0 where valid. A prediction below FLOOR (in fp16 a sigmoid
    ends in exactly 0) counts as FLOOR, and keeps FLOOR's gradient, so that it is still pushed up. A batch without
    valid pixels gives 0, with a gradient of 0.

    Raises: ValueError for λ outside [0, 1], where the root may not exist.
    """

    def __init__(self, lam=0.5):
        super().__init__()
        if not 0 <= lam <= 1:
            raise ValueError(f"lam must lie in [0, 1]; got {lam}")
        self.lam = lam

    def _compute(self, pred, target, mask):
        floored = pred.detach().clamp_min(FLOOR) + (pred - pred.detach())  # value of the clamp, gradient of pred
        g = floored.log() - target.log()  # 0 in holes
        count = mask.sum()
        mean = g.sum() / count.clamp_min(1)
        variance = (torch.where(mask, g - mean, 0.0) ** 2).sum() / count.clamp_min(1)
        # The same as mean g² − λ (mean g)², but a sum of two squares: rounding can't bring it below 0.
        loss = (variance + (1 - self.lam) * mean**2 + EPS).sqrt()
        return torch.where(count > 0, loss, loss * 0)


class ScaleShiftInvariantLoss(_MaskedLoss):
    """Compare disparity maps after taking scale and shift out of both, image by image.

    "median": each map becomes (d − median d) / mean |d − median d|, and the loss is the mean |difference|.
    "least_squares": the target becomes that too, the prediction is fitted to it by least squares, and the loss is the
    mean (difference)². The fit may turn a map upside down at no cost, and a flat prediction has no gradient: prefer
    "median".

    (Ranftl 2020, arXiv 1907.01341, sec. 5, whose trimmed loss divides by all pixels.) Both arguments are disparity
    (1/m, or affine). The loss is the mean over images with at least MIN_VALID = 10 valid pixels, 0 if there is none.
    A map flatter than MIN_SPREAD is divided by MIN_SPREAD: the loss stays finite, and invariance ends there.

    Args:
        trim: share of the pixels, those of the largest residuals of each image, that is left out (MiDaS 0.2, Depth
            Anything V2 0.1 on pseudo-labels); the mean is over the pixels kept.
        alignment: "median" or "least_squares".

    Raises: ValueError for another alignment, or trim outside [0, 1).
    """

    min_valid = MIN_VALID

    def __init__(self, trim=0.0, alignment="median"):
        super().__init__()
        if alignment not in ("median", "least_squares"):
            raise ValueError(f'alignment must be "median" or "least_squares"; got {alignment!r}')
        if not 0 <= trim < 1:
            raise ValueError(f"trim must lie in [0, 1); got {trim}")
        self.trim, self.alignment = trim, alignment

    def _compute(self, pred, target, mask):
        if self.alignment == "median":
            penalty = normalised_residual(pred, target, mask).abs()
        else:
            penalty = _least_squares_residual(pred, normalise_disparity(target, mask), mask) ** 2
        return _mean_over_images(_trimmed_mean(penalty, mask, self.trim), mask)


class GradientMatchingLoss(_MaskedLoss):
    """Sharp edges where the target has them: differences of R = normalised pred − normalised target at several scales.

    Σ over strides 1, 2, 4, … of mean |∂x R| + mean |∂y R|, each mean over the neighbours that are both valid; per
    image, then the mean over images with at least MIN_VALID = 10 valid pixels, 0 if there is none (Ranftl 2020, arXiv
    1907.01341, sec. 5). Both arguments are disparity, normalised as in `ScaleShiftInvariantLoss`; Depth Anything V2
    weighs that loss and this one 1 : 2 (arXiv 2406.09414, sec. 7).
    """

    min_valid = MIN_VALID

    def __init__(self, scales=4):
        super().__init__()
        self.scales = scales

    def _compute(self, pred, target, mask):
        residual = normalised_residual(pred, target, mask)
        per_image = 0.0
        for stride in (2**k for k in range(self.scales)):
            r, m = residual[:, ::stride, ::stride], mask[:, ::stride, ::stride]
            for axis in (1, 2):
                per_image = per_image + _masked_mean(r.diff(dim=axis).abs(), _both_valid(m, axis))
        return _mean_over_images(per_image, mask)


def normalise_disparity(disparity, mask):
    """(d − t) / s with t = median d and s = mean |d − t| over the valid pixels of each image; 0 in holes; (B, H, W).

    Holes must hold finite values. Where s is below MIN_SPREAD, as in a constant image, MIN_SPREAD stands for it.
    """
    centred = torch.where(mask, disparity - masked_median(disparity, mask)[:, None, None], 0.0)
    spread = _masked_mean(centred.abs(), mask)
    return centred / spread.clamp_min(MIN_SPREAD)[:, None, None]


def normalised_residual(pred, target, mask):
    """Difference of the two normalised disparity maps, (B, H, W), 0 in holes: what both relative losses act on."""
    return normalise_disparity(pred, mask) - normalise_disparity(target, mask)


def _least_squares_residual(pred, target, mask):
    """a·pred + b − target with the least-squares (a, b) of each image, differentiable, 0 in holes."""
    p, t = (torch.where(mask, x - _masked_mean(x, mask)[:, None, None], 0.0) for x in (pred, target))
    scale = _masked_mean(p * t, mask) / _masked_mean(p**2, mask).clamp_min(MIN_SPREAD**2)
    return scale[:, None, None] * p - t


def _masked_mean(values, mask):
    """Mean over valid pixels of each image, (B,); 0 where there is none."""
    return torch.where(mask, values, 0.0).sum((1, 2)) / mask.sum((1, 2)).clamp_min(1)


def _trimmed_mean(values, mask, trim):
    """Mean of the valid pixels of each image without its `trim` largest, (B,); 0 where there is none."""
    if trim == 0:
        return _masked_mean(values, mask)
    count = mask.sum((1, 2))
    kept = count - (count * trim).floor().long()
    ordered = torch.where(mask, values, torch.inf).flatten(1).sort(dim=1).values  # holes last
    rank = torch.arange(ordered.shape[1], device=values.device)
    return torch.where(rank < kept[:, None], ordered, 0.0).sum(1) / kept.clamp_min(1)


def _both_valid(mask, axis):
    """Where a pixel and its successor along `axis` are both valid."""
    length = mask.shape[axis] - 1
    return mask.narrow(axis, 0, length) & mask.narrow(axis, 1, length)


def _mean_over_images(per_image, mask):
    """Mean of (B,) over images with a valid pixel; the others hold 0 and take no weight."""
    return per_image.sum() / mask.any(2).any(1).sum().clamp_min(1)

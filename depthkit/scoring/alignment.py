"""Bring relative predictions to metres before they are scored: one scale, or a scale and a shift, per image.

Aligning uses the truth. A score after alignment says how good the shape of a prediction is, and is no score of metric
depth; never report it without the label that says so.
"""

import math

import torch
from torch import Tensor

from depthkit.masked import check_maps, least_squares, masked_mean, masked_median
from depthkit.scoring.protocol import Alignment

# A map whose range is within this share of its largest value is constant up to float32 rounding, as resizing leaves it.
CONSTANT = 1e-6


def fit_scale_shift(pred: Tensor, target: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Solve min over (a, b) of Σ (a·pred + b − target)² over the valid pixels of each image, in float64.

    All are (B, H, W); holes may hold anything. Fit in the quantity the model gives up to scale and shift: for MiDaS and
    Depth Anything that is disparity, so that `target` is 1 / depth (Ranftl 2020, arXiv 1907.01341, sec. 5).

    Returns: (scale, shift), float64 (B,) each. A constant prediction, or a single valid pixel, gets the best constant:
    scale 0, shift mean target. An image without valid pixels gets NaN. Raises: as `check_maps` does.
    """
    pred, target, mask = _exact(pred, target, mask)
    pred, target = torch.where(mask, pred, 0.0), torch.where(mask, target, 0.0)
    spread = torch.where(mask, pred, -torch.inf).amax((1, 2)) - torch.where(mask, pred, torch.inf).amin((1, 2))
    constant = spread <= CONSTANT * pred.abs().amax((1, 2))
    scale, shift = least_squares(pred, target, mask)
    scale = torch.where(constant, 0.0, scale)
    shift = torch.where(constant, masked_mean(target, mask), shift)
    measured = mask.any(2).any(1)
    return torch.where(measured, scale, torch.nan), torch.where(measured, shift, torch.nan)


def is_degenerate(scale: Tensor) -> Tensor:
    """Say whether a fit aligned nothing, (B,) → bool (B,): its scale is 0 (constant), below 0 (reversed) or NaN."""
    return ~(torch.isfinite(scale) & (scale > 0))


def align(
    pred: Tensor, depth: Tensor, mask: Tensor, method: Alignment, max_depth: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """Align `pred` to the true `depth` (metres), image by image; all are (B, H, W), and holes may hold anything.

    Args:
        method: "disparity", for affine disparity, fits scale and shift to 1 / depth, clamps to at least 1 / max_depth
            (metres), then inverts; this is how zero-shot relative models are scored (Ranftl 2020, arXiv 1907.01341;
            Yang 2024, arXiv 2406.09414). "median", for depth up to scale, is `align_median`. "depth" fits scale and
            shift to depth: wrong, though common, for disparity models, because 1 / (a·p + b) is no affine function of
            p and even a perfect prediction is not recovered. It is here to show how far the number moves; its result
            is not clamped and may be below 0.

    Returns: depth float32 (B, H, W), metres, in every pixel; and the fit, a dict of (B,) tensors: `scale`, `shift`
    (float64) and `degenerate` (bool). "depth" is called degenerate for a scale of 0 or NaN alone: disparity runs
    against depth. Raises: ValueError for an unknown method; ValueError or TypeError as `check_maps` does.
    """
    device = pred.device
    pred, depth, mask = _exact(pred, depth, mask)
    if method in ("disparity", "depth"):
        scale, shift = fit_scale_shift(pred, 1 / depth if method == "disparity" else depth, mask)
    elif method == "median":
        scale = masked_median(depth, mask) / masked_median(pred, mask)
        shift = torch.zeros_like(scale)
    else:
        raise ValueError(f'method must be "disparity", "depth" or "median"; got {method!r}')
    aligned = scale[:, None, None] * pred + shift[:, None, None]
    if method == "disparity":
        aligned = 1 / aligned.clamp_min(1 / max_depth)  # first clamp: a disparity at or below 0 has no depth
    fit = {"scale": scale, "shift": shift, "degenerate": is_degenerate(scale.abs() if method == "depth" else scale)}
    return aligned.float().to(device), fit


def align_median(pred: Tensor, depth: Tensor, mask: Tensor) -> Tensor:
    """Return pred · median depth / median pred, float32 (B, H, W), metres (Zhou 2017, arXiv 1704.07813)."""
    return align(pred, depth, mask, "median", math.inf)[0]


def _exact(pred: Tensor, target: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Check the maps and give them in float64, on the CPU where the device (Apple's mps) has none."""
    check_maps(pred, target, mask)
    if pred.device.type == "mps":
        pred, target, mask = pred.cpu(), target.cpu(), mask.cpu()
    return pred.double(), target.double(), mask

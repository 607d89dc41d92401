"""Bring relative predictions to metres before they are scored: one scale, or a scale and a shift, an image.

Aligning uses the truth. A score after alignment says how good the shape of a prediction is, and is no score of metric
depth; never report it without the label that says so.
"""

import torch

# A map whose range is within this share of its largest value is constant up to float32 rounding, as resizing leaves it.
CONSTANT = 1e-6


def check_maps(pred, target, mask):
    """Raise ValueError unless the three are maps (B, H, W) of one shape, TypeError unless the mask is bool."""
    if pred.dim() != 3 or pred.shape != target.shape or pred.shape != mask.shape:
        shapes = ", ".join(str(tuple(x.shape)) for x in (pred, target, mask))
        raise ValueError(f"pred, target and mask must share one shape (B, H, W); got {shapes}")
    if mask.dtype != torch.bool:
        raise TypeError(f"mask must be bool, True where valid; got {mask.dtype}")


def masked_median(values, mask):
    """Median of the valid pixels of each image: (B, H, W) and bool (B, H, W) → (B,); NaN where none is valid.

    An even number of pixels has the mean of its two middle values, as in NumPy. Holes take no part; multiplied by the
    mask, as is often done, they would enter as zeros and pull the median down. The gradient reaches the middle pixels
    alone.
    """
    values, mask = values.flatten(1), mask.flatten(1)
    ranked = torch.where(mask, values.detach(), torch.nan)
    # Each finds the lower of two middle values, and is much faster than sorting.
    middle = torch.stack([ranked.nanmedian(1).indices, (-ranked).nanmedian(1).indices], dim=1)
    median = values.gather(1, middle).mean(1)
    return torch.where(mask.any(1), median, torch.nan)


def fit_scale_shift(pred, target, mask):
    """Solve min over (a, b) of Σ_Ω (a·pred + b − target)², one image at a time, in closed form and float64.

    Fit in the quantity the model gives up to scale and shift: for MiDaS and Depth Anything that is disparity, so that
    `target` is 1 / depth (Ranftl 2020, arXiv 1907.01341, sec. 5, scale- and shift-invariant losses).

    Args:
        pred, target: (B, H, W), in any unit; holes may hold anything.
        mask: bool (B, H, W), True = valid (Ω).

    Returns: (scale, shift), float64 (B,) each. A constant prediction, or a single valid pixel, gets the best
    constant: scale 0, shift mean target. An image without valid pixels gets NaN. `is_degenerate` tells these, and
    reversed fits, apart.

    Raises: ValueError or TypeError as `check_maps` does.
    """
    check_maps(pred, target, mask)
    pred, target, mask = _exact(pred, target, mask)
    pred, target = torch.where(mask, pred, 0.0), torch.where(mask, target, 0.0)
    count = mask.sum((1, 2))
    pred_mean, target_mean = pred.sum((1, 2)) / count, target.sum((1, 2)) / count
    # Centred first: Σp² − (Σp)²/n would lose its digits where the spread is small beside the mean.
    offset = torch.where(mask, pred - pred_mean[:, None, None], 0.0)
    spread = torch.where(mask, pred, -torch.inf).amax((1, 2)) - torch.where(mask, pred, torch.inf).amin((1, 2))
    constant = spread <= CONSTANT * pred.abs().amax((1, 2))
    slope = (offset * target).sum((1, 2)) / (offset**2).sum((1, 2))
    scale = torch.where(constant, 0.0, slope)
    scale = torch.where(count > 0, scale, torch.nan)
    return scale, target_mean - scale * pred_mean


def is_degenerate(scale):
    """Whether a fit aligned nothing, (B,) → bool (B,): its scale is 0 (constant), below 0 (reversed) or NaN.

    The aligned map still is what least squares gives; write this flag into the record beside its score.
    """
    return ~(torch.isfinite(scale) & (scale > 0))


def align(pred, depth, mask, method, max_depth):
    """Align `pred` to the true `depth`, image by image.

    Args:
        pred: (B, H, W): affine disparity for "disparity", depth up to scale for "median", anything for "depth".
        depth: (B, H, W), metres; holes may hold anything.
        mask: bool (B, H, W), True = valid.
        method: "disparity", "median" or "depth"; see `align_disparity`, `align_median` and `align_depth`.
        max_depth: metres; used by "disparity" alone.

    Returns: depth float32 (B, H, W), metres, in every pixel; and the fit, a dict of (B,) tensors: `scale`, `shift`
    (float64) and `degenerate` (bool). "depth" is called degenerate for a scale of 0 or NaN alone: disparity runs
    against depth.

    Raises: ValueError for an unknown method; ValueError or TypeError as `check_maps` does.
    """
    check_maps(pred, depth, mask)
    device = pred.device
    pred, depth, mask = _exact(pred, depth, mask)
    if method == "disparity":
        scale, shift = fit_scale_shift(pred, 1 / depth, mask)
    elif method == "depth":
        scale, shift = fit_scale_shift(pred, depth, mask)
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


def align_disparity(pred_disparity, depth, mask, max_depth):
    """Metres from affine disparity: fit to 1 / depth, clamp to at least 1 / max_depth, then invert; float32 (B, H, W).

    This is how zero-shot relative models are scored (Ranftl 2020, arXiv 1907.01341; Yang 2024, arXiv 2406.09414).
    """
    return align(pred_disparity, depth, mask, "disparity", max_depth)[0]


def align_depth(pred, depth, mask):
    """Scale and shift fitted to depth instead of disparity; float32 (B, H, W), metres, not clamped (may be below 0).

    Right for models that give depth up to scale and shift. Wrong, though common, for disparity models such as MiDaS
    and the relative Depth Anything: depth = 1 / (a·p + b) is no affine function of p, so that even a perfect
    prediction is not recovered. It is here to show how far the number moves.
    """
    return align(pred, depth, mask, "depth", None)[0]


def align_median(pred, depth, mask):
    """pred · median depth / median pred over valid pixels; float32 (B, H, W), metres. For depth up to scale.

    Zhou 2017 (arXiv 1704.07813, sec. 4.1).
    """
    return align(pred, depth, mask, "median", None)[0]


def _exact(pred, target, mask):
    """Maps in float64, on the CPU where the device (Apple's mps) has none."""
    if pred.device.type == "mps":
        pred, target, mask = pred.cpu(), target.cpu(), mask.cpu()
    return pred.double(), target.double(), mask

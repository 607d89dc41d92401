"""Maps with holes: what counts as measured, and medians, means and fits over the measured pixels alone."""

import math
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

MIN_VALID = 10  # an image with fewer valid pixels has no score

Map = TypeVar("Map", Tensor, np.ndarray)


def check_maps(pred: Tensor, target: Tensor, mask: Tensor) -> None:
    """Raise ValueError unless the three are maps (B, H, W) of one shape, TypeError unless the mask is bool."""
    if pred.dim() != 3 or pred.shape != target.shape or pred.shape != mask.shape:
        shapes = ", ".join(str(tuple(x.shape)) for x in (pred, target, mask))
        raise ValueError(f"pred, target and mask must share one shape (B, H, W); got {shapes}")
    if mask.dtype != torch.bool:
        raise TypeError(f"mask must be bool, True where valid; got {mask.dtype}")


def measured(depth: Map) -> Map:
    """Say where `depth` or disparity (array or tensor) was measured: above 0 and finite; bool of the same shape."""
    return (depth > 0) & (depth < math.inf)  # false for NaN


def valid_mask(depth: Map, min_depth: float, max_depth: float) -> Map:
    """Say where `depth` (metres, array or tensor) is finite and within the closed range; bool of the same shape."""
    return (depth >= min_depth) & (depth <= max_depth)  # false for NaN


def masked_median(values: Tensor, mask: Tensor) -> Tensor:
    """Take the median of the valid pixels of each image: (B, H, W) → (B,); NaN where none is valid.

    An even number of pixels has the mean of its two middle values, as in NumPy; the gradient reaches these alone.
    Multiplied by the mask, as is often done, holes would enter as zeros and pull the median down.
    """
    values, mask = values.flatten(1), mask.flatten(1)
    ranked = torch.where(mask, values.detach(), torch.nan)
    # Each finds the lower of two middle values, and is much faster than sorting.
    middle = torch.stack([ranked.nanmedian(1).indices, (-ranked).nanmedian(1).indices], dim=1)
    median = values.gather(1, middle).mean(1)
    return torch.where(mask.any(1), median, torch.nan)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Average the valid pixels of each image, (B, H, W) → (B,); 0 where there is none."""
    return torch.where(mask, values, 0.0).sum((1, 2)) / mask.sum((1, 2)).clamp_min(1)


def least_squares(pred: Tensor, target: Tensor, mask: Tensor, flat: float = 0.0) -> tuple[Tensor, Tensor]:
    """Solve min over (a, b) of Σ_Ω (a·pred + b − target)², one image at a time; (a, b), each (B,), differentiable.

    Where the mean square of pred about its mean is below `flat`, that counts instead, so that a stays finite. Without
    it, a flat prediction has a = NaN.
    """
    pred_mean, target_mean = masked_mean(pred, mask), masked_mean(target, mask)
    # Centred first: Σp² − (Σp)²/n would lose its digits where the spread is small beside the mean.
    p = torch.where(mask, pred - pred_mean[:, None, None], 0.0)
    t = torch.where(mask, target - target_mean[:, None, None], 0.0)
    scale = masked_mean(p * t, mask) / masked_mean(p**2, mask).clamp_min(flat)
    return scale, target_mean - scale * pred_mean

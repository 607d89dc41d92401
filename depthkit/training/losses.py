"""Training losses: SiLog for metric depth; scale-and-shift invariance and gradient matching for relative depth.

All take (pred, target, mask), maps (B, H, W), and give a float32 scalar. They compute in float32 whatever autocast
does, never wait for the device, and neither their value nor their gradient depends on what stands in holes.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from depthkit.data.transforms import normalise
from depthkit.errors import InputError
from depthkit.masked import MIN_VALID, check_maps, least_squares, masked_mean, masked_median, valid_mask
from depthkit.training.config import TrainConfig

LOWEST = 1e-4  # metres; SiLog sees predictions below it as this
MIN_SPREAD = 1e-4  # 1/m; a disparity map of smaller mean deviation counts as flat: it is divided by this instead
EPS = 1e-12  # under SiLog's root, whose slope at 0 is infinite; shifts a loss of 0 to 1e-6


class _MaskedLoss(nn.Module):
    """Check the arguments, leave autocast, and put 1 into holes: NaN · 0 would be NaN in the loss and its gradient."""

    min_valid = 1  # images with fewer valid pixels are treated as if they had none

    def forward(self, pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        check_maps(pred, target, mask)
        with torch.autocast(pred.device.type, enabled=False):
            mask = mask & (mask.sum((1, 2), keepdim=True) >= self.min_valid)
            pred, target = (torch.where(mask, values.float(), 1.0) for values in (pred, target))
            return self._compute(pred, target, mask)

    def _compute(self, pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        raise NotImplementedError


class SiLogLoss(_MaskedLoss):
    """The scale-invariant logarithmic loss is √(mean g² − λ (mean g)²), g = log pred − log target, both metres.

    The means are over all valid pixels of the batch. λ = 0 is the RMSE of the logarithm, λ = 1 ignores a global scale,
    0.5 is the usual mix (Eigen 2014, arXiv 1406.2283, sec. 3.2; with the root, Depth Anything V2,
    `metric_depth/util/loss.py`). A prediction below LOWEST (in fp16 a sigmoid ends in exactly 0) counts as LOWEST and
    keeps its gradient, so that it is still pushed up. A batch without valid pixels gives 0, with a gradient of 0.
    Raises: ValueError for λ outside [0, 1], where the root may not exist.
    """

    def __init__(self, lam: float = 0.5):
        super().__init__()
        if not 0 <= lam <= 1:
            raise ValueError(f"lam must lie in [0, 1]; got {lam}")
        self.lam = lam

    def _compute(self, pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        floored = pred.detach().clamp_min(LOWEST) + (pred - pred.detach())  # value of the clamp, gradient of pred
        g = floored.log() - target.log()  # 0 in holes
        count = mask.sum()
        mean = g.sum() / count.clamp_min(1)
        variance = (torch.where(mask, g - mean, 0.0) ** 2).sum() / count.clamp_min(1)
        # The same as mean g² − λ (mean g)², but a sum of two squares: rounding can't bring it below 0.
        loss = (variance + (1 - self.lam) * mean**2 + EPS).sqrt()
        return torch.where(count > 0, loss, loss * 0)


class ScaleShiftInvariantLoss(_MaskedLoss):
    """Compare disparity maps after taking scale and shift out of both, image by image.

    Both are disparity (1/m, or affine). With alignment "median" each map becomes (d − median d) / mean |d − median d|,
    and the loss is the mean |difference|. With "least_squares" the target becomes that too, the prediction is fitted to
    it, and the loss is the mean (difference)². The fit may turn a map upside down at no cost, and a flat prediction has
    no gradient: prefer "median".

    `trim` is the share of pixels, those of the largest residuals of each image, that is left out (MiDaS 0.2, Depth
    Anything V2 0.1 on pseudo-labels). The mean is over the pixels kept, then over images with at least MIN_VALID valid
    pixels, 0 if there is none (Ranftl 2020, arXiv 1907.01341, sec. 5, whose trimmed loss divides by all pixels). A map
    flatter than MIN_SPREAD is divided by MIN_SPREAD: the loss stays finite, and invariance ends there.
    """

    min_valid = MIN_VALID

    def __init__(self, trim: float = 0.0, alignment: Literal["median", "least_squares"] = "median"):
        super().__init__()
        if alignment not in ("median", "least_squares"):
            raise ValueError(f'alignment must be "median" or "least_squares"; got {alignment!r}')
        if not 0 <= trim < 1:
            raise ValueError(f"trim must lie in [0, 1); got {trim}")
        self.trim, self.alignment = trim, alignment

    def _compute(self, pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        if self.alignment == "median":
            penalty = normalised_residual(pred, target, mask).abs()
        else:
            target = normalise_disparity(target, mask)
            scale, shift = least_squares(pred, target, mask, flat=MIN_SPREAD**2)
            residual = scale[:, None, None] * pred + shift[:, None, None] - target
            penalty = torch.where(mask, residual, 0.0) ** 2
        return _mean_over_images(_trimmed_mean(penalty, mask, self.trim), mask)


class GradientMatchingLoss(_MaskedLoss):
    """Ask for sharp edges where the target has them: R = normalised pred − normalised target has small differences.

    Σ over strides 1, 2, 4, … of mean |∂x R| + mean |∂y R|, each mean over the neighbours that are both valid; per
    image, then the mean over images with at least MIN_VALID valid pixels, 0 if there is none (Ranftl 2020, arXiv
    1907.01341, sec. 5). MiDaS divides by the number of valid pixels instead: there are fewer pairs, so that with 30 %
    holes spread at random this loss is larger by a factor of about 1 / 0.7. Both arguments are disparity, normalised
    as in `ScaleShiftInvariantLoss`; Depth Anything V2 weighs that loss and this one 1 : 2 (arXiv 2406.09414, sec. 7).
    """

    min_valid = MIN_VALID

    def __init__(self, scales: int = 4):
        super().__init__()
        self.scales = scales

    def _compute(self, pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        residual = normalised_residual(pred, target, mask)
        per_image = residual.new_zeros(len(residual))
        for stride in (2**k for k in range(self.scales)):
            r, m = residual[:, ::stride, ::stride], mask[:, ::stride, ::stride]
            for axis in (1, 2):
                pairs = m.shape[axis] - 1
                both_valid = m.narrow(axis, 0, pairs) & m.narrow(axis, 1, pairs)
                per_image = per_image + masked_mean(r.diff(dim=axis).abs(), both_valid)
        return _mean_over_images(per_image, mask)


def normalise_disparity(disparity: Tensor, mask: Tensor) -> Tensor:
    """Return (d − t) / s, t = median d and s = mean |d − t| over the valid pixels of each image; 0 in holes, (B, H, W).

    Holes must hold finite values. Where s is below MIN_SPREAD, as in a constant image, MIN_SPREAD stands for it.
    """
    centred = torch.where(mask, disparity - masked_median(disparity, mask)[:, None, None], 0.0)
    spread = masked_mean(centred.abs(), mask)
    return centred / spread.clamp_min(MIN_SPREAD)[:, None, None]


def normalised_residual(pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Subtract the normalised target from the normalised prediction, (B, H, W), 0 in holes."""
    return normalise_disparity(pred, mask) - normalise_disparity(target, mask)


def _trimmed_mean(values: Tensor, mask: Tensor, trim: float) -> Tensor:
    """Average the valid pixels of each image without its `trim` largest, (B,); 0 where there is none."""
    if trim == 0:
        return masked_mean(values, mask)
    count = mask.sum((1, 2))
    kept = count - (count * trim).floor().long()
    ordered = torch.where(mask, values, torch.inf).flatten(1).sort(dim=1).values  # holes last
    rank = torch.arange(ordered.shape[1], device=values.device)
    return torch.where(rank < kept[:, None], ordered, 0.0).sum(1) / kept.clamp_min(1)


def _mean_over_images(per_image: Tensor, mask: Tensor) -> Tensor:
    """Average (B,) over images with a valid pixel; the others hold 0 and take no weight."""
    return per_image.sum() / mask.any(2).any(1).sum().clamp_min(1)


def objective_loss(config: TrainConfig) -> Callable[[nn.Module, dict], Tensor]:
    """Return the loss of a run as a function of (model, batch).

    Metric: SiLog on metres. Relative: scale-and-shift invariance plus `gradient_weight` times gradient matching, on
    disparity.
    """
    silog, invariant, matching = SiLogLoss(config.silog_lambda), ScaleShiftInvariantLoss(), GradientMatchingLoss()

    def loss(model: nn.Module, batch: dict) -> Tensor:
        predicted = model(pixel_values=normalise(batch["image"])).predicted_depth  # metres, or affine disparity
        if "disparity" in batch:
            disparity, mask = batch["disparity"], batch["mask"]
        else:
            depth = batch["depth"]
            mask = batch["mask"] & valid_mask(depth, config.min_depth, config.depth_limit)
            if config.objective == "metric":
                return silog(predicted, depth, mask)
            disparity = torch.where(mask, 1 / depth, 0.0)
        return invariant(predicted, disparity, mask) + config.gradient_weight * matching(predicted, disparity, mask)

    return loss


def check_finite(watched: tuple[int, int, Tensor, list[str], float] | None) -> None:
    """Raise InputError for a loss that is NaN or infinite: training would save the damage.

    `watched` is epoch, batch, loss, the batch's files and the encoder's learning rate.
    """
    if watched is None or watched[2].isfinite():
        return
    epoch, batch, loss, names, rate = watched
    raise InputError(
        f"the loss is {loss.item()} in epoch {epoch}, batch {batch}, at an encoder rate of {rate:.3g}, on "
        f"{', '.join(names)}: stopped before anything of it was saved; look at these files, lower lr, or train with "
        "mixed_precision no, then go on with resume=True"
    )

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

FLOOR = 1e-4  # metres; SiLog sees predictions below it as this
MIN_SPREAD = 1e-4  # 1/m; a disparity map of smaller mean deviation counts as flat: it is divided by this instead
EPS = 1e-12  # under SiLog's root, whose slope at 0 is infinite; shifts a loss of 0 to 1e-6


class _MaskedLoss(nn.Module):
    """Check the arguments, leave autocast, and put 1 into holes before any arithmetic.

    Multiplying by the mask afterwards would not do: NaN · 0 is NaN, in the loss and again in its gradient.
    """

    min_valid = 1  # images with fewer valid pixels are treated as if they had none

    def forward(self, pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        check_maps(pred, target, mask)
        with torch.autocast(pred.device.type, enabled=False):
            mask = mask & (mask.sum((1, 2), keepdim=True) >= self.min_valid)
            pred, target = (torch.where(mask, values.float(), 1.0) for values in (pred, target))
            return self._compute(pred, target, mask)

    def _compute(self, pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """The loss of float32 maps whose holes hold 1."""
        raise NotImplementedError


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

    def __init__(self, lam: float = 0.5):
        super().__init__()
        if not 0 <= lam <= 1:
            raise ValueError(f"lam must lie in [0, 1]; got {lam}")
        self.lam = lam

    def _compute(self, pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
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
            penalty = _least_squares_residual(pred, normalise_disparity(target, mask), mask) ** 2
        return _mean_over_images(_trimmed_mean(penalty, mask, self.trim), mask)


class GradientMatchingLoss(_MaskedLoss):
    """Sharp edges where the target has them: differences of R = normalised pred − normalised target at several scales.

    Σ over strides 1, 2, 4, … of mean |∂x R| + mean |∂y R|, each mean over the neighbours that are both valid; per
    image, then the mean over images with at least MIN_VALID = 10 valid pixels, 0 if there is none (Ranftl 2020, arXiv
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
                per_image = per_image + masked_mean(r.diff(dim=axis).abs(), _both_valid(m, axis))
        return _mean_over_images(per_image, mask)


def normalise_disparity(disparity: Tensor, mask: Tensor) -> Tensor:
    """(d − t) / s with t = median d and s = mean |d − t| over the valid pixels of each image; 0 in holes; (B, H, W).

    Holes must hold finite values. Where s is below MIN_SPREAD, as in a constant image, MIN_SPREAD stands for it.
    """
    centred = torch.where(mask, disparity - masked_median(disparity, mask)[:, None, None], 0.0)
    spread = masked_mean(centred.abs(), mask)
    return centred / spread.clamp_min(MIN_SPREAD)[:, None, None]


def normalised_residual(pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Difference of the two normalised disparity maps, (B, H, W), 0 in holes: what both relative losses act on."""
    return normalise_disparity(pred, mask) - normalise_disparity(target, mask)


def _least_squares_residual(pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """a·pred + b − target with the least-squares (a, b) of each image, differentiable, 0 in holes."""
    scale, shift = least_squares(pred, target, mask, flat=MIN_SPREAD**2)
    return torch.where(mask, scale[:, None, None] * pred + shift[:, None, None] - target, 0.0)


def _trimmed_mean(values: Tensor, mask: Tensor, trim: float) -> Tensor:
    """Mean of the valid pixels of each image without its `trim` largest, (B,); 0 where there is none."""
    if trim == 0:
        return masked_mean(values, mask)
    count = mask.sum((1, 2))
    kept = count - (count * trim).floor().long()
    ordered = torch.where(mask, values, torch.inf).flatten(1).sort(dim=1).values  # holes last
    rank = torch.arange(ordered.shape[1], device=values.device)
    return torch.where(rank < kept[:, None], ordered, 0.0).sum(1) / kept.clamp_min(1)


def _both_valid(mask: Tensor, axis: int) -> Tensor:
    """Where a pixel and its successor along `axis` are both valid."""
    length = mask.shape[axis] - 1
    return mask.narrow(axis, 0, length) & mask.narrow(axis, 1, length)


def _mean_over_images(per_image: Tensor, mask: Tensor) -> Tensor:
    """Mean of (B,) over images with a valid pixel; the others hold 0 and take no weight."""
    return per_image.sum() / mask.any(2).any(1).sum().clamp_min(1)


def objective_loss(config: TrainConfig) -> Callable[[nn.Module, dict], Tensor]:
    """The loss of a run as a function of (model, batch).

    Metric: SiLog on metres. Relative: scale-and-shift invariance plus `gradient_weight` times gradient matching, on
    disparity.
    """
    return _metric_loss(config) if config.objective == "metric" else _relative_loss(config)


def check_finite(watched: tuple[int, int, Tensor, list[str], float] | None) -> None:
    """Raise InputError for a loss that is NaN or infinite: training can't recover from it, and would save the damage.

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


def _metric_loss(config: TrainConfig) -> Callable[[nn.Module, dict], Tensor]:
    silog = SiLogLoss(config.silog_lambda)

    def loss(model: nn.Module, batch: dict) -> Tensor:
        depth_metric = model(pixel_values=normalise(batch["image"])).predicted_depth
        return silog(depth_metric, batch["depth"], _measured(config, batch))

    return loss


def _relative_loss(config: TrainConfig) -> Callable[[nn.Module, dict], Tensor]:
    invariant, gradient = ScaleShiftInvariantLoss(), GradientMatchingLoss()

    def loss(model: nn.Module, batch: dict) -> Tensor:
        disparity_affine = model(pixel_values=normalise(batch["image"])).predicted_depth
        if "disparity" in batch:
            disparity, mask = batch["disparity"], batch["mask"]
        else:
            mask = _measured(config, batch)
            disparity = torch.where(mask, 1 / batch["depth"].clamp(min=config.min_depth), 0.0)
        matching = gradient(disparity_affine, disparity, mask)
        return invariant(disparity_affine, disparity, mask) + config.gradient_weight * matching

    return loss


def _measured(config: TrainConfig, batch: dict) -> Tensor:
    """The pixels of a batch that count: measured, and within the range of the run."""
    return batch["mask"] & valid_mask(batch["depth"], config.min_depth, config.depth_limit)

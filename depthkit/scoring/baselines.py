"""What a model must beat: one depth for all, one depth per image row, and a relative model with two fitted numbers."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from depthkit.data.datasets import DepthDataset
from depthkit.data.transforms import PATCH
from depthkit.errors import InputError
from depthkit.masked import MIN_VALID
from depthkit.models.calibration import Calibration, apply_calibration
from depthkit.models.predict import predict_maps
from depthkit.scoring.alignment import is_degenerate
from depthkit.scoring.evaluate import output_kind, with_input_of
from depthkit.scoring.protocol import PLAIN, Protocol
from depthkit.scoring.truth import depth_maps

ROWS = 5 * PATCH  # heights at which the row prior is fitted; a multiple of the patch, as every model's input is
STEP = 1e-3  # width of a bin of log depth


class RowPrior(nn.Module):
    """Predicts a depth per image row, whatever the picture shows: near at the bottom and far above, as rooms are.

    `depths`, metres, (rows,), go from the first row of an image to the last, linearly interpolated to its height.
    """

    def __init__(self, depths: Tensor):
        super().__init__()
        self.depths = nn.Parameter(torch.as_tensor(depths, dtype=torch.float32), requires_grad=False)
        size = PATCH if len(self.depths) == 1 else ROWS
        self.config = SimpleNamespace(input_size=size, depth_estimation_type="metric")

    def forward(self, pixel_values: Tensor) -> SimpleNamespace:
        images, _, height, width = pixel_values.shape
        column = F.interpolate(self.depths[None, None], height, mode="linear", align_corners=True)
        return SimpleNamespace(predicted_depth=column[0, 0, :, None].expand(images, height, width))


class ConstantDepth(RowPrior):
    """Predicts one depth, in metres, for every pixel: what a model must beat to have learnt anything from pictures."""

    def __init__(self, depth: float):
        super().__init__(torch.tensor([float(depth)]))


class _Converted(nn.Module):
    """A model whose map is converted before anyone sees it, with a `config` that says its new `kind`."""

    def __init__(self, model: nn.Module, kind: str, convert: Callable[[Tensor], Tensor]):
        super().__init__()
        self.model, self.convert = model, convert
        config: Any = copy.copy(model.config)
        config.depth_estimation_type = kind
        self.config = config

    def forward(self, pixel_values: Tensor) -> Any:
        output = self.model(pixel_values=pixel_values)
        output.predicted_depth = self.convert(output.predicted_depth)
        return output


class ScaledDisparity(_Converted):
    """A relative model as a metric one: 1 / (scale · disparity + shift), at most `max_depth`, for every image alike."""

    def __init__(self, model: nn.Module, scale: float, shift: float, max_depth: float):
        super().__init__(model, "metric", lambda p: 1 / (scale * p + shift).clamp_min(1 / max_depth))


class Calibrated(_Converted):
    """A model with its calibration applied: metres, whatever it predicted before."""

    def __init__(self, model: nn.Module, calibration: Calibration):
        super().__init__(model, "metric", lambda prediction: apply_calibration(prediction, calibration))
        self.config.canonical_focal = None  # the calibration holds its camera's focal length


class InverseDepth(_Converted):
    """A metric model read as a relative one: it gives 1 / depth, so that `Protocol(align="disparity")` can score it."""

    def __init__(self, model: nn.Module):
        if output_kind(model) != "metric":
            raise InputError("this model predicts disparity already: score it as it is")
        super().__init__(model, "relative", lambda p: 1 / p.float().clamp_min(1e-3))


@dataclass(frozen=True)
class Baselines:
    """What is known of a training split without its pictures, in metres.

    median: of all depths; where a fresh metric head should start.
    constant: the one depth with the smallest AbsRel.
    rows: for each of ROWS heights, from the first image row to the last, the depth with the smallest AbsRel there.
    """

    median: float
    constant: float
    rows: tuple[float, ...]

    def models(self, protocol: Protocol = PLAIN) -> dict[str, nn.Module]:
        """The two priors by name, as models that `evaluate` takes under `protocol`."""
        priors = {"best constant": ConstantDepth(self.constant), "row prior": RowPrior(torch.tensor(self.rows))}
        return {name: InverseDepth(each) if protocol.align == "disparity" else each for name, each in priors.items()}


def fit_baselines(dataset: DepthDataset, protocol: Protocol = PLAIN, images: int = 500) -> Baselines:
    """Fit the baselines on a training split, from the depth of at most `images` files spread evenly over it.

    Images count alike. Within each, pixels pull on `constant` and `rows` with weight 1/t, because the weighted median
    has the smallest AbsRel, mean |c − t| / t; a plain median would be too easy to beat. The constant is exact to 1 mm,
    the others to 0.1 %. A row without any depth takes after its neighbours. Raises: InputError when no file has depth
    within the protocol's bounds.
    """
    nearest = max(protocol.min_depth, 1e-4)
    levels = int(np.log(protocol.max_depth / nearest) / STEP) + 1
    constant = np.zeros(int(np.ceil(protocol.max_depth * 1000)) + 1)
    median, rows = np.zeros(levels), np.zeros((ROWS, levels))
    for depth, mask in depth_maps(dataset, images):
        valid = mask & protocol.within(depth)
        t = depth[valid].astype(np.float64)
        if len(t) < MIN_VALID:
            continue
        weights = 1 / (t * len(t))
        constant += np.bincount(np.rint(t * 1000).astype(int), weights, minlength=len(constant))
        level = (np.log(t / nearest) / STEP).astype(int).clip(0, levels - 1)
        median += np.bincount(level, minlength=levels) / len(t)
        row = np.rint(np.nonzero(valid)[0] * (ROWS - 1) / max(len(depth) - 1, 1)).astype(int)
        rows += np.bincount(row * levels + level, weights, minlength=rows.size).reshape(rows.shape)
    if not constant.any():
        raise InputError(f"{dataset.root}: no depth lies in {protocol.min_depth:g} to {protocol.max_depth:g} m")
    values = nearest * np.exp((np.arange(levels) + 0.5) * STEP)
    seen = np.flatnonzero(rows.any(1))
    heights = np.interp(np.arange(ROWS), seen, [values[_middle(rows[height])] for height in seen])
    return Baselines(float(values[_middle(median)]), _middle(constant) / 1000, tuple(heights.tolist()))


def _middle(weights: np.ndarray) -> int:
    """The bin of a histogram in which the weighted median lies."""
    return int(np.searchsorted(np.cumsum(weights), weights.sum() / 2))


@torch.inference_mode()
def fit_one_scale_shift(model: nn.Module, dataset: DepthDataset, protocol: Protocol = PLAIN) -> tuple[float, float]:
    """Solve min over (a, b) of the mean over images of mean_Ω (a·p + b − 1/t)², p the disparity that `model` predicts.

    One pair (scale, shift), 1/m, for all images of `dataset`, where `Protocol(align="disparity")` fits one for each.
    Raises: InputError when the model is not relative, or its disparity does not rise with the true one.
    """
    if output_kind(model) != "relative":
        raise InputError("scale and shift are for relative models; this one predicts metres already")
    dataset = with_input_of(model, dataset)
    model.eval()
    device = next(model.parameters()).device
    moments = []
    for index in range(len(dataset)):
        sample = dataset[index]
        mask, depth = sample["mask"] & protocol.within(sample["depth"]), sample["depth"].double()
        if not mask.any():
            continue
        disparity = predict_maps(model, sample["image"][None].to(device), tuple(depth.shape))[0].cpu().double()
        p, t = disparity[mask], 1 / depth[mask]
        moments.append(torch.stack([p.mean(), t.mean(), (p * p).mean(), (p * t).mean()]))
    if not moments:
        raise InputError(f"{dataset.root}: no depth lies in {protocol.min_depth:g} to {protocol.max_depth:g} m")
    p, t, pp, pt = torch.stack(moments).mean(0)
    scale = (pt - p * t) / (pp - p * p)
    if is_degenerate(scale[None])[0]:
        raise InputError(f"the fitted scale is {scale:.3g}: this model's disparity does not rise with the true one")
    return float(scale), float(t - scale * p)

"""From relative to metric depth in steps: what one scale and one shift, fitted on the training split, make of it."""

import copy

import torch
from torch import nn

from depthkit.alignment import is_degenerate
from depthkit.data import valid_mask
from depthkit.evaluate import PLAIN
from depthkit.models import input_size
from depthkit.predict import predict_maps
from depthkit.transforms import EvalTransform


class ScaledDisparity(nn.Module):
    """A relative model that speaks in metres: 1 / (scale · disparity + shift), the same two numbers for every image.

    It takes `pixel_values` (B, 3, H, W) and has a `config`, as a metric model has: `evaluate` and `predict_depth` use
    it as one. `max_depth`, metres, bounds what it can say: a disparity at or below 0 has no depth.
    """

    def __init__(self, model, scale, shift, max_depth):
        super().__init__()
        self.model, self.scale, self.shift, self.max_depth = model, scale, shift, max_depth
        self.config = copy.copy(model.config)
        self.config.depth_estimation_type = "metric"

    def forward(self, pixel_values):
        output = self.model(pixel_values=pixel_values)
        disparity = self.scale * output.predicted_depth + self.shift
        output.predicted_depth = 1 / disparity.clamp_min(1 / self.max_depth)
        return output


@torch.inference_mode()
def fit_one_scale_shift(model, dataset, protocol=PLAIN):
    """Solve min over (a, b) of the mean over images of mean_Ω (a·p + b − 1/t)², p the disparity that `model` predicts.

    One pair for all images of `dataset` (used without its transform), where `Protocol(align="disparity")` fits one for
    each. Fit it on the training split, then score `ScaledDisparity` on the test split.

    Returns: (scale, shift), floats, in 1/m.

    Raises: ValueError when the model is not relative, or its disparity does not rise with the true one.
    """
    if model.config.depth_estimation_type != "relative":
        raise ValueError("scale and shift are for relative models; this one predicts metres already")
    dataset = copy.copy(dataset)
    dataset.transform = EvalTransform(input_size(model.config))
    model.eval()
    device = next(model.parameters()).device
    moments = []
    for index in range(len(dataset)):
        sample = dataset[index]
        depth = sample["depth"].double()
        mask = sample["mask"] & valid_mask(depth, protocol.min_depth, protocol.max_depth)
        if not mask.any():
            continue
        disparity = predict_maps(model, sample["image"][None].to(device), depth.shape)[0].cpu().double()
        p, t = disparity[mask], 1 / depth[mask]
        moments.append(torch.stack([p.mean(), t.mean(), (p * p).mean(), (p * t).mean()]))
    if not moments:
        raise ValueError(f"{dataset.root}: no depth lies in {protocol.min_depth:g} to {protocol.max_depth:g} m")
    p, t, pp, pt = torch.stack(moments).mean(0)
    scale = (pt - p * t) / (pp - p * p)
    if is_degenerate(scale[None])[0]:
        raise ValueError(f"the fitted scale is {scale:.3g}: this model's disparity does not rise with the true one")
    return float(scale), float(t - scale * p)

"""Predict depth or disparity for a photo, at the photo's own resolution."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from depthkit.data.transforms import EvalTransform, normalise
from depthkit.errors import InputError
from depthkit.models.build import input_size
from depthkit.models.encoders import Objective


def predict_depth(model: nn.Module, image: np.ndarray | Tensor) -> np.ndarray:
    """Predict the planar depth of one image, at its own resolution.

    Args:
        model: a metric model, from `depthkit.load_model`.
        image: uint8 RGB, (H, W, 3) array or (3, H, W) tensor.

    Returns: float32 array (H, W), metres.

    Raises: ValueError for a relative model (use `predict_disparity`) or another kind of array; InputError when the
    prediction is not finite.
    """
    return _predict(model, image, "metric")


def predict_disparity(model: nn.Module, image: np.ndarray | Tensor) -> np.ndarray:
    """Predict the affine disparity of one image with a relative model: near is large, scale and shift are unknown.

    Takes and raises what `predict_depth` does, with the kinds of model exchanged.

    Returns: float32 array (H, W).
    """
    return _predict(model, image, "relative")


def predict_maps(model: nn.Module, images: Tensor, shape: Sequence[int], flip: bool = False) -> Tensor:
    """Predict a batch that has the network's input size already; everything that predicts, evaluation too, ends here.

    Args:
        model: metric or relative.
        images: uint8 RGB, (B, 3, h, w), h and w multiples of 14.
        shape: height H and width W of the maps to return, reached bilinearly with aligned corners.
        flip: whether to average with the prediction of the mirrored images.

    Returns: float32 (B, H, W), metres or affine disparity, which may be not finite where the weights are.
    """
    pixels = normalise(images)
    prediction = model(pixel_values=pixels).predicted_depth.float()
    if flip:
        mirrored = model(pixel_values=pixels.flip(-1)).predicted_depth.float()
        prediction = (prediction + mirrored.flip(-1)) / 2
    return F.interpolate(prediction[:, None], tuple(shape), mode="bilinear", align_corners=True)[:, 0]


@torch.inference_mode()
def _predict(model: nn.Module, image: np.ndarray | Tensor, kind: Objective) -> np.ndarray:
    config: Any = model.config
    if config.depth_estimation_type != kind:
        other = "depth" if kind == "relative" else "disparity"
        raise ValueError(f"this model predicts {config.depth_estimation_type} depth, not {kind}: use predict_{other}")
    image = np.asarray(image)
    if image.ndim == 3 and image.shape[0] == 3 and image.shape[-1] != 3:
        image = image.transpose(1, 2, 0)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3:
        raise ValueError(f"an image is uint8 RGB, (H, W, 3); got {image.dtype} {image.shape}")
    height, width, size = *image.shape[:2], input_size(config)
    if abs(1 - size / max(height, width)) < abs(1 - size / min(height, width)):  # how transformers picks the scale
        warnings.warn(
            f"photos of {width} × {height} pixels are enlarged to {size} here; transformers.pipeline enlarges them too "
            "little and predicts something else: follow the README.md of the model folder there",
            stacklevel=4,
        )
    resized = EvalTransform(size)({"image": image})["image"]
    batch = torch.from_numpy(resized.transpose(2, 0, 1).copy())[None].to(next(model.parameters()).device)
    prediction = predict_maps(model.eval(), batch, (height, width))[0]
    if not prediction.isfinite().all():
        raise InputError("the model's prediction is not finite: its weights are damaged, take another checkpoint")
    return prediction.cpu().numpy()

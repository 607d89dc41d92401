"""Predict depth or disparity for a photo, at the photo's own resolution."""

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from depthkit.data.transforms import EvalTransform, normalise, resized_shape
from depthkit.errors import InputError
from depthkit.models.build import canonical_focal, input_size
from depthkit.models.encoders import Objective


def predict_depth(model: nn.Module, image: np.ndarray | Tensor, focal_px: float | None = None) -> np.ndarray:
    """Predict the planar depth of one image, at its own resolution.

    Args:
        image: uint8 RGB, (H, W, 3) array or (3, H, W) tensor.
        focal_px: focal length of the camera in pixels of `image`. A model trained with camera="canonical" needs it and,
            without, warns and assumes the image's shorter side; others do without.

    Returns: float32 array (H, W), metres.

    Raises: ValueError for a relative model (use `predict_disparity`) or another kind of array; InputError when the
    prediction is not finite.
    """
    _check_kind(model, "metric")
    depth = predict_output(model, image)
    if (canonical := canonical_focal(model.config)) is None:
        return depth
    if focal_px is None:
        focal_px = min(depth.shape)
        words = f"no focal_px: the photo's shorter side, {focal_px} pixels, is assumed (53° along it)"
        warnings.warn(f"{words}; metres are off by the factor by which that is wrong", stacklevel=2)
    if not 0 < focal_px < math.inf:
        raise InputError(f"focal_px must be a positive number of pixels of the photo; got {focal_px}")
    height, width = depth.shape
    rows, columns = resized_shape(height, width, input_size(model.config))
    seen = focal_px * math.sqrt(rows * columns / (height * width))  # in pixels of the network's input
    return depth * np.float32(seen / canonical)


def predict_disparity(model: nn.Module, image: np.ndarray | Tensor) -> np.ndarray:
    """Predict the affine disparity of one image with a relative model: near is large, scale and shift are unknown.

    Takes and raises what `predict_depth` does, with the kinds of model exchanged.

    Returns: float32 array (H, W).
    """
    _check_kind(model, "relative")
    return predict_output(model, image)


def predict_maps(model: nn.Module, images: Tensor, shape: Sequence[int], flip: bool = False) -> Tensor:
    """Predict a batch that has the network's input size already; everything that predicts, evaluation too, ends here.

    Args:
        model: metric or relative.
        images: uint8 RGB, (B, 3, h, w), h and w multiples of 14.
        shape: height H and width W of the maps to return, reached bilinearly with aligned corners.
        flip: whether to average with the prediction of the mirrored images.

    Returns: float32 (B, H, W), metres, canonical metres or affine disparity; not finite where the weights are not.
    """
    pixels = normalise(images)
    prediction = model(pixel_values=pixels).predicted_depth.float()
    if flip:
        mirrored = model(pixel_values=pixels.flip(-1)).predicted_depth.float()
        prediction = (prediction + mirrored.flip(-1)) / 2
    return F.interpolate(prediction[:, None], tuple(shape), mode="bilinear", align_corners=True)[:, 0]


def _check_kind(model: nn.Module, kind: Objective) -> None:
    config: Any = model.config
    if config.depth_estimation_type != kind:
        other = "depth" if kind == "relative" else "disparity"
        raise ValueError(f"this model predicts {config.depth_estimation_type} depth, not {kind}: use predict_{other}")


@torch.inference_mode()
def predict_output(model: nn.Module, image: np.ndarray | Tensor) -> np.ndarray:
    """What the network says of one image, float32 (H, W): metres, canonical metres or disparity; else as above."""
    image = np.asarray(image)
    if image.ndim == 3 and image.shape[0] == 3 and image.shape[-1] != 3:
        image = image.transpose(1, 2, 0)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3:
        raise ValueError(f"an image is uint8 RGB, (H, W, 3); got {image.dtype} {image.shape}")
    height, width, size = *image.shape[:2], input_size(model.config)
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

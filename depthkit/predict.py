"""Predict depth for photos: from Python, or `python -m depthkit.predict photo.jpg --model runs/finetune-001/best`."""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from matplotlib import pyplot as plt
from torch.nn import functional as F

from depthkit.data import read_image
from depthkit.models import input_size, load_model
from depthkit.plots import DEPTH_CMAP
from depthkit.transforms import EvalTransform, normalise


def predict_depth(model, image):
    """Planar depth of one image, at its own resolution.

    Args:
        model: a metric model, from `depthkit.models.load_model`.
        image: uint8 RGB, (H, W, 3) array or (3, H, W) tensor.

    Returns: float32 array (H, W), metres.

    Raises: ValueError for a relative model (use `predict_disparity`) or another kind of array.
    """
    if model.config.depth_estimation_type == "relative":
        raise ValueError("this model predicts relative depth, which has no metres: use predict_disparity")
    return _predict(model, image)


def predict_disparity(model, image):
    """Affine disparity (near is large; unknown scale and shift) of one image from a relative model, float32 (H, W)."""
    if model.config.depth_estimation_type != "relative":
        raise ValueError("this model predicts metric depth: use predict_depth")
    return _predict(model, image)


def predict_maps(model, images, shape, flip=False):
    """uint8 images (B, 3, h, w) → the model's maps (B, H, W) at `shape`, float32; bilinear with aligned corners.

    Everything that predicts, evaluation too, does it through here.
    """
    pixels = normalise(images)
    prediction = model(pixel_values=pixels).predicted_depth.float()
    if flip:
        mirrored = model(pixel_values=pixels.flip(-1)).predicted_depth.float()
        prediction = (prediction + mirrored.flip(-1)) / 2
    return F.interpolate(prediction[:, None], tuple(shape), mode="bilinear", align_corners=True)[:, 0]


@torch.inference_mode()
def _predict(model, image):
    image = np.asarray(image)
    if image.ndim == 3 and image.shape[0] == 3 and image.shape[-1] != 3:
        image = image.transpose(1, 2, 0)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3:
        raise ValueError(f"an image is uint8 RGB, (H, W, 3); got {image.dtype} {image.shape}")
    resized = EvalTransform(input_size(model.config))({"image": image})["image"]
    batch = torch.from_numpy(resized.transpose(2, 0, 1).copy())[None].to(next(model.parameters()).device)
    return predict_maps(model.eval(), batch, image.shape[:2])[0].cpu().numpy()


def main():
    parser = argparse.ArgumentParser(description="Write metric depth (16-bit PNG, millimetres) and a picture of it.")
    parser.add_argument("photos", nargs="+", type=Path, help="JPEG or PNG files")
    parser.add_argument("--model", required=True, help="model folder (best/ of a run) or Hub id of a metric model")
    parser.add_argument("--output", type=Path, default=Path("predictions"), help="folder to write to")
    options = parser.parse_args()
    model = load_model(options.model)
    options.output.mkdir(parents=True, exist_ok=True)
    for photo in options.photos:
        depth = predict_depth(model, read_image(photo))
        millimetres = np.rint(depth * 1000).clip(0, 65535).astype(np.uint16)
        cv2.imwrite(str(options.output / f"{photo.stem}_depth_mm.png"), millimetres)
        plt.imsave(options.output / f"{photo.stem}_depth.png", depth, cmap=DEPTH_CMAP)
        near, far = np.percentile(depth, [1, 99])
        print(f"{photo}: {near:.2f} m (nearest 1 %) to {far:.2f} m (farthest 1 %)")


if __name__ == "__main__":
    main()

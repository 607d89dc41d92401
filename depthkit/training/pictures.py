"""Pictures of validation predictions for whatever follows a run: TensorBoard, Weights & Biases, Trackio."""

import warnings

import cv2
import numpy as np
from accelerate import Accelerator
from torch import nn

from depthkit.data.datasets import DepthDataset
from depthkit.data.overview import coloured
from depthkit.errors import InputError
from depthkit.models.predict import predict_depth, predict_disparity
from depthkit.scoring.evaluate import output_kind

SHOWN, HEIGHT, WIDTH = 3, 180, 240  # pictures, and their size in pixels


def log_pictures(accelerator: Accelerator, model: nn.Module, val_set: DepthDataset, epoch: int) -> None:
    """Log the first SHOWN validation photos, each beside its prediction, from the main process."""
    if not accelerator.is_main_process or not accelerator.trackers:
        return
    pictures = np.stack([_beside(model, val_set.read(index)[0]) for index in range(min(SHOWN, len(val_set)))])
    model.train()
    for tracker in accelerator.trackers:
        if hasattr(tracker, "log_images"):
            options = {"dataformats": "NHWC"} if tracker.name == "tensorboard" else {}
            tracker.log_images({"validation": pictures}, step=epoch, **options)


def _beside(model: nn.Module, photo: np.ndarray) -> np.ndarray:
    """A photo beside its prediction in colours, uint8 RGB (HEIGHT, 2 · WIDTH, 3); black where that is not finite."""
    relative = output_kind(model) == "relative"
    small = cv2.resize(photo, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    try:
        with warnings.catch_warnings(action="ignore"):  # of photos that transformers would scale less: not used here
            prediction = (predict_disparity if relative else predict_depth)(model, small)
    except InputError:
        return np.hstack([small, np.zeros_like(small)])
    limits = np.percentile(prediction, [1, 99])
    return np.hstack([small, coloured(prediction, np.isfinite(prediction), limits, relative)[..., ::-1]])

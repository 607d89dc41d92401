"""Geometry and augmentation, on uint8 images; normalisation happens later, on the device.

The geometry is the authors' (`metric_depth/dataset/transform.py`): the shorter side to 518 pixels, aspect kept, both
sides multiples of the patch; for training a random square crop. For evaluation only the image is resized: the depth
keeps its own resolution, and predictions are brought to it.
"""

import os
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

PATCH = 14
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def resized_shape(height: int, width: int, size: int) -> tuple[int, int]:
    """Height and width once the shorter side is `size` pixels, aspect kept, each a multiple of the patch."""
    scale = size / min(height, width)
    rows, columns = (max(size, round(side * scale / PATCH) * PATCH) for side in (height, width))
    return rows, columns


class EvalTransform:
    """Resize the image alone, shorter side to `size` pixels (a multiple of 14), bicubic; depth and mask stay."""

    def __init__(self, size: int = 518) -> None:
        self.size = _check_size(size)

    def __call__(self, sample: dict[str, Any], index: int = 0, epoch: int = 0) -> dict[str, Any]:
        return sample | {"image": _resize_image(sample["image"], self.size)}


class TrainTransform:
    """Resize, random square crop, mirror, light colour jitter: a pure function of (seed, epoch, index).

    The same sample in the same epoch looks the same whatever the number of workers, processes or restarts. Depth and
    mask move with the image (disparity likewise); `resize_map` resizes them, without means: a mean of two depths lies
    on neither surface. The paper only mirrors; the jitter (0.1 each) is mild. No noise is added: a sensor's images
    bring their own, and it would cost more time than everything else here together.

    Args:
        size: shorter side after the resize and side of the square crop, pixels, a multiple of 14.
        seed: of the whole run.
    """

    def __init__(self, size: int = 518, seed: int = 0) -> None:
        self.size = _check_size(size)
        self.seed = seed
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else albumentations asks the network at import
        import albumentations as A

        self.augment = A.Compose(
            [
                A.RandomCrop(size, size),
                A.HorizontalFlip(p=0.5),
                A.ColorJitter(
                    brightness=(0.9, 1.1), contrast=(0.9, 1.1), saturation=(0.9, 1.1), hue=(-0.1, 0.1), p=0.5
                ),
            ],
            additional_targets={"valid": "mask"},  # a list of masks would be stacked and copied at every step
        )

    def __call__(self, sample: dict[str, Any], index: int = 0, epoch: int = 0) -> dict[str, Any]:
        image = _resize_image(sample["image"], self.size)
        key = "depth" if "depth" in sample else "disparity"
        target, mask = resize_map(sample[key], sample["mask"], image.shape[:2])
        draw = np.random.SeedSequence((self.seed, epoch, index)).generate_state(1)
        self.augment.set_random_seed(int(draw[0]))
        moved = self.augment(image=image, mask=target, valid=mask.view(np.uint8))
        return sample | {"image": moved["image"], key: moved["mask"], "mask": moved["valid"].astype(bool)}


def resize_map(values: np.ndarray, mask: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Depth or disparity (H, W) and its mask, True = measured, at another `shape` (h, w): each value is one that was
    measured, never a mean.

    Each cell has its nearest neighbour's value. Where that was not measured and the map shrinks, the cell takes the
    measured point nearest to its centre, if one lies in it: a laser's few points would be lost otherwise.
    """
    small = cv2.resize(values, shape[::-1], interpolation=cv2.INTER_NEAREST)
    measured = cv2.resize(mask.astype(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST).astype(bool)
    if shape[0] >= mask.shape[0] or shape[1] >= mask.shape[1] or measured.all():
        return small, measured
    rows, from_row = _cells(mask.shape[0], shape[0])
    columns, from_column = _cells(mask.shape[1], shape[1])
    v, u = np.divmod(np.flatnonzero(mask & ~measured.take(columns, axis=1).take(rows, axis=0)), mask.shape[1])
    cell = rows[v] * shape[1] + columns[u]
    distance = from_row[v] + from_column[u]
    least = np.full(small.size, np.inf)
    np.minimum.at(least, cell, distance)
    nearest = distance == least[cell]
    small.flat[cell[nearest]] = values[v[nearest], u[nearest]]
    measured.flat[cell[nearest]] = True
    return small, measured


def _cells(count: int, fewer: int) -> tuple[np.ndarray, np.ndarray]:
    """For each of `count` pixels of a side: its cell among `fewer`, which begins at the pixel that cv2 takes for it,
    and its squared distance from the cell's centre, in cells."""
    pixels = np.arange(count, dtype=np.float32)
    first = cv2.resize(pixels[None], (fewer, 1), interpolation=cv2.INTER_NEAREST)[0]
    cell = np.searchsorted(first, pixels, side="right") - 1
    return cell, ((pixels + 0.5) * fewer / count - cell - 0.5) ** 2


def normalise(images: Tensor) -> Tensor:
    """uint8 (B, 3, H, W) RGB on any device → float32, as DINOv2 expects it (ImageNet mean and deviation)."""
    normalised = torch.empty(images.shape, device=images.device)
    # Channel by channel: six plain numbers go along with the kernels, where a tensor of them would be copied to the
    # GPU, which has to be idle for it. And two passes over the batch in one piece of memory, not three in three.
    for channel, (mean, std) in enumerate(zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)):
        torch.sub(images[..., channel, :, :], 255 * mean, out=normalised[..., channel, :, :]).div_(255 * std)
    return normalised


def _resize_image(image: np.ndarray, size: int) -> np.ndarray:
    """uint8 (H, W, 3) → uint8 of the resized shape, bicubic."""
    height, width = resized_shape(image.shape[0], image.shape[1], size)
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)


def _check_size(size: int) -> int:
    if size % PATCH or size <= 0:
        near = max(PATCH, round(size / PATCH) * PATCH)
        raise ValueError(f"size must be a multiple of the patch, {PATCH} pixels; got {size}: use {near}")
    return size

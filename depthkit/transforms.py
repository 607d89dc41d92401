"""Geometry and augmentation, on uint8 images; normalisation happens later, on the device.

The geometry is the authors' (`metric_depth/dataset/transform.py`): the shorter side to 518 pixels, aspect kept, both
sides multiples of the patch; for training a random square crop. For evaluation only the image is resized: the depth
keeps its own resolution, and predictions are brought to it.
"""

import os

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else albumentations asks the network at import

import albumentations as A
import cv2
import numpy as np
import torch

PATCH = 14
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def resized_shape(height, width, size) -> tuple[int, int]:
    """Height and width once the shorter side is `size` pixels, aspect kept, each a multiple of the patch."""
    scale = size / min(height, width)
    return tuple(max(size, round(side * scale / PATCH) * PATCH) for side in (height, width))


class EvalTransform:
    """Resize the image alone, shorter side to `size` pixels (a multiple of 14), bicubic; depth and mask stay."""

    def __init__(self, size=518):
        self.size = _check_size(size)

    def __call__(self, sample, index=0, epoch=0):
        return sample | {"image": _resize_image(sample["image"], self.size)}


class TrainTransform:
    """Resize, random square crop, mirror, light colour jitter: a pure function of (seed, epoch, index).

    The same sample in the same epoch looks the same whatever the number of workers, processes or restarts. Depth and
    mask move with the image (disparity likewise); they are resized by nearest neighbour, because a mean of two depths
    lies on neither surface. The paper only mirrors; the jitter (0.1 each) is mild. No noise is added: a sensor's images
    bring their own, and it would cost more time than everything else here together.

    Args:
        size: shorter side after the resize and side of the square crop, pixels, a multiple of 14.
        seed: of the whole run.
    """

    def __init__(self, size=518, seed=0):
        self.size = _check_size(size)
        self.seed = seed
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

    def __call__(self, sample, index=0, epoch=0):
        image = _resize_image(sample["image"], self.size)
        shape = image.shape[1::-1]  # cv2 wants (width, height)
        key = "depth" if "depth" in sample else "disparity"
        target = cv2.resize(sample[key], shape, interpolation=cv2.INTER_NEAREST)
        mask = cv2.resize(sample["mask"].astype(np.uint8), shape, interpolation=cv2.INTER_NEAREST)
        draw = np.random.SeedSequence((self.seed, epoch, index)).generate_state(1)
        self.augment.set_random_seed(int(draw[0]))
        moved = self.augment(image=image, mask=target, valid=mask)
        return sample | {"image": moved["image"], key: moved["mask"], "mask": moved["valid"].astype(bool)}


def normalise(images):
    """uint8 (B, 3, H, W) RGB on any device → float32, as DINOv2 expects it (ImageNet mean and deviation)."""
    normalised = torch.empty(images.shape, device=images.device)
    # Channel by channel: six plain numbers go along with the kernels, where a tensor of them would be copied to the
    # GPU, which has to be idle for it. And two passes over the batch in one piece of memory, not three in three.
    for channel, (mean, std) in enumerate(zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)):
        torch.sub(images[..., channel, :, :], 255 * mean, out=normalised[..., channel, :, :]).div_(255 * std)
    return normalised


def _resize_image(image, size):
    """uint8 (H, W, 3) → uint8 of the resized shape, bicubic."""
    height, width = resized_shape(*image.shape[:2], size)
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)


def _check_size(size):
    if size % PATCH or size <= 0:
        near = max(PATCH, round(size / PATCH) * PATCH)
        raise ValueError(f"size must be a multiple of the patch, {PATCH} pixels; got {size}: use {near}")
    return size

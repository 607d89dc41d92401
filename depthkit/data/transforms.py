"""Geometry and augmentation, on uint8 images; normalisation happens later, on the device.

The geometry is the authors' (`metric_depth/dataset/transform.py`): the shorter side to 518 pixels, aspect kept, both
sides multiples of the patch; for training a random square crop. For evaluation only the image is resized: the depth
keeps its own resolution, and predictions are brought to it.
"""

from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from depthkit.camera import Intrinsics

PATCH = 14
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def resized_shape(height: int, width: int, size: int) -> tuple[int, int]:
    """Height and width once the shorter side is `size` pixels, aspect kept, each a multiple of the patch."""
    scale = size / min(height, width)
    rows, columns = (max(size, round(side * scale / PATCH) * PATCH) for side in (height, width))
    return rows, columns


class EvalTransform:
    """Resize image and intrinsics alone, shorter side to `size` pixels (a multiple of 14), bicubic."""

    def __init__(self, size: int = 518) -> None:
        self.size = _check_size(size)

    def __call__(self, sample: dict[str, Any], index: int = 0, epoch: int = 0) -> dict[str, Any]:
        height, width = sample["image"].shape[:2]
        image = _resize(sample["image"], resized_shape(height, width, self.size))
        return sample | {"image": image} | _scaled_camera(sample, image)


class TrainTransform:
    """Resize, random square crop, mirror, light colour jitter: a pure function of (seed, epoch, index).

    The same sample in the same epoch looks the same whatever the number of workers, processes or restarts. Depth (or
    disparity), mask and, where there are any, intrinsics move with the image; `resize_map` takes no means, as a mean of
    two depths lies on neither surface. The paper only mirrors; `colour_jitter` is mild. No noise is added: a sensor's
    images bring their own, and it would cost more time than everything else here together.

    Args:
        size: shorter side after the resize and side of the square crop, pixels, a multiple of 14.
        seed: of the whole run.
        zoom: largest further enlargement of the crop, drawn from 1 on, evenly in its logarithm; the crop then shows a
            part, as a longer lens would. Depth stays: enlarging a picture moves nothing.
        canonical: give depth · size / focal length (`depthkit.camera.CameraUse`) instead of metres; needs intrinsics.
    """

    jitter_share = 0.5  # of the images

    def __init__(self, size: int = 518, seed: int = 0, zoom: float = 1.0, canonical: bool = False) -> None:
        self.size = _check_size(size)
        self.seed, self.zoom, self.canonical = seed, zoom, canonical

    def __call__(self, sample: dict[str, Any], index: int = 0, epoch: int = 0) -> dict[str, Any]:
        key = "depth" if "depth" in sample else "disparity"
        height, width = sample["image"].shape[:2]
        shape = resized_shape(height, width, self.size)
        rng = np.random.default_rng((self.seed, epoch, index))
        place, mirrored, jittered, colours = rng.random(2), rng.random() < 0.5, rng.random(), rng.random(4)
        if self.zoom > 1:  # the crop comes first: nothing is enlarged that it would not keep
            share = np.random.default_rng((self.seed, epoch, index, 1)).random()  # of its own: it moves no other draw
            sample, shape = _square_part(sample, key, self.zoom**-share, place), (self.size, self.size)
        image = _resize(sample["image"], shape)
        found = sample | _scaled_camera(sample, image)
        target, mask = resize_map(sample[key], sample["mask"], shape)
        top, left = (int(share * (side - self.size + 1)) for share, side in zip(place, shape, strict=True))
        window = np.s_[top : top + self.size, left : left + self.size]
        image, target, mask = image[window], target[window], mask[window]
        if mirrored:  # by cv2: NumPy's mirror is a view whose copy, pixel by pixel, takes many times as long
            image, target, mask = cv2.flip(image, 1), cv2.flip(target, 1), cv2.flip(mask.view(np.uint8), 1).view(bool)
        if "intrinsics" in found:
            camera = found["intrinsics"].cropped(left, top)
            found["intrinsics"] = camera.flipped(self.size) if mirrored else camera
        if jittered < self.jitter_share:
            image = colour_jitter(image, *colours)
        if self.canonical:
            target = target * np.float32(self.size / found["intrinsics"].focal)
        return found | {"image": image, key: target, "mask": mask}


def colour_jitter(image: np.ndarray, brightness: float, contrast: float, saturation: float, hue: float) -> np.ndarray:
    """Shift the colours of an image, uint8 (H, W, 3), by four shares from 0 to 1; those of 0.5 leave it as it is.

    Brightness, contrast (about the mean grey) and saturation (about the pixel's grey) change by up to a tenth, hue by
    up to 36°, a tenth of the circle. Grey is the mean of red, green and blue, so that all four are one linear map of
    colours: hue turns them about the grey axis (Rodrigues' formula).
    """
    brightness, contrast, saturation = (0.9 + 0.2 * share for share in (brightness, contrast, saturation))
    angle = np.radians(72 * (hue - 0.5))
    across = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    colour, grey = np.eye(3) - 1 / 3, np.full((3, 3), 1 / 3)
    turned = grey + saturation * (np.cos(angle) * colour + np.sin(angle) * across)
    offset = brightness * (1 - contrast) * np.mean(cv2.mean(image)[:3])
    return cv2.transform(image, np.column_stack([brightness * contrast * turned, np.full(3, offset)]))


def _square_part(sample: dict[str, Any], key: str, share: float, place: np.ndarray) -> dict[str, Any]:
    """The sample's square of `share` of its shorter side; `place` says where, from 0 to 1, down and across.

    It is made of whole pixels of the image or of the map, whichever has fewer.
    """
    image, target = sample["image"], sample[key]
    grid = min(image.shape[:2], target.shape)
    side = max(1, round(share * min(grid)))
    first = [int(at * (count - side + 1)) for at, count in zip(place, grid, strict=True)]

    def part(values: np.ndarray) -> tuple[slice, ...]:
        sides = zip(first, values.shape, grid, strict=False)
        return tuple(slice(round(i * count / cells), round((i + side) * count / cells)) for i, count, cells in sides)

    rows, columns = part(image)
    found = sample | {"image": image[rows, columns]} | {name: sample[name][part(target)] for name in (key, "mask")}
    if "intrinsics" in sample:
        found["intrinsics"] = sample["intrinsics"].cropped(columns.start, rows.start)
    return found


def resize_map(values: np.ndarray, mask: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Depth or disparity (H, W) and its mask, True = measured, at another `shape` (h, w): each value is one that was
    measured, never a mean.

    Each cell has its nearest neighbour's value. Where that was not measured and the map shrinks, the cell takes the
    measured point nearest to its centre, if one lies in it: a laser's few points would be lost otherwise.
    """
    small = cv2.resize(values, shape[::-1], interpolation=cv2.INTER_NEAREST)
    measured = cv2.resize(mask.view(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST).view(bool)
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


def _resize(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return cv2.resize(image, shape[::-1], interpolation=cv2.INTER_CUBIC)


def _scaled_camera(sample: dict[str, Any], image: np.ndarray) -> dict[str, Intrinsics]:
    """The intrinsics of a sample, if it has any, in pixels of its resized image."""
    if "intrinsics" not in sample:
        return {}
    (height, width), (rows, columns) = sample["image"].shape[:2], image.shape[:2]
    return {"intrinsics": sample["intrinsics"].scaled(columns / width, rows / height)}


def _check_size(size: int) -> int:
    if size % PATCH or size <= 0:
        near = max(PATCH, round(size / PATCH) * PATCH)
        raise ValueError(f"size must be a multiple of the patch, {PATCH} pixels; got {size}: use {near}")
    return size

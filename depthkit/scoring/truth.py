"""The measured depth of a data set, read without its pictures where it can be."""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from depthkit.data.datasets import DepthDataset
from depthkit.data.files import spread
from depthkit.masked import measured
from depthkit.models.build import canonical_focal

CAMERAS = 20  # pictures whose focal lengths stand for all
FILLED = 0.01  # a sensor leaves more holes than this; a filled map has next to none


def depth_maps(dataset: DepthDataset, images: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Depth float32 (H, W), metres, and its mask, bool, of at most `images` files spread evenly over `dataset`."""
    for index in spread(len(dataset), images):
        depth, mask = dataset.read_depth(index)
        mask = mask & measured(depth)
        yield np.where(mask, depth, 0).astype(np.float32, copy=False), mask


def canonical_per_metre(dataset: DepthDataset) -> np.ndarray:
    """f_c / f (`depthkit.camera.CameraUse`) of CAMERAS pictures of `dataset`. Raises: DataError if one is unknown."""
    indices = spread(len(dataset), CAMERAS)
    return np.array([min(dataset.read(i)[0].shape[:2]) / dataset.known_intrinsics(i).focal for i in indices])


def farthest(config: Any, dataset: DepthDataset) -> float:
    """The largest depth, metres, that a metric model of `config` can predict for every picture of `dataset`."""
    return float(config.max_depth / (canonical_per_metre(dataset).max() if canonical_focal(config) else 1))


def raw_or_filled(dataset: DepthDataset, images: int = 50) -> tuple[Literal["raw", "filled"], float]:
    """Whether the depth of an NYU split is raw, with the sensor's holes, or filled, and the share of holes, 0 to 1.

    Published NYU rows score raw depth, about 24 % holes; filled depth gives other numbers. Both kinds of file may have
    a blank border, so that only the middle 80 % of rows and columns are looked at.
    """
    holes = []
    for _, mask in depth_maps(dataset, images):
        top, left = (round(side * 0.1) for side in mask.shape)
        holes.append(1 - mask[top : mask.shape[0] - top, left : mask.shape[1] - left].mean())
    share = float(np.mean(holes))
    return "filled" if share < FILLED else "raw", share

"""Mixed data for relative pre-training: photos with disparity whose scale and shift nobody knows."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from depthkit.data import readers
from depthkit.data.datasets import DepthDataset, Layout, RGBDFolder, Transform, open_split


class MixedDisparity(RGBDFolder):
    """Pre-training data of any origin: `<root>/<split>/rgb/**` beside `disparity/**`, paired by name.

    Disparity is a 16-bit PNG of the photo's proportions: 0 where nothing was measured, else 1/depth under a scale
    (above 0) and a shift of its own in every image, which nobody knows: all that MiDaS' mixed data sets have in common
    (Ranftl 2020, arXiv 1907.01341). Only a loss that is invariant to both can learn from it.

    Raises: DataError as `RGBDFolder` does.
    """

    target = "disparity"
    suffixes = (".png",)

    def __init__(self, root: str | Path, split: str, transform: Transform | None = None) -> None:
        super().__init__(root, split, 65535, transform)

    def _read_map(self, path: Path) -> NDArray[np.float32]:
        return readers.read_raw_depth(path).astype(np.float32) / np.float32(65535)  # 65535 is near, not a marker


def open_scored(layout: Layout, root: str | Path, split: str, depth_scale: float | None = None) -> DepthDataset:
    """One split to score on: disparity of unknown scale has no score, so beside mixed data it is h5 files, as NYU's."""
    return open_split("nyu" if layout == "mixed" else layout, root, split, depth_scale)

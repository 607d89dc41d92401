"""Mixed data for relative pre-training: photos with disparity whose scale and shift nobody knows."""

import numpy as np

from depthkit import depth_files
from depthkit.data import DepthDataset, by_stem, check_pairs
from depthkit.depth_files import DataError, read_image

LAYOUT = "rgb/ and disparity/"


class MixedDisparity(DepthDataset):
    """Pre-training data of any origin: `<root>/<split>/rgb/**` beside `disparity/**`, paired by name.

    Disparity is a 16-bit PNG of the photo's shape: 0 where nothing was measured, else 1/depth under a scale (above 0)
    and a shift of its own in every image, which nobody knows: all that MiDaS' mixed data sets have in common (Ranftl
    2020, arXiv 1907.01341). Only a loss that is invariant to both can learn from it.

    Raises: DataError as `RGBDFolder` does.
    """

    target = "disparity"

    def __init__(self, root, split, transform=None):
        super().__init__(root, split, transform)
        photos = by_stem(self.folder / "rgb", depth_files.PHOTOS, LAYOUT)
        disparities = by_stem(self.folder / "disparity", (".png",), LAYOUT)
        check_pairs({"photo": photos, "disparity map": disparities})
        self.files = [photos[stem] for stem in sorted(photos)]
        self.disparities = [disparities[stem] for stem in sorted(photos)]

    def read(self, index):
        """Image (H, W, 3), disparity and mask (H, W) of one pair, as NumPy arrays."""
        image, disparity = read_image(self.files[index]), depth_files.read_depth(self.disparities[index], 65535)
        if disparity.shape != image.shape[:2]:
            raise DataError(f"{self.disparities[index]}: shape {disparity.shape}, but its photo has {image.shape[:2]}")
        return image, disparity, np.ones(disparity.shape, dtype=bool)

    def inspect(self, index):
        """Check what can be checked without decoding pixels. Raises DataError."""
        depth_files.inspect_photo(self.files[index])
        depth_files.inspect_depth(self.disparities[index], 65535)

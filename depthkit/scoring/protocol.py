"""How predictions become numbers; two numbers under different protocols can't be compared."""

from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from depthkit.errors import InputError
from depthkit.masked import Map, valid_mask
from depthkit.models.encoders import LARGEST_MAX_DEPTH

Alignment = Literal["none", "disparity", "depth", "median"]
Crop = Literal["eigen", "garg"]
Average = Literal["image", "pixel"]
Bounds = Literal["closed", "strict"]

EIGEN_CROP = (45, 471, 41, 601)  # Eigen 2014 on NYU: first row, last + 1, and columns of the 480 × 640 frame
GARG_CROP = (0.40810811, 0.99189189, 0.03594771, 0.96405229)  # Garg 2016, arXiv 1603.04992, on KITTI: shares


@dataclass(frozen=True)
class Protocol:
    """A protocol says how predictions become numbers.

    align: "none" for metric models; "disparity" for relative ones (least squares per image against the truth it is then
        scored on); "median" (scale alone) and "depth" (least squares in depth, wrong for disparity) for comparison.
    crop: None, "eigen" on 480 × 640 frames, or "garg" on frames of any size.
    min_depth, max_depth: metres; the truth is valid within them.
    clamp: also bring predictions into [min_depth, max_depth].
    flip_tta: mean of the prediction and of the mirrored prediction of the mirrored image.
    average: "image", mean of per-image scores; "pixel", one score over all pixels.
    bounds: "closed", a truth equal to min_depth or max_depth is valid; "strict", it is not.
    ground_truth: what published numbers under this protocol are scored on, in words; it changes no number here.
    """

    align: Alignment = "none"
    crop: Crop | None = None
    min_depth: float = 1e-3
    max_depth: float = 10.0
    clamp: bool = False
    flip_tta: bool = False
    average: Average = "image"
    bounds: Bounds = "closed"
    ground_truth: str = ""

    def __post_init__(self) -> None:
        for name, kind in {"align": Alignment, "crop": Crop, "average": Average, "bounds": Bounds}.items():
            value, choices = getattr(self, name), get_args(kind) + ((None,) if name == "crop" else ())
            if value not in choices:
                raise InputError(f"{name} must be one of {choices}; got {value!r}")
        if not 0 <= self.min_depth < self.max_depth <= LARGEST_MAX_DEPTH:
            found = f"{self.min_depth:g} and {self.max_depth:g}"
            raise InputError(f"0 ≤ min_depth < max_depth must hold, up to {LARGEST_MAX_DEPTH} metres; got {found}")

    def __str__(self) -> str:
        aligned = {"none": "no alignment", "median": "scaled to the true median per image"}
        parts = [
            aligned.get(self.align, f"scale and shift fitted in {self.align} per image"),
            f"{self.crop.capitalize()} crop" if self.crop else "no crop",
            f"truth from {self.min_depth:g} to {self.max_depth:g} m{' exclusive' if self.bounds == 'strict' else ''}",
            "predictions clamped to that" if self.clamp else "no clamp",
            "flip-averaged" if self.flip_tta else "no flip",
            f"mean per {self.average}",
        ]
        return ", ".join(parts) + (f"; {self.ground_truth}" if self.ground_truth else "")

    def within(self, depth: Map) -> Map:
        """Say where the truth `depth` (metres, array or tensor) lies within the bounds; bool of the same shape."""
        if self.bounds == "strict":
            return (depth > self.min_depth) & (depth < self.max_depth)
        return valid_mask(depth, self.min_depth, self.max_depth)


PLAIN = Protocol()
"""No crop, no clamp, no flip, mean per image: the authors' `metric_depth/train.py`."""
ZOEDEPTH = Protocol(
    crop="eigen",
    clamp=True,
    flip_tta=True,
    bounds="strict",
    ground_truth="published rows score the raw depth of the official 654 test images",
)
"""In-domain NYU of ZoeDepth (Bhat 2023, arXiv 2302.12288, `zoedepth/utils/misc.py`) and of the Depth Anything tables.
Its silog is another formula (see `depth_metrics`), and it reads a NaN as min_depth where `evaluate` skips the image."""
KITTI_GARG = replace(
    ZOEDEPTH,
    crop="garg",
    max_depth=80.0,
    ground_truth="published rows score the annotated depth of the 652 Eigen test images that have it, "
    "photo and depth first cut to the lowest 352 rows and the middle 1216 columns",
)
"""KITTI of ZoeDepth; the cut to 352 × 1216 (its `do_kb_crop`) is a matter of the data, and not done here."""
PROTOCOLS: dict[str, Protocol] = {"plain": PLAIN, "nyu-eigen": ZOEDEPTH, "kitti-garg": KITTI_GARG}


def crop_mask(depth: Tensor, crop: Crop | None) -> Tensor:
    """Say which pixels of `depth` (B, H, W) a crop keeps, bool (B, H, W). Raises InputError where it does not fit."""
    if crop is None:
        return torch.ones_like(depth, dtype=torch.bool)
    height, width = depth.shape[-2:]
    top, bottom, left, right = EIGEN_CROP
    if crop == "garg":
        top, bottom = (int(share * height) for share in GARG_CROP[:2])
        left, right = (int(share * width) for share in GARG_CROP[2:])
    elif (height, width) != (480, 640):
        raise InputError(f"the Eigen crop is for 480 × 640 depth maps; got {(height, width)}: use crop=None")
    inside = torch.zeros_like(depth, dtype=torch.bool)
    inside[:, top:bottom, left:right] = True
    return inside

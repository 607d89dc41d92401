"""The pinhole camera: intrinsics, projection, what rendered and stereo data call depth, and point clouds. NumPy only.

Camera axes: x right, y down, z forward, metres. Pixel (u, v) is (column, row); whole numbers are pixel centres, so
that a W-wide image reaches from −0.5 to W − 0.5 and its centre is (W − 1)/2. (Hartley & Zisserman 2004, ch. 6.)
"""

import math
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from depthkit.run_folder import replaced_file

# How a model treats the lens. ignore: it learns metres as they are, which hold for lenses like those of its training.
# canonical: it learns z · f_c / f, the depth at which a camera of focal length f_c would see the same picture, and its
# predictions times f / f_c are metres (label transformation of Metric3D, Yin 2023, arXiv 2307.10984, sec. 3.1). f is
# `Intrinsics.focal` in pixels of the network's input, and f_c that input's shorter side: 53° along it.
CameraUse = Literal["ignore", "canonical"]


class Intrinsics(NamedTuple):
    """Focal lengths and principal point in pixels of one image size; every resize, crop or flip needs its own.

    Unpacks as (fx, fy, cx, cy).
    """

    fx: float
    fy: float
    cx: float
    cy: float

    @classmethod
    def centred(cls, focal: float, width: int, height: int) -> "Intrinsics":
        """Square pixels, principal point in the middle, a focal length in pixels."""
        return cls(focal, focal, (width - 1) / 2, (height - 1) / 2)

    @classmethod
    def from_fov(cls, hfov_deg: float, width: int, height: int) -> "Intrinsics":
        """As `centred`, with `hfov_deg` degrees from the left edge to the right one."""
        return cls.centred(width / 2 / math.tan(math.radians(hfov_deg) / 2), width, height)

    @property
    def focal(self) -> float:
        """One focal length for both axes, √(fx · fy), in pixels."""
        return math.sqrt(self.fx * self.fy)

    def scaled(self, sx: float, sy: float) -> "Intrinsics":
        """After a resize to sx × the width and sy × the height. Pixels are areas: outer edges stay, not centres."""
        return Intrinsics(self.fx * sx, self.fy * sy, (self.cx + 0.5) * sx - 0.5, (self.cy + 0.5) * sy - 0.5)

    def cropped(self, x: float, y: float) -> "Intrinsics":
        """After a crop whose first column is x and first row y."""
        return Intrinsics(self.fx, self.fy, self.cx - x, self.cy - y)

    def flipped(self, width: int) -> "Intrinsics":
        """After mirroring left and right an image of `width` pixels."""
        return Intrinsics(self.fx, self.fy, width - 1 - self.cx, self.cy)


def project(points: ArrayLike, intrinsics: Intrinsics) -> NDArray[np.float64]:
    """Points (..., 3), metres → pixels (u, v), float64 (..., 2); NaN for points not in front of the camera (z ≤ 0)."""
    x, y, z = np.moveaxis(np.asarray(points, dtype=np.float64), -1, 0)
    z = np.where(z > 0, z, np.nan)
    return np.stack([intrinsics.fx * x / z + intrinsics.cx, intrinsics.fy * y / z + intrinsics.cy], axis=-1)


def unproject(depth: ArrayLike, intrinsics: Intrinsics) -> NDArray[np.float32]:
    """Planar metric depth (H, W) → points float32 (H, W, 3), metres; the origin where depth is 0 (not measured)."""
    depth = np.asarray(depth, dtype=np.float64)
    x, y = _rays(depth.shape, intrinsics)
    return np.stack([x * depth, y * depth, depth], axis=-1).astype(np.float32)


def ray_distance_to_depth(distance: ArrayLike, intrinsics: Intrinsics) -> NDArray[np.float32]:
    """Distance along the ray from the camera centre (H, W) → planar depth z, float32 (H, W), in the same unit.

    Renderers and laser scanners often give the former: z = distance / √(1 + ((u−cx)/fx)² + ((v−cy)/fy)²).
    """
    distance = np.asarray(distance, dtype=np.float64)
    return (distance / _ray_length(distance.shape, intrinsics)).astype(np.float32)


def depth_to_ray_distance(depth: ArrayLike, intrinsics: Intrinsics) -> NDArray[np.float32]:
    """Planar depth (H, W) → distance along the ray, float32 (H, W); the inverse of `ray_distance_to_depth`."""
    depth = np.asarray(depth, dtype=np.float64)
    return (depth * _ray_length(depth.shape, intrinsics)).astype(np.float32)


def disparity_to_depth(disparity: ArrayLike, focal: float, baseline: float, doffs: float = 0.0) -> NDArray[np.float32]:
    """Stereo disparity, pixels → planar depth z = focal · baseline / (disparity + doffs), metres, float32.

    `disparity` and `focal` are in pixels, `baseline` in metres, and `doffs` is cx of the right camera − cx of the left
    (Middlebury 2014's `calib.txt`). Depth is 0, not measured, where disparity is 0 or not finite, or ≤ 0 with doffs.
    Other markers (StereoSGBM's −1) must be replaced before, as a disparity below 0 can be real with `doffs`.
    """
    disparity = np.asarray(disparity, dtype=np.float64)
    shifted = disparity + doffs
    measured = np.isfinite(disparity) & (disparity != 0) & (shifted > 0)
    return np.where(measured, focal * baseline / np.where(measured, shifted, 1), 0).astype(np.float32)


def point_cloud(
    depth: ArrayLike, image: ArrayLike, intrinsics: Intrinsics, mask: ArrayLike | None = None
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Coloured points of the pixels that `mask` keeps and whose planar depth (H, W), metres, is finite and above 0.

    Takes uint8 RGB (H, W, 3) and the intrinsics of this size. Returns points float32 (N, 3), metres, and colours uint8
    (N, 3), row by row. Raises: ValueError when sizes differ.
    """
    depth, image = np.asarray(depth), np.asarray(image)
    keep = np.isfinite(depth) & (depth > 0)
    if mask is not None:
        keep &= np.asarray(mask, dtype=bool)
    if image.shape != (*depth.shape, 3):
        raise ValueError(f"image must be (H, W, 3) at the depth map's size {depth.shape}; got {image.shape}")
    return unproject(depth, intrinsics)[keep], image[keep]


def write_ply(path: str | Path, points: ArrayLike, colors: ArrayLike) -> None:
    """Write points (N, 3), metres, and colours (N, 3), uint8, as a binary little-endian PLY file, whole or not at all.

    Raises: ValueError when the two don't match, or a point isn't finite.
    """
    points, colors = np.asarray(points, dtype="<f4"), np.asarray(colors)
    if points.ndim != 2 or points.shape[1] != 3 or colors.shape != points.shape or colors.dtype != np.uint8:
        raise ValueError(
            f"points and uint8 colors, (N, 3) each, wanted; got {points.shape}, {colors.dtype} {colors.shape}"
        )
    if not np.isfinite(points).all():
        raise ValueError("points must be finite: leave out what was not measured")
    vertices = np.empty(len(points), dtype=[("position", "<f4", 3), ("color", "u1", 3)])
    vertices["position"], vertices["color"] = points, colors
    fields = [f"property float {name}" for name in ("x", "y", "z")]
    fields += [f"property uchar {name}" for name in ("red", "green", "blue")]
    lines = ["ply", "format binary_little_endian 1.0", "comment metres, x right, y down, z forward"]
    header = "\n".join([*lines, f"element vertex {len(points)}", *fields, "end_header"]) + "\n"
    with replaced_file(path) as draft:
        draft.write_bytes(header.encode("ascii") + vertices.tobytes())


def _rays(shape: tuple[int, ...], intrinsics: Intrinsics) -> tuple[np.ndarray, np.ndarray]:
    """x/z and y/z of the ray through each pixel centre, (1, W) and (H, 1)."""
    height, width = shape
    x = (np.arange(width) - intrinsics.cx) / intrinsics.fx
    y = (np.arange(height) - intrinsics.cy) / intrinsics.fy
    return x[None, :], y[:, None]


def _ray_length(shape: tuple[int, ...], intrinsics: Intrinsics) -> np.ndarray:
    """Distance along the ray for each unit of planar depth, (H, W)."""
    x, y = _rays(shape, intrinsics)
    return np.sqrt(1 + x**2 + y**2)

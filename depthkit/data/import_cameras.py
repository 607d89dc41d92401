"""Finding the cameras of photos in the files that sensors, tools and public data sets keep them in."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from depthkit.camera import Intrinsics
from depthkit.data.files import parse_camera
from depthkit.data.import_sources import CAMERA_FILES, Frame
from depthkit.data.readers import DataError, named_errors, picture_shape
from depthkit.errors import InputError

Cameras = dict[str, tuple[Intrinsics, tuple[int, int]]]  # of each frame by its name, with the photo's width and height

CAMERA_KEYS = ("fx", "fy", "cx", "cy", "width", "height")
NYU_CAMERA = dict(zip(CAMERA_KEYS, (518.857901, 519.469611, 325.582449, 253.736166, 640, 480), strict=True))
"""The RGB camera of the NYU toolbox, camera_params.m."""


def find_cameras(
    frames: list[Frame], source: Path, hfov: float | None, intrinsics: tuple[float, float, float, float] | None
) -> Cameras:
    """Take the cameras as given, else from the nearest camera file; a frame without either is not in the result.

    Raises: InputError when a file holds no camera, or one without a size would have to hold for photos of several.
    """
    given = {"hfov_deg": hfov} if hfov else None
    if intrinsics:
        given = dict(zip(CAMERA_KEYS, intrinsics, strict=False))
    look_up, read, found = cache(nearest_camera), cache(read_camera), Cameras()
    shapes: dict[Path | None, tuple[int, int]] = {}
    for frame in frames:
        if isinstance(frame.photo, Path):
            path, shape = None if given else look_up(frame.photo.parent, source), picture_shape(frame.photo)
            values = read(path) if path else given
        else:
            path, shape, values = None, frame.photo().shape[:2], given or NYU_CAMERA
        if values is None:
            continue
        (height, width), first = shape, shapes.setdefault(path, shape)
        if "width" not in values and "hfov_deg" not in values and shape != first:
            others = f"others {first[1]} × {first[0]}"
            raise InputError(f"{frame.photo}: {width} × {height}, {others}: give --hfov, or import them apart")
        found[frame.name] = parse_camera(path or Path("--intrinsics"), values, shape), (width, height)
    return found


def nearest_camera(folder: Path, source: Path) -> Path | None:
    """Find the camera file in a folder or, up to `source`, above it."""
    if path := next((folder / name for name in CAMERA_FILES if (folder / name).is_file()), None):
        return path
    return None if folder in (source, folder.parent) else nearest_camera(folder.parent, source)


def read_camera(path: Path) -> dict[str, Any]:
    """Read the CAMERA_KEYS that a 3 × 3 matrix (.txt), YAML, JSON or KITTI's calib_cam_to_cam.txt holds."""
    with named_errors(path, "a camera"):
        if path.suffix != ".txt":
            values = yaml.safe_load(path.read_text())
            return {{"xres": "width", "yres": "height"}.get(key, key): value for key, value in values.items()}
        if path.name == "calib_cam_to_cam.txt":
            rows = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
            matrix, size = np.array(rows["P_rect_02"].split(), dtype=float).reshape(3, 4), rows["S_rect_02"].split()
        else:
            matrix, size = np.loadtxt(path), []
        if not np.allclose(matrix[2, :3], [0, 0, 1], atol=1e-3):
            raise DataError(f"{path}: the third row is {matrix[2]}, of a camera matrix it is 0 0 1: is it transposed?")
        numbers = (*matrix[[0, 1, 0, 1], [0, 1, 2, 2]].tolist(), *map(float, size))
        return dict(zip(CAMERA_KEYS, numbers, strict=False))

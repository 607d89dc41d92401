"""Single scenes that the course explains with: the teaching renders, and Middlebury's Motorcycle."""

from pathlib import Path
from typing import Any

import numpy as np

from depthkit.camera import Intrinsics, disparity_to_depth
from depthkit.course.sample import BUNDLED, read_frame, read_frames, write_h5
from depthkit.run_folder import replaced_folder


def teaching(name: str, source: str | Path = BUNDLED) -> tuple[np.ndarray, np.ndarray | None, dict[str, Any]]:
    """Return one teaching render: image uint8 (H, W, 3), depth float32 (H, W) in metres, its entry of frames.json.

    The right picture of the stereo pair has no depth of its own: it is None.
    """
    frames = read_frames(source)
    if f"teaching/{name}" not in frames:
        names = ", ".join(key.removeprefix("teaching/") for key in frames if key.startswith("teaching/"))
        raise ValueError(f"no teaching render {name!r}; there are {names}")
    frame = frames[f"teaching/{name}"]
    return *read_frame(source, frame), frame


def motorcycle() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
    """Return the Motorcycle scene of Middlebury 2014 (Scharstein 2014), from scikit-image's wheel.

    It consists of the left and the right image, uint8 (H, W, 3), the left one's depth in metres, float32 (H, W), 0
    where not measured, its disparity in pixels, and a dict of its `intrinsics`, `baseline` (m) and `doffs` (pixels).
    """
    from skimage.data import stereo_motorcycle

    left, right, disparity = stereo_motorcycle()
    camera, baseline, doffs = Intrinsics(fx=994.978, fy=994.978, cx=311.193, cy=254.877), 0.193001, 31.086
    depth = disparity_to_depth(disparity, camera.fx, baseline, doffs).astype(np.float32)
    return left, right, depth, disparity, {"intrinsics": camera, "baseline": baseline, "doffs": doffs}


def unpack_motorcycle(destination: str | Path) -> Path:
    """Lay out left picture and depth as `<destination>/motorcycle/val/scene/00000.h5`, and return the root."""
    left, _, depth, _, calibration = motorcycle()
    root = Path(destination) / "motorcycle"
    if not root.is_dir():
        with replaced_folder(root) as draft:
            write_h5(draft / "val" / "scene" / "00000.h5", left, depth, calibration["intrinsics"]._asdict())
    return root

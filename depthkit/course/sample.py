"""The bundled sample: rendered rooms and halls, laid out as the h5 tree that the course reads everywhere.

It lies compressed (JPEG, and 16-bit PNG depth) in `data/sample` of the repository and inside the wheel. README.md there
tells how it was made; `frames.json` lists each frame with its size, intrinsics and depth scale.
"""

import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from depthkit.data.readers import DataError, read_depth, read_image
from depthkit.run_folder import read_json

REPOSITORY = Path(__file__).resolve().parents[2]
IN_WHEEL = Path(__file__).resolve().parents[1] / "bundled"
ASSETS = IN_WHEEL if IN_WHEEL.is_dir() else REPOSITORY  # what holds data/ and weights/
BUNDLED = ASSETS / "data" / "sample"
SETS = ("rooms", "halls")


def unpack_sample(name: str, destination: str | Path, source: str | Path = BUNDLED) -> Path:
    """Lay out "rooms" or "halls" as `<destination>/<name>-<digest>/<split>/<scene>/<frame>.h5`, in the NYU format.

    Nothing is done when it is there already; the digest is of the compressed files, so that a changed sample is laid
    out anew. Several processes may call it at once. Returns the root, to give to `NYUDepthV2`.

    Raises: DataError when the sample is not beside the package, or a file of it is damaged.
    """
    if name not in SETS:
        raise ValueError(f"no set {name!r} in the sample; choose one of {', '.join(SETS)}")
    frames = [frame for key, frame in read_frames(source).items() if key.startswith(f"{name}/")]
    root = Path(destination) / f"{name}-{_digest(source, frames)}"
    if root.is_dir():
        return root
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(".draft", f"{name}-", root.parent, ignore_cleanup_errors=True) as draft:
        for frame in frames:
            path = Path(draft, f"{frame['name'].removeprefix(f'{name}/')}.h5")
            write_h5(path, *read_frame(source, frame), frame)
        try:
            Path(draft).rename(root)
        except OSError:
            if not root.is_dir():  # else another process was first, with the same content
                raise
    return root


def read_frames(source: str | Path) -> dict[str, dict[str, Any]]:
    """Return the entries of `frames.json` in the folder `source`, by name.

    Raises: DataError when it is not there.
    """
    listing = Path(source) / "frames.json"
    if not listing.is_file():
        raise DataError(
            f"{listing}: no bundled sample here; work in a checkout of the repository (pip install -e .), or name your "
            "own data in DEPTHKIT_DATA"
        )
    return {frame["name"]: frame for frame in read_json(listing)}


def read_frame(source: str | Path, frame: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the image of one frame, uint8 (H, W, 3), and its depth, float32 (H, W) in metres, or None without one."""
    image = read_image(Path(source, frame["image"]))
    return image, read_depth(Path(source, frame["depth"]), frame["depth_scale"]) if "depth" in frame else None


def write_h5(path: Path, image: np.ndarray, depth: np.ndarray | None, frame: Mapping[str, Any]) -> None:
    """Write one frame in the NYU format, with its intrinsics `fx`, `fy`, `cx` and `cy` in pixels as an attribute."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["rgb"], file["depth"] = image.transpose(2, 0, 1), depth
        file.attrs["intrinsics"] = [frame[name] for name in ("fx", "fy", "cx", "cy")]


def _digest(source: str | Path, frames: list[dict[str, Any]]) -> str:
    """Digest the names, sizes and calibration of the compressed files: enough to see that the sample changed."""
    sizes = [Path(source, frame[kind]).stat().st_size for frame in frames for kind in ("image", "depth")]
    return hashlib.sha256(repr((frames, sizes)).encode()).hexdigest()[:10]

"""The bundled sample: rendered rooms and halls, laid out as the h5 tree that the course reads everywhere.

It lies compressed (JPEG, and 16-bit PNG depth) in `data/sample` of the repository, and inside the wheel that
`tools/kaggle_bundle.py` builds. `data/sample/README.md` tells how it was made; `frames.json` there lists each frame
with its size, intrinsics and depth scale.
"""

import hashlib
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

import h5py
import numpy as np

from depthkit.depth_files import DataError, read_depth, read_image
from depthkit.files import draft_folder, read_json, replace_folder
from depthkit.geometry import Intrinsics, disparity_to_depth

REPOSITORY = Path(__file__).resolve().parent.parent
IN_WHEEL = Path(__file__).resolve().parent / "bundled"
ASSETS = IN_WHEEL if IN_WHEEL.is_dir() else REPOSITORY  # what holds data/ and weights/
BUNDLED = ASSETS / "data" / "sample"
SETS = ("rooms", "halls")


def unpack_sample(name, destination, source=BUNDLED):
    """Lay out "rooms" or "halls" as `<destination>/<name>-<digest>/<split>/<scene>/<frame>.h5`, in the NYU format.

    Quick when it is there already; the digest is of the compressed files, so that a changed sample is laid out anew.
    Several processes may call it at once.

    Returns: the root, to give to `depthkit.data.NYUDepthV2`.

    Raises: DataError when the sample is not beside the package, or a file of it is damaged.
    """
    if name not in SETS:
        raise ValueError(f"no set {name!r} in the sample; choose one of {', '.join(SETS)}")
    frames = [frame for key, frame in _frames(source).items() if key.startswith(f"{name}/")]
    root = Path(destination) / f"{name}-{_digest(source, frames)}"
    if root.is_dir():
        return root
    root.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f"{name}-", suffix=".draft", dir=root.parent))
    try:
        for frame in frames:
            path = draft / Path(frame["name"]).relative_to(name)
            _write_h5(path.with_name(path.name + ".h5"), *_read(source, frame), frame)
        try:
            draft.rename(root)
        except OSError:
            if not root.is_dir():  # else another process was first, with the same content
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return root


def teaching(name, source=BUNDLED):
    """One teaching render: image uint8 (H, W, 3), depth float32 (H, W) in metres, and its entry of frames.json.

    The right picture of the stereo pair has no depth of its own: None.
    """
    frames = _frames(source)
    if f"teaching/{name}" not in frames:
        names = ", ".join(key.removeprefix("teaching/") for key in frames if key.startswith("teaching/"))
        raise ValueError(f"no teaching render {name!r}; there are {names}")
    frame = frames[f"teaching/{name}"]
    return *_read(source, frame), frame


def motorcycle():
    """The Motorcycle scene of Middlebury 2014 (Scharstein 2014), from scikit-image's wheel.

    Returns: left and right image uint8 (H, W, 3), depth of the left in metres, float32 (H, W), 0 where not measured,
    its disparity in pixels, and the calibration: a dict with `intrinsics` of the left, `baseline` in metres, `doffs`
    in pixels.
    """
    from skimage.data import stereo_motorcycle

    left, right, disparity = stereo_motorcycle()
    calibration = {
        "intrinsics": Intrinsics(fx=994.978, fy=994.978, cx=311.193, cy=254.877),
        "baseline": 0.193001,
        "doffs": 31.086,
    }
    depth = disparity_to_depth(disparity, 994.978, calibration["baseline"], calibration["doffs"])
    return left, right, depth.astype(np.float32), disparity, calibration


def unpack_motorcycle(destination):
    """Lay out the Motorcycle's left picture and depth as `<destination>/motorcycle/val/scene/00000.h5`; the root."""
    left, _, depth, _, calibration = motorcycle()
    root = Path(destination) / "motorcycle"
    if not root.is_dir():
        draft = draft_folder(root)
        _write_h5(draft / "val" / "scene" / "00000.h5", left, depth, asdict(calibration["intrinsics"]))
        replace_folder(draft, root)
    return root


def _frames(source):
    listing = Path(source) / "frames.json"
    if not listing.is_file():
        raise DataError(
            f"{listing}: no bundled sample here; work in a checkout of the repository (pip install -e .), or name your "
            "own data in DEPTHKIT_DATA"
        )
    return {frame["name"]: frame for frame in read_json(listing)}


def _digest(source, frames):
    """Names, sizes and calibration of the compressed files: enough to see that the sample changed."""
    sizes = [Path(source, frame[kind]).stat().st_size for frame in frames for kind in ("image", "depth")]
    return hashlib.sha256(repr((frames, sizes)).encode()).hexdigest()[:10]


def _read(source, frame):
    image = read_image(Path(source, frame["image"]))
    return image, read_depth(Path(source, frame["depth"]), frame["depth_scale"]) if "depth" in frame else None


def _write_h5(path, image, depth, frame):
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["rgb"], file["depth"] = image.transpose(2, 0, 1), depth
        file.attrs["intrinsics"] = [frame[name] for name in ("fx", "fy", "cx", "cy")]

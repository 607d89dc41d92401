"""Predict for photos and videos on disk, and write what came out: numbers, pictures and point clouds."""

import contextlib
import glob
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import ExifTags, Image
from tqdm import tqdm

from depthkit.camera import Intrinsics, point_cloud, write_ply
from depthkit.data.files import find_camera
from depthkit.data.loader import keep_freed_memory
from depthkit.data.overview import coloured, write_png
from depthkit.data.readers import LISTED, PHOTOS, DataError, read_image
from depthkit.errors import InputError
from depthkit.models.build import canonical_focal, load_model
from depthkit.models.calibration import load_calibration, predict_calibrated
from depthkit.models.predict_video import predict_video
from depthkit.run_folder import replaced_file

VIDEOS = (".mp4", ".mov", ".avi", ".mkv", ".webm")
UNITS = {"mm": 1000, "cm": 100, "dm": 10, "m": 1}  # 16-bit PNG ends at 65 535 of them; the finest that fits is taken
ASSUMED = "assumed, as none is known (give --focal_px or --hfov)"
Camera = Intrinsics | float | None  # a number is the horizontal field of view, degrees
# Of a file, None for a frame of a video, and its picture: the prediction, the camera if it is known, words about it.
Predict = Callable[[Path | None, np.ndarray], tuple[np.ndarray, Intrinsics | None, str]]


def predict_files(
    model: str | Path,
    sources: Sequence[str | Path],
    output: str | Path,
    camera: Camera = None,
    focal_px: float | None = None,
) -> list[Path]:
    """Predict for photos and videos, on the GPU when there is one, and write the results into `output`.

    The tree below the deepest folder that holds all sources is kept. `a/photo.jpg` becomes `a/photo_depth.npy` (float32
    metres), `a/photo_depth_mm.png` (16-bit; cm, dm or m where depth reaches beyond 65.5 m), `a/photo_depth.png` (a
    picture, near is bright) and, where `photo_camera` knows the camera, `a/photo.ply`. A relative model without
    calibration gives `photo_disparity.npy` and `photo_disparity.png` alone. A video becomes `video_depth.mp4` (or
    `_disparity`): each frame beside its prediction.

    Args:
        model: model folder, whose calibration is applied, or Hub id.
        sources: photos, videos, folders (with all below them, but for `output`) and globs.
        camera: intrinsics, in pixels of the photos, all of one size; or the horizontal field of view, degrees.
        focal_px: instead, the focal length alone, in pixels of the photos.

    Returns the files that were predicted. Raises: InputError before anything is written when a source holds nothing,
    two results would have one name, or a weight is NaN; and, when all others are done, for files that can't be read.
    """
    keep_freed_memory()
    _check_camera(camera, focal_px)
    network: Any = load_model(model)
    calibration = load_calibration(model)
    network.to("cuda" if torch.cuda.is_available() else "cpu")
    metres = calibration is not None or network.config.depth_estimation_type == "metric"
    if (camera or focal_px) and not metres:
        raise InputError(f"{model} predicts no metres, hence no point cloud: calibrate it, or leave the camera out")

    canonical = canonical_focal(network.config)
    use = " (the calibration holds the lens: for points alone)" if canonical and calibration else ""

    def predict(file: Path | None, image: np.ndarray) -> tuple[np.ndarray, Intrinsics | None, str]:
        found, source = photo_camera(file, image.shape, camera, focal_px, _camera_folders(file) if file else ())
        known = source != ASSUMED
        words = f"; focal length {found.focal:.0f} px {source}{use}" if metres and (known or canonical) else ""
        return predict_calibrated(network, image, calibration, found.focal), found if known else None, words

    targets = find_files(sources, Path(output))
    problems = []
    with tqdm(targets.items(), desc="predict", unit="file", disable=None) as bar:
        for file, target in bar:
            predict_one = _predict_video if _is_video(file) else _predict_photo
            try:
                bar.write(f"{file}: {predict_one(predict, file, target, metres)}")
            except DataError as error:
                problems.append(str(error))
    if problems:
        listed = "\n".join(problems[:LISTED])
        raise InputError(f"{len(problems)} of {len(targets)} file(s) were left out, the others are done:\n{listed}")
    return list(targets)


def find_files(sources: Sequence[str | Path], output: Path) -> dict[Path, Path]:
    """The photos and videos of files, folders and globs, each with what its results are called, without suffix.

    Raises: InputError when a source has none, or two files would write to one place.
    """
    if not sources:
        raise InputError("no photo, video or folder was named: give at least one")
    kinds, away = PHOTOS + VIDEOS, output.resolve()
    found: list[Path] = []
    roots = []
    for source in map(str, sources):
        files = []
        matches = [source] if Path(source).exists() else sorted(glob.glob(source, recursive=True))  # noqa: PTH207
        for match in map(Path, matches):
            root = match.resolve() if match.is_dir() else match.parent.resolve()
            roots.append(root)
            inside = sorted(root.rglob("*")) if match.is_dir() else []
            files += [p for p in inside if p.suffix.lower() in kinds and p.name[0] != "." and away not in p.parents]
            files += [root / match.name] if match.is_file() else []
        if not files:
            raise InputError(f"{source}: no photo or video there ({', '.join(kinds)}), the output folder left out")
        found += files
    targets: dict[Path, Path] = {}
    writers: dict[tuple[Path, bool], Path] = {}
    for file in dict.fromkeys(found):
        targets[file] = output / file.relative_to(os.path.commonpath(roots)).with_suffix("")
        other = writers.setdefault((targets[file], _is_video(file)), file)
        if other != file:
            raise InputError(f"{file} and {other.name} would both be written to {targets[file]}_*: rename one")
    return targets


def photo_camera(
    file: Path | None,
    shape: Sequence[int],
    camera: Camera = None,
    focal_px: float | None = None,
    folders: Sequence[Path] = (),
) -> tuple[Intrinsics, str]:
    """The camera of a photo of `shape` (height, width), and where its focal length is from, in words.

    In this order: `focal_px`, `camera`, the .json of the file's stem or `camera.json` in one of `folders`, if any, and
    the 35 mm equivalent in its EXIF, which holds for a photo that was not cropped; else the shorter side is
    ASSUMED, as `predict_depth` does. Raises: DataError when such a .json holds no camera of this photo.
    """
    height, width = shape[:2]
    if focal_px is not None:
        camera = Intrinsics.centred(focal_px, width, height)
    if isinstance(camera, Intrinsics):
        return camera, "as given"
    if camera is not None:
        return Intrinsics.from_fov(camera, width, height), f"from a field of view of {camera:g}°"
    if file and folders and (noted := find_camera(file, tuple(folders), (height, width))) is not None:
        return noted, "from the .json beside it"
    with contextlib.suppress(Exception):  # EXIF that is missing, or can't be read
        with Image.open(file or "") as picture:
            focal_mm = float(picture.getexif().get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm])
        if focal_mm > 0:  # 0 means unknown; equivalent is what sees as much along the diagonal of 36 × 24 mm
            focal_px = focal_mm * math.hypot(width, height) / math.hypot(36, 24)
            return Intrinsics.centred(focal_px, width, height), f"from EXIF ({focal_mm:g} mm equivalent)"
    return Intrinsics.centred(min(height, width), width, height), ASSUMED


def _camera_folders(file: Path) -> Sequence[Path]:
    """Where a photo's camera.json may lie: in the two folders above its own, or above `rgb`, up to the data's root."""
    below = next((level for level, folder in enumerate(file.parents) if folder.name == "rgb"), 0)
    return file.parents[: below + 3]


def _check_camera(camera: Camera, focal_px: float | None) -> None:
    if focal_px is not None and camera is not None:
        raise InputError("two cameras were given: leave all but one of focal_px, hfov and intrinsics out")
    if focal_px is not None and not 0 < focal_px < math.inf:
        raise InputError(f"focal_px {focal_px:g}: give a positive number of pixels of the photo")
    if isinstance(camera, Intrinsics):
        if min(camera.fx, camera.fy) <= 0 or not math.isfinite(sum(camera)):
            raise InputError(f"intrinsics {' '.join(map(str, camera))}: fx and fy are positive, all four finite pixels")
    elif camera is not None and not 0 < camera < 180:
        raise InputError(f"hfov {camera:g}: give degrees between 0 and 180, from the left edge to the right one")


def _predict_photo(predict: Predict, file: Path, target: Path, metres: bool) -> str:
    """Write all results of one photo; returns what to print about it."""
    image = read_image(file)
    prediction, camera, words = predict(file, image)
    limits = np.percentile(prediction, [1, 99])
    name = f"{target}_depth" if metres else f"{target}_disparity"
    with replaced_file(f"{name}.npy") as draft, draft.open("wb") as stream:
        np.save(stream, prediction)
    write_png(Path(f"{name}.png"), coloured(prediction, np.isfinite(prediction), limits, near_is_large=not metres))
    if not metres:
        return f"disparity {limits[0]:.3g} to {limits[1]:.3g}: near is large, no unit"
    unit = next((unit for unit, factor in UNITS.items() if prediction.max() * factor <= 65535), "m")
    write_png(Path(f"{name}_{unit}.png"), np.rint(prediction * UNITS[unit]).clip(0, 65535).astype(np.uint16))
    if camera is not None:
        write_ply(f"{target}.ply", *point_cloud(prediction, image, camera))
    return f"{limits[0]:.2f} m (nearest 1 %) to {limits[1]:.2f} m (farthest 1 %), 16-bit PNG in {unit}{words}"


def _predict_video(predict: Predict, file: Path, target: Path, metres: bool) -> str:
    """Write a video's frames beside their depth; returns what to print. Raises: DataError as `predict_video`."""
    name = Path(f"{target}_depth.mp4" if metres else f"{target}_disparity.mp4")
    words = ""

    def of_frame(image: np.ndarray) -> np.ndarray:
        nonlocal words
        prediction, _, words = predict(None, image)
        return prediction

    frames, total = predict_video(of_frame, file, name, near_is_large=not metres)
    # Well below, as some kinds of file state an estimate.
    cut = f"; only {frames} of {total} frames could be decoded" if frames < 0.9 * total else ""
    return f"frames and prediction side by side in {name}{words}{cut}"


def _is_video(file: Path) -> bool:
    return file.suffix.lower() in VIDEOS

"""Finding the files of a data set: one walk for all layouts, pairs by name, and the camera written beside them."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from depthkit.camera import Intrinsics
from depthkit.data.readers import LISTED, DataError, named_errors
from depthkit.run_folder import read_json

_LOAD = {".mat": 'scipy.io.loadmat(FILE)["depth"]', ".txt": "np.loadtxt(FILE)", ".pt": "torch.load(FILE).numpy()"}
_LOAD |= {".csv": "np.loadtxt(FILE, delimiter=',')", ".bin": 'np.fromfile(FILE, "float32").reshape(height, width)'}
_CONVERT = {suffix: f'np.save("NAME.npy", {call})' for suffix, call in _LOAD.items()}  # files that are not read
_CONVERT |= dict.fromkeys((".heic", ".heif", ".avif", ".jxl", ".gif", ".dng"), "magick FILE -auto-orient FILE.png")
_CONVERT |= dict.fromkeys((".jpg", ".jpeg", ".bmp", ".webp"), "8 bits hold no depth: export it again as 16-bit PNG")


def usable_files(folder: Path, suffixes: tuple[str, ...], left_out: list[str]) -> list[Path]:
    """Files of these suffixes (in either case) in and below `folder`, sorted; .json files are cameras.

    Links to folders are followed, but not back into a folder that holds them; hidden files and folders are skipped.
    What else lies there is added to `left_out`, one line for each file. Raises: DataError when no file is usable.
    """
    known = ", ".join(suffixes)
    found, foreign = [], Counter[str]()
    for path in walk(folder, frozenset(), left_out):
        suffix = path.suffix.lower()
        if suffix in suffixes:
            found.append(path)
        elif suffix != ".json":
            foreign[suffix or "no suffix"] += 1
            left_out.append(f"{path}: {suffix or 'no suffix'} is not one of {known}")
    if not found:
        seen = ", ".join(f"{count} {suffix} file(s)" for suffix, count in foreign.most_common())
        remedy = next((f"; convert them: {_CONVERT[suffix]}" for suffix in foreign if suffix in _CONVERT), "")
        raise DataError(f"{folder}: no {known} in it or below; it holds {seen or 'no file'}{remedy}")
    return sorted(found)


def walk(folder: Path, above: frozenset[Path], left_out: list[str]) -> list[Path]:
    """List the files in and below `folder`, which lies in the folders `above`; `left_out` gets the links that fail."""
    with named_errors(folder, "a folder"):
        above |= {folder.resolve()}
        found = []
        for path in folder.iterdir():
            if path.name.startswith("."):
                continue
            if path.is_file():
                found.append(path)
            elif not path.is_dir():
                left_out.append(f"{path}: a broken link")
            elif path.resolve() in above:
                left_out.append(f"{path}: a link back to a folder that holds it")
            else:
                found += walk(path, above, left_out)
    return found


def files_by_stem(folder: Path, suffixes: tuple[str, ...], left_out: list[str]) -> dict[str, Path]:
    """{path without suffix, relative to `folder`: path} of the usable files. Raises: DataError for two of one stem."""
    if not folder.is_dir():
        raise DataError(
            f"{folder}: no such folder; {folder.parent} must hold rgb/ and, beside it, depth/ or disparity/"
        )
    found: dict[str, Path] = {}
    for path in usable_files(folder, suffixes, left_out):
        stem = path.relative_to(folder).with_suffix("").as_posix()
        if stem in found:
            raise DataError(f"{path} and {found[stem].name} have the same name: which of them counts?")
        found[stem] = path
    return found


def check_pairs(photos: Mapping[str, Path], maps: Mapping[str, Path], kind: str, left_out: list[str]) -> None:
    """Raise DataError unless photos and maps (of that kind) have the same stems."""
    for files, partners, wanted in ((photos, maps, kind), (maps, photos, "photo")):
        unpaired = sorted(files.keys() - partners.keys())
        if unpaired:
            names = ", ".join(str(files[stem]) for stem in unpaired[:LISTED])
            unused = f"; {len(left_out)} file(s) can't be used, first {left_out[0]}" if left_out else ""
            raise DataError(f"{len(unpaired)} file(s) without a {wanted} of the same name: {names}{unused}")


def find_camera(photo: Path, folders: tuple[Path, ...], shape: tuple[int, int]) -> Intrinsics | None:
    """The camera of one photo of `shape`, from a .json of its stem beside it, else `camera.json` in one of `folders`.

    The file holds fx, fy, cx and cy in pixels, or hfov_deg, and optionally the width and height it was measured at; it
    is scaled to the photo. Raises: DataError for another content, or a size of other proportions.
    """
    for path in (photo.with_suffix(".json"), *(folder / "camera.json" for folder in folders)):
        if path.is_file():
            with named_errors(path, "JSON"):
                return parse_camera(path, json.loads(path.read_text(encoding="utf-8")), shape)
    return None


def same_proportions(first: tuple[int, ...], second: tuple[int, ...]) -> bool:
    """Whether two shapes (H, W, ...) can show one view: proportions within 2 %, for rounding."""
    return abs(first[1] / first[0] * second[0] / second[1] - 1) <= 0.02


def _is_plausible(camera: Intrinsics, shape: tuple[int, int]) -> bool:
    """Say whether a picture of `shape` can be of this camera: 0.1 to 179.4 degrees, its centre not far outside."""
    height, width = shape
    angles = all(0.002 < side / focal < 400 for side, focal in ((width, camera.fx), (height, camera.fy)) if focal)
    centre = abs(camera.cx / width - 0.5) < 3 and abs(camera.cy / height - 0.5) < 3
    return min(camera.fx, camera.fy) > 0 and math.isfinite(sum(camera)) and angles and centre


def parse_camera(path: Path, values: Any, shape: tuple[int, int]) -> Intrinsics:
    """The camera that `values`, found at `path`, say of a photo of `shape`. Raises: DataError as `find_camera`."""
    height, width = shape
    try:
        given = values.keys() & {"hfov_deg", "fx", "fy", "cx", "cy"}
        if {"hfov_deg"} < given or any(isinstance(values[name], bool) for name in given):
            raise ValueError("two cameras, or none")
        made_for = int(values.get("height", height)), int(values.get("width", width))
        if "hfov_deg" in values:
            hfov = float(values["hfov_deg"])
            camera = Intrinsics.from_fov(hfov if 0 < hfov < 180 else math.nan, made_for[1], made_for[0])
        else:
            camera = Intrinsics(*(float(values[name]) for name in ("fx", "fy", "cx", "cy")))
        if not _is_plausible(camera, made_for):
            raise ValueError("no lens is like that")
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        wanted = '{"fx", "fy", "cx", "cy"}, pixels, or {"hfov_deg"}, and "width" and "height" where they are known'
        raise DataError(f"{path}: {str(values)[:80]} is no camera; give numbers for {wanted}") from error
    if not same_proportions(shape, made_for):
        size = f"{made_for[1]} × {made_for[0]}"
        raise DataError(f"{path}: measured at {size}, but the photo has {width} × {height}: give it a .json of its own")
    return camera if made_for == shape else camera.scaled(width / made_for[1], height / made_for[0])


def listed(names: Iterable[object], limit: int = 5) -> str:
    """Join the first `limit` names, and say how many more there are."""
    every = [str(name) for name in names]
    return ", ".join(every[:limit]) + (f" and {len(every) - limit} more" if len(every) > limit else "")


def spread(count: int, most: int) -> list[int]:
    """Choose at most `most` of `count` indices, evenly spread, with both ends."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist()


def imported_scale(root: str | Path) -> float | None:
    """The `depth_scale` that `import_data` noted for depth files which it linked; None where there is none."""
    noted = Path(root, "import.json")
    settings = read_json(noted) if noted.is_file() else {}
    converted = settings.get("baseline") or settings.get("ray_distance")
    return None if converted else settings.get("depth_scale")

"""Finding photos, their depth maps and their cameras in folders as sensors, tools and public data sets leave them."""

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
import scipy.io
import yaml

from depthkit.camera import Intrinsics
from depthkit.data.readers import open_h5, picture_shape
from depthkit.errors import InputError

Kind = Literal["pairs", "tum", "nyu-mat", "kitti"]
ReadArray = Callable[[], np.ndarray]
Camera = tuple[Intrinsics, tuple[int, int] | None]  # with the width and height that it holds for, where known
Cameras = dict[str, tuple[Intrinsics, tuple[int, int]]]  # of each frame by its name, with the photo's width and height

MAX_TIME_DIFFERENCE = 0.02  # seconds, as in associate.py of the TUM RGB-D benchmark
NYU_CAMERA = Intrinsics(518.857901, 519.469611, 325.582449, 253.736166), (640, 480)  # toolbox, camera_params.m, RGB
CAMERA_FILES = ("camera.json", "camera-intrinsics.txt", "camera_intrinsics.yaml", "calib_cam_to_cam.txt")
UNITS: dict[str, float] = {"tum": 5000, "kitti": 256}  # per metre, of the kinds that have their own
KITTI_PHOTO = r"(?:.*/)?([^/]+)/image_02/data/([^/]+)\.(?:png|jpg)"
KITTI_DEPTH = r"(?:.*/)?([^/]+)/proj_depth/groundtruth/image_02/([^/]+)\.png"
SIGNS: dict[Kind, str] = {"kitti": KITTI_DEPTH, "tum": r"(?:.*/)?(?:associations|rgb)\.txt", "nyu-mat": r".*\.mat"}


@dataclass(frozen=True)
class Frame:
    """One photo and its depth map, each a file or a function that reads it out of a larger one."""

    name: str  # path below rgb/ and depth/ without suffix; its folders tell the scene
    photo: Path | ReadArray
    depth: Path | ReadArray
    split: Literal["train", "val"] | None = None  # where the data set itself has one


Found = tuple[list[Frame], list[str]]  # in the order of the sequence, and what was left out, in words


def listed(names: Iterable[object], limit: int = 5) -> str:
    """The first `limit` names, and how many more there are."""
    every = [str(name) for name in names]
    return ", ".join(every[:limit]) + (f" and {len(every) - limit} more" if len(every) > limit else "")


def files_below(source: Path, leave_out: Path) -> list[Path]:
    """All files below a folder, frame_2 before frame_10 so that neighbours in the list are neighbours in time.

    Links are followed; hidden files and folders, and the folder `leave_out`, are not entered.
    """
    found, seen = [], {leave_out.resolve()}
    for folder, folders, names in os.walk(source, followlinks=True):
        folders[:] = [n for n in sorted(folders) if not n.startswith(".") and Path(folder, n).resolve() not in seen]
        seen.update(Path(folder, name).resolve() for name in folders)
        found += [Path(folder, name) for name in names if not name.startswith(".")]
    return sorted(found, key=lambda p: [int(s) if s.isdecimal() else s for s in re.split(r"(\d+)", p.as_posix())])


def guess_kind(source: Path, files: list[Path]) -> Kind:
    """What lies there, by the names of files. Raises InputError that lists them when they say nothing."""
    for kind, sign in SIGNS.items():
        if any(re.fullmatch(sign, path.as_posix()) for path in files):
            return kind
    names = listed((path.relative_to(source) for path in files), 10) or "an empty folder"
    raise InputError(f"{source}: no known layout in {names}; give patterns by --rgb and --depth")


def find_frames(kind: Kind, source: Path, files: list[Path], rgb: str | None, depth: str | None) -> Found:
    """The frames of a source in their order. Raises InputError when there are none."""
    if kind == "tum":
        return find_tum(source, files)
    if kind == "nyu-mat":
        return find_nyu(source, files, depth)
    if kind == "kitti":  # annotated depth (Uhrig 2017) and the left colour photos of the raw drives
        return find_matches(source, files, KITTI_PHOTO, KITTI_DEPTH)
    if not (rgb and depth and "*" in rgb and "*" in depth):
        raise InputError(f"{source}: pairs need two patterns with *, such as --rgb '*.jpg' --depth '*.png'")
    expressions = ["((?:.*/)?)" + "([^/]+)".join(map(re.escape, glob.split("*"))) for glob in (rgb, depth)]
    return find_matches(source, files, *expressions)


def find_matches(source: Path, files: list[Path], rgb: str, depth: str) -> Found:
    """Pairs of files with equal groups of two expressions; what both match belongs to the longer, more exact one.

    Raises: InputError when nothing pairs, or two files claim one name.
    """
    photos: dict[tuple[str, ...], Path] = {}
    depths: dict[tuple[str, ...], Path] = {}
    order = [(rgb, photos), (depth, depths)] if len(rgb) > len(depth) else [(depth, depths), (rgb, photos)]
    for path in files:
        name = path.relative_to(source).as_posix()
        match, group = next(((m, group) for text, group in order if (m := re.fullmatch(text, name))), (None, {}))
        if match and group.setdefault(match.groups(), path) != path:
            raise InputError(f"{path} and {group[match.groups()]} have the same name; give a narrower pattern")
    paired = photos.keys() & depths.keys()
    if not paired:
        names = listed((path.relative_to(source) for path in files), 10) or "no files"
        raise InputError(
            f"{source}: {len(photos)} photo(s) and {len(depths)} depth map(s) match, and none of them pair; give "
            f"patterns whose folder and parts under * are equal; there are {names}"
        )
    names_of = {key: re.sub("/+", "/", "/".join(key)).strip("/") for key in photos if key in paired}
    single = [p.relative_to(source) for group in (photos, depths) for key, p in group.items() if key not in paired]
    left_out = [f"{len(single)} file(s) without a partner: {listed(single)}"] if single else []
    taken = {*photos.values(), *depths.values()}
    if other := [p.relative_to(source) for p in files if p not in taken and p.name not in CAMERA_FILES]:
        left_out.append(f"{len(other)} file(s) that are neither photo nor depth by the patterns: {listed(other)}")
    return [Frame(name, photos[key], depths[key]) for key, name in names_of.items()], left_out


def find_tum(source: Path, files: list[Path]) -> Found:
    """Sequences with `associations.txt`, or `rgb.txt` and `depth.txt` to be matched by time."""
    frames, left_out = [], []
    for folder in dict.fromkeys(path.parent for path in files if re.fullmatch(SIGNS["tum"], path.name)):
        if (folder / "associations.txt").is_file():
            rows = _rows(folder / "associations.txt", 4)
            pairs = [(row[3], row[1]) if row[1].startswith("depth") else (row[1], row[3]) for row in rows]
            names = {name for pair in pairs for name in pair}
        else:
            photos, depths = _rows(folder / "rgb.txt", 2), _rows(folder / "depth.txt", 2)
            pairs = nearest_in_time(photos, depths)
            names = {row[1] for row in photos + depths}
        pairs = [pair for pair in pairs if all((folder / name).is_file() for name in pair)]
        for photo, depth in pairs:
            name = (folder.relative_to(source) / Path(photo).stem).as_posix()
            frames.append(Frame(name, folder / photo, folder / depth))
        if single := sorted(names - {name for pair in pairs for name in pair}):
            left_out.append(f"{len(single)} file(s) of {folder}, missing or alone within 20 ms: {listed(single)}")
    if not frames:
        raise InputError(f"{source}: its TUM lists give no pair of files; name the sequence's folder {left_out}")
    return frames, left_out


def nearest_in_time(photos: list[list[str]], depths: list[list[str]]) -> list[tuple[str, str]]:
    """Rows (seconds, name) of photos and depth maps → pairs of names less than 20 ms apart, in the photos' order.

    The nearest pair is joined first and each name once, as in associate.py of the TUM RGB-D benchmark.
    """
    depths = sorted(depths, key=lambda row: float(row[0]))
    times = np.array([float(row[0]) for row in depths])
    near = []
    for i, time in enumerate(float(row[0]) for row in photos):
        first, last = np.searchsorted(times, [time - MAX_TIME_DIFFERENCE, time + MAX_TIME_DIFFERENCE])
        near += [(abs(times[j] - time), i, j) for j in range(first, last)]
    partner: dict[int, int] = {}
    for _, i, j in sorted(near):
        if i not in partner and j not in partner.values():
            partner[i] = j
    return [(photos[i][1], depths[j][1]) for i, j in sorted(partner.items())]


def _rows(path: Path, fields: int) -> list[list[str]]:
    """Rows of a TUM list: seconds and file name, once or twice."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; a TUM sequence has associations.txt, or rgb.txt and depth.txt")
    rows = [line.split() for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
    for row in rows:
        if len(row) != fields or not re.fullmatch(r"[\d.]+", row[0]):
            raise InputError(f"{path}: {' '.join(row)!r} must be {fields} fields, seconds and file name; mend the row")
    return rows


def find_nyu(source: Path, files: list[Path], depth: str | None) -> Found:
    """The labelled file of NYU Depth V2 (Silberman 2012), its raw (default) or filled depth, split by `splits.mat`."""
    path = next((path for path in files if path.suffix == ".mat" and h5py.is_hdf5(path)), None)
    if path is None or depth not in (None, "raw", "filled"):
        raise InputError(f"{source}: needs a .mat of version 7.3 (found {path}) and --depth raw or filled, not {depth}")
    with open_h5(path) as file:
        if missing := {"images", "depths", "rawDepths", "scenes"} - set(file):
            raise InputError(f"{path}: no {listed(sorted(missing))} in it; name the labelled file of NYU Depth V2")
        scenes = ["".join(map(chr, file[ref][()].ravel())) for ref in file["scenes"][()].ravel()]
    parts: dict[int, Literal["train", "val"]] = {}
    if (path.parent / "splits.mat").is_file():
        numbers = scipy.io.loadmat(path.parent / "splits.mat")
        parts |= {int(number): "train" for number in numbers["trainNdxs"].ravel()}
        parts |= {int(number): "val" for number in numbers["testNdxs"].ravel()}
    key = "depths" if depth == "filled" else "rawDepths"
    frames = [
        Frame(f"{scene}/{i:04d}", partial(_mat, path, "images", i), partial(_mat, path, key, i), parts.get(i))
        for i, scene in enumerate(scenes, 1)
    ]
    return frames, [] if parts else ["the official split: put splits.mat beside the .mat to have it"]


def _mat(path: Path, key: str, number: int) -> np.ndarray:
    """Picture (H, W, 3) or depth (H, W) with this number, from 1; MATLAB's axes lie the other way round."""
    with open_h5(path) as file:
        return np.ascontiguousarray(file[key][number - 1].T)


def find_cameras(
    frames: list[Frame], source: Path, hfov: float | None, intrinsics: tuple[float, float, float, float] | None
) -> Cameras:
    """{name: camera and photo size} as given, else from the nearest camera file; nothing for a frame without either.

    Raises: InputError when intrinsics without a size would have to hold for photos of several sizes.
    """
    look_up = cache(nearest_camera)
    sizes: dict[Intrinsics, tuple[int, int]] = {}
    found: Cameras = {}
    for frame in frames:
        height, width = picture_shape(frame.photo) if isinstance(frame.photo, Path) else frame.photo().shape[:2]
        known = look_up(frame.photo.parent, source) if isinstance(frame.photo, Path) else NYU_CAMERA
        if intrinsics:
            known = Intrinsics(*intrinsics), None
        elif hfov:
            known = Intrinsics.from_fov(hfov, width, height), (width, height)
        if known:
            size = known[1] or sizes.setdefault(known[0], (width, height))
            if known[1] is None and size != (width, height):
                raise InputError(f"{frame.photo}: {width} × {height}, others {size}: give --hfov, or import them apart")
            found[frame.name] = known[0].scaled(width / size[0], height / size[1]), (width, height)
    return found


def nearest_camera(folder: Path, source: Path) -> Camera | None:
    """The camera file in a folder or, up to `source`, above it. Raises InputError when it holds no camera."""
    for name in CAMERA_FILES:
        if (folder / name).is_file():
            return read_camera(folder / name)
    return None if folder in (source, folder.parent) else nearest_camera(folder.parent, source)


def read_camera(path: Path) -> Camera:
    """Intrinsics from a 3 × 3 matrix (.txt), YAML or JSON with fx, fy, cx, cy, or KITTI's calib_cam_to_cam.txt."""
    try:
        if path.name == "calib_cam_to_cam.txt":
            rows = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
            (fx, _, cx, _), (_, fy, cy, _), _ = np.array(rows["P_rect_02"].split(), dtype=float).reshape(3, 4).tolist()
            width, height = map(float, rows["S_rect_02"].split())
            return Intrinsics(fx, fy, cx, cy), (int(width), int(height))
        if path.suffix == ".txt":
            (fx, _, cx), (_, fy, cy), _ = np.loadtxt(path).tolist()
            return Intrinsics(fx, fy, cx, cy), None
        values = yaml.safe_load(path.read_text())
        size = values.get("width", values.get("xres")), values.get("height", values.get("yres"))
        return Intrinsics(*(float(values[key]) for key in ("fx", "fy", "cx", "cy"))), size if all(size) else None
    except (ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: no intrinsics that can be read ({error!r}); mend the file or remove it") from error

"""Finding photos and their depth maps in folders as sensors, tools and public data sets leave them."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
import scipy.io
from scipy.spatial import KDTree

from depthkit.data.files import listed, walk
from depthkit.data.readers import named_errors, open_h5
from depthkit.errors import InputError

SourceKind = Literal["pairs", "tum", "nyu-mat", "kitti"]
ReadArray = Callable[[], np.ndarray]

MAX_TIME_DIFFERENCE = 0.02  # seconds, as in associate.py of the TUM RGB-D benchmark
CAMERA_FILES = ("camera.json", "camera-intrinsics.txt", "camera_intrinsics.yaml", "calib_cam_to_cam.txt")
DEPTH_SCALES: dict[str, float] = {"tum": 5000, "kitti": 256}  # of the kinds that have their own
KITTI_PHOTO = r"(?:.*/)?([^/]+)/image_02/data/([^/]+)\.(?:png|jpg)"
KITTI_DEPTH = r"(?:.*/)?([^/]+)/proj_depth/groundtruth/image_02/([^/]+)\.png"
TUM_LIST = r"(?:.*/)?(?:associations|rgb)\.txt"
SIGNS: dict[SourceKind, str] = {"kitti": KITTI_DEPTH, "tum": TUM_LIST, "nyu-mat": r".*\.mat"}


@dataclass(frozen=True)
class Frame:
    """One photo and its depth map, each a file or a function that reads it out of a larger one."""

    name: str  # path below rgb/ and depth/ without suffix; its folders tell the scene
    photo: Path | ReadArray
    depth: Path | ReadArray
    split: Literal["train", "val"] | None = None  # where the data set itself has one


Found = tuple[list[Frame], list[str]]  # in the order of the sequence, and what was left out, in words


def files_below(source: Path, leave_out: Path, broken: list[str]) -> list[Path]:
    """List all files below a folder, frame_2 before frame_10 so that neighbours in the list are neighbours in time.

    A folder that links make appear twice counts once, and `leave_out` not at all. `broken` gets the links that fail.
    """
    found = walk(source, frozenset(), broken)
    found.sort(key=lambda p: [int(s) if s.isdecimal() else s for s in re.split(r"(\d+)", p.as_posix())])
    resolve, unique = cache(Path.resolve), dict[tuple[Path, str], Path]()
    for path in found:
        if not resolve(path.parent).is_relative_to(leave_out.resolve()):
            unique.setdefault((resolve(path.parent), path.name), path)
    return list(unique.values())


def guess_kind(source: Path, files: list[Path]) -> SourceKind:
    """Guess by the names of files what lies there. Raises InputError that lists them when they say nothing."""
    for kind, sign in SIGNS.items():
        if any(re.fullmatch(sign, path.as_posix()) for path in files):
            return kind
    names = listed((path.relative_to(source) for path in files), 10) or "an empty folder"
    raise InputError(f"{source}: no known layout in {names}; give patterns by --rgb and --depth")


def find_frames(kind: SourceKind, source: Path, files: list[Path], rgb: str | None, depth: str | None) -> Found:
    """Find the frames of a source in their order. Raises InputError when there are none."""
    if kind == "tum":
        return find_tum(source, files)
    if kind == "nyu-mat":
        return find_nyu(source, files, depth)
    if kind == "kitti":  # annotated depth (Uhrig 2017) and the left colour photos of the raw drives
        frames, left_out = find_matches(source, files, KITTI_PHOTO, KITTI_DEPTH)
        return [replace(frame, split=_kitti_split(frame)) for frame in frames], left_out
    if not (rgb and depth and "*" in rgb and "*" in depth):
        raise InputError(f"{source}: pairs need two patterns with *, such as --rgb '*.jpg' --depth '*.png'")
    return find_matches(source, files, *map(_expression, (rgb, depth)))


def _expression(pattern: str) -> str:
    """Turn a pattern of files in any folder into an expression: each * is a group, and so are the folders of **/."""
    bare = re.sub(r"^(\./|\*\*/)+", "", pattern)
    if re.search(r"\*\*(?!/)|[^/]\*\*|[?]", bare):
        raise InputError(f"{pattern!r}: patterns know * (a part of a name), and **/ (folders), and nothing else")
    parts = [part.split("*") for part in bare.split("**/")]
    return "((?:.*/)?)" + "((?:.*/)?)".join("([^/]+)".join(map(re.escape, part)) for part in parts)


def _kitti_split(frame: Frame) -> Literal["train", "val"] | None:
    """Take the benchmark's own split from the folder above the drive of a depth map, where it lies in one."""
    above = Path(frame.depth).parents[4].name if isinstance(frame.depth, Path) else ""
    return "train" if above == "train" else "val" if above == "val" else None


def find_matches(source: Path, files: list[Path], rgb: str, depth: str) -> Found:
    """Pair files with equal groups of two expressions; what both match belongs to the longer, more exact one.

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
    """Find sequences with `associations.txt`, or `rgb.txt` and `depth.txt` to be matched by time."""
    frames, left_out = [], []
    for folder in dict.fromkeys(path.parent for path in files if re.fullmatch(TUM_LIST, path.name)):
        if (folder / "associations.txt").is_file():
            rows = _rows(folder / "associations.txt", 4)
            pairs = [(b, a) if Path(a).parts[0].startswith("depth") else (a, b) for _, a, _, b in rows]
            pairs = list(dict.fromkeys(pairs))
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
    """Pair rows (seconds, name) of photos and depth maps less than 20 ms apart, in the photos' order.

    The nearest pair is joined first and each name once, as in associate.py of the TUM RGB-D benchmark.
    """
    first, second = (KDTree(np.reshape([float(row[0]) for row in rows], (-1, 1))) for rows in (photos, depths))
    near = first.sparse_distance_matrix(second, MAX_TIME_DIFFERENCE, output_type="dict")
    partner: dict[int, int] = {}
    for _, (i, j) in sorted((apart, pair) for pair, apart in near.items()):
        if i not in partner and j not in partner.values():
            partner[i] = j
    return [(photos[i][1], depths[j][1]) for i, j in sorted(partner.items())]


def _rows(path: Path, fields: int) -> list[list[str]]:
    """Read the rows of a TUM list, seconds and file name, once or twice; in the order of time, and each once."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; a TUM sequence has associations.txt, or rgb.txt and depth.txt")
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    rows = [line.split() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    for row in rows:
        if len(row) != fields or not re.fullmatch(r"(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", row[0]):
            raise InputError(f"{path}: {' '.join(row)!r} must be {fields} fields, seconds and file name; mend the row")
    return sorted(map(list, dict.fromkeys(map(tuple, rows))), key=lambda row: float(row[0]))


def find_nyu(source: Path, files: list[Path], depth: str | None) -> Found:
    """Find the images of NYU Depth V2 (Silberman 2012), with raw (default) or filled depth, split by `splits.mat`."""
    path = next((path for path in files if path.suffix == ".mat" and h5py.is_hdf5(path)), None)
    if path is None or depth not in (None, "raw", "filled"):
        raise InputError(f"{source}: needs a .mat of version 7.3 (found {path}) and --depth raw or filled, not {depth}")
    with open_h5(path) as file:
        if missing := {"images", "depths", "rawDepths", "scenes"} - set(file):
            raise InputError(f"{path}: no {listed(sorted(missing))} in it; name the labelled file of NYU Depth V2")
        scenes = ["".join(map(chr, file[ref][()].ravel())) for ref in file["scenes"][()].ravel()]
    parts: dict[int, Literal["train", "val"]] = {}
    if (splits := path.parent / "splits.mat").is_file():
        with named_errors(splits, "MATLAB's"):
            numbers = scipy.io.loadmat(splits)
        if missing := {"trainNdxs", "testNdxs"} - set(numbers):
            raise InputError(f"{splits}: no {listed(sorted(missing))} in it; take NYU's own, or none")
        parts |= {int(number): "train" for number in numbers["trainNdxs"].ravel()}
        parts |= {int(number): "val" for number in numbers["testNdxs"].ravel()}
    key = "depths" if depth == "filled" else "rawDepths"
    frames = [
        Frame(f"{scene}/{i:04d}", partial(_mat, path, "images", i), partial(_mat, path, key, i), parts.get(i))
        for i, scene in enumerate(scenes, 1)
    ]
    return frames, [] if parts else ["the official split: put splits.mat beside the .mat to have it"]


def _mat(path: Path, key: str, number: int) -> np.ndarray:
    """Read picture (H, W, 3) or depth (H, W) of a number, from 1; MATLAB's axes lie the other way round."""
    with open_h5(path) as file:
        return np.ascontiguousarray(file[key][number - 1].T)

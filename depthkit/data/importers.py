"""From the files of a sensor or a public data set to the folder that RGBDFolder reads: split, linked or converted."""

import filecmp
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from depthkit.camera import disparity_to_depth, ray_distance_to_depth
from depthkit.data import import_sources as sources
from depthkit.data import readers
from depthkit.data.files import listed, spread
from depthkit.data.import_cameras import CAMERA_KEYS, Cameras, find_cameras
from depthkit.data.import_sources import Frame, ReadArray, SourceKind
from depthkit.data.scenes import choose_scenes, scenes_of
from depthkit.data.units import doubts_of_units
from depthkit.errors import InputError
from depthkit.run_folder import read_json, replaced_file, write_json

Parts = dict[str, list[Frame]]
Plan = dict[str, Path | ReadArray | dict]  # {path below DATA: a file to link, an array to compute, JSON}


@dataclass(frozen=True)
class ImportSummary:
    """What an import did is said by `str` of this."""

    data: Path
    pairs: dict[str, int]  # of each split
    depth_scale: float | None  # units per metre of linked integer depth
    words: list[str]  # the rest

    def __str__(self) -> str:
        counts = ", ".join(f"{count} pair(s) in {name}" for name, count in self.pairs.items())
        # `check` finds the unit in import.json
        return "\n".join([f"{self.data}: {counts}", *self.words, f"next: depthkit check {quote(str(self.data))}"])


def import_data(
    source: Path,
    data: Path,
    rgb: str | None = None,
    depth: str | None = None,
    kind: SourceKind | None = None,
    depth_scale: float | None = None,
    val: float = 0.2,
    baseline: float | None = None,
    focal: float | None = None,
    ray_distance: bool = False,
    hfov: float | None = None,
    intrinsics: tuple[float, float, float, float] | None = None,
) -> ImportSummary:
    """Bring the photos and depth maps of a sensor or a public data set into a folder to train on.

    Files that can stay as they are become hard links (else symbolic links, else copies); other depth is converted to
    float32 metres (.npy), other photos to PNG. It can be run again: what is there already stays.

    Args:
        source: folder, or the labelled .mat of NYU Depth V2
        data: folder to write: train/ and val/ with rgb/ and depth/, camera.json, import.json
        rgb: pattern of the photos, such as '*.color.png' or 'rgb/*.png'; folder and parts under * pair the files
        depth: pattern of the depth maps; for the NYU .mat: raw (default) or filled
        kind: what lies in source; guessed when left out
        depth_scale: units per metre of integer depth (1000 for mm), or per pixel of integer disparity
        val: share for validation: whole scenes if there are several, else the end of the sequence after a gap
        baseline: metres between stereo cameras; the depth files then hold disparity in pixels
        focal: focal length in pixels of the disparity maps
        ray_distance: the depth files hold the distance along the ray
        hfov: horizontal field of view of the photos, degrees
        intrinsics: fx fy cx cy in pixels of the photos; by default from camera files of known names

    Raises: InputError before anything is written, when source or settings don't fit or `data` holds other files.
    """
    settings = {name: value for name, value in locals().items() if name not in ("source", "data")}
    source, data = Path(source), Path(data)
    if not source.exists():
        raise InputError(f"{source}: no such file or folder; name the one that holds the recordings")
    _check_settings(settings)
    broken: list[str] = []
    files = [source] if source.is_file() else sources.files_below(source, data, broken)
    kind = kind or ("pairs" if rgb else sources.guess_kind(source, files))
    scale = depth_scale or sources.DEPTH_SCALES.get(kind)
    frames, left_out = sources.find_frames(kind, source, files, rgb, depth)
    parts, split = split_frames(frames, val)
    frames = [frame for part in parts.values() for frame in part]
    cameras = find_cameras(frames, source, hfov, intrinsics)
    _check_frames(frames, cameras if ray_distance else None)
    unit = None if baseline or ray_distance else scale

    def read(frame: Frame) -> np.ndarray:
        depth = readers.read_depth(frame.depth, scale) if isinstance(frame.depth, Path) else frame.depth()
        if baseline and focal:
            return disparity_to_depth(depth, focal, baseline)
        if ray_distance:
            intrinsics, (width, height) = cameras[frame.name]
            return ray_distance_to_depth(depth, intrinsics.scaled(depth.shape[1] / width, depth.shape[0] / height))
        return depth

    few = (frames[i] for i in spread(len(frames), 8))
    doubts = doubts_of_units(str(source), {frame.name: read(frame) for frame in few}, unit)
    settings |= {"source": str(source.resolve()), "kind": kind, "depth_scale": scale}
    plan: Plan = {"import.json": json.loads(json.dumps(settings)), **_plan_cameras(parts, cameras)}
    plan |= _plan_pictures(parts, read if baseline or ray_distance else None)
    _check_target(data, plan)
    done = Counter(_put(data / name, content) for name, content in tqdm(plan.items(), "import", disable=None))
    words = [f"split: {split}", "files: " + ", ".join(f"{count} {what}" for what, count in done.items())]
    where = "camera.json" if "camera.json" in plan else "a .json beside each photo"
    words.append(f"camera: {where}" if cameras else "camera: unknown; --hfov or --intrinsics would say it")
    words += [f"left out: {line}" for line in left_out + ([listed(broken)] if broken else [])] + doubts
    return ImportSummary(data, {name: len(part) for name, part in parts.items()}, unit, words)


def _check_settings(given: dict[str, Any]) -> None:
    for name in ("depth_scale", "baseline", "focal", "hfov"):
        if given[name] is not None and not 0 < given[name] < (180 if name == "hfov" else np.inf):
            raise InputError(f"{name} {given[name]}: give a number above 0, and for hfov below 180 degrees")
    if not 0 <= given["val"] <= 1:
        raise InputError(f"val {given['val']}: give the share of validation, 0 to 1")
    if (given["baseline"] is None) != (given["focal"] is None) or (given["baseline"] and given["ray_distance"]):
        raise InputError("baseline and focal come together and without ray_distance: leave out what doesn't fit")


def _check_frames(frames: list[Frame], ray_cameras: Cameras | None) -> None:
    named: dict[str, Frame] = {}
    for frame in frames:
        if (other := named.setdefault(frame.name, frame)) is not frame:
            both = f"{frame.photo} with {frame.depth}, and {other.photo} with {other.depth}"
            raise InputError(f"{both}: two pairs of one name, {frame.name}; leave one out, or import them apart")
        if _suffix(frame.depth) not in ("", *readers.DEPTHS):
            raise InputError(f"{frame.depth}: depth is read from {', '.join(readers.DEPTHS)}; convert it to one")
        if ray_cameras is not None and frame.name not in ray_cameras:
            raise InputError(f"{frame.photo}: ray distance needs the camera of each photo; give --intrinsics or --hfov")


def split_frames(frames: list[Frame], val: float) -> tuple[Parts, str]:
    """Split frames, which are in their order, into train and val; also returns how, in words.

    The data set's own split comes first; then whole scenes (the first folder in which names differ), drawn by a hash
    of their names; a single sequence is cut, and 2 % of it, at least 1 frame, left out between the two blocks.
    """
    if {"train", "val"} <= {frame.split for frame in frames}:
        other = [frame.name for frame in frames if frame.split is None]
        words = f"the data set's own{f', which leaves out {listed(other)}' if other else ''}"
        return {name: [f for f in frames if f.split == name] for name in ("train", "val")}, words
    if val in (0, 1):
        return {"val" if val else "train": frames}, "none"
    scenes = scenes_of([frame.name for frame in frames])
    if 1 < len(set(scenes)) < len(frames):
        held, parts = choose_scenes(Counter(scenes), val * len(frames)), Parts(train=[], val=[])
        for frame, scene in zip(frames, scenes, strict=True):
            parts["val" if scene in held else "train"].append(frame)
        return parts, f"by scene; train {listed(sorted(set(scenes) - held))}; val {listed(sorted(held))}"
    gap = max(1, round(0.02 * len(frames)))
    if len(frames) < gap + 2:
        raise InputError(f"{len(frames)} pair(s) can't be split with a gap; give 3 or more, or --val 0 for none")
    last = min(max(1, round(val * len(frames))), len(frames) - gap - 1)
    parts = {"train": frames[: -last - gap], "val": frames[-last:]}
    blocks = [f"{name} {part[0].name} to {part[-1].name}" for name, part in parts.items()]
    between = f"left out between them {listed(frame.name for frame in frames[-last - gap : -last])}"
    return parts, f"by blocks of one sequence; {'; '.join([*blocks, between])}"


def _plan_cameras(parts: Parts, cameras: Cameras) -> Plan:
    """Plan one camera.json where all photos share one camera and size, else a .json beside each photo that has one."""
    content = {name: dict(zip(CAMERA_KEYS, (*k, *size), strict=True)) for name, (k, size) in cameras.items()}
    frames = {frame.name: part for part, frames in parts.items() for frame in frames}
    if len(content) == len(frames) and len(set(cameras.values())) == 1:
        return {"camera.json": next(iter(content.values()))}
    return {f"{frames[name]}/rgb/{name}.json": camera for name, camera in content.items()}


def _plan_pictures(parts: Parts, read: Callable[[Frame], np.ndarray] | None) -> Plan:
    """Plan to link what RGBDFolder can read, and to convert the rest; all depth through `read` where that is given."""
    plan: Plan = {}
    for split, frame in ((split, frame) for split, part in parts.items() for frame in part):
        photo, depth = frame.photo, partial(read, frame) if read else frame.depth
        if isinstance(photo, Path) and _suffix(photo) not in readers.PHOTOS:
            photo = partial(readers.read_image, photo)
        plan[f"{split}/rgb/{frame.name}{_suffix(photo) or '.png'}"] = photo
        plan[f"{split}/depth/{frame.name}{_suffix(depth) or '.npy'}"] = depth
    return plan


def _suffix(content: Path | ReadArray) -> str:
    return content.suffix.lower() if isinstance(content, Path) else ""


def _check_target(data: Path, plan: Plan) -> None:
    """Raise InputError where the folder holds anything else than this import would put there."""
    there = [p for p in (data, *data.rglob("*")) if (p.is_file() or p.is_symlink()) and not p.is_dir()]
    for path in sorted(there, key=lambda path: path.name != "import.json"):
        if path.name.startswith(".") or path.suffix == ".draft":
            continue
        content = plan.get(path.relative_to(data).as_posix())
        same = content is not None and path.exists() and (data / "import.json").exists()
        if same and isinstance(content, Path):
            same = filecmp.cmp(path, content)
        elif same and isinstance(content, dict):
            same = read_json(path) == content
        if not same:
            raise InputError(f"{path}: this import would not write it so; remove {data} or name another folder")


def _put(target: Path, content: Path | ReadArray | dict) -> str:
    if target.exists():
        return "there already"
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, dict):
        write_json(target, content)
        return "written"
    if isinstance(content, Path):
        for link in (os.link, os.symlink):
            with suppress(OSError):  # another file system, or one without links
                link(content.resolve(), target)
                return "linked"
        with replaced_file(target) as draft:
            shutil.copy2(content, draft)
        return "copied"
    with replaced_file(target) as draft, draft.open("wb") as stream:
        if target.suffix == ".png":
            Image.fromarray(content()).save(stream, "PNG")
        else:
            np.save(stream, content().astype(np.float32))
    return "converted"

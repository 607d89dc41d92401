"""A data set at a glance: a sheet of pictures above their depth, a histogram of depth, and pictures in two splits.

Pictures are uint8 (H, W, 3) in OpenCV's order of the channels: blue, green, red.
"""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from shlex import quote

import cv2
import numpy as np

from depthkit.data.check import Summary
from depthkit.data.datasets import DepthDataset, Layout
from depthkit.data.duplicates import difference_hash, hamming
from depthkit.data.files import spread
from depthkit.masked import measured
from depthkit.run_folder import replaced_file

SHOWN = 12  # pictures of a sheet
COMPARED = 300  # pictures of each split that are compared
ALIKE = 6  # bits of 64 in which the hashes of near-duplicates differ at most
HEIGHT, WIDTH = 150, 200  # of a picture on the sheet, pixels
HOLE = np.uint8(128)  # grey


def picture_folder(data: Path) -> Path:
    """Name the folder for pictures of a data set: `check` in it, or in the working folder where it is read-only."""
    return (data if os.access(data, os.W_OK) else Path()) / "check"


def write_contact_sheet(dataset: DepthDataset, path: Path) -> Path:
    """Write a PNG of up to SHOWN pictures, spread over the data set, each above its depth: near bright, holes grey."""
    columns = []
    for index in spread(len(dataset), SHOWN):
        image, target, mask = dataset.read(index)
        mask = mask & measured(target)
        limits = np.percentile(target[mask], [1, 99]) if mask.any() else (0, 1)
        below = coloured(target, mask, limits, near_is_large=dataset.target == "disparity")
        columns.append(np.vstack([_tile(image[..., ::-1]), _tile(below)]))
    wide = min(4, len(columns))
    columns += [np.full_like(columns[0], 255)] * (-len(columns) % wide)
    return write_png(path, np.vstack([np.hstack(columns[i : i + wide]) for i in range(0, len(columns), wide)]))


def write_histogram(dataset: DepthDataset, path: Path) -> Path:
    """Write a PNG of the measured depths of up to SHOWN files: 40 bars, with the limits of depth below them."""
    reads = (dataset.read_depth(index) for index in spread(len(dataset), SHOWN))
    depths = np.concatenate([target[mask & measured(target)] for target, mask in reads])
    counts, edges = np.histogram(depths, bins=40)
    canvas = np.full((300, 640, 3), 255, np.uint8)
    for i, count in enumerate(counts):
        top = 250 - int(220 * count / max(counts.max(), 1))
        cv2.rectangle(canvas, (20 + 15 * i, top), (32 + 15 * i, 250), (160, 90, 40), -1)
    unit = "m" if dataset.target == "depth" else "(disparity)"
    words = f"{len(depths):,} measured pixels of {min(SHOWN, len(dataset))} files"
    for x, text in ((20, f"{edges[0]:.3g} {unit}"), (190, words), (550, f"{edges[-1]:.3g} {unit}")):
        cv2.putText(canvas, text, (x, 280), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (40, 40, 40), 1, cv2.LINE_AA)
    return write_png(path, canvas)


def suggest_max_depth(summary: Summary) -> int | None:
    """Suggest whole metres that hold 99 % of the depths with a tenth to spare; None where there are no metres."""
    return max(1, math.ceil(round(1.1 * summary.percentiles[99], 6))) if summary.percentiles else None


def next_step(training: Summary, layout: Layout, data: Path, depth_scale: float | None) -> str:
    """Say how to train on data that were looked at, and up to which depth."""
    options = f" --layout {layout} --data {quote(str(data))}"
    options += f" --depth_scale {depth_scale:g}" if depth_scale else ""
    options += " --objective relative" if layout == "mixed" else ""
    words = ""
    if limit := suggest_max_depth(training):
        words = f"max_depth: {limit} m holds 99 % of the training depths, with a tenth to spare\n"
        options += f" --max_depth {limit}"
    start = "--recipe small --encoder vits --weights depth-anything/Depth-Anything-V2-Small-hf"
    return f"{words}next: depthkit train{options} {start} --output runs/mine"


def near_duplicates(train: DepthDataset, val: DepthDataset) -> str:
    """Say how many validation pictures look like a training picture, by their difference hashes."""
    first, second = (
        [difference_hash(dataset.read(index)[0]) for index in spread(len(dataset), COMPARED)]
        for dataset in (train, val)
    )
    alike = (hamming(second, first) <= ALIKE).any(1)
    if not alike.any():
        return f"no near-duplicates between the splits, in {len(first)} and {len(second)} pictures compared"
    name = val.files[spread(len(val), COMPARED)[int(np.argmax(alike))]]
    share = f"{alike.sum()} of {len(second)} validation pictures"
    return f"{share} look like a training picture, first {name}: split by scene"


def coloured(
    values: np.ndarray, mask: np.ndarray, limits: Sequence[float] | np.ndarray, near_is_large: bool
) -> np.ndarray:
    """Show a map (H, W) in colours between two limits: near is bright, far dark, what `mask` leaves out grey."""
    share = ((np.where(mask, values, limits[0]) - limits[0]) / max(limits[1] - limits[0], 1e-9)).clip(0, 1)
    bright = np.rint(255 * (share if near_is_large else 1 - share)).astype(np.uint8)
    return np.where(mask[..., None], cv2.applyColorMap(bright, cv2.COLORMAP_MAGMA), HOLE)


def scaled(picture: np.ndarray, scale: float) -> np.ndarray:
    """Scale a picture by one factor."""
    return cv2.resize(np.ascontiguousarray(picture), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def png(picture: np.ndarray) -> bytes:
    """Encode a picture as the bytes of a PNG file."""
    return cv2.imencode(".png", picture)[1].tobytes()


def write_png(path: Path, picture: np.ndarray) -> Path:
    """Write a picture as a PNG file, whole or not at all."""
    with replaced_file(path) as draft:
        draft.write_bytes(png(picture))
    return path


def _tile(picture: np.ndarray) -> np.ndarray:
    small = scaled(picture, min(HEIGHT / picture.shape[0], WIDTH / picture.shape[1]))
    tile = np.full((HEIGHT + 4, WIDTH + 4, 3), 255, np.uint8)
    tile[: small.shape[0], : small.shape[1]] = small
    return tile

"""A data set at a glance: a sheet of pictures above their depth, a histogram of depth, and pictures in two splits."""

import math
from pathlib import Path

import cv2
import numpy as np

from depthkit.data.check import Summary, spread
from depthkit.data.datasets import DepthDataset
from depthkit.data.duplicates import difference_hash, hamming

SHOWN = 12  # pictures of a sheet
COMPARED = 300  # pictures of each split that are compared
ALIKE = 6  # bits of 64 in which the hashes of near-duplicates differ at most
HEIGHT, WIDTH = 150, 200  # of a picture on the sheet, pixels


def write_contact_sheet(dataset: DepthDataset, path: Path) -> Path:
    """Write a PNG of up to SHOWN pictures, spread over the data set, each above its depth: near bright, holes grey."""
    columns = []
    for index in spread(len(dataset), SHOWN):
        image, target, mask = dataset.read(index)
        valid = mask & np.isfinite(target) & (target > 0)
        columns.append(np.vstack([_fitted(image[..., ::-1]), _fitted(_coloured(target, valid, dataset.target))]))
    blank = np.full_like(columns[0], 255)
    columns += [blank] * (-len(columns) % 4)
    rows = [np.hstack(columns[first : first + 4]) for first in range(0, len(columns), 4)]
    return _write(path, np.vstack(rows))


def write_histogram(dataset: DepthDataset, path: Path) -> Path:
    """Write a PNG of the measured depths of up to SHOWN files: 40 bars, with the limits of depth below them."""
    reads = (dataset.read_depth(index) for index in spread(len(dataset), SHOWN))
    depths = np.concatenate([target[mask & np.isfinite(target) & (target > 0)] for target, mask in reads])
    counts, edges = np.histogram(depths, bins=40)
    canvas = np.full((300, 640, 3), 255, np.uint8)
    for i, count in enumerate(counts):
        top = 250 - int(220 * count / max(counts.max(), 1))
        cv2.rectangle(canvas, (20 + 15 * i, top), (32 + 15 * i, 250), (160, 90, 40), -1)
    unit = "m" if dataset.target == "depth" else "(disparity)"
    words = f"{len(depths):,} measured pixels of {min(SHOWN, len(dataset))} files"
    for x, text in ((20, f"{edges[0]:.3g} {unit}"), (190, words), (550, f"{edges[-1]:.3g} {unit}")):
        cv2.putText(canvas, text, (x, 280), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (40, 40, 40), 1, cv2.LINE_AA)
    return _write(path, canvas)


def suggest_max_depth(summary: Summary) -> int | None:
    """Whole metres that hold 99 % of the measured depths with a tenth to spare; None where there are no metres."""
    if not summary.percentiles:
        return None
    return max(1, math.ceil(round(1.1 * summary.percentiles[99], 6)))


def near_duplicates(train: DepthDataset, val: DepthDataset) -> str:
    """Words on how many validation pictures look like a training picture, by their difference hashes."""
    first, second = (
        [difference_hash(dataset.read(index)[0]) for index in spread(len(dataset), COMPARED)]
        for dataset in (train, val)
    )
    alike = (hamming(second, first) <= ALIKE).any(1)
    if not alike.any():
        return f"no near-duplicates between the splits, in {len(first)} and {len(second)} pictures compared"
    name = val.files[spread(len(val), COMPARED)[int(np.argmax(alike))]]
    return (
        f"{alike.sum()} of {len(second)} validation pictures look like a training picture, first {name}: split by scene"
    )


def _coloured(target: np.ndarray, valid: np.ndarray, kind: str) -> np.ndarray:
    """The map in colours (H, W, 3) BGR, between its 1st and 99th percentile."""
    low, high = np.percentile(target[valid], [1, 99]) if valid.any() else (0.0, 1.0)
    share = np.clip((np.where(valid, target, low) - low) / max(high - low, 1e-9), 0, 1)
    bright = share if kind == "disparity" else 1 - share
    colours = cv2.applyColorMap((255 * bright).astype(np.uint8), cv2.COLORMAP_MAGMA)
    colours[~valid] = 150
    return colours


def _fitted(picture: np.ndarray) -> np.ndarray:
    scale = min(HEIGHT / picture.shape[0], WIDTH / picture.shape[1])
    small = cv2.resize(np.ascontiguousarray(picture), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    small = small[:HEIGHT, :WIDTH]
    bottom, right = HEIGHT - small.shape[0] + 4, WIDTH - small.shape[1] + 4
    return cv2.copyMakeBorder(small, 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=(255, 255, 255))


def _write(path: Path, picture: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    return path

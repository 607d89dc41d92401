"""What a model predicts where distances are known: at measured points of a CSV file, or in a data set with depth."""

import csv
import math
from pathlib import Path

import numpy as np
from transformers import PreTrainedModel

from depthkit.data.datasets import DepthDataset
from depthkit.data.readers import LISTED, read_image
from depthkit.errors import InputError
from depthkit.masked import valid_mask
from depthkit.models.build import canonical_focal
from depthkit.models.predict import predict_output

Values = tuple[list[float], list[float], list[int]]  # of each point: raw prediction, metres, the part it belongs to
COLUMNS = ("file", "u", "v", "metres")
NEAREST, FARTHEST = 1e-3, 1e3  # metres: what a calibrated depth, or disparity, is clamped to
PIXELS = 1000  # of each depth map, spread evenly, so that every picture counts alike
FOLDS = 10


def csv_values(model: PreTrainedModel, path: Path) -> Values:
    """Predict at the points of a CSV file, as `depthkit.models.calibration.calibrate` takes it.

    Held-out parts are photos where there are three or more, else points. Raises: InputError that names bad lines.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; name a CSV file with the header {','.join(COLUMNS)}")
    maps: dict[str, np.ndarray] = {}
    predicted, metres, files, problems = [], [], [], []
    places: set[tuple[str, float, float]] = set()
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        reader = csv.DictReader(file, skipinitialspace=True)
        if not set(COLUMNS) <= set(reader.fieldnames or ()):
            raise InputError(f"{path}: the first line must be {','.join(COLUMNS)}; it is {reader.fieldnames}")
        for row in reader:
            try:
                u, v, distance = (float(row[name] or "nan") for name in COLUMNS[1:])
                if None in row:  # what DictReader has left over
                    raise InputError(f"{len(row[None])} field(s) too many; decimals have a point: {','.join(COLUMNS)}")
                if not (math.isfinite(u + v) and 0 < distance < math.inf):
                    raise InputError(f"u, v, metres are {u:g}, {v:g}, {distance:g}; numbers wanted, metres above 0")
                if (row["file"], u, v) in places:
                    raise InputError(f"({u:g}, {v:g}) of {row['file']} is there twice: give the mean of both")
                places.add((row["file"], u, v))
                if row["file"] not in maps:
                    maps[row["file"]] = predict_output(model, read_image(path.parent / row["file"]))
                prediction = maps[row["file"]]
                place = math.floor(v + 0.5), math.floor(u + 0.5)
                if min(place) < 0 or place[0] >= prediction.shape[0] or place[1] >= prediction.shape[1]:
                    raise InputError(f"({u:g}, {v:g}) lies outside of {row['file']}, {prediction.shape[::-1]} pixels")
                predicted.append(float(prediction[place]))
                metres.append(distance)
                files.append(row["file"])
            except ValueError as error:
                problems.append(f"line {reader.line_num}: {error}")
    if problems:
        more = f"; and {len(problems) - LISTED} more" if len(problems) > LISTED else ""
        raise InputError(f"{path}: {'; '.join(problems[:LISTED])}{more}")
    if not files:
        raise InputError(f"{path}: no line after the first; write one for each measured distance: {','.join(COLUMNS)}")
    by_file = len(maps) >= 3
    return predicted, metres, [list(maps).index(name) if by_file else i for i, name in enumerate(files)]


def dataset_values(model: PreTrainedModel, dataset: DepthDataset) -> Values:
    """Predict at PIXELS of each depth map of a data set; held-out parts are FOLDS blocks of neighbouring pictures."""
    if dataset.target != "depth":
        raise InputError(f"{dataset.folder} holds {dataset.target} of unknown scale: calibrate with depth in metres")
    predicted, metres, parts = [], [], []
    ends = model.config.depth_estimation_type == "metric" and not canonical_focal(model.config)
    limit = model.config.max_depth if ends else FARTHEST
    for index in range(len(dataset)):
        image, depth, mask = dataset.read(index)
        prediction = predict_output(model, image)
        rows, columns = np.nonzero(mask & valid_mask(depth, NEAREST, limit))
        chosen = slice(None, None, max(1, len(rows) // PIXELS))
        rows, columns = rows[chosen], columns[chosen]
        down, right = np.divide(prediction.shape, depth.shape)  # a depth map may be smaller than its photo
        predicted += prediction[((rows + 0.5) * down).astype(int), ((columns + 0.5) * right).astype(int)].tolist()
        metres += depth[rows, columns].tolist()
        parts += [index * min(FOLDS, len(dataset)) // len(dataset)] * len(rows)
    return predicted, metres, parts

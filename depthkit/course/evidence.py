"""What the course's claims stand on: stored measurements that take hours, their comparison in words, and a ramp."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from depthkit.course.sample import ASSETS
from depthkit.course.settings import TINY_WEIGHTS
from depthkit.run_folder import read_json
from depthkit.scoring.baselines import ROWS, RowPrior
from depthkit.scoring.statistics import Interval, Record, interval, paired_difference, resampled_weights

RECIPES = {  # of tools/camera_runs.py, as figures name them
    "ignore": "lens ignored",
    "ignore, zoom": "lens ignored, zoom augmentation",
    "canonical, zoom": "canonical, zoom augmentation",
}


def stored(name: str, source: str | Path = ASSETS) -> list[dict[str, Any]]:
    """Read the points of `data/<name>.json`, and say from which weights; where nobody has measured them yet, say so and
    return none."""
    path = Path(source) / "data" / f"{name}.json"
    if path.is_file():
        result = read_json(path)
        points, then, now = result["points"], result["weights"], bundled_weights()
        if then == now:
            which = "as it is"
        elif then["runs"] == now["runs"]:
            which = "with other weights of the same runs"
        else:
            which = f"as it was after {len(then['runs'])} of its {len(now['runs'])} pre-training runs"
        seeds = sorted({point["seed"] for point in points})
        print(f"data/{name}.json: {len(points)} points, seeds {seeds}; what began from the tiny model took it {which}")
        return points
    print(f"data/{name}.json is not here: tools/{name}.py measures it; figure and sentences are left out")
    return []


def bundled_weights(folder: Path = TINY_WEIGHTS) -> dict[str, Any]:
    """What a stored measurement notes of the tiny model: the runs that made it, in their order, and its file's hash."""
    runs = list(dict.fromkeys(row["run"] for row in read_json(folder / "history.json")))
    return {"runs": runs, "sha256": hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()}


def learning_curves(points: Iterable[Mapping[str, Any]], labels: str) -> dict[str, dict[int, list[Record]]]:
    """Sort the points of `tools/learning_curve.py` with these labels: {model: {number of images: records}}."""
    runs: dict[str, dict[int, list]] = {}
    for point in points:
        if point["labels"] == labels:
            runs.setdefault(point["model"], {}).setdefault(point["images"], []).append(point["by_image"])
    return {model: {n: mean_records(of[n]) for n in sorted(of)} for model, of in runs.items()}


def camera_scores(points: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, list[Record]]]:
    """Sort the points of `tools/camera_runs.py`: {test set: {recipe: records}}."""
    runs: dict[str, dict[str, list]] = {}
    for point in points:
        for name, scores in point["sets"].items():
            by_image = {record["name"]: record["abs_rel"] for record in scores["records"]}
            runs.setdefault(name, {}).setdefault(RECIPES[point["variant"]], []).append(by_image)
    return {name: {variant: mean_records(seeds) for variant, seeds in of.items()} for name, of in runs.items()}


def mean_records(seeds: Sequence[Mapping[str, float]]) -> list[Record]:
    """Average AbsRel per image over seeds, each {image: AbsRel}, as records."""
    return [{"name": name, "abs_rel": float(np.mean([seed[name] for seed in seeds]))} for name in seeds[0]]


def abs_rel(records: Sequence[Record]) -> Interval:
    """Average AbsRel over images, with its 95 % bootstrap interval."""
    values = np.array([record["abs_rel"] for record in records])
    return interval(resampled_weights(len(values), 2000, seed=0) @ values / len(values))


def comparison(first: str, records: list[Record], second: str, others: list[Record]) -> str:
    """Say in a sentence by how much AbsRel of the first is lower than that of the second, on the same images."""
    gap = paired_difference(records, others)
    numbers = f"difference {gap['mean']:+z.3f}, 95 % interval {gap['low']:+z.3f} to {gap['high']:+z.3f}"
    if gap["low"] <= 0 <= gap["high"]:
        return f"{first} and {second} can't be told apart on these {gap['images']} images ({numbers})"
    return f"{first} is {'better' if gap['mean'] < 0 else 'worse'} than {second} ({numbers}, {gap['images']} images)"


def vertical_ramp() -> RowPrior:
    """A relative model that takes no look at the picture: its disparity rises evenly from the top row to the bottom."""
    ramp = RowPrior(torch.linspace(0, 1, ROWS))
    ramp.config.depth_estimation_type = "relative"
    return ramp

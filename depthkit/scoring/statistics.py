"""Means over images, with bootstrap intervals that say how far they would move with other images like these."""

from typing import Any, Literal

import numpy as np
import torch

from depthkit.errors import InputError
from depthkit.masked import MIN_VALID
from depthkit.scoring.metrics import METRICS, metrics_from_sums

Record = dict[str, Any]  # the scores of one image, as `evaluate` gives them
Interval = dict[str, float]  # `mean`, and its 95 % interval from `low` to `high`


def summarise(
    records: list[Record], average: Literal["image", "pixel"] = "image", resamples: int = 2000, seed: int = 0
) -> dict[str, Interval]:
    """Average each metric over the scored images, with a 95 % bootstrap interval over images (Efron 1979).

    An interval says how the number would move with another draw of as many images like these, and knows nothing of
    other seeds in training. Raises: InputError when no image was scored.
    """
    scored = _scored(records)
    averages = _averages(scored, resampled_weights(len(scored), resamples, seed), average)
    return {name: interval(values) for name, values in averages.items()}


def means(records: list[Record]) -> dict[str, float]:
    """Average each metric over the scored images, without intervals."""
    scored = _scored(records)
    return {name: float(value[0]) for name, value in _averages(scored, np.ones((1, len(scored))), "image").items()}


def counts(records: list[Record]) -> dict[str, int]:
    """Count images that were scored and skipped, and fits that could not align (they are scored as they are)."""
    degenerate = [record["degenerate"] for record in records if record["skipped"] is None]
    return {"images": len(degenerate), "skipped": len(records) - len(degenerate), "degenerate": sum(degenerate)}


def _scored(records: list[Record]) -> list[Record]:
    """Choose the records that hold scores. Raises InputError when there is none."""
    scored = [record for record in records if record["skipped"] is None]
    if not scored:
        raise InputError(f"none of {len(records)} images has {MIN_VALID} valid pixels: check depth range and masks")
    return scored


def paired_difference(
    records: list[Record], others: list[Record], metric: str = "abs_rel", resamples: int = 2000, seed: int = 0
) -> Interval:
    """Average `records` minus `others`, which scored the same images, with a 95 % bootstrap interval.

    Images are drawn together with both their scores: what makes a picture hard for both drops out, and the interval is
    narrower (Efron & Tibshirani 1993). Images that either skipped take no part; `images` says how many were left.
    Raises: ValueError when the two did not score the same images, or have none in common.
    """
    first, second = ({record["name"]: record[metric] for record in each} for each in (records, others))
    if first.keys() != second.keys():
        raise ValueError(f"{len(first.keys() ^ second.keys())} image(s) are in one list alone: score the same ones")
    differences = np.array([a - second[name] for name, a in first.items() if None not in (a, second[name])])
    if not len(differences):
        raise ValueError("no image has a score in both lists of records")
    weights = resampled_weights(len(differences), resamples, seed)
    return interval(weights @ differences / len(differences)) | {"images": len(differences)}


def resampled_weights(images: int, resamples: int, seed: int) -> np.ndarray:
    """Count each image in each bootstrap sample, (1 + resamples, images); the first row has all of them, once."""
    draws = np.random.default_rng(seed).integers(images, size=(resamples, images))
    return np.vstack([np.ones(images), *(np.bincount(draw, minlength=images) for draw in draws)])


def interval(values: np.ndarray) -> Interval:
    """Give the first of `values` the 95 % interval of the others, which came from bootstrap samples."""
    low, high = np.nanpercentile(values[1:], [2.5, 97.5])
    return {"mean": float(values[0]), "low": float(low), "high": float(high)}


def _averages(scored: list[Record], weights: np.ndarray, average: str) -> dict[str, np.ndarray]:
    """Average each metric with each row of `weights` (rows, images), {metric: (rows,)}.

    `boundary_f1` is no sum over pixels, and always the mean over the images that have one.
    """
    if average == "image":
        averages = {name: _mean_of(scored, name, weights) for name in METRICS}
    else:
        names = list(scored[0]["sums"])
        pooled = weights @ np.array([[record["sums"][name] for name in names] for record in scored])
        sums = {name: torch.from_numpy(column) for name, column in zip(names, pooled.T, strict=True)}
        averages = {name: value.numpy() for name, value in metrics_from_sums(sums).items()}
    if any(record.get("boundary_f1") is not None for record in scored):
        averages["boundary_f1"] = _mean_of(scored, "boundary_f1", weights)
    return averages


def _mean_of(scored: list[Record], metric: str, weights: np.ndarray) -> np.ndarray:
    """Average a metric over the images that have it, (rows,); NaN where a row draws none of them."""
    values = np.array([record.get(metric) for record in scored], dtype=np.float64)  # None becomes NaN
    has = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return weights @ np.where(has, values, 0) / (weights @ has)

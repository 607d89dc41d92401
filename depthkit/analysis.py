"""Looking into scores: what two models differ by on the same images, where errors lie, whether walls are flat."""

import copy

import cv2
import numpy as np
from torch import nn


class InverseDepth(nn.Module):
    """A metric model read as a relative one: it gives 1 / depth, so that `Protocol(align="disparity")` can score it."""

    def __init__(self, model):
        super().__init__()
        if model.config.depth_estimation_type != "metric":
            raise ValueError("this model predicts disparity already: score it as it is")
        self.model = model
        self.config = copy.copy(model.config)
        self.config.depth_estimation_type = "relative"

    def forward(self, pixel_values):
        output = self.model(pixel_values=pixel_values)
        output.predicted_depth = 1 / output.predicted_depth.float().clamp_min(1e-3)
        return output


def thinned(dataset, count):
    """An `NYUDepthV2` of at most `count` of `dataset`'s files, spread evenly over them; names stay the same."""
    chosen = copy.copy(dataset)
    indices = np.linspace(0, len(dataset) - 1, min(count, len(dataset))).round().astype(int)
    chosen.files = [dataset.files[i] for i in indices]
    return chosen


def paired_difference(records, others, metric="abs_rel", resamples=2000, seed=0):
    """Mean over images of `records` minus `others`, which scored the same images, with a 95 % bootstrap interval.

    Images are drawn together with both their scores: what makes a picture hard for both drops out, so that the interval
    is narrower than those of the two means would suggest (Efron & Tibshirani 1993). Images that either of them skipped
    take no part.

    Returns: {"mean", "low", "high", "images"}.

    Raises: ValueError when the two did not score the same images, or have none in common.
    """
    ours, theirs = ({record["name"]: record for record in each} for each in (records, others))
    if ours.keys() != theirs.keys():
        raise ValueError(f"{len(ours.keys() ^ theirs.keys())} image(s) are in one list alone: score the same ones")
    pairs = [(ours[name][metric], theirs[name][metric]) for name in ours]
    values = np.array([a - b for a, b in pairs if a is not None and b is not None])
    if not len(values):
        raise ValueError("no image has a score in both lists of records")
    draws = np.random.default_rng(seed).integers(len(values), size=(resamples, len(values)))
    low, high = np.percentile(values[draws].mean(1), [2.5, 97.5])
    return {"mean": float(values.mean()), "low": float(low), "high": float(high), "images": len(values)}


def binned_errors(keys, predictions, truths, masks, edges, resamples=1000, seed=0):
    """Relative errors by the value of a key (depth, distance to an edge, ...), pixels of all images together.

    Args:
        keys, predictions, truths, masks: lists of maps (H, W), one an image: the key, metres, metres, bool.
        edges: limits of the bins, (bins + 1,); the last bin takes its upper limit too.

    Returns: `share` (bins,) of the pixels; `abs_rel`, mean |p − t| / t, and `bias`, mean (p − t) / t: (bins, 3) of mean
    and 95 % interval over images (low, high); NaN where a bin, or a bootstrap draw's share of it, is empty.
    """
    bins, sums = len(edges) - 1, []
    for key, p, t, mask in zip(keys, predictions, truths, masks, strict=True):
        key, p, t = (np.asarray(values)[np.asarray(mask)].astype(np.float64) for values in (key, p, t))
        place = np.where(key == edges[-1], bins - 1, np.digitize(key, edges) - 1)
        inside = (place >= 0) & (place < bins)
        error = ((p - t) / t)[inside]
        weights = (np.ones_like(error), np.abs(error), error)
        sums.append([np.bincount(place[inside], weight, minlength=bins) for weight in weights])
    sums = np.array(sums)  # (images, 3, bins)
    draws = np.random.default_rng(seed).integers(len(sums), size=(resamples, len(sums)))
    counts = np.stack([np.ones(len(sums)), *(np.bincount(draw, minlength=len(sums)) for draw in draws)])
    pixels, absolute, signed = np.einsum("ri,ikb->krb", counts, sums)
    scores = {"share": pixels[0] / max(pixels[0].sum(), 1)}
    for name, total in (("abs_rel", absolute), ("bias", signed)):
        values = np.where(pixels > 0, total / np.maximum(pixels, 1), np.nan)
        scores[name] = np.column_stack([values[0], *np.percentile(values[1:], [2.5, 97.5], axis=0)])
    return scores


def edge_distance(depth, mask, ratio=1.1):
    """Distance of each pixel to the nearest depth edge, float32 (H, W), pixels; 0 on an edge, inf where there is none.

    An edge lies where two neighbours, both measured, differ in depth by more than the factor `ratio`: a step from one
    surface to another, while slanted surfaces change by little from pixel to pixel. Both sides belong to it.
    """
    log_depth = np.log(np.where(mask, depth, np.nan), dtype=np.float64)
    edge = np.zeros(log_depth.shape, dtype=bool)
    for first, second in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        step = np.abs(log_depth[first] - log_depth[second]) > np.log(ratio)  # False beside a hole
        edge[first] |= step
        edge[second] |= step
    if not edge.any():
        return np.full(edge.shape, np.inf, dtype=np.float32)
    return cv2.distanceTransform((~edge).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def fit_plane(points):
    """The plane through points (N, 3) with the smallest Σ distance².

    Returns: its unit normal (3,), turned towards the camera at the origin, and the root mean square of the distances.
    """
    points = np.asarray(points, dtype=np.float64)
    centre = points.mean(0)
    normal = np.linalg.svd(points - centre, full_matrices=False)[2][-1]
    normal *= -np.sign(normal @ centre) or 1
    return normal, float(np.sqrt(np.mean(((points - centre) @ normal) ** 2)))


def largest_wall(points, tolerance=0.02, upright=0.3, draws=400, seed=0):
    """The plane with most of the points (N, 3) within `tolerance` metres, by RANSAC (Fischler & Bolles 1981).

    Only planes that stand count: |y| of the unit normal at most `upright`, for a camera that is held about level.

    Returns: bool (N,), True on the plane.

    Raises: ValueError when no draw gave a standing plane.
    """
    points = np.asarray(points, dtype=np.float64)
    rng = np.random.default_rng(seed)
    best = np.zeros(len(points), dtype=bool)
    for _ in range(draws):
        a, b, c = points[rng.choice(len(points), 3, replace=False)]
        normal = np.cross(b - a, c - a)
        length = np.linalg.norm(normal)
        if length > 1e-9 and abs(normal[1]) <= upright * length:
            on = np.abs((points - a) @ normal) <= tolerance * length
            best = on if on.sum() > best.sum() else best
    if not best.any():
        raise ValueError(f"no standing plane in {draws} draws")
    return best


def markdown_table(rows):
    """Rows as Markdown: dicts with the same keys in the same order; {"mean", "low", "high"} is an interval."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value):
    if isinstance(value, dict):
        return f"{value['mean']:.3f} ({value['low']:.3f} to {value['high']:.3f})"
    return f"{value:.3f}" if isinstance(value, float) else str(value)

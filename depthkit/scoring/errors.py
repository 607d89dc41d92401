"""Where errors lie: by depth, by distance to an edge, by whatever map of keys."""

from collections.abc import Sequence

import cv2
import numpy as np

from depthkit.scoring.statistics import resampled_weights


def binned_errors(
    keys: Sequence, predictions: Sequence, truths: Sequence, masks: Sequence, edges: np.ndarray, seed: int = 0
) -> dict[str, np.ndarray]:
    """Sort relative errors by the value of a key (depth, distance to an edge, ...), pixels of all images together.

    The first four are lists of maps (H, W), one per image: the key, metres, metres, bool. `edges` (bins + 1,) are the
    limits of the bins; the last bin takes its upper limit too.

    Returns: `share` (bins,) of the pixels; `abs_rel`, mean |p − t| / t, and `bias`, mean (p − t) / t: (bins, 3) of mean
    and 95 % interval over images (low, high); NaN where a bin, or a bootstrap draw's share of it, is empty.
    """
    sums = [binned_sums(*maps, edges) for maps in zip(keys, predictions, truths, masks, strict=True)]
    return errors_from_sums(np.array(sums), seed)


def errors_from_sums(sums: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
    """Return what `binned_errors` does, from the `binned_sums` of each image, (images, 3, bins)."""
    weights = resampled_weights(len(sums), 1000, seed)
    pixels, absolute, signed = np.einsum("ri,ikb->krb", weights, sums)
    scores = {"share": pixels[0] / max(pixels[0].sum(), 1)}
    for name, total in {"abs_rel": absolute, "bias": signed}.items():
        with np.errstate(invalid="ignore"):  # an empty bin is 0 / 0, and NaN is what it should be
            values = total / pixels
        scores[name] = np.column_stack([values[0], *np.percentile(values[1:], [2.5, 97.5], axis=0)])
    return scores


def binned_sums(key: np.ndarray, p: np.ndarray, t: np.ndarray, mask: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Sum over the valid pixels of one image in each bin: their number, |p − t| / t and (p − t) / t; (3, bins)."""
    key, p, t = (np.asarray(values)[np.asarray(mask)].astype(np.float64) for values in (key, p, t))
    error = (p - t) / t
    return np.stack([np.histogram(key, edges, weights=w)[0] for w in (np.ones_like(error), np.abs(error), error)])


def edge_distance(depth: np.ndarray, mask: np.ndarray, ratio: float = 1.1) -> np.ndarray:
    """Measure how far the nearest depth edge is, float32 (H, W), pixels; 0 on an edge, inf where there is none.

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

"""Planes in point clouds: is a wall flat, and does it stand where it should?"""

import numpy as np
from numpy.typing import ArrayLike


def fit_plane(points: ArrayLike) -> tuple[np.ndarray, float]:
    """Find the plane through points (N, 3) with the smallest Σ distance².

    Returns: its unit normal (3,), turned towards the camera at the origin, and the root mean square of the distances.
    """
    points = np.asarray(points, dtype=np.float64)
    centre = points.mean(0)
    normal = np.linalg.svd(points - centre, full_matrices=False)[2][-1]
    if normal @ centre > 0:
        normal = -normal
    return normal, float(np.sqrt(np.mean(((points - centre) @ normal) ** 2)))


def largest_wall(
    points: ArrayLike, tolerance: float = 0.02, upright: float = 0.3, draws: int = 400, seed: int = 0
) -> np.ndarray:
    """Find the plane with most of the points (N, 3) within `tolerance` metres, by RANSAC (Fischler & Bolles 1981).

    Only standing planes count: |y| of the unit normal at most `upright`, for a camera that is held about level.

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
            near = np.abs((points - a) @ normal) <= tolerance * length
            if near.sum() > best.sum():
                best = near
    if not best.any():
        raise ValueError(f"no standing plane in {draws} draws")
    return best

"""Near-duplicate pictures, found by a perceptual hash: 64 bits that change little when the picture changes little."""

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray


def difference_hash(image: NDArray[np.uint8]) -> np.uint64:
    """Hash a picture, uint8 (H, W, 3) RGB: is each cell of a 9 × 8 thumbnail brighter than its left neighbour?

    The difference hash (dHash) has a bit for each of the 8 × 8 comparisons. Brightness and contrast hardly matter;
    turning the camera by a cell's width does.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    cells = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA)
    return np.packbits(cells[:, 1:] > cells[:, :-1]).view(np.uint64)[0]


def hamming(a: ArrayLike, b: ArrayLike) -> NDArray[np.uint8]:
    """Count the differing bits of each pair of hashes, uint64 (N,) and (M,) → uint8 (N, M)."""
    return np.bitwise_count(np.asarray(a)[:, None] ^ np.asarray(b)[None, :])


def groups(hashes: ArrayLike, limit: int) -> NDArray[np.intp]:
    """Group pictures whose hashes, uint64 (N,), differ by at most `limit` bits, directly or through others.

    Returns: int (N,), the group of each picture, counted from 0 in the order of first members. One row of distances is
    held at a time, so that tens of thousands of pictures need no large memory.
    """
    hashes = np.asarray(hashes)
    group = np.full(len(hashes), -1)
    for first in range(len(hashes)):
        front = [first] if group[first] < 0 else []
        group[front] = group.max() + 1
        while front:
            distance = np.bitwise_count(hashes ^ hashes[front.pop()])
            joined = np.flatnonzero((distance <= limit) & (group < 0))
            group[joined] = group[first]
            front.extend(joined.tolist())
    return group

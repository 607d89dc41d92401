"""Near-duplicate pictures, found by a perceptual hash: 64 bits that change little when the picture changes little."""

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray


def difference_hash(image: NDArray[np.uint8]) -> np.uint64:
    """The difference hash (dHash) of a picture: is each cell of a 9 × 8 thumbnail brighter than its left neighbour?

    Args:
        image: uint8 (H, W, 3) RGB, of any size.

    Returns: np.uint64, one bit for each of the 8 × 8 comparisons. Brightness and contrast hardly matter to it; turning
    the camera by a cell's width does.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    cells = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA)
    return np.packbits(cells[:, 1:] > cells[:, :-1]).view(np.uint64)[0]


def hamming(a: ArrayLike, b: ArrayLike) -> NDArray[np.uint8]:
    """Number of differing bits of each pair of hashes, uint64 (N,) and (M,) → uint8 (N, M)."""
    return np.bitwise_count(np.asarray(a)[:, None] ^ np.asarray(b)[None, :])


def groups(hashes: ArrayLike, limit: int) -> NDArray[np.intp]:
    """Group pictures whose hashes differ by at most `limit` bits, directly or through others of the group.

    Args:
        hashes: uint64 (N,).

    Returns: int (N,), the group of each picture, counted from 0 in the order of first members. One row of distances is
    held at a time, so that tens of thousands of pictures need no large memory.
    """
    hashes = np.asarray(hashes)
    group = np.full(len(hashes), -1)
    count = 0
    for first in range(len(hashes)):
        if group[first] >= 0:
            continue
        group[first], front = count, [first]
        while front:
            distance = np.bitwise_count(hashes ^ hashes[front.pop()])
            joined = np.flatnonzero((distance <= limit) & (group < 0))
            group[joined] = count
            front.extend(joined.tolist())
        count += 1
    return group

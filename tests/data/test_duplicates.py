"""Near-duplicates: hashes of pictures that are known to be alike or not, and groups worked out by hand."""

import cv2
import numpy as np
import pytest

from depthkit.data.duplicates import difference_hash, groups, hamming


def picture(seed, height=120, width=160):
    """Smooth blobs, uint8 (H, W, 3)."""
    small = np.random.default_rng(seed).integers(40, 200, (6, 8, 3)).astype(np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def distance(a, b):
    return int(hamming([difference_hash(a)], [difference_hash(b)])[0, 0])


def test_hash_survives_size_brightness_and_noise():
    one = picture(0)
    noisy = np.clip(one + np.random.default_rng(1).normal(0, 4, one.shape), 0, 255).astype(np.uint8)
    assert distance(one, one) == 0
    assert distance(one, picture(0, 240, 320)) <= 4
    assert distance(one, (one * 0.8 + 20).astype(np.uint8)) <= 4
    assert distance(one, noisy) <= 4


def test_hash_tells_other_pictures_apart():
    far = [distance(picture(0), picture(seed)) for seed in range(1, 9)]
    assert min(far) > 12
    assert np.mean(far) == pytest.approx(32, abs=6)


def test_hash_of_a_mirrored_picture_is_another():
    assert distance(picture(0), np.ascontiguousarray(picture(0)[:, ::-1])) > 12


def test_hash_of_a_ramp():
    """Brighter from left to right: all 64 bits set; the other way round: none."""
    ramp = np.tile(np.arange(180, dtype=np.uint8)[None, :, None], (80, 1, 3))
    assert difference_hash(ramp) == np.uint64(2**64 - 1)
    assert difference_hash(np.ascontiguousarray(ramp[:, ::-1])) == 0


def test_hamming_counts_bits_of_every_pair():
    a = np.array([0, 0b1011], dtype=np.uint64)
    b = np.array([0, 1, 2**64 - 1], dtype=np.uint64)
    np.testing.assert_array_equal(hamming(a, b), [[0, 1, 64], [3, 2, 61]])


def test_groups_join_through_a_third():
    """0 and 2 differ by four bits but both are two from 1; the last two stand apart, nearer limits split the chain."""
    hashes = np.array([0b0000, 0b0011, 0b1111, 2**40 - 1, 2**40 - 2], dtype=np.uint64)
    np.testing.assert_array_equal(groups(hashes, 2), [0, 0, 0, 1, 1])
    np.testing.assert_array_equal(groups(hashes, 1), [0, 1, 2, 3, 3])
    assert len(groups(hashes[:0], 2)) == 0

import numpy as np
import pytest
from helpers import tree

from depthkit.scoring.truth import depth_maps, raw_or_filled


def test_zeros_tell_raw_from_filled_depth(tmp_path):
    """A blank border alone, as extraction scripts leave it, is no sign of raw depth."""
    filled = np.zeros((48, 64))
    filled[1:47, 1:63] = 2.0
    raw = filled.copy()
    raw[10:20, 10:30] = 0
    kind, share = raw_or_filled(tree(tmp_path / "filled", [filled] * 2))
    assert (kind, share) == ("filled", 0)
    kind, share = raw_or_filled(tree(tmp_path / "raw", [raw] * 2))
    assert kind == "raw" and share == pytest.approx(10 * 20 / (38 * 52))


def test_maps_are_spread_over_the_files_and_read_without_photos_where_that_is_possible(tmp_path):
    dataset = tree(tmp_path, [np.full((28, 28), depth) for depth in (1.0, 2.0, 3.0, 4.0, 5.0)])
    assert [depth[0, 0] for depth, _ in depth_maps(dataset, 3)] == [1, 3, 5]
    assert len(list(depth_maps(dataset, 9))) == 5
    hole = np.array([[1.0, np.nan, -2.0, 3.0]])
    dataset.read_depth = lambda index: (hole, np.array([[True, True, True, False]]))
    depth, mask = next(depth_maps(dataset, 1))
    assert depth.tolist() == [[1, 0, 0, 0]] and mask.tolist() == [[True, False, False, False]]

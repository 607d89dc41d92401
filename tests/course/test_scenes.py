import numpy as np
import pytest

from depthkit.camera import Intrinsics
from depthkit.course.scenes import motorcycle, teaching, unpack_motorcycle
from depthkit.data.datasets import NYUDepthV2


def test_the_model_room_looks_like_the_room_and_is_a_tenth_of_it():
    room, depth, _ = teaching("twin_room")
    model, small, _ = teaching("twin_model")
    assert np.abs(room.astype(int) - model.astype(int)).mean() < 1
    np.testing.assert_allclose(depth / 10, small, atol=6e-4)


def test_the_stereo_pair_agrees_with_its_depth():
    """A pixel of the left picture is found in the right one, f · b / z further left, with the same colour."""
    left, depth, frame = teaching("stereo_left")
    right, nothing, _ = teaching("stereo_right")
    assert nothing is None
    v, u = np.mgrid[0 : depth.shape[0] : 4, 0 : depth.shape[1] : 4]
    disparity = frame["fx"] * frame["baseline_m"] / depth[v, u]
    seen = u - disparity > 0
    matched = right[v, np.clip(np.rint(u - disparity).astype(int), 0, None)].astype(int)
    right_place = np.abs(matched - left[v, u].astype(int))[seen].mean()
    wrong_place = np.abs(right[v, u].astype(int) - left[v, u].astype(int)).mean()
    assert right_place < 0.5 * wrong_place


def test_motorcycle_depth_is_that_of_its_calibration():
    left, right, depth, disparity, _ = motorcycle()
    assert left.shape == right.shape == (*depth.shape, 3)
    measured = depth > 0
    assert 2.0 < depth[measured].min() < 2.2 and 4.8 < depth[measured].max() < 5.2
    v, u = 200, 300
    expected = 994.978 * 0.193001 / (disparity[v, u] + 31.086)
    assert depth[v, u] == pytest.approx(expected, rel=1e-5)


def test_the_motorcycle_is_read_like_any_other_data_set(tmp_path):
    root = unpack_motorcycle(tmp_path)
    assert unpack_motorcycle(tmp_path) == root
    dataset = NYUDepthV2(root, "val")
    left, _, depth, _, _ = motorcycle()
    assert len(dataset) == 1 and dataset.intrinsics(0) == Intrinsics(994.978, 994.978, 311.193, 254.877)
    np.testing.assert_array_equal(dataset[0]["depth"].numpy(), depth)
    np.testing.assert_array_equal(dataset[0]["image"].numpy().transpose(1, 2, 0), left)

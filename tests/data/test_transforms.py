import cv2
import numpy as np
import pytest
import torch

from depthkit.data.transforms import EvalTransform, TrainTransform, normalise, resize_map, resized_shape


def gradient_sample(height=48, width=64):
    """Image, depth and mask that all say the column: what moves apart is seen at once."""
    column = np.tile(np.arange(width, dtype=np.float32), (height, 1))
    image = np.repeat((column * 3).astype(np.uint8)[..., None], 3, axis=2)
    return {"image": image, "depth": column + 1, "mask": column < width / 2, "name": "x"}


@pytest.mark.parametrize(
    "shape, size, expected",
    # The authors' `lower_bound` with multiples of 14: 640 · 518/480 = 690.7 → 49 · 14 = 686
    [
        ((480, 640), 518, (518, 686)),
        ((640, 480), 518, (686, 518)),
        ((480, 640), 168, (168, 224)),
        ((300, 301), 28, (28, 28)),
    ],
)
def test_shorter_side_and_multiples_of_the_patch(shape, size, expected):
    assert resized_shape(*shape, size) == expected


def test_evaluation_resizes_the_image_alone():
    sample = gradient_sample()
    out = EvalTransform(28)(sample)
    assert out["image"].shape == (28, 42, 3)  # 64 · 28/48 = 37.3, nearest multiple of 14
    assert out["depth"] is sample["depth"] and out["mask"] is sample["mask"]


def test_image_depth_and_mask_move_together():
    transform = TrainTransform(42)
    transform.augment.transforms[-1].p = 0.0  # no colour jitter: the image must say the column
    directions = set()
    for epoch in range(12):
        out = transform(gradient_sample(), index=3, epoch=epoch)
        image, depth = out["image"][..., 0].astype(float), out["depth"]
        assert image.shape == depth.shape == out["mask"].shape == (42, 42)
        assert np.abs(image / 3 - (depth - 1)).max() < 2  # cubic against nearest: within the step of two columns
        assert np.array_equal(out["mask"], depth - 1 < 32)
        directions.add(np.sign(depth[0, -1] - depth[0, 0]))
    assert directions == {-1.0, 1.0}  # mirrored in some epochs, not in others


def test_depth_is_never_interpolated():
    sample = gradient_sample()
    sample["depth"] = np.where(sample["depth"] < 30, 1.0, 9.0).astype(np.float32)
    assert set(np.unique(TrainTransform(56)(sample)["depth"])) <= {1.0, 9.0}


def nearest(values, shape):
    return cv2.resize(values, shape[::-1], interpolation=cv2.INTER_NEAREST)


def scattered(share, height, width):
    """Depth in which each pixel has a value of its own, and a mask of that share of pixels."""
    rng = np.random.default_rng(4)
    mask = rng.random((height, width)) < share
    return np.where(mask, 1 + rng.permutation(height * width).reshape(height, width), 0).astype(np.float32), mask


@pytest.mark.parametrize("shape", [(56, 84), (28, 42), (60, 90), (120, 180), (126, 196)])
def test_dense_depth_is_resized_by_nearest_neighbour_to_the_bit(shape):
    values, _ = scattered(1.0, 120, 180)
    small, mask = resize_map(values, np.ones(values.shape, dtype=bool), shape)
    assert np.array_equal(small, nearest(values, shape)) and mask.all()


@pytest.mark.parametrize("share", [0.05, 0.97])
def test_each_cell_takes_a_measured_point_if_one_lies_in_it(share):
    """LiDAR's 5 %, and a map with few holes; every cell is looked at by hand."""
    shape = (42, 70)
    values, valid = scattered(share, 121, 201)
    small, mask = resize_map(values, valid, shape)
    kept = nearest(valid.astype(np.uint8), shape) > 0
    assert np.array_equal(small[kept], nearest(values, shape)[kept])
    first_row, first_column = (
        nearest(np.arange(n, dtype=np.float32)[None], (1, m))[0].astype(int) for n, m in ((121, 42), (201, 70))
    )
    rows, columns = np.split(np.arange(121), first_row[1:]), np.split(np.arange(201), first_column[1:])
    for row, column in np.argwhere(~kept):
        inside = np.ix_(rows[row], columns[column])
        away_y = (rows[row] + 0.5) * 42 / 121 - row - 0.5
        away_x = (columns[column] + 0.5) * 70 / 201 - column - 0.5
        distance = np.hypot(away_y[:, None], away_x[None])[valid[inside]]
        points = values[inside][valid[inside]]
        assert mask[row, column] == (len(points) > 0)
        assert small[row, column] in (points[np.isclose(distance, distance.min())] if len(points) else [0])


@pytest.mark.parametrize("height, width, least", [(1080, 1920, 0.85), (1242, 375, 0.9)])
def test_sparse_points_survive(height, width, least):
    """Of 5 % points, a resize by half kept a quarter; now every cell that has points keeps one."""
    values, valid = scattered(0.05, height, width)
    shape = (height // 2 - height // 2 % 14, width // 2 - width // 2 % 14)
    small, mask = resize_map(values, valid, shape)
    assert mask.sum() > least * valid.sum() and len(np.unique(small[mask])) == mask.sum()
    assert (nearest(valid.astype(np.uint8), shape) > 0).sum() < 0.3 * valid.sum()


@pytest.mark.parametrize("shape", [(126, 196), (120, 180)])
def test_sparse_points_of_a_map_that_does_not_shrink_are_as_they_were(shape):
    values, valid = scattered(0.05, 120, 180)
    small, mask = resize_map(values, valid, shape)
    assert np.array_equal(small, nearest(values, shape))
    assert np.array_equal(mask, nearest(valid.astype(np.uint8), shape) > 0)


def test_training_keeps_sparse_points():
    sample = gradient_sample(280, 420)
    sample["mask"] = np.random.default_rng(0).random((280, 420)) < 0.05
    sample["depth"] = np.where(sample["mask"], sample["depth"], 0)
    out = TrainTransform(140)(sample)
    assert out["mask"].mean() > 0.15 and (out["depth"][out["mask"]] > 0).all()


def test_augmentation_is_a_function_of_seed_epoch_and_index():
    sample = gradient_sample()
    sample["image"] = np.random.default_rng(0).integers(0, 255, sample["image"].shape, dtype=np.uint8)
    first, other = TrainTransform(28, seed=1), TrainTransform(28, seed=1)
    other(sample, index=9, epoch=5)  # another history of draws must not matter
    draws = {}
    for epoch in range(3):
        for index in range(3):
            a, b = first(sample, index, epoch), other(sample, index, epoch)
            assert np.array_equal(a["image"], b["image"]) and np.array_equal(a["depth"], b["depth"])
            draws[a["image"].tobytes()] = (epoch, index)
    assert len(draws) == 9
    assert not np.array_equal(TrainTransform(28, seed=2)(sample, 0, 0)["image"], first(sample, 0, 0)["image"])


def test_normalise_is_imagenet():
    grey = torch.full((1, 3, 2, 2), 128, dtype=torch.uint8)
    expected = (128 / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(normalise(grey)[0, :, 0, 0].numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("transform", [EvalTransform, TrainTransform])
def test_sizes_off_the_patch_are_refused(transform):
    with pytest.raises(ValueError, match=r"got 500: use 504"):
        transform(500)

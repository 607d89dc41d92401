import cv2
import numpy as np
import pytest
import torch

from depthkit.camera import Intrinsics
from depthkit.data.transforms import (
    EvalTransform,
    TrainTransform,
    colour_jitter,
    normalise,
    resize_map,
    resized_shape,
)


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
    transform.jitter_share = 0.0  # no colour jitter: the image must say the column
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
    sample = gradient_sample(width=128)  # wide: crops seldom fall together by chance
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


CAMERA = Intrinsics(fx=50.0, fy=53.0, cx=35.2, cy=20.7)


def test_the_evaluated_image_keeps_its_view():
    sample = gradient_sample() | {"intrinsics": CAMERA}
    assert EvalTransform(28)(sample)["intrinsics"] == CAMERA.scaled(42 / 64, 28 / 48)


@pytest.mark.parametrize("zoom", [1.0, 3.0])
def test_intrinsics_resized_cropped_and_mirrored_see_the_same_points(zoom):
    """Colours that hold the column and the row of the picture say where each pixel of the crop comes from."""
    transform = TrainTransform(42, zoom=zoom)
    transform.jitter_share = 0.0  # no colour jitter
    sample = gradient_sample() | {"intrinsics": CAMERA}
    sample["image"][..., 1] = np.arange(48)[:, None] * 5
    signs, focals = set(), []
    for epoch in range(12):
        out = transform(sample, 3, epoch)
        fx, fy, cx, cy = out["intrinsics"]
        u, v = out["image"][..., 0] / 3, out["image"][..., 1] / 5
        sign = np.sign(u[0, -1] - u[0, 0])  # a mirrored picture shows a mirrored world
        x, y = (np.arange(42) - cx) / fx * sign, (np.arange(42)[:, None] - cy) / fy
        inner = (u > 2) & (u < 61) & (v > 2) & (v < 45)  # cubic interpolation is off at the border
        assert np.abs(x - (u - CAMERA.cx) / CAMERA.fx)[inner].max() < 0.35 / CAMERA.fx  # a colour is a third of a pixel
        assert np.abs(y - (v - CAMERA.cy) / CAMERA.fy)[inner].max() < 0.35 / CAMERA.fy
        signs.add(sign)
        focals.append(fx)
    assert signs == {-1, 1} and (np.ptp(focals) > 20 if zoom > 1 else np.ptp(focals) == 0)


def test_zoom_shows_parts_as_large_as_the_focal_length_says_and_leaves_depth_alone():
    """42/48 from the resize, times 1 to 3; evenly in the logarithm, so that half are beyond √3."""
    transform = TrainTransform(42, zoom=3.0)
    shares = []
    for index in range(200):
        out = transform(gradient_sample() | {"intrinsics": Intrinsics(48, 48, 31.5, 23.5)}, index)
        shares.append(out["intrinsics"].focal / 42)
        shown = np.ptp(out["depth"][0]) + 1  # columns of the picture
        assert shown == pytest.approx(48 / shares[-1], abs=1.5)
        assert set(np.unique(out["depth"])) <= set(range(1, 65))
    assert 1 - 0.01 < min(shares) < 1.05 and 2.9 < max(shares) < 3.01
    assert 0.4 < np.mean(np.array(shares) > np.sqrt(3)) < 0.6


@pytest.mark.parametrize("depth_shape", [(120, 160), (60, 80)])
def test_a_zoomed_crop_is_that_part_of_the_whole_enlarged(depth_shape):
    """Enlarged from the place that the camera says, the whole picture gives the crop, within a grey level of 255."""
    transform, whole = TrainTransform(56, zoom=2.5), Intrinsics.centred(100, 160, 120)
    transform.jitter_share = 0.0
    rng = np.random.default_rng(0)
    picture = cv2.resize(rng.integers(0, 255, (15, 20, 3), dtype=np.uint8), (160, 120), interpolation=cv2.INTER_CUBIC)
    depth = np.arange(1, 1 + np.prod(depth_shape), dtype=np.float32).reshape(depth_shape)
    sample = {"image": picture, "depth": depth, "mask": depth > 0, "intrinsics": whole}
    for index in range(8):
        out = transform(sample, index)
        fx, fy, cx, cy = out["intrinsics"]
        u = (out["depth"] - 1) % depth_shape[1]
        if mirrored := u[0, -1] < u[0, 0]:
            cx = 55 - cx
        place = np.array([[100 / fx, 0, whole.cx - cx * 100 / fx], [0, 100 / fy, whole.cy - cy * 100 / fy]])
        enlarged = cv2.warpAffine(
            picture, place, (56, 56), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
        )
        image = out["image"][:, ::-1] if mirrored else out["image"]
        assert np.abs(image.astype(float) - enlarged).mean() < 1
        columns = place[0, 0] * np.arange(56) + place[0, 2]  # where the crop's columns lie in the picture
        cell = 160 / depth_shape[1]
        assert np.abs((np.sort(u[0]) + 0.5) * cell - 0.5 - columns).max() < cell + 0.5


def test_colour_jitter_is_one_linear_map_about_grey():
    rng = np.random.default_rng(0)
    image = rng.integers(60, 180, (20, 30, 3), dtype=np.uint8)
    grey = np.repeat(image[..., :1], 3, axis=2)
    assert np.array_equal(colour_jitter(image, 0.5, 0.5, 0.5, 0.5), image)
    assert np.abs(colour_jitter(image, 1, 0.5, 0.5, 0.5) - 1.1 * image).max() <= 1
    assert np.abs(colour_jitter(image, 0.5, 0, 0.5, 0.5) - (0.9 * image + 0.1 * image.mean())).max() <= 1
    duller = 0.9 * image + 0.1 * image.mean(axis=2, keepdims=True)
    assert np.abs(colour_jitter(image, 0.5, 0.5, 0, 0.5) - duller).max() <= 1
    assert np.array_equal(colour_jitter(grey, 0.5, 0.5, 0, 1), grey)
    turned = colour_jitter(image, 0.5, 0.5, 0.5, 1).astype(float)
    assert np.abs(turned.mean(axis=2) - image.mean(axis=2)).max() <= 1
    a, b = (values - values.mean(axis=2, keepdims=True) for values in (image.astype(float), turned))
    cosine = (a * b).sum(axis=2) / np.sqrt((a**2).sum(axis=2) * (b**2).sum(axis=2))
    assert np.median(cosine) == pytest.approx(np.cos(np.radians(36)), abs=0.01)
    red = np.full((1, 1, 3), (200, 20, 20), dtype=np.uint8)
    assert colour_jitter(red, 0.5, 0.5, 0.5, 1)[0, 0].argsort().tolist() == [2, 1, 0]  # towards yellow


def test_without_zoom_every_draw_is_as_it_was_and_with_it_the_mirroring_is():
    sample = gradient_sample()
    plain, off, zoomed = TrainTransform(42, 5), TrainTransform(42, 5, zoom=1.0), TrainTransform(42, 5, zoom=2.0)
    for epoch in range(6):
        a, b, c = (transform(sample, 2, epoch) for transform in (plain, off, zoomed))
        assert np.array_equal(a["image"], b["image"]) and np.array_equal(a["depth"], b["depth"])
        assert np.sign(a["depth"][0, -1] - a["depth"][0, 0]) == np.sign(c["depth"][0, -1] - c["depth"][0, 0])
        assert not np.array_equal(a["image"], c["image"])


@pytest.mark.parametrize("zoom", [1.0, 2.5])
def test_canonical_labels_times_f_over_f_c_are_metres_again(zoom):
    sample = gradient_sample() | {"intrinsics": CAMERA}
    plain, canonical = TrainTransform(42, zoom=zoom), TrainTransform(42, zoom=zoom, canonical=True)
    for index in range(4):
        metres, labels = plain(sample, index), canonical(sample, index)
        assert metres["depth"].dtype == labels["depth"].dtype == np.float32
        assert labels["depth"] * labels["intrinsics"].focal / 42 == pytest.approx(metres["depth"], rel=1e-6)
        assert not np.allclose(labels["depth"], metres["depth"])

import numpy as np
import pytest
import torch

from depthkit.transforms import EvalTransform, TrainTransform, normalise, resized_shape


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

import dataclasses

import cv2
import numpy as np
import pytest
import torch

from depthkit.data.check import check
from depthkit.data.mixed import MixedDisparity
from depthkit.data.readers import DataError
from depthkit.data.transforms import TrainTransform
from depthkit.training.config import TrainConfig
from depthkit.training.losses import objective_loss
from depthkit.training.splits import open_splits


def write_pair(root, name, disparity, split="train"):
    for kind in ("rgb", "disparity"):
        (root / split / kind / name).parent.mkdir(parents=True, exist_ok=True)
    photo = np.repeat((disparity // 256).astype(np.uint8)[..., None], 3, axis=2)
    cv2.imwrite(str(root / split / "rgb" / f"{name}.png"), photo)
    cv2.imwrite(str(root / split / "disparity" / f"{name}.png"), disparity.astype(np.uint16))


@pytest.fixture
def root(tmp_path):
    for i in range(4):
        disparity = np.tile(np.linspace(2000 + 1000 * i, 60000 - 3000 * i, 80), (60, 1))
        disparity[:5, :7] = 0
        write_pair(tmp_path, f"scene/{i:05d}", disparity)
    return tmp_path


def test_a_sample_holds_disparity_and_no_depth(root):
    sample = MixedDisparity(root, "train")[1]
    assert set(sample) == {"image", "disparity", "mask", "name"}
    assert sample["name"] == "train/rgb/scene/00001.png"
    assert sample["image"].shape == (3, 60, 80) and sample["disparity"].dtype == torch.float32
    assert not sample["mask"][:5, :7].any() and sample["mask"].sum() == 60 * 80 - 35
    assert sample["disparity"][-1, -1] == pytest.approx(57000 / 65535)


def test_the_augmentation_moves_disparity_with_the_picture(root):
    """The picture is its own disparity, so that the two stay proportional wherever a draw puts them."""
    dataset = MixedDisparity(root, "train", TrainTransform(56, seed=1))
    mirrored = set()
    for epoch in range(6):
        sample = dataset[(epoch, 0)]
        row, shown = sample["disparity"][30], sample["image"].float().mean(0)[30]
        assert sample["disparity"].shape == sample["mask"].shape == (56, 56)
        assert torch.corrcoef(torch.stack([row, shown]))[0, 1] > 0.98
        mirrored.add(bool(row[0] > row[-1]))
    assert mirrored == {True, False}


def test_the_relative_loss_of_mixed_data_ignores_each_scale_and_shift(root):
    dataset = MixedDisparity(root, "train")
    batch = torch.utils.data.default_collate([dataset[i] for i in range(4)])
    config = TrainConfig(encoder="tiny", objective="relative")

    class Fixed(torch.nn.Module):
        def forward(self, pixel_values):
            ramp = torch.linspace(0, 1, 80).expand(4, 60, 80) ** 2
            return type("Output", (), {"predicted_depth": ramp})

    loss = objective_loss(config)(Fixed(), batch)
    factor = torch.tensor([0.3, 1.0, 2.0, 5.0]).view(4, 1, 1)
    changed = batch | {"disparity": torch.where(batch["mask"], batch["disparity"] * factor + 0.7, 99.0)}
    assert loss > 0.1
    assert objective_loss(config)(Fixed(), changed) == pytest.approx(loss.item(), rel=1e-4)


def test_unpaired_and_misshapen_files_are_named(root):
    write_pair(root, "scene/00009", np.full((60, 80), 100))
    (root / "train" / "rgb" / "scene" / "00009.png").unlink()
    with pytest.raises(DataError, match=r"1 file\(s\) without a photo of the same name: .*00009.png"):
        MixedDisparity(root, "train")
    cv2.imwrite(str(root / "train" / "rgb" / "scene" / "00009.png"), np.zeros((30, 30, 3), np.uint8))
    with pytest.raises(DataError, match=r"00009.png: 80 × 60 pixels can't show the same view as 00009.png, 30 × 30"):
        MixedDisparity(root, "train")[4]


def test_the_nearest_point_of_a_disparity_map_is_no_marker(root):
    write_pair(root, "scene/00000", np.full((60, 80), 65535))
    assert (MixedDisparity(root, "train")[0]["disparity"] == 1).all()


def test_an_8_bit_disparity_map_is_found_before_training(root):
    cv2.imwrite(str(root / "train" / "disparity" / "scene" / "00002.png"), np.zeros((60, 80), np.uint8))
    with pytest.raises(DataError, match=r"1 bad file\(s\):\n.*00002.png: 8-bit"):
        check(MixedDisparity(root, "train"))


def test_mixed_data_is_for_the_relative_objective_and_is_scored_in_metres(root, nyu_root):
    with pytest.raises(ValueError, match="needs objective relative"):
        TrainConfig(layout="mixed")
    (root / "val").symlink_to(nyu_root / "val")
    config = TrainConfig(data=str(root), layout="mixed", objective="relative", encoder="tiny", size=56)
    train_set, val_set = open_splits(config)
    assert "disparity" in train_set[0] and "depth" in val_set[0]
    with pytest.raises(DataError, match=r"disparity: no such folder; .* must hold rgb/ and, beside it, depth/"):
        (root / "train" / "disparity").rename(root / "elsewhere")
        open_splits(dataclasses.replace(config, train_split="train"))

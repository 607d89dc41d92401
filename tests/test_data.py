import shutil

import cv2
import h5py
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from depthkit.data import DataError, NYUDepthV2, RGBDFolder, check, valid_mask


def h5(path, rgb, depth, rgb_key="rgb"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file[rgb_key], file["depth"] = rgb, depth


RGB = np.arange(3 * 6 * 8, dtype=np.uint8).reshape(3, 6, 8)
DEPTH = np.linspace(1, 3, 48, dtype=np.float32).reshape(6, 8)


@pytest.fixture
def folder(tmp_path):
    """Three photos with 2 m everywhere but for one hole, as 16-bit PNG in millimetres, .npy and .h5 in metres."""
    for kind in ("rgb", "depth"):
        (tmp_path / "train" / kind / "day").mkdir(parents=True)
    picture = np.full((12, 16, 3), (10, 20, 30), np.uint8)  # BGR
    for name in ("a.png", "b.jpg", "day/c.jpeg"):
        cv2.imwrite(str(tmp_path / "train" / "rgb" / name), picture)
    metres = np.full((12, 16), 2.0, np.float32)
    metres[3, 4] = 0
    cv2.imwrite(str(tmp_path / "train" / "depth" / "a.png"), (metres * 1000).astype(np.uint16))
    return tmp_path


def finish(folder, units=1.0):
    """Give photos b and c their float depth, of twice and of half the photo's resolution."""
    np.save(folder / "train" / "depth" / "b.npy", np.full((24, 32), 2.0 * units, np.float64))
    with h5py.File(folder / "train" / "depth" / "day" / "c.h5", "w") as file:
        file["depth"] = np.full((6, 8), 2.0 * units, np.float32)


def test_nyu_sample_is_what_the_file_holds_without_its_holes(tmp_path):
    depth = DEPTH.copy()
    depth[0, :5] = [0, -1, np.nan, np.inf, 2.5]
    h5(tmp_path / "val" / "kitchen" / "1.h5", RGB, depth)
    sample = NYUDepthV2(tmp_path, "val")[0]
    assert sample["name"] == "val/kitchen/1.h5"
    assert sample["image"].dtype == torch.uint8 and np.array_equal(sample["image"], RGB)
    assert sample["mask"].dtype == torch.bool and sample["mask"][0, :5].tolist() == [False] * 4 + [True]
    assert sample["depth"].dtype == torch.float32 and sample["depth"][0, :5].tolist() == [0, 0, 0, 0, 2.5]
    assert np.array_equal(sample["depth"][1:], depth[1:])


def test_indices_are_those_of_a_list(nyu_root):
    dataset = NYUDepthV2(nyu_root, "val")
    assert dataset[-1]["name"] == dataset[len(dataset) - 1]["name"]
    with pytest.raises(IndexError, match="5 samples; there is no number 5"):
        dataset[5]
    assert len([sample for sample in dataset]) == 5  # iteration ends


def test_the_transform_gets_index_and_epoch(nyu_root):
    seen = []

    def transform(sample, index, epoch):
        seen.append((index, epoch))
        assert sample["image"].shape == (60, 80, 3)
        return sample | {"image": sample["image"][:, ::-1], "depth": sample["depth"][:, ::-1]}

    mirrored, plain = NYUDepthV2(nyu_root, "val", transform), NYUDepthV2(nyu_root, "val")
    assert torch.equal(mirrored[(7, 3)]["image"], plain[3]["image"].flip(-1))
    assert torch.equal(mirrored[-1]["depth"], plain[4]["depth"].flip(-1))
    assert seen == [(3, 7), (4, 0)]


def test_workers_read_the_same(nyu_root):
    dataset = NYUDepthV2(nyu_root, "train")
    here, there = (list(DataLoader(dataset, batch_size=4, num_workers=n)) for n in (0, 2))
    for a, b in zip(here, there, strict=True):
        assert a["name"] == b["name"] and torch.equal(a["depth"], b["depth"])


@pytest.mark.parametrize(
    "rgb, depth, key, message",
    [
        (RGB, DEPTH, "image", r"no key 'rgb', only \['depth', 'image'\]"),
        (RGB.transpose(1, 2, 0), DEPTH, "rgb", r"rgb is uint8 \(6, 8, 3\); it must be uint8 \(3, H, W\)"),
        (RGB.astype(np.float32), DEPTH, "rgb", "rgb is float32"),
        (RGB, DEPTH[None], "rgb", r"depth is float32 \(1, 6, 8\)"),
        (RGB, (DEPTH * 1000).astype(np.uint16), "rgb", "depth is uint16 .* in metres"),
        (RGB, DEPTH[:5], "rgb", r"rgb is \(6, 8\) but depth is \(5, 8\)"),
    ],
)
def test_h5_files_of_another_kind_are_named(rgb, depth, key, message, tmp_path):
    h5(tmp_path / "train" / "1.h5", rgb, depth, key)
    dataset = NYUDepthV2(tmp_path, "train")
    with pytest.raises(DataError, match=rf"1\.h5: {message}"):
        dataset[0]
    with pytest.raises(DataError, match=rf"1\.h5: {message}"):
        check(dataset)


def test_check_names_every_damaged_file_and_nothing_else(nyu_root, tmp_path):
    root = shutil.copytree(nyu_root, tmp_path / "nyu")
    files = sorted((root / "train").rglob("*.h5"))
    files[3].write_bytes(files[3].read_bytes()[:2000])
    files[9].write_bytes(b"not h5 at all")
    dataset = NYUDepthV2(root, "train")
    with pytest.raises(DataError, match="2 bad file") as raised:
        check(dataset)
    assert [f.name in str(raised.value) for f in files] == [i in (3, 9) for i in range(len(files))]
    assert "copy it again" in str(raised.value)
    with pytest.raises(DataError, match=files[3].name):
        dataset[3]
    check(NYUDepthV2(root, "val"))


def test_missing_and_empty_folders_say_what_is_there(nyu_root, tmp_path):
    with pytest.raises(DataError, match=r"test: no such split; .* holds train, val"):
        NYUDepthV2(nyu_root, "test")
    with pytest.raises(DataError, match="no such folder"):
        NYUDepthV2(tmp_path / "none", "train")
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match=r"no \.h5 files"):
        NYUDepthV2(tmp_path, "train")


def test_a_folder_of_all_formats_and_sizes_is_in_metres(folder):
    finish(folder, units=1000)
    dataset = RGBDFolder(folder, "train", depth_scale=1000)
    assert [sample["name"] for sample in dataset] == ["train/rgb/a.png", "train/rgb/b.jpg", "train/rgb/day/c.jpeg"]
    for sample, shape in zip(dataset, [(12, 16), (24, 32), (6, 8)], strict=True):
        assert sample["image"].shape == (3, 12, 16) and tuple(sample["depth"].shape) == shape
        assert sample["depth"].max() == 2 and sample["depth"][-1, -1] == 2
    red, green, blue = dataset[0]["image"][:, 0, 0].tolist()
    assert (red, green, blue) == (30, 20, 10)
    assert dataset[0]["mask"].sum() == 12 * 16 - 1
    check(dataset)


def test_training_and_evaluation_take_a_folder(folder):
    from depthkit.evaluate import ConstantDepth, evaluate
    from depthkit.transforms import TrainTransform

    finish(folder, units=1000)
    dataset = RGBDFolder(folder, "train", 1000, TrainTransform(28))
    assert all(sample["image"].shape[1:] == sample["depth"].shape == (28, 28) for sample in dataset)
    assert [record["abs_rel"] for record in evaluate(ConstantDepth(1.0), dataset)] == pytest.approx([0.5] * 3)


def test_masks_leave_pixels_out(folder):
    finish(folder, units=1000)
    (folder / "train" / "mask" / "day").mkdir(parents=True)
    for name, shape in (("a", (12, 16)), ("b", (24, 32)), ("day/c", (6, 8))):
        mask = np.zeros(shape, np.uint8)
        mask[: shape[0] // 2] = 255
        cv2.imwrite(str(folder / "train" / "mask" / f"{name}.png"), mask)
    dataset = RGBDFolder(folder, "train", 1000)
    assert [int(s["mask"].sum()) for s in dataset] == [6 * 16 - 1, 12 * 32, 3 * 8]
    assert dataset[1]["depth"][-1, -1] == 0
    cv2.imwrite(str(folder / "train" / "mask" / "b.png"), np.zeros((12, 16), np.uint8))
    with pytest.raises(DataError, match=r"b\.png: shape \(12, 16\), but its depth map has \(24, 32\)"):
        dataset[1]
    (folder / "train" / "mask" / "a.png").unlink()
    with pytest.raises(DataError, match=r"1 photo\(s\) have no mask, first .*a\.png"):
        RGBDFolder(folder, "train", 1000)


def test_integer_depth_needs_a_unit(folder):
    finish(folder)
    dataset = RGBDFolder(folder, "train")
    with pytest.raises(DataError, match=r"a\.png: integer depth \(uint16\) without a unit; pass depth_scale"):
        dataset[0]
    with pytest.raises(DataError, match=r"a\.png: integer depth"):
        check(dataset)
    assert dataset[1]["depth"].max() == 2  # floats are metres


def test_a_wrong_depth_scale_is_caught_before_training(folder):
    finish(folder, units=1000)
    with pytest.raises(DataError, match=r"typically 2000 m.*looks like millimetres: pass depth_scale=1000"):
        check(RGBDFolder(folder, "train", depth_scale=1))
    with pytest.raises(DataError, match=r"typically 0\.0002 m"):
        check(RGBDFolder(folder, "train", depth_scale=1e7))


def test_pairs_that_do_not_match_are_named(folder):
    with pytest.raises(DataError, match=r"2 file\(s\) without a depth of the same name: .*b\.jpg, .*c\.jpeg"):
        RGBDFolder(folder, "train", 1000)
    finish(folder)
    (folder / "train" / "rgb" / "a.png").unlink()
    with pytest.raises(DataError, match=r"1 file\(s\) without a photo of the same name: .*a\.png"):
        RGBDFolder(folder, "train", 1000)


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("rgb/notes.txt", b"x", r"notes\.txt: \.txt is not one of \.jpg, \.jpeg, \.png"),
        ("depth/b.png", b"x", r"b\.png and b\.npy|b\.npy and b\.png"),
    ],
)
def test_strange_files_are_named(name, content, message, folder):
    finish(folder)
    (folder / "train" / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        RGBDFolder(folder, "train", 1000)


def test_empty_and_missing_subfolders(tmp_path):
    with pytest.raises(DataError, match=r"rgb: no such folder; expected rgb/ and depth/"):
        RGBDFolder(tmp_path)
    (tmp_path / "rgb").mkdir()
    with pytest.raises(DataError, match="rgb: empty"):
        RGBDFolder(tmp_path)


def damage(path, data):
    path.write_bytes(data)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_truncated_photo_does_not_pass_as_a_grey_one(suffix, tmp_path):
    picture = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    for kind in ("rgb", "depth"):
        (tmp_path / kind).mkdir()
    photo = tmp_path / "rgb" / f"a.{suffix}"
    cv2.imwrite(str(photo), picture)
    np.save(tmp_path / "depth" / "a.npy", np.ones((60, 80), np.float32))
    photo.write_bytes(photo.read_bytes()[: photo.stat().st_size * 2 // 3])
    with pytest.raises(DataError, match=rf"a\.{suffix}: can't be read as a picture"):
        RGBDFolder(tmp_path)[0]


@pytest.mark.parametrize(
    "array, message",
    [
        (np.ones((12, 16, 3), np.float32), r"shape \(12, 16, 3\); a depth map is \(H, W\)"),
        (np.ones((12, 16), np.uint8), "8-bit; that is a picture of depth"),
        (np.ones((12, 16), bool), "values of type bool"),
        (np.ones((16, 12), np.float32), "12 × 16 pixels can't show the same view as b.jpg, 16 × 12"),
    ],
)
def test_depth_maps_of_another_kind_are_named(array, message, folder):
    finish(folder)
    np.save(folder / "train" / "depth" / "b.npy", array)
    with pytest.raises(DataError, match=rf"b\.npy: {message}"):
        RGBDFolder(folder, "train", 1000)[1]


def test_damaged_depth_files_are_named(folder):
    finish(folder)
    dataset = RGBDFolder(folder, "train", 1000)
    for index, name in enumerate(("a.png", "b.npy", "day/c.h5")):
        path = folder / "train" / "depth" / name
        path.write_bytes(path.read_bytes()[:40])
        with pytest.raises(DataError, match=path.name.replace(".", r"\.")):
            dataset[index]
    with pytest.raises(DataError, match="3 bad file"):
        check(dataset)


def test_a_pickle_in_npy_is_not_run(folder):
    finish(folder)
    np.save(folder / "train" / "depth" / "b.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"b\.npy: can't be read as \.npy"):
        RGBDFolder(folder, "train", 1000)[1]


def test_exr_reads_or_says_what_to_install(tmp_path):
    for kind in ("rgb", "depth"):
        (tmp_path / kind).mkdir()
    cv2.imwrite(str(tmp_path / "rgb" / "a.png"), np.zeros((6, 8, 3), np.uint8))
    path = tmp_path / "depth" / "a.exr"
    try:
        import OpenEXR
    except ImportError:
        path.write_bytes(b"")
        with pytest.raises(DataError, match="need the OpenEXR package: pip install OpenEXR"):
            RGBDFolder(tmp_path)[0]
        return
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, {"Z": DEPTH}).write(str(path))
    assert np.array_equal(RGBDFolder(tmp_path)[0]["depth"], DEPTH)


def test_valid_mask_is_closed_and_knows_no_nan():
    depth = torch.tensor([0.0, 1e-3, 10.0, 10.001, torch.nan, torch.inf, -1.0])
    assert valid_mask(depth, 1e-3, 10.0).tolist() == [False, True, True, False, False, False, False]

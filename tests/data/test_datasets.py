import json
import shutil

import cv2
import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, default_collate

from depthkit.camera import Intrinsics
from depthkit.data.check import check
from depthkit.data.datasets import NYUDepthV2, RGBDFolder
from depthkit.data.readers import DataError
from depthkit.masked import valid_mask


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


def finish(folder, units=None):
    """Give photos b and c their depth, of twice and of half the photo's resolution: float metres, or integers."""
    kind = np.float64 if units is None else np.uint16
    np.save(folder / "train" / "depth" / "b.npy", np.full((24, 32), 2 * (units or 1), kind))
    with h5py.File(folder / "train" / "depth" / "day" / "c.h5", "w") as file:
        file["depth"] = np.full((6, 8), 2 * (units or 1), kind)


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
    with pytest.raises(DataError, match=r"train: no \.h5, \.hdf5 in it or below; it holds no file"):
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
    from depthkit.data.transforms import TrainTransform
    from depthkit.scoring.baselines import ConstantDepth
    from depthkit.scoring.evaluate import evaluate

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
    with pytest.raises(DataError, match=r"b\.png: 16 × 12 pixels, but its depth map 32 × 24; scale the mask"):
        dataset[1]
    (folder / "train" / "mask" / "a.png").unlink()
    with pytest.raises(DataError, match=r"1 file\(s\) without a mask of the same name: .*rgb/a\.png"):
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
    with pytest.raises(DataError, match="typically 2000 m"):
        check(RGBDFolder(folder, "train", depth_scale=1))
    with pytest.raises(DataError, match=r"typically 0\.0002 m"):
        check(RGBDFolder(folder, "train", depth_scale=1e7))


def test_pairs_that_do_not_match_are_named(folder):
    with pytest.raises(DataError, match=r"2 file\(s\) without a depth of the same name: .*b\.jpg, .*c\.jpeg$"):
        RGBDFolder(folder, "train", 1000)
    finish(folder)
    (folder / "train" / "rgb" / "a.png").unlink()
    with pytest.raises(DataError, match=r"1 file\(s\) without a photo of the same name: .*a\.png"):
        RGBDFolder(folder, "train", 1000)


def test_two_files_of_one_name_are_named(folder):
    finish(folder)
    (folder / "train" / "depth" / "b.png").write_bytes(b"x")
    with pytest.raises(DataError, match=r"b\.png and b\.npy|b\.npy and b\.png"):
        RGBDFolder(folder, "train", 1000)


def test_empty_and_missing_subfolders(tmp_path):
    with pytest.raises(DataError, match=r"rgb: no such folder; .* must hold rgb/ and, beside it, depth/ or disparity/"):
        RGBDFolder(tmp_path)
    (tmp_path / "rgb").mkdir()
    with pytest.raises(DataError, match=r"rgb: no \.jpg, .* in it or below; it holds no file"):
        RGBDFolder(tmp_path)


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
        RGBDFolder(folder, "train")[1]


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


def pair(root, stem, width=16, height=12, depth_shape=None, **options):
    """A photo, and a depth map of 2 m; both at `root`/rgb and `root`/depth."""
    for kind in ("rgb", "depth"):
        (root / kind / stem).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), (90, 60, 30)).save(root / "rgb" / f"{stem}.jpg", **options)
    np.save(root / "depth" / f"{stem}.npy", np.full(depth_shape or (height, width), 2, np.float32))


def orientation(value):
    tags = Image.Exif()
    tags[0x0112] = value
    return {"exif": tags}


def fails(dataset, message):
    """Headers and pixels are refused alike."""
    for call in (dataset.inspect, dataset.read):
        with pytest.raises(DataError, match=message):
            call(0)


def test_a_turned_photo_fits_turned_depth_and_says_so_of_unturned(tmp_path):
    pair(tmp_path / "turned", "a", depth_shape=(16, 12), **orientation(6))
    assert RGBDFolder(tmp_path / "turned")[0]["image"].shape == (3, 16, 12)
    pair(tmp_path / "unturned", "a", **orientation(8))
    fails(RGBDFolder(tmp_path / "unturned"), r"a\.npy: 16 × 12 .* a\.jpg, 12 × 16: EXIF turns the photo, .*np\.rot90")
    pair(tmp_path / "neither", "a", depth_shape=(12, 12), **orientation(8))
    fails(RGBDFolder(tmp_path / "neither"), "crop one to the other's proportions")


def test_headers_show_the_wrong_size_of_a_mask(tmp_path):
    pair(tmp_path, "a")
    (tmp_path / "mask").mkdir()
    Image.new("L", (8, 6), 255).save(tmp_path / "mask" / "a.png")
    fails(RGBDFolder(tmp_path), r"mask/a\.png: 8 × 6 pixels, but its depth map 16 × 12; scale the mask")
    Image.new("L", (12, 16), 255).save(tmp_path / "mask" / "a.png", **orientation(6))
    RGBDFolder(tmp_path).inspect(0)


def test_one_walk_follows_links_and_names_what_it_leaves_out(tmp_path):
    root, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    pair(root, "here/a")
    pair(elsewhere, "b")
    for kind in ("rgb", "depth"):
        (root / kind / "linked").symlink_to(elsewhere / kind)
        (root / kind / "here" / "loop").symlink_to(root / kind)
        (root / kind / ".ipynb_checkpoints").mkdir()
        shutil.copy(next((root / kind / "here").glob("a.*")), root / kind / ".ipynb_checkpoints")
    (root / "rgb" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (root / "rgb" / "gone").symlink_to(tmp_path / "no folder")
    (root / "rgb" / "self.jpg").symlink_to(root / "rgb" / "self.jpg")
    for name in ("._a.jpg", ".DS_Store", "notes.txt", "here/a.json"):
        (root / "rgb" / name).write_text("{}")
    (root / "depth" / "c.mat").write_text("x")
    dataset = RGBDFolder(root)
    assert [sample["name"] for sample in dataset] == ["rgb/here/a.jpg", "rgb/linked/b.jpg"]
    assert sorted(line.replace(f"{root}/", "").split(" is not")[0] for line in dataset.left_out) == [
        "depth/c.mat: .mat",
        "depth/here/loop: a link back to a folder that holds it",
        "rgb/gone.jpg: a broken link",
        "rgb/gone: a broken link",
        "rgb/here/loop: a link back to a folder that holds it",
        "rgb/notes.txt: .txt",
        "rgb/self.jpg: a broken link",
    ]


def test_the_h5_layout_walks_alike(tmp_path):
    for name in ("train/a.H5", "train/b.hdf5", "train/.ipynb_checkpoints/a.h5", "elsewhere/c.h5"):
        h5(tmp_path / name, RGB, DEPTH)
    (tmp_path / "train" / "scene").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "train" / "index.csv").write_text("x")
    dataset = NYUDepthV2(tmp_path, "train")
    assert [sample["name"] for sample in dataset] == ["train/a.H5", "train/b.hdf5", "train/scene/c.h5"]
    assert dataset.left_out == [f"{tmp_path}/train/index.csv: .csv is not one of .h5, .hdf5"]


@pytest.mark.parametrize(
    "name, message",
    [
        (
            "depth/a.mat",
            r'1 \.mat file\(s\); convert them: np\.save\("NAME\.npy", scipy\.io\.loadmat\(FILE\)\["depth"\]\)',
        ),
        ("depth/a.jpg", r"1 \.jpg file\(s\); convert them: 8 bits hold no depth"),
        ("depth/a.bin", r"1 \.bin file\(s\); convert them: .*np\.fromfile"),
        ("rgb/a.HEIC", r"1 \.heic file\(s\); convert them: magick FILE -auto-orient FILE\.png"),
        ("rgb/a", r"it holds 1 no suffix file\(s\)$"),
    ],
)
def test_a_folder_without_a_usable_file_says_what_it_holds(tmp_path, name, message):
    pair(tmp_path, "a")
    (tmp_path / name).parent.joinpath("a.npy" if name.startswith("depth") else "a.jpg").unlink()
    (tmp_path / name).write_text("x")
    with pytest.raises(DataError, match=message):
        RGBDFolder(tmp_path)


def test_a_pair_that_lost_a_file_to_its_kind_says_so(tmp_path):
    pair(tmp_path, "a")
    pair(tmp_path, "b")
    (tmp_path / "depth" / "b.npy").rename(tmp_path / "depth" / "b.dat")
    with pytest.raises(
        DataError, match=r"without a depth of .*b\.jpg; 1 file\(s\) can't be used, first .*b\.dat: \.dat is not"
    ):
        RGBDFolder(tmp_path)


CAMERA = {"fx": 20, "fy": 21, "cx": 7.5, "cy": 5.5}


def test_intrinsics_come_from_the_nearest_file_in_pixels_of_the_photo(tmp_path):
    root = tmp_path / "train"
    pair(root, "a")
    dataset = RGBDFolder(tmp_path, "train")
    assert dataset.intrinsics(0) is None
    for path, content, expected in (
        (tmp_path / "camera.json", CAMERA, Intrinsics(**CAMERA)),
        (root / "camera.json", CAMERA | {"width": 32, "height": 24}, Intrinsics(10, 10.5, 3.5, 2.5)),
        (root / "rgb" / "a.json", {"hfov_deg": 90}, Intrinsics.from_fov(90, 16, 12)),
        (root / "rgb" / "a.json", {"hfov_deg": 90, "width": 640, "height": 480}, Intrinsics.from_fov(90, 16, 12)),
    ):
        path.write_text(json.dumps(content))
        assert tuple(RGBDFolder(tmp_path, "train").intrinsics(0)) == pytest.approx(tuple(expected))


def test_intrinsics_of_a_turned_photo_are_those_of_the_photo_as_opened(tmp_path):
    pair(tmp_path, "a", depth_shape=(16, 12), **orientation(6))
    (tmp_path / "camera.json").write_text(json.dumps({"hfov_deg": 60}))
    assert RGBDFolder(tmp_path).intrinsics(0) == Intrinsics.from_fov(60, 12, 16)
    (tmp_path / "camera.json").write_text(json.dumps(CAMERA | {"width": 16, "height": 12}))
    with pytest.raises(DataError, match=r"camera\.json: measured at 16 × 12, but the photo has 12 × 16"):
        RGBDFolder(tmp_path).intrinsics(0)


@pytest.mark.parametrize(
    "content",
    [
        '{"fx": 20}',
        "[1, 2, 3, 4]",
        '{"hfov_deg": 0}',
        '{"hfov_deg": 60, "width": Infinity}',
        '{"hfov_deg": 200}',
        '{"fx": "a", "fy": 1, "cx": 1, "cy": 1}',
    ]
    + ['{"fx": NaN, "fy": 1, "cx": 1, "cy": 1}', '{"fx": -5, "fy": 5, "cx": 1, "cy": 1}', "null", '{"hfov_deg": null}'],
)
def test_what_is_no_camera_is_refused(tmp_path, content):
    pair(tmp_path, "a")
    (tmp_path / "camera.json").write_text(content)
    with pytest.raises(DataError, match=r"camera\.json: .* is no camera; give numbers for"):
        RGBDFolder(tmp_path).intrinsics(0)


def test_a_damaged_camera_is_named(tmp_path):
    pair(tmp_path, "a")
    (tmp_path / "camera.json").write_text('{"fx": 2')
    with pytest.raises(DataError, match=r"camera\.json: can't be read as JSON"):
        RGBDFolder(tmp_path).intrinsics(0)


def test_nyu_intrinsics_are_an_attribute_or_a_file(tmp_path):
    h5(tmp_path / "val" / "1.h5", RGB, DEPTH)
    dataset = NYUDepthV2(tmp_path, "val")
    assert dataset.intrinsics(0) is None
    (tmp_path / "camera.json").write_text(json.dumps({"hfov_deg": 70}))
    assert dataset.intrinsics(0) == Intrinsics.from_fov(70, 8, 6)
    for values, message in (([1, 2, 3, 4], None), (np.eye(3), r"intrinsics of shape \(3, 3\)")):
        with h5py.File(tmp_path / "val" / "1.h5", "a") as file:
            file.attrs["intrinsics"] = values
        if message is None:
            assert dataset.intrinsics(0) == Intrinsics(1, 2, 3, 4)
        else:
            with pytest.raises(DataError, match=message):
                dataset.intrinsics(0)


def test_samples_hold_their_camera_when_asked_and_name_the_file_without_one(tmp_path):
    for name in ("a", "b"):
        h5(tmp_path / "train" / f"{name}.h5", RGB, DEPTH)
    dataset = NYUDepthV2(tmp_path, "train")
    assert "intrinsics" not in dataset[0]  # nobody asked: nothing is missed
    dataset.with_intrinsics = True
    with pytest.raises(DataError, match=r"a\.h5: its camera is unknown.*camera\.json.*--hfov"):
        dataset[0]
    (tmp_path / "camera.json").write_text('{"hfov_deg": 90}')
    batch = default_collate([dataset[0], dataset[1]])
    assert batch["intrinsics"].tolist() == [[4, 4, 3.5, 2.5]] * 2 and batch["intrinsics"].dtype == torch.float32


def test_a_broken_link_to_a_split_is_told(tmp_path):
    (tmp_path / "train").symlink_to(tmp_path / "gone")
    with pytest.raises(DataError, match=r"train: a broken link to .*gone; mend it"):
        RGBDFolder(tmp_path, "train")

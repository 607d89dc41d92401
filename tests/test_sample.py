import json
import threading

import cv2
import numpy as np
import pytest

from depthkit.data import DataError, NYUDepthV2
from depthkit.sample import motorcycle, teaching, unpack_motorcycle, unpack_sample


@pytest.fixture
def source(tmp_path):
    """A bundle of two rooms, in the form of data/sample."""
    folder = tmp_path / "bundle"
    entries = []
    for split, scene in (("train", "room_0000"), ("val", "room_0100")):
        name = f"rooms/{split}/{scene}/00000"
        (folder / name).parent.mkdir(parents=True)
        cv2.imwrite(str(folder / f"{name}.jpg"), np.full((6, 8, 3), (0, 0, 200), np.uint8))  # BGR: red
        cv2.imwrite(str(folder / f"{name}.png"), np.array([[0, 1234] * 4] * 6, np.uint16))
        entry = {"name": name, "image": f"{name}.jpg", "depth": f"{name}.png", "depth_scale": 1000}
        entries.append(entry | {"width": 8, "height": 6, "fx": 7.0, "fy": 7.0, "cx": 3.5, "cy": 2.5})
    (folder / "frames.json").write_text(json.dumps(entries))
    return folder


def test_the_sample_becomes_an_nyu_tree_in_metres(source, tmp_path):
    root = unpack_sample("rooms", tmp_path / "out", source)
    dataset = NYUDepthV2(root, "val")
    assert len(dataset) == len(NYUDepthV2(root, "train")) == 1
    sample = dataset[0]
    assert sample["name"] == "val/room_0100/00000.h5"
    red, green, blue = sample["image"].float().mean((1, 2))
    assert red > 190 and green < 10 and blue < 10
    assert sample["depth"][0, :2].tolist() == [0, pytest.approx(1.234)]
    assert sample["mask"][0, :2].tolist() == [False, True]
    assert dataset.intrinsics(0) == (7, 7, 3.5, 2.5)


def test_it_is_laid_out_once_and_again_when_it_changed(source, tmp_path):
    root = unpack_sample("rooms", tmp_path / "out", source)
    stamp = {path: path.stat().st_mtime_ns for path in root.rglob("*.h5")}
    assert unpack_sample("rooms", tmp_path / "out", source) == root
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*.h5")} == stamp
    depth = source / "rooms/val/room_0100/00000.png"
    cv2.imwrite(str(depth), np.random.default_rng(0).integers(500, 9000, (6, 8)).astype(np.uint16))
    assert unpack_sample("rooms", tmp_path / "out", source) != root


def test_several_at_once_and_a_failed_one_leave_whole_trees_only(source, tmp_path):
    roots = []
    threads = [
        threading.Thread(target=lambda: roots.append(unpack_sample("rooms", tmp_path / "out", source)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(roots)) == 1 and len(roots) == 4
    assert [path.name for path in (tmp_path / "out").iterdir()] == [roots[0].name]

    photo = source / "rooms/train/room_0000/00000.jpg"
    photo.write_bytes(photo.read_bytes()[:300])
    with pytest.raises(DataError, match=r"00000\.jpg: can't be read"):
        unpack_sample("rooms", tmp_path / "other", source)
    assert list((tmp_path / "other").iterdir()) == []


def test_without_the_repository_it_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match="no bundled sample here"):
        unpack_sample("rooms", tmp_path, tmp_path / "nowhere")
    with pytest.raises(ValueError, match="choose one of rooms, halls"):
        unpack_sample("kitchens", tmp_path)


def test_the_bundled_rooms_are_what_the_readme_says(tmp_path):
    root = unpack_sample("rooms", tmp_path)
    train, val = NYUDepthV2(root, "train"), NYUDepthV2(root, "val")
    assert (len(train), len(val)) == (96, 24)
    assert not {p.parent.name for p in train.files} & {p.parent.name for p in val.files}
    for dataset, whole in ((train, False), (val, True)):
        for i in range(0, len(dataset), 6):
            sample = dataset[i]
            depth = sample["depth"][sample["mask"]]
            assert sample["image"].shape == (3, 480, 640)
            assert depth.min() > 0.49 and depth.max() < 10
            assert depth.std() > 0.1, f"{sample['name']} shows a flat wall"
            holes = 1 - sample["mask"].float().mean().item()
            assert holes == 0 if whole else 0.005 < holes < 0.5, f"{sample['name']}: {holes:.0%} holes"
            fx, fy, cx, cy = dataset.intrinsics(i)
            assert fx == fy == pytest.approx(320 / np.tan(np.radians(57 / 2))) and (cx, cy) == (319.5, 239.5)


def test_the_bundled_halls_are_larger_and_wider(tmp_path):
    halls = NYUDepthV2(unpack_sample("halls", tmp_path), "val")
    assert len(halls) == 16
    depths = [halls[i]["depth"] for i in range(len(halls))]
    assert max(depth.max().item() for depth in depths) > 10
    for i in range(len(halls)):
        fov = 2 * np.degrees(np.arctan(320 / halls.intrinsics(i)[0]))
        assert 69.9 < fov < 90.1


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
    assert len(dataset) == 1 and dataset.intrinsics(0) == (994.978, 994.978, 311.193, 254.877)
    np.testing.assert_array_equal(dataset[0]["depth"].numpy(), depth)
    np.testing.assert_array_equal(dataset[0]["image"].numpy().transpose(1, 2, 0), left)

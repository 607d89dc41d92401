import json
import threading

import cv2
import numpy as np
import pytest

from depthkit.camera import Intrinsics
from depthkit.course.sample import unpack_sample
from depthkit.data.datasets import NYUDepthV2
from depthkit.data.readers import DataError


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
    assert dataset.intrinsics(0) == Intrinsics(7, 7, 3.5, 2.5)


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
    splits = [NYUDepthV2(root, split) for split in ("train", "val", "further")]
    assert [len(split) for split in splits] == [456, 24, 76]
    scenes = [{path.parent.name for path in split.files} for split in splits]
    assert len(set.union(*scenes)) == sum(map(len, scenes)) == 540
    for dataset, whole in zip(splits, (False, True, True), strict=True):
        for i in range(0, len(dataset), 6):
            sample = dataset[i]
            depth = sample["depth"][sample["mask"]]
            width = 320 if "room_1" in sample["name"] else 640  # the further rooms are small
            assert sample["image"].shape == (3, 3 * width // 4, width)
            assert depth.min() > 0.49 and depth.max() < 10
            assert depth.std() > 0.1, f"{sample['name']} shows a flat wall"
            holes = 1 - sample["mask"].float().mean().item()
            assert holes == 0 if whole else 0.005 < holes < 0.5, f"{sample['name']}: {holes:.0%} holes"
            camera = dataset.intrinsics(i)
            assert camera.fx == camera.fy == pytest.approx(width / 2 / np.tan(np.radians(57 / 2)))
            assert (camera.cx, camera.cy) == ((width - 1) / 2, (3 * width / 4 - 1) / 2)


def test_the_bundled_halls_are_larger_and_wider(tmp_path):
    halls = NYUDepthV2(unpack_sample("halls", tmp_path), "val")
    assert len(halls) == 16
    depths = [halls[i]["depth"] for i in range(len(halls))]
    assert max(depth.max().item() for depth in depths) > 10
    for i in range(len(halls)):
        fov = 2 * np.degrees(np.arctan(320 / halls.intrinsics(i).fx))
        assert 69.9 < fov < 90.1

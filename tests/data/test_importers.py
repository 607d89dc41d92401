"""Small folders as sensors and public data sets leave them, brought in and read back."""

import json
import os
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
import scipy.io

from depthkit.data.datasets import RGBDFolder
from depthkit.data.import_cameras import read_camera
from depthkit.data.import_sources import nearest_in_time
from depthkit.data.importers import import_data
from depthkit.errors import InputError


def write(path, pixels):
    """A picture or an array by the suffix of its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, pixels) if path.suffix == ".npy" else cv2.imwrite(str(path), pixels)


def pairs(root, photos, depths, values=None, shape=(6, 8)):
    """Grey photos and 16-bit depth maps; the i-th of each holds i + 1, or its own value."""
    for i, (photo, depth) in enumerate(zip(photos, depths, strict=True), 1):
        write(root / photo, np.full((*shape, 3), i, np.uint8))
        write(root / depth, np.full(shape, values[i - 1] if values else 1000 * (i % 9), np.uint16))
    return root


def names(data, split):
    folder = data / split / "rgb"
    return sorted(
        p.relative_to(folder).with_suffix("").as_posix() for p in folder.rglob("*") if p.suffix in (".png", ".jpg")
    )


def read(data, split, depth_scale=None):
    """{name of the photo: its grey value and the mean depth}"""
    folder = RGBDFolder(data, split, depth_scale)
    return {
        f["name"]: (int(f["image"].max()), round(float(f["depth"].mean()), 4))
        for f in map(folder.__getitem__, range(len(folder)))
    }


def test_pairs_by_pattern(tmp_path):
    stems = [f"day/f-{i}" for i in range(1, 6)]
    source = pairs(tmp_path / "in", [f"{s}.png" for s in stems], [f"{s}.depth.png" for s in stems])
    write(source / "day/alone.png", np.zeros((6, 8, 3), np.uint8))
    (source / "notes.txt").touch()
    (source / ".hidden.png").touch()
    # the photos' pattern fits the depth maps too, and the new folder lies within the source
    done = import_data(source, source / "out", "*.png", "*.depth.png", depth_scale=1000)
    assert read(source / "out", "train", 1000) == {f"train/rgb/day/f-{i}.png": (i, i) for i in (1, 2, 3)}
    assert read(source / "out", "val", 1000) == {"val/rgb/day/f-5.png": (5, 5)}
    assert (source / "out/val/rgb/day/f-5.png").samefile(source / "day/f-5.png")
    text = str(done)
    assert "3 pair(s) in train, 1 pair(s) in val" in text and "left out between them day/f-4" in text
    assert "1 file(s) without a partner: day/alone.png" in text and "notes.txt" in text and "hidden" not in text
    assert text.endswith(f"next: depthkit check {source / 'out'}")
    again = import_data(source, source / "out", "*.png", "*.depth.png", depth_scale=1000)
    assert "files: 9 there already" in str(again) and str(again).splitlines()[-3:] == text.splitlines()[-3:]


def test_patterns_with_folders_and_linked_folders(tmp_path):
    pairs(tmp_path / "real", [f"rgb/{i}.png" for i in "123"], [f"depth/{i}.png" for i in "123"])
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "room").symlink_to(tmp_path / "real")
    import_data(tmp_path / "in", tmp_path / "out", "rgb/*.png", "depth/*.png", depth_scale=1000)
    assert names(tmp_path / "out", "train") == ["room/1"] and names(tmp_path / "out", "val") == ["room/3"]


def test_one_sequence_is_cut_in_its_order_with_a_gap(tmp_path):
    numbers = range(1, 101)
    source = pairs(tmp_path / "in", [f"c_{i}.png" for i in numbers], [f"d_{i}.png" for i in numbers], shape=(2, 2))
    import_data(source, tmp_path / "out", "c_*.png", "d_*.png", depth_scale=1000)
    assert sorted(map(int, names(tmp_path / "out", "train"))) == list(range(1, 79))
    assert sorted(map(int, names(tmp_path / "out", "val"))) == list(range(81, 101))
    import_data(source, tmp_path / "all", "c_*.png", "d_*.png", depth_scale=1000, val=0)
    assert len(names(tmp_path / "all", "train")) == 100 and not (tmp_path / "all/val").exists()


def test_several_scenes_stay_whole_and_folders_of_one_frame_are_no_scenes(tmp_path):
    stems = [f"set/{scene}/{i}" for scene in "abcde" for i in range(4)]
    source = pairs(tmp_path / "in", [f"{s}.c.png" for s in stems], [f"{s}.d.png" for s in stems], shape=(2, 2))
    done = import_data(source, tmp_path / "out", "*.c.png", "*.d.png", depth_scale=1000, val=0.4)
    scenes = {part: {name.split("/")[1] for name in names(tmp_path / "out", part)} for part in ("train", "val")}
    assert len(scenes["train"]) == 3 and len(scenes["val"]) == 2 and not scenes["train"] & scenes["val"]
    assert f"val {', '.join(sorted(scenes['val']))}" in str(done)
    frames = [f"{i}/a" for i in range(9)]
    source = pairs(tmp_path / "f", [f"{s}.c.png" for s in frames], [f"{s}.d.png" for s in frames], shape=(2, 2))
    import_data(source, tmp_path / "blocks", "*.c.png", "*.d.png", depth_scale=1000)
    assert names(tmp_path / "blocks", "val") == ["7/a", "8/a"] and "6/a" not in names(tmp_path / "blocks", "train")


@pytest.mark.parametrize("sizes", [{"a": 6, "b": 2}, {"a": 2, "b": 6}])
def test_the_largest_scene_stays_in_training(tmp_path, sizes):
    stems = [f"{scene}/{i}" for scene, size in sizes.items() for i in range(size)]
    source = pairs(tmp_path / "in", [f"{s}.c.png" for s in stems], [f"{s}.d.png" for s in stems], shape=(2, 2))
    done = import_data(source, tmp_path / "out", "*.c.png", "*.d.png", depth_scale=1000, val=0.9)
    assert done.pairs == {"train": 6, "val": 2}


def test_nearest_in_time():
    photos = [["0.000", "a"], ["0.030", "b"], ["0.060", "c"], ["0.085", "d"], ["0.140", "e"]]
    depths = [["0.075", "Z"], ["0.012", "X"], ["0.041", "Y"], ["0.1601", "W"]]
    # Z is nearer to d (10 ms) than to c (15 ms), for which nothing is left; W is 20.1 ms from e
    assert nearest_in_time(photos, depths) == [("a", "X"), ("b", "Y"), ("d", "Z")]


@pytest.mark.parametrize("associated", [False, True])
def test_tum(tmp_path, associated):
    stamps = [f"{i / 30:.6f}" for i in range(5)]
    source = pairs(tmp_path / "in", [f"rgb/{s}.png" for s in stamps], [f"depth/{s}.png" for s in stamps], [5000] * 5)
    if associated:  # depth first, as ICL-NUIM has it
        rows = [f"{s} depth/{s}.png {s} rgb/{s}.png" for s in stamps]
        (source / "associations.txt").write_text("\n".join([*rows, "9 depth/9.png 9 rgb/9.png"]))
    else:
        for kind in ("rgb", "depth"):
            rows = [f"{s} {kind}/{s}.png" for s in stamps] + [f"{9 if kind == 'rgb' else 8} {kind}/9.png"]
            (source / f"{kind}.txt").write_text("# timestamp filename\n" + "\n".join(rows))
    done = import_data(source, tmp_path / "out")
    assert read(tmp_path / "out", "val", done.depth_scale) == {f"val/rgb/{stamps[4]}.png": (5, 1.0)}
    assert done.pairs == {"train": 3, "val": 1} and "depth/9.png, rgb/9.png" in str(done)


def tum(root, rows, kind="associations"):
    """A TUM sequence whose photos are named in `rows`; the i-th photo and depth map hold i + 1."""
    used = sorted({word for row in rows for word in row.split() if word.startswith("rgb")})
    pairs(root, used, [name.replace("rgb", "depth") for name in used])
    (root / f"{kind}.txt").write_text("\n".join(rows))
    return root


def test_tum_lists_are_read_in_the_order_of_time_and_each_row_once(tmp_path):
    stamps = [5, 1, 4, 2, 3, 0, 5]
    source = tum(tmp_path / "in", [f"{s}.5 rgb/{s}.png {s}.5 depth/{s}.png" for s in stamps])
    import_data(source, tmp_path / "out")
    assert names(tmp_path / "out", "train") == ["0", "1", "2", "3"] and names(tmp_path / "out", "val") == ["5"]
    for kind in ("rgb", "depth"):  # as a Windows editor and a spreadsheet leave them
        rows = [f"{s}.5e+00 {kind}/{s}.png" for s in stamps]
        (source / f"{kind}.txt").write_text("\ufeff# seconds name\n" + "\n".join([*rows, " # end"]), encoding="utf-8")
    (source / "associations.txt").unlink()
    import_data(source, tmp_path / "timed")
    assert names(tmp_path / "timed", "train") == ["0", "1", "2", "3"] and names(tmp_path / "timed", "val") == ["5"]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([f"{i} rgb{i % 2}/{i // 2}.png {i} depth{i % 2}/{i // 2}.png" for i in range(6)], "two pairs of one name, 0;"),
        ([f"{i} rgb/{i // 2}.png {i} depth/{min(1, i)}.png" for i in range(6)], "two pairs of one name, 0;"),
        (["1.2.3 rgb/a.png 1 depth/a.png"], "'1.2.3 rgb/a.png 1 depth/a.png' must be 4 fields"),
        ([". rgb/a.png 1 depth/a.png"], "must be 4 fields"),
    ],
)
def test_tum_lists_that_can_not_be_meant_are_refused(tmp_path, rows, words):
    with pytest.raises(InputError, match=words):
        import_data(tum(tmp_path / "in", rows), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture
def labelled(tmp_path):
    """Four images in the layout of nyu_depth_v2_labeled.mat, image i with the values i and i + 0.5 metres."""
    with h5py.File(tmp_path / "nyu.mat", "w") as file:
        images = np.arange(4 * 3 * 8 * 6, dtype=np.uint8).reshape(4, 3, 8, 6)
        file["images"], file["rawDepths"] = images, np.ones((4, 8, 6), np.float32) * np.arange(4)[:, None, None]
        file["depths"] = file["rawDepths"][()] + np.float32(0.5)
        scenes = ["kitchen_1", "kitchen_1", "bath_2", "bath_3"]
        for i, scene in enumerate(scenes):
            file[f"#refs#/{i}"] = np.array([[ord(letter)] for letter in scene], dtype=np.uint16)
        file["scenes"] = np.array([[file[f"#refs#/{i}"].ref for i in range(4)]], dtype=h5py.ref_dtype)
    return tmp_path, images


def test_labelled_nyu_with_the_official_split(labelled):
    folder, images = labelled
    splits = {"trainNdxs": np.array([[2], [3]], np.uint16), "testNdxs": np.array([[1], [4]], np.uint16)}
    scipy.io.savemat(folder / "splits.mat", splits)
    done = import_data(folder, folder / "raw")
    assert names(folder / "raw", "train") == ["bath_2/0003", "kitchen_1/0002"]
    assert names(folder / "raw", "val") == ["bath_3/0004", "kitchen_1/0001"] and "own" in str(done)
    depth = np.load(folder / "raw/train/depth/bath_2/0003.npy")
    assert depth.shape == (6, 8) and depth.dtype == np.float32 and (depth == 2).all()
    photo = cv2.imread(str(folder / "raw/train/rgb/bath_2/0003.png"))[..., ::-1]
    assert photo[5, 7].tolist() == images[2, :, 7, 5].tolist()
    camera = json.loads((folder / "raw/camera.json").read_text())
    assert camera["width"] == 8 and camera["fx"] == pytest.approx(518.857901 * 8 / 640)
    import_data(folder / "nyu.mat", folder / "filled", depth="filled")
    assert (np.load(folder / "filled/train/depth/bath_2/0003.npy") == 2.5).all()


def test_labelled_nyu_without_the_split_goes_by_scene(labelled):
    folder, _ = labelled
    done = import_data(folder / "nyu.mat", folder / "out", val=0.25)
    assert names(folder / "out", "train")[-2:] == ["kitchen_1/0001", "kitchen_1/0002"] and "splits.mat" in str(done)


def test_an_official_split_that_names_some_images_leaves_the_others_out(labelled):
    folder, _ = labelled
    scipy.io.savemat(folder / "splits.mat", {"trainNdxs": np.array([[2]]), "testNdxs": np.array([[1]])})
    done = import_data(folder, folder / "out")
    assert done.pairs == {"train": 1, "val": 1} and "leaves out bath_2/0003, bath_3/0004" in str(done)
    scipy.io.savemat(folder / "splits.mat", {"testNdxs": np.array([[1]])})
    with pytest.raises(InputError, match=r"splits\.mat: no trainNdxs in it"):
        import_data(folder, folder / "other")
    (folder / "splits.mat").write_bytes(b"MATLAB 5.0 MAT-file, cut off")
    with pytest.raises(InputError, match=r"splits\.mat: can't be read as MATLAB's"):
        import_data(folder, folder / "other")


def test_kitti_keeps_its_own_split(tmp_path):
    for split, drive in (("train", "drive_0"), ("train", "drive_1"), ("val", "drive_2"), ("train", "drive_3")):
        photos = [f"raw/{drive}/image_02/data/{i}.png" for i in range(2)]
        depths = [f"{split}/{drive}/proj_depth/groundtruth/image_02/{i}.png" for i in range(2)]
        pairs(tmp_path / "in", photos, depths, [256 * 7] * 2)
    done = import_data(tmp_path / "in", tmp_path / "out")
    assert names(tmp_path / "out", "val") == ["drive_2/0", "drive_2/1"] and "the data set's own" in str(done)


@pytest.mark.parametrize(
    ("rgb", "depth"),
    [("**/*_rgb.png", "**/*_depth.png"), ("./*_rgb.png", "./*_depth.png")],
)
def test_patterns_as_shells_know_them(tmp_path, rgb, depth):
    stems = [f"s{scene}/{i}" for scene in range(3) for i in range(2)]
    source = pairs(tmp_path / "in", [f"{s}_rgb.png" for s in stems], [f"{s}_depth.png" for s in stems])
    import_data(source, tmp_path / "out", rgb, depth, depth_scale=1000)
    assert sorted(names(tmp_path / "out", "train") + names(tmp_path / "out", "val")) == stems


def test_kitti(tmp_path):
    drives = {f"2011_09_{day}/2011_09_{day}_drive_1_sync": day for day in (26, 28)}
    for drive, day in drives.items():
        annotated = f"train/{Path(drive).name}/proj_depth/groundtruth"
        photos = [f"{drive}/image_02/data/{i}.png" for i in range(3)]
        pairs(tmp_path / "in", photos, [f"{annotated}/image_02/{i}.png" for i in range(3)], [256 * 7] * 3)
        write(tmp_path / "in" / annotated / "image_03/0.png", np.ones((6, 8), np.uint16))
        rows = [f"P_rect_02: {day} 0 4 9 0 {day} 3 9 0 0 1 9", "S_rect_02: 8.000000e+00 6.0e+00", "R_02: 1"]
        (tmp_path / "in" / drive).parent.joinpath("calib_cam_to_cam.txt").write_text("\n".join(rows))
    done = import_data(tmp_path / "in", tmp_path / "out")
    held, kept = names(tmp_path / "out", "val"), names(tmp_path / "out", "train")
    assert len(held) == len(kept) == 3 and {n.split("/")[0] for n in held}.isdisjoint(n.split("/")[0] for n in kept)
    camera = json.loads((tmp_path / f"out/val/rgb/{held[0]}.json").read_text())
    assert camera == {"fx": int(held[0][8:10]), "fy": int(held[0][8:10]), "cx": 4, "cy": 3, "width": 8, "height": 6}
    assert done.depth_scale == 256 and cv2.imread(str(tmp_path / f"out/val/depth/{held[0]}.png"), -1)[0, 0] == 256 * 7
    assert "image_03" in str(done) and not (tmp_path / "out/camera.json").exists()


def test_disparity_becomes_metres_and_odd_photos_png(tmp_path):
    source = pairs(tmp_path / "in", [f"{i}.ppm" for i in range(3)], [f"{i}.png" for i in range(3)], [25 * 256, 1, 0])
    done = import_data(source, tmp_path / "out", "*.ppm", "*.png", depth_scale=256, baseline=0.5, focal=100)
    assert (cv2.imread(str(tmp_path / "out/val/rgb/2.png")) == 3).all()
    assert (np.load(tmp_path / "out/train/depth/0.npy") == 2).all() and done.depth_scale is None  # 0.5 · 100 / 25
    assert (np.load(tmp_path / "out/val/depth/2.npy") == 0).all()


def test_ray_distance_becomes_planar(tmp_path):
    for i in range(3):
        write(tmp_path / "in" / f"{i}.png", np.zeros((10, 14, 3), np.uint8))
        write(tmp_path / "in" / f"{i}.npy", np.full((5, 7), 2, np.float32))
    import_data(tmp_path / "in", tmp_path / "out", "*.png", "*.npy", ray_distance=True, hfov=90)
    depth = np.load(tmp_path / "out/val/depth/2.npy")  # half of the photo's size: focal length 3.5, centre (3, 2)
    assert depth[2, 3] == 2 and depth[0, 0] == pytest.approx(2 / np.sqrt(1 + (3 / 3.5) ** 2 + (2 / 3.5) ** 2))
    camera = json.loads((tmp_path / "out/camera.json").read_text())
    assert camera == {"fx": pytest.approx(7), "fy": pytest.approx(7), "cx": 6.5, "cy": 4.5, "width": 14, "height": 10}


@pytest.mark.parametrize(
    ("name", "text", "size"),
    [
        ("camera-intrinsics.txt", "10 0 4\n0 11 3\n0 0 1\n", None),
        ("camera_intrinsics.yaml", "name: 'D'\nxres: 16 # wide\nyres: 12\nfx: 10\nfy: 11\ncx: 4\ncy: 3\n", (16, 12)),
        ("camera.json", '{"fx": 10, "fy": 11, "cx": 4, "cy": 3, "width": 16, "height": 12}', (16, 12)),
        ("calib_cam_to_cam.txt", "P_rect_02: 10 0 4 9 0 11 3 9 0 0 1 9\nS_rect_02: 1.6e+01 1.2e+01\n", (16, 12)),
    ],
)
def test_camera_files(tmp_path, name, text, size):
    source = pairs(tmp_path / "in", [f"a/{i}.jpg" for i in range(3)], [f"a/{i}.png" for i in range(3)])
    (source / name).write_text(text)
    camera = read_camera(source / name)
    assert [camera[key] for key in ("fx", "fy", "cx", "cy")] == [10, 11, 4, 3]
    assert (camera.get("width"), camera.get("height")) == (size or (None, None))
    import_data(source, tmp_path / "out", "*.jpg", "*.png", depth_scale=1000)
    camera = json.loads((tmp_path / "out/camera.json").read_text())  # the photos are 8 × 6: half of what is named
    assert (camera["fx"], camera["cx"]) == ((5, 1.75) if size else (10, 4)) and camera["width"] == 8
    (source / name).write_text("{}" if name == "camera.json" else "fx: none")
    with pytest.raises(InputError, match=rf"{name}: (.* is no camera|can't be read as a camera)"):
        import_data(source, tmp_path / "bad", "*.jpg", "*.png", depth_scale=1000)


def test_folders_within_a_pattern_pair_too(tmp_path):
    stems = ["A/0", "A/1", "hall_1/0", "hall_2/0", "den/x/0"]
    source = pairs(tmp_path / "in", [f"rgb/{s}.png" for s in stems], [f"depth/{s}.png" for s in stems])
    import_data(source, tmp_path / "out", "rgb/**/*.png", "depth/**/*.png", depth_scale=1000)
    assert sorted(names(tmp_path / "out", "train") + names(tmp_path / "out", "val")) == sorted(stems)
    for pattern in ("**_rgb.png", "s?/*.png", "a**/*.png"):
        with pytest.raises(InputError, match=r"patterns know \* \(a part of a name\)"):
            import_data(source, tmp_path / "other", pattern, "depth/*.png", depth_scale=1000)


def test_a_camera_file_may_say_more_than_the_camera(tmp_path):
    source = pairs(tmp_path / "in", [f"{i}.jpg" for i in range(3)], [f"{i}.png" for i in range(3)])
    camera = {"fx": 5, "fy": 5, "cx": 4, "cy": 3, "rectified": True, "model": "pinhole"}
    (source / "camera.json").write_text(json.dumps(camera))
    import_data(source, tmp_path / "out", "*.jpg", "*.png", depth_scale=1000)
    assert json.loads((tmp_path / "out/camera.json").read_text())["fx"] == 5


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("camera.json", '{"hfov_deg": 60, "fy": 5, "cx": 4, "cy": 3}', "is no camera"),
        ("camera.json", '{"hfov_deg": 400}', "is no camera"),
        ("camera.json", '{"fx": 5, "fy": 7e6, "cx": 4, "cy": 3}', "is no camera"),
        ("camera.json", '{"fx": 5, "fy": 5, "cx": 1e9, "cy": 3}', "is no camera"),
        ("camera-intrinsics.txt", "5 0 0\n0 5 0\n4 3 1", "is it transposed"),
        ("camera.json", '{"hfov_deg": 60, "fx": 5, "fy": 5, "cx": 4, "cy": 3}', "is no camera"),
        ("camera.json", '{"fx": true, "fy": true, "cx": 4, "cy": 3}', "is no camera"),
        ("camera.json", '{"fx": 1e-9, "fy": 5, "cx": 4, "cy": 3}', "is no camera"),
    ],
)
def test_cameras_that_can_not_be_are_refused(tmp_path, name, text, words):
    source = pairs(tmp_path / "in", [f"{i}.jpg" for i in range(3)], [f"{i}.png" for i in range(3)])
    (source / name).write_text(text)
    with pytest.raises(InputError, match=words):
        import_data(source, tmp_path / "out", "*.jpg", "*.png", depth_scale=1000)


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path):
    source = pairs(tmp_path / "in", [f"{i}.jpg" for i in range(3)], [f"{i}.png" for i in range(3)])
    call = {"source": source, "rgb": "*.jpg", "depth": "*.png", "depth_scale": 1000}
    write(tmp_path / "own/train/rgb/0.jpg", np.full((6, 8, 3), 1, np.uint8))  # equal, but no import put it there
    with pytest.raises(InputError, match=r"own/train/rgb/0\.jpg: this import would not write it so"):
        import_data(data=tmp_path / "own", **call)
    assert [p.name for p in (tmp_path / "own").rglob("*.*")] == ["0.jpg"]
    with pytest.raises(InputError, match=r"0\.jpg: this import"):
        import_data(data=source / "0.jpg", **call)
    import_data(data=tmp_path / "out", **call)
    with pytest.raises(InputError, match=r"import\.json"):
        import_data(data=tmp_path / "out", **call | {"depth_scale": 5000})
    (tmp_path / "out/train/rgb/more.jpg").touch()
    with pytest.raises(InputError, match=r"more\.jpg"):
        import_data(data=tmp_path / "out", **call)
    (tmp_path / "out/train/rgb/more.jpg").unlink()
    (source / "0.png").unlink()
    write(source / "0.png", np.full((6, 8), 77, np.uint16))
    with pytest.raises(InputError, match=r"depth/0\.png"):
        import_data(data=tmp_path / "out", **call)
    (tmp_path / "out/train/depth/0.png").unlink()
    assert "1 linked" in str(import_data(data=tmp_path / "out", **call))


def test_without_links_files_are_copied(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no links on this file system")

    monkeypatch.setattr(os, "link", refuse)
    source = pairs(tmp_path / "in", [f"{i}.jpg" for i in range(3)], [f"{i}.png" for i in range(3)])
    import_data(source, tmp_path / "soft", "*.jpg", "*.png", depth_scale=1000)
    assert (tmp_path / "soft/train/rgb/0.jpg").is_symlink() and read(tmp_path / "soft", "val", 1000)
    monkeypatch.setattr(os, "symlink", refuse)
    for expected in ("4 copied", "5 there already"):
        assert expected in str(import_data(source, tmp_path / "copy", "*.jpg", "*.png", depth_scale=1000))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"source": "nowhere"}, "nowhere: no such file or folder"),
        ({"rgb": None, "depth": None}, "no known layout in 0.bmp, 0.jpg, 0.png"),
        ({"rgb": "*.tif"}, r"0 photo\(s\) and 3 depth map\(s\) match.*there are 0.bmp, 0.jpg"),
        ({"rgb": "0.jpg"}, r"two patterns with \*"),
        ({"rgb": "*.*g"}, "same name|none of them pair"),
        ({"depth_scale": None}, "0.png.*depth_scale"),
        ({"val": 1.5}, "val 1.5"),
        ({"baseline": 0.5}, "baseline and focal come together"),
        ({"baseline": 0.5, "focal": 9, "ray_distance": True}, "without ray_distance"),
        ({"hfov": 180}, "hfov 180"),
        ({"depth_scale": 0}, "depth_scale 0"),
        ({"ray_distance": True}, "0.jpg: ray distance needs the camera"),
        ({"kind": "tum"}, "TUM lists give no pair"),
        ({"kind": "nyu-mat", "depth": "raw"}, "needs a .mat"),
        ({"depth": "*.txt"}, "0.txt: depth is read from"),
        ({"intrinsics": (5, 5, 4, 3), "rgb": "*.bmp"}, "2.bmp: 4 × 6, others 8 × 6"),
    ],
)
def test_mistakes_are_named_before_anything_is_written(tmp_path, monkeypatch, change, words):
    monkeypatch.chdir(pairs(tmp_path / "in", [f"{i}.jpg" for i in range(3)], [f"{i}.png" for i in range(3)]))
    for i in range(3):
        Path(f"{i}.txt").touch()
        write(Path(f"{i}.bmp"), np.zeros((6, 4 if i == 2 else 8, 3), np.uint8))
    call = {"source": ".", "rgb": "*.jpg", "depth": "*.png", "depth_scale": 1000, "val": 0.5} | change
    with pytest.raises(InputError, match=words) as caught:
        import_data(data=tmp_path / "out", **call)
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()


def test_broken_links_are_told_and_a_folder_linked_twice_counts_once(tmp_path):
    source = pairs(tmp_path / "in", [f"a/{i}.jpg" for i in range(3)], [f"a/{i}.png" for i in range(3)])
    (source / "b").symlink_to(source / "a")
    (source / "gone.jpg").symlink_to(source / "nowhere.jpg")
    done = import_data(source, tmp_path / "out", "*.jpg", "*.png", depth_scale=1000)
    assert done.pairs == {"train": 1, "val": 1} and "gone.jpg: a broken link" in str(done)


def test_depth_that_can_not_be_metres_is_doubted(tmp_path):
    source = pairs(tmp_path / "in", [f"{i}.jpg" for i in range(3)], [f"{i}.png" for i in range(3)])
    assert "doubt" not in str(import_data(source, tmp_path / "right", "*.jpg", "*.png", depth_scale=1000))
    done = str(import_data(source, tmp_path / "wrong", "*.jpg", "*.png", depth_scale=1))
    assert "doubt: " in done and "typically 2000 m" in done and "2 m if the files hold mm" in done


def test_two_pairs_have_no_room_for_a_gap(tmp_path):
    source = pairs(tmp_path / "in", ["0.jpg", "1.jpg"], ["0.png", "1.png"])
    with pytest.raises(InputError, match="give 3 or more"):
        import_data(source, tmp_path / "out", "*.jpg", "*.png", depth_scale=1000)

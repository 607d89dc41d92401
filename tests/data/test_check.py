import re
import time
from dataclasses import replace

import cv2
import h5py
import numpy as np
import pytest
from helpers import tree
from PIL import Image

from depthkit.data import check as check_module
from depthkit.data.check import check, compare_splits
from depthkit.data.datasets import RGBDFolder
from depthkit.data.mixed import MixedDisparity
from depthkit.data.readers import DataError
from depthkit.data.units import UNITS

SHAPE = (24, 32)


def scene(near=1.5, far=4.5, seed=0):
    """Depths in metres, whole millimetres, as many of them nearer as farther than the middle."""
    rng = np.random.default_rng(seed)
    return rng.permutation(np.round(np.linspace(near, far, SHAPE[0] * SHAPE[1]), 3)).reshape(SHAPE)


def stored(metres, units):
    return np.rint(metres * units).astype(np.uint16)


def folder(root, depths, masks=(), split="train", kind="depth"):
    """A folder data set: integers as 16-bit PNG, signed ones and floats as .npy."""
    for name in ("rgb", kind, *(["mask"] if len(masks) else [])):
        (root / split / name).mkdir(parents=True)
    for i, depth in enumerate(depths):
        cv2.imwrite(str(root / split / "rgb" / f"{i:03d}.png"), np.zeros((*depth.shape, 3), np.uint8))
        if depth.dtype == np.uint16:
            cv2.imwrite(str(root / split / kind / f"{i:03d}.png"), depth)
        else:
            np.save(root / split / kind / f"{i:03d}.npy", depth)
    for i, mask in enumerate(masks):
        cv2.imwrite(str(root / split / "mask" / f"{i:03d}.png"), mask.astype(np.uint8) * 255)
    return root


def looked(root, depths, scale=None, max_depth=10.0, split="train", **options):
    return check(RGBDFolder(folder(root, depths, split=split), split, scale), max_depth=max_depth, **options)


def test_the_summary_holds_known_answers(tmp_path):
    """Half of the pixels are holes, a quarter at 2 m, a quarter at 4 m."""
    metres = np.zeros(SHAPE, np.float32)
    metres[:6], metres[6:12] = 2, 4
    dataset = RGBDFolder(folder(tmp_path, [metres, metres, metres * 2]), "train")
    summary = check(dataset)
    assert (summary.pairs, summary.sizes) == (3, {"32 × 24": 3})
    assert summary.measured == 0.5 and summary.notes == []
    assert summary.percentiles[1] == 2 and summary.percentiles[50] == 4 and summary.percentiles[99] == 8
    assert summary.medians == {"train/rgb/000.png": 3, "train/rgb/001.png": 3, "train/rgb/002.png": 6}


@pytest.mark.parametrize(
    "units, scale, max_depth, reason",
    [
        (1000, 1, 10, "typically 3000 m, 100% of them beyond max_depth=10"),
        (100, 1, 10, "typically 300 m"),
        (1000, 256, 10, "typically 11.72 m"),
        (1000, 5000, 10, "depth ends at 0.895 m, far below max_depth=10"),
        (5000, 1000, 10, "typically 15 m"),
        (5000, 1000, 80, r"000\.png holds multiples of 5 alone, as 1/5000 m \(TUM\) does, but depth_scale is 1000"),
        (8000, 1000, 80, r"multiples of 8 alone, as 1/8000 m \(SUN RGB-D\)"),
        (4000, 1000, 80, r"multiples of 4 alone, as 1/4000 m \(Matterport3D\)"),
        (1000, 1e6, 10, "typically 0.003 m"),
    ],
)
def test_a_wrong_scale_lists_the_metres_of_every_unit_that_fits(units, scale, max_depth, reason, tmp_path):
    with pytest.raises(DataError, match=reason) as raised:
        looked(tmp_path, [stored(scene(seed=i), units) for i in range(3)], scale, max_depth)
    assert " 3 m if the files hold " in str(raised.value)
    assert "pass depth_scale, its units per metre" in str(raised.value)
    named = re.findall("files hold (.*?)[,:]", str(raised.value))
    assert len(named) > 1 and UNITS.get(scale) not in named


def test_kitti_read_as_millimetres_is_doubted_where_16_bits_of_them_end_below_max_depth(tmp_path):
    root = folder(tmp_path, [stored(scene(4, 56, seed=i), 256) for i in range(3)])
    with pytest.raises(DataError, match=r"ends at 14.2 m, .*pass max_depth=15\).*30 m if the files hold 1/256 m"):
        check(RGBDFolder(root, "train", 1000), max_depth=80)
    check(RGBDFolder(root, "train", 1000), max_depth=15)  # the remedy, for the user who knows
    check(RGBDFolder(root, "train", 256), max_depth=80)


@pytest.mark.parametrize("factor, unit", [(1000, "mm"), (100, "cm"), (0.001, "km")])
def test_floats_in_other_units_have_to_be_converted(factor, unit, tmp_path):
    """Neither an h5 set nor a folder of floats takes a depth_scale: no hint may name it."""
    metres = scene().astype(np.float32)
    sets = (tree(tmp_path / "h5", [metres * factor] * 2), RGBDFolder(folder(tmp_path, [metres * factor]), "train"))
    for dataset in sets:
        with pytest.raises(DataError, match=f"3 m if the files hold {unit}.*must be in metres: convert") as raised:
            check(dataset)
        assert "depth_scale" not in str(raised.value)


@pytest.mark.parametrize(
    "extents, units, scale, max_depth",
    [
        ([(0.12, 0.3)], 1000, 1000, 10),  # near, with the default max_depth
        ([(0.12, 0.3)], 10000, 10000, 10),
        ([(0.02, 0.06)], 10000, 10000, 1),  # an endoscope
        ([(40, 65)], 1000, 1000, 80),  # far
        ([(20, 78)], 256, 256, 80),
        ([(0.15, 0.3), (0.5, 3), (1, 9), (5, 30), (30, 65)], 1000, 1000, 80),  # mixed
        ([(0.4, 1.2)], 5000, 5000, 10),  # a near scene of TUM
        ([(1.0003, 3.5001)], 4999, 5000, 10),  # rendered, without a step
    ],
)
def test_right_units_pass(extents, units, scale, max_depth, tmp_path):
    looked(tmp_path, [stored(scene(*extent, seed=i), units) for i, extent in enumerate(extents * 3)], scale, max_depth)


def test_few_different_values_are_no_evidence_of_a_step(tmp_path):
    """Walls at 2 m and 2.005 m are multiples of 5 by chance."""
    looked(tmp_path, [np.where(scene() < 3, 2000, 2005).astype(np.uint16)] * 2, 1000)


def test_larger_depths_are_a_matter_of_max_depth(tmp_path):
    with pytest.raises(DataError, match="If they are metres, pass a larger max_depth"):
        looked(tmp_path / "far", [scene(20, 60).astype(np.float32)])
    summary = looked(tmp_path / "some", [scene(2, 12).astype(np.float32)])
    assert summary.notes == ["20% of depth is beyond max_depth=10: not used"]


@pytest.mark.parametrize("factor", [1000, 100, 0.001])
def test_one_file_in_another_unit_is_named(factor, tmp_path):
    depths = [scene(seed=i).astype(np.float32) for i in range(6)]
    depths[4] *= factor
    with pytest.raises(DataError, match=rf"004\.png has a median of {3 * factor:g} m, files typically 3 m"):
        looked(tmp_path, depths)


def test_one_file_that_may_be_in_another_unit_is_noted(tmp_path):
    depths = [stored(scene(seed=i), 1000) for i in range(6)]
    depths[2] = stored(scene(), 100)
    (note,) = looked(tmp_path, depths, 1000).notes
    assert "002.png has a median of 0.3 m, files typically 3 m" in note


@pytest.mark.parametrize("factor", [1000, 100, 10, 5])
def test_splits_in_two_units_are_doubted(factor, tmp_path):
    train = looked(tmp_path, [scene(seed=i).astype(np.float32) for i in range(4)])
    other = [(scene(1.4, 4.2, seed=9 + i) / factor).astype(np.float32) for i in range(3)]
    val = check(RGBDFolder(folder(tmp_path, other, split="val"), "val"), 1e-6, 10 / factor)
    with pytest.raises(DataError, match=rf"{factor} times apart.*two units") as raised:
        compare_splits(train, val)
    assert "train/rgb/00" in str(raised.value) and "val/rgb/00" in str(raised.value)
    with pytest.raises(DataError, match=f"{factor} times apart"):
        compare_splits(val, train)


def test_splits_of_other_scenes_pass(tmp_path):
    rooms = looked(tmp_path / "rooms", [scene(seed=i).astype(np.float32) for i in range(4)])
    for name, extent in {"desk": (0.3, 1.5), "hall": (2, 20), "table": (0.15, 0.3)}.items():
        other = looked(tmp_path / name, [scene(*extent).astype(np.float32)], max_depth=80)
        compare_splits(rooms, other)
        compare_splits(other, rooms)
    compare_splits(replace(rooms, percentiles={}, medians={}), rooms)  # disparity has no metres


@pytest.mark.parametrize("kind", [np.uint16, np.int16, np.uint32])
def test_the_largest_integer_is_no_depth_and_its_share_is_told(kind, tmp_path):
    depth = stored(scene(), 1000).astype(kind)
    depth[:6] = np.iinfo(kind).max
    summary = looked(tmp_path, [depth] * 2, 1000, max_depth=80)
    assert summary.measured == 0.75 and summary.percentiles[99] < 4.5
    assert any("25.00% of pixels hold the largest value" in note for note in summary.notes)


def test_disparity_has_no_metres_and_its_largest_value_is_near(tmp_path):
    disparity = stored(scene(0.1, 0.9), 65535)
    disparity[0] = 65535
    summary = check(MixedDisparity(folder(tmp_path, [disparity] * 2, kind="disparity"), "train"))
    assert summary.measured == 1 and summary.notes == []
    assert summary.percentiles == {} and summary.medians == {}


def masks_of(kept, count):
    mask = np.zeros(SHAPE, bool)
    mask.flat[:kept] = True
    return [mask] * count


@pytest.mark.parametrize("kept", [0, 9])
@pytest.mark.parametrize("split", ["train", "val"])
def test_masks_that_leave_nothing_are_refused(kept, split, tmp_path):
    root = folder(tmp_path, [scene().astype(np.float32)] * 3, masks_of(kept, 3), split)
    with pytest.raises(DataError, match=r"mask leaves under 10 pixels in 3 of 3 files.*000\.png; .*inverted"):
        check(RGBDFolder(root, split))


def test_masks_that_keep_only_holes_are_refused(tmp_path):
    depth = scene().astype(np.float32)
    depth[:12] = 0
    root = folder(tmp_path, [depth] * 2, [depth == 0] * 2)
    with pytest.raises(DataError, match="mask leaves under 10 pixels in 2 of 2"):
        check(RGBDFolder(root, "train"))


def test_some_empty_masks_are_noted_and_counted(tmp_path):
    root = folder(tmp_path, [scene().astype(np.float32)] * 4, masks_of(0, 1) + masks_of(384, 3))
    summary = check(RGBDFolder(root, "train"))
    assert "mask leaves under 10 pixels in 1 of 4 files looked into" in summary.notes[0]
    assert summary.measured == 0.375 and len(summary.medians) == 3


def test_depth_maps_without_depth_are_refused_of_metres_as_of_disparity(tmp_path):
    empty = [np.zeros(SHAPE, np.uint16)] * 2
    for dataset in (
        RGBDFolder(folder(tmp_path / "depth", empty), "train", 1000),
        MixedDisparity(folder(tmp_path / "mixed", empty, kind="disparity"), "train"),
    ):
        with pytest.raises(DataError, match="depth map leaves under 10 pixels in 2 of 2"):
            check(dataset)


def test_files_that_are_not_used_are_named(tmp_path):
    root = folder(tmp_path, [scene().astype(np.float32)] * 2)
    (root / "train" / "rgb" / "notes.txt").write_text("sunny")
    (note,) = check(RGBDFolder(root, "train")).notes
    assert note.startswith("1 file(s) are not used, first ") and "notes.txt" in note


def test_every_header_is_checked_and_the_first_20_bad_files_are_named(tmp_path):
    """100 files, of which 64 are looked into: 25 masks are of the wrong size."""
    masks = [np.ones((12, 16) if i < 50 and i % 2 else SHAPE, bool) for i in range(100)]
    root = folder(tmp_path, [scene().astype(np.float32)] * 100, masks)
    with pytest.raises(DataError, match=r"(?s)^25 bad file.*001\.png.*039\.png.*\n\.\.\. and 5 more$") as raised:
        check(RGBDFolder(root, "train"))
    assert "041.png" not in str(raised.value)


def test_deep_decodes_every_file(tmp_path):
    root = folder(tmp_path, [stored(scene(seed=i), 1000) for i in range(100)])
    truncated = root / "train" / "depth" / "001.png"  # not in the spread
    truncated.write_bytes(truncated.read_bytes()[:-400])
    dataset = RGBDFolder(root, "train", 1000)
    assert len(check(dataset).medians) == 64
    with pytest.raises(DataError, match=r"(?s)^1 bad file.*001\.png"):
        check(dataset, deep=True)


def test_many_files_are_opened_at_a_time(tmp_path, monkeypatch):
    """200 files that take 20 ms each to open take 4 s, one after the other."""
    dataset = tree(tmp_path, [scene()] * 200)
    quick = h5py.File

    def slow(*args, **options):
        time.sleep(0.02)
        return quick(*args, **options)

    monkeypatch.setattr(h5py, "File", slow)
    began = time.monotonic()
    check(dataset)
    assert time.monotonic() - began < 3


def test_a_bar_shows_when_asked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(check_module, "BAR_AFTER", 0)
    dataset = tree(tmp_path, [scene()] * 3)
    check(dataset)
    assert capsys.readouterr().err == ""
    check(dataset, progress=True)
    assert "check headers" in capsys.readouterr().err


def test_a_spread_of_a_large_h5_set_is_read_and_said(tmp_path, monkeypatch):
    monkeypatch.setattr(check_module, "MOST_H5", 5)
    dataset = tree(tmp_path, [scene()] * 8)
    assert "headers of 5 of 8 h5 files were read, evenly spread" in check(dataset).notes
    assert check(dataset, deep=True).notes == []


def test_without_a_max_depth_honest_tum_data_pass(tmp_path):
    """Depths of 0.5 to 5.5 m in 1/5000 m, not multiples of 5: only a given max_depth could tell that from mm."""
    for i in range(2):
        for kind in ("rgb", "depth"):
            (tmp_path / "train" / kind).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / "train" / "rgb" / f"{i}.png"), np.zeros((60, 80, 3), np.uint8))
        depth = np.linspace(2501, 27503, 4800).reshape(60, 80).astype(np.uint16)
        cv2.imwrite(str(tmp_path / "train" / "depth" / f"{i}.png"), depth)
    dataset = RGBDFolder(tmp_path, "train", 5000)
    assert check(dataset, max_depth=None).percentiles[99] == pytest.approx(5.45, abs=0.1)
    with pytest.raises(DataError, match="far below max_depth=60"):
        check(dataset, max_depth=60)


@pytest.mark.parametrize("orientation, turned", [(3, True), (1, False), (9, False)])  # there is no 9
def test_photos_that_exif_turns_are_told(tmp_path, orientation, turned):
    """A photo turned by half a circle has the shape of its depth map either way: only a look can tell."""
    for kind in ("rgb", "depth"):
        (tmp_path / "train" / kind).mkdir(parents=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (80, 60)).save(tmp_path / "train" / "rgb" / "0.jpg", exif=exif)
    np.save(tmp_path / "train" / "depth" / "0.npy", np.full((60, 80), 2, np.float32))
    notes = check(RGBDFolder(tmp_path, "train")).notes
    assert any("EXIF turns 1 of the photos" in note for note in notes) is turned

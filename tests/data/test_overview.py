import cv2
import numpy as np
import pytest
from helpers import tree

from depthkit.data.check import check
from depthkit.data.datasets import RGBDFolder
from depthkit.data.overview import near_duplicates, suggest_max_depth, write_contact_sheet, write_histogram


def folder(root, split, photos, depth):
    for i, photo in enumerate(photos):
        for kind, picture in (("rgb", photo), ("depth", depth)):
            (root / split / kind).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(root / split / kind / f"{i:02d}.png"), picture)
    return RGBDFolder(root, split, 1000)


def photos(count, seed):
    rng = np.random.default_rng(seed)
    return [cv2.resize(rng.integers(0, 255, (6, 8, 3), dtype=np.uint8), (80, 60)) for _ in range(count)]


def test_a_sheet_shows_pictures_above_their_depth_with_holes_in_grey(tmp_path):
    depth = np.full((60, 80), 1000, np.uint16)
    depth[:, 40:] = 3000
    depth[:20, :20] = 0
    dataset = folder(tmp_path, "train", photos(5, 0), depth)
    sheet = cv2.imread(str(write_contact_sheet(dataset, tmp_path / "sheet.png")))
    assert sheet.shape == (2 * 308, 4 * 204, 3)  # five columns in rows of four
    below = sheet[154:304, :200]
    assert below[20, 20].tolist() == [128, 128, 128]
    assert below[100, 50].mean() > below[100, 150].mean() + 50, "near must be brighter than far"
    assert np.abs(sheet[75, 100].astype(int) - cv2.imread(str(dataset.files[0]))[30, 40]).max() < 30


def test_a_sheet_is_as_wide_as_its_pictures(tmp_path):
    dataset = folder(tmp_path, "train", photos(2, 0), np.full((60, 80), 1000, np.uint16))
    assert cv2.imread(str(write_contact_sheet(dataset, tmp_path / "sheet.png"))).shape == (308, 2 * 204, 3)


def test_the_histogram_has_its_bars_where_the_depths_are(tmp_path):
    dataset = tree(tmp_path, [np.where(np.arange(784).reshape(28, 28) < 600, 1.0, 5.0)])
    bars = cv2.imread(str(write_histogram(dataset, tmp_path / "h.png")))[240, :, 0] == 160
    assert bars[20:33].all() and bars[605:618].all() and not bars[40:600].any()


def test_max_depth_holds_the_depths_with_room_to_spare(tmp_path):
    assert suggest_max_depth(check(tree(tmp_path / "a", [np.full((28, 28), 3.0)], "train"))) == 4
    assert suggest_max_depth(check(tree(tmp_path / "b", [np.full((28, 28), 0.3)], "train"))) == 1
    assert suggest_max_depth(check(tree(tmp_path / "c", [np.full((28, 28), 50.0)], "train"), max_depth=100)) == 55


@pytest.mark.parametrize("shared, words", [(0, "no near-duplicates"), (2, "2 of 4 validation pictures look like")])
def test_pictures_in_both_splits_are_counted(shared, words, tmp_path):
    depth, first, second = np.full((60, 80), 2000, np.uint16), photos(6, 1), photos(4, 2)
    brighter = [cv2.convertScaleAbs(photo, alpha=1.05) for photo in first[:shared]]
    train, val = folder(tmp_path, "train", first, depth), folder(tmp_path, "val", brighter + second[shared:], depth)
    assert near_duplicates(train, val).startswith(words)

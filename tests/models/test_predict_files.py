import shutil

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from depthkit.camera import Intrinsics
from depthkit.errors import InputError
from depthkit.models.build import build_model, load_model, save_model
from depthkit.models.calibration import Calibration
from depthkit.models.predict import predict_depth, predict_disparity
from depthkit.models.predict_files import find_files, predict_files
from depthkit.run_folder import write_json


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders of a metric and a relative model with random weights."""
    root = tmp_path_factory.mktemp("models")
    for objective in ("metric", "relative"):
        torch.manual_seed(0)
        save_model(build_model("tiny", objective, input_size=56), root / objective)
    return root


def photo(path, seed=0, shape=(60, 80)):
    image = np.random.default_rng(seed).integers(0, 255, (*shape, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image[..., ::-1])
    return image


def test_a_photo_becomes_metres_pictures_and_points(models, tmp_path, capsys):
    image = photo(tmp_path / "photo.png")
    predict_files(models / "metric", [tmp_path / "photo.png"], tmp_path / "o", Intrinsics(100, 100, 39.5, 29.5))
    depth = predict_depth(load_model(models / "metric"), image)
    assert np.array_equal(np.load(tmp_path / "o" / "photo_depth.npy"), depth)
    millimetres = cv2.imread(str(tmp_path / "o" / "photo_depth_mm.png"), cv2.IMREAD_UNCHANGED)
    assert millimetres.dtype == np.uint16 and np.abs(millimetres / 1000 - depth).max() < 6e-4
    picture = cv2.imread(str(tmp_path / "o" / "photo_depth.png")).sum(-1)
    assert picture.flat[depth.argmin()] > picture.flat[depth.argmax()]  # near is bright
    header, points = (tmp_path / "o" / "photo.ply").read_bytes().split(b"end_header\n")
    assert b"element vertex 4800" in header
    first = np.frombuffer(points[:12], "<f4")
    assert np.allclose(first, depth[0, 0] * np.array([-0.395, -0.295, 1]), rtol=1e-5)
    assert "nearest 1 %" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == [
        *("photo.ply", "photo_depth.npy", "photo_depth.png", "photo_depth_mm.png")
    ]


def test_the_field_of_view_is_of_each_photos_own_width(models, tmp_path):
    photo(tmp_path / "photo.png")
    predict_files(models / "metric", [tmp_path / "photo.png"], tmp_path / "o", 90)
    depth = np.load(tmp_path / "o" / "photo_depth.npy")
    data = (tmp_path / "o" / "photo.ply").read_bytes().split(b"end_header\n")[1]
    assert np.frombuffer(data[:4], "<f4")[0] == pytest.approx(-39.5 / 40 * depth[0, 0], rel=1e-5)


@pytest.mark.parametrize("place", ["0.png", "s3/0.png", "s3/deep/er/0.png"])
def test_the_camera_of_a_data_set_is_found_from_any_scene(models, tmp_path, place, capsys):
    photo(tmp_path / "data" / "val" / "rgb" / place)
    write_json(tmp_path / "data" / "camera.json", {"hfov_deg": 90})
    write_json(tmp_path / "camera.json", {"hfov_deg": 30})  # of something else
    predict_files(models / "metric", [tmp_path / "data" / "val" / "rgb"], tmp_path / "o")
    assert "focal length 40 px from the .json" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("camera", "focal_px", "words"),
    [
        (None, 0.0, "focal_px 0: give a positive"),
        (None, float("nan"), "focal_px nan"),
        (None, -5.0, "focal_px -5"),
        (200.0, None, "hfov 200: give degrees between 0 and 180"),
        (0.0, None, "hfov 0"),
        (float("nan"), None, "hfov nan"),
        (Intrinsics(-5, -5, 1, 1), None, "fx and fy are positive"),
        (Intrinsics(5, 5, float("nan"), 1), None, "all four finite"),
        (60.0, 518.0, "two cameras were given"),
    ],
)
def test_a_lens_that_cannot_be_is_refused_before_anything_is_written(models, tmp_path, camera, focal_px, words):
    photo(tmp_path / "photo.png")
    with pytest.raises(InputError, match=words):
        predict_files(models / "metric", [tmp_path / "photo.png"], tmp_path / "o", camera, focal_px)
    assert not (tmp_path / "o").exists()


def test_depth_beyond_65_metres_has_another_unit_in_its_name(models, tmp_path, capsys):
    shutil.copytree(models / "metric", tmp_path / "far")
    write_json(tmp_path / "far" / "calibration.json", vars(Calibration(20.0, 0.0, "depth", 3, 3, 1.0, 0.1)))
    photo(tmp_path / "photo.png")
    predict_files(tmp_path / "far", [tmp_path / "photo.png"], tmp_path / "o")
    depth = np.load(tmp_path / "o" / "photo_depth.npy")
    assert depth.max() > 65.535
    centimetres = cv2.imread(str(tmp_path / "o" / "photo_depth_cm.png"), cv2.IMREAD_UNCHANGED)
    assert np.abs(centimetres / 100 - depth).max() < 6e-3 and "PNG in cm" in capsys.readouterr().out
    assert not (tmp_path / "o" / "photo_depth_mm.png").exists()


def test_relative_models_give_disparity_and_calibrated_ones_metres(models, tmp_path):
    image = photo(tmp_path / "photo.png")
    disparity = predict_disparity(load_model(models / "relative"), image)
    predict_files(models / "relative", [tmp_path / "photo.png"], tmp_path / "o")
    assert np.array_equal(np.load(tmp_path / "o" / "photo_disparity.npy"), disparity)
    picture = cv2.imread(str(tmp_path / "o" / "photo_disparity.png")).sum(-1)
    assert picture.flat[disparity.argmax()] > picture.flat[disparity.argmin()]  # near is bright
    assert len(list((tmp_path / "o").iterdir())) == 2
    with pytest.raises(InputError, match="predicts no metres"):
        predict_files(models / "relative", [tmp_path / "photo.png"], tmp_path / "o", 60)
    shutil.copytree(models / "relative", tmp_path / "calibrated")
    write_json(tmp_path / "calibrated" / "calibration.json", vars(Calibration(2.0, 0.5, "disparity", 3, 3, 1.0, 0.1)))
    predict_files(tmp_path / "calibrated", [tmp_path / "photo.png"], tmp_path / "c", 60)
    assert np.allclose(np.load(tmp_path / "c" / "photo_depth.npy"), 1 / (2 * disparity + 0.5), rtol=1e-5)
    assert (tmp_path / "c" / "photo.ply").exists()


def test_photos_of_one_name_keep_their_folders(models, tmp_path):
    for name in ("a/x.png", "b/x.png", "b/deep/y.PNG", "b/.hidden.png", "b/o/old_depth.png", "b/notes.txt"):
        photo(tmp_path / name) if "txt" not in name else (tmp_path / name).write_text("")
    sources = [tmp_path / "a" / "x.png", tmp_path / "b", str(tmp_path / "*" / "x.png")]
    found = find_files(sources, tmp_path / "b" / "o")
    assert {file.relative_to(tmp_path).as_posix() for file in found} == {"a/x.png", "b/x.png", "b/deep/y.PNG"}
    predict_files(models / "metric", sources, tmp_path / "b" / "o")
    for name in ("a/x", "b/x", "b/deep/y"):
        assert (tmp_path / "b" / "o" / f"{name}_depth.npy").exists()
    assert len(find_files(sources, tmp_path / "b" / "o")) == 3  # its own pictures are not taken for photos


def test_two_results_of_one_name_are_refused_before_anything_is_written(models, tmp_path):
    photo(tmp_path / "a" / "x.png"), photo(tmp_path / "a" / "x.jpg")
    with pytest.raises(InputError, match=r"x\.png and x\.jpg would both be written"):
        predict_files(models / "metric", [tmp_path / "a"], tmp_path / "o")
    for nothing in ("empty", "missing.jpg", "*.gif"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(InputError, match="no photo or video there"):
            predict_files(models / "metric", [tmp_path / "a" / "x.png", tmp_path / nothing], tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_bad_files_do_not_end_a_batch_and_are_named_at_its_end(models, tmp_path):
    for name in ("a.png", "z.png"):
        photo(tmp_path / "in" / name)
    (tmp_path / "in" / "b.png").write_bytes((tmp_path / "in" / "a.png").read_bytes()[:500])
    (tmp_path / "in" / "c.mp4").write_bytes(b"no video")
    with pytest.raises(InputError, match="2 of 4 file") as error:
        predict_files(models / "metric", [tmp_path / "in"], tmp_path / "o")
    assert "b.png" in str(error.value) and "c.mp4" in str(error.value) and "z.png" not in str(error.value)
    assert sorted(path.name for path in (tmp_path / "o").glob("*.npy")) == ["a_depth.npy", "z_depth.npy"]
    assert not list((tmp_path / "o").glob("[bc]*")) and not [p for p in (tmp_path / "o").iterdir() if p.is_dir()]


def test_a_model_that_predicts_nan_is_refused_at_once(tmp_path):
    save_model(build_model("tiny", input_size=56), tmp_path / "nan")
    weights = load_file(tmp_path / "nan" / "model.safetensors")
    weights["head.conv3.weight"][0] = torch.nan
    save_file(weights, tmp_path / "nan" / "model.safetensors", {"format": "pt"})
    photo(tmp_path / "photo.png")
    with pytest.raises(InputError, match="NaN"):
        predict_files(tmp_path / "nan", [tmp_path / "photo.png"], tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_a_video_becomes_frames_beside_their_depth(models, tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "clip.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 12.5, (80, 60))
    for level in (0, 120, 240):
        writer.write(np.full((60, 80, 3), level, np.uint8))
    writer.release()
    predict_files(models / "metric", [tmp_path / "clip.mp4"], tmp_path / "o")
    capture = cv2.VideoCapture(str(tmp_path / "o" / "clip_depth.mp4"))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(12.5)
    frames = []
    while (frame := capture.read()[1]) is not None:
        frames.append(frame)
    assert len(frames) == 3 and frames[0].shape == (60, 160, 3)
    assert np.allclose([np.median(frame[:, :80]) for frame in frames], [0, 120, 240], atol=8)
    assert np.ptp(frames[1][:, 80:]) > 30  # the right half holds colours, not the grey frame
    assert [path.name for path in (tmp_path / "o").iterdir()] == ["clip_depth.mp4"]


def clip(path, frames, shape=(60, 80)):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 12.5, shape[::-1])
    for level in range(frames):
        writer.write(np.full((*shape, 3), 10 * level, np.uint8))
    writer.release()
    return path


def test_a_video_that_cannot_be_written_whole_is_named_and_leaves_the_earlier_one(models, tmp_path, monkeypatch):
    """Frames that OpenCV drops without a word: of another size here, as they would be on a full disk."""
    source = clip(tmp_path / "clip.mp4", 4)
    predict_files(models / "metric", [source], tmp_path / "o")
    before = (tmp_path / "o" / "clip_depth.mp4").read_bytes()
    joined, calls = cv2.hconcat, []

    def wider_after_two(pictures):
        calls.append(1)
        return joined([*pictures, pictures[0]] if len(calls) > 2 else pictures)

    monkeypatch.setattr(cv2, "hconcat", wider_after_two)
    with pytest.raises(InputError, match=r"clip\.mp4: 2 of 4 frames could be written .*: is the disk full"):
        predict_files(models / "metric", [source], tmp_path / "o")
    assert [path.name for path in (tmp_path / "o").iterdir()] == ["clip_depth.mp4"]
    assert (tmp_path / "o" / "clip_depth.mp4").read_bytes() == before


@pytest.mark.parametrize("rate", [0, 90_000, 12.5])
def test_a_rate_that_no_mp4_has_is_replaced(models, tmp_path, monkeypatch, rate):
    class Capture:
        """A video that says it has that rate, and 10 frames, of which 4 can be decoded."""

        def __init__(self, path):
            self.real = real(path)

        def get(self, what):
            if self.real.get(cv2.CAP_PROP_FRAME_WIDTH) == 160:  # the result, looked at again
                return self.real.get(what)
            return {cv2.CAP_PROP_FPS: rate, cv2.CAP_PROP_FRAME_COUNT: 10}[what]

        def read(self):
            return self.real.read()

    real, source = cv2.VideoCapture, clip(tmp_path / "clip.mp4", 4)
    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    predict_files(models / "metric", [source], tmp_path / "o")
    monkeypatch.setattr(cv2, "VideoCapture", real)
    found = real(str(tmp_path / "o" / "clip_depth.mp4")).get(cv2.CAP_PROP_FPS)
    assert found == pytest.approx(rate if rate == 12.5 else 25)


def test_a_video_that_ends_early_is_said_to(models, tmp_path, capfd):
    whole = cv2.VideoWriter(str(tmp_path / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 12.5, (80, 60))
    rng = np.random.default_rng(0)
    for _ in range(30):
        whole.write(rng.integers(0, 256, (60, 80, 3), np.uint8))
    whole.release()
    content = (tmp_path / "clip.avi").read_bytes()
    (tmp_path / "clip.avi").write_bytes(content[: len(content) // 2])
    predict_files(models / "metric", [tmp_path / "clip.avi"], tmp_path / "o")
    assert "of 30 frames could be decoded" in capfd.readouterr().out

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from depthkit.course.sample import BUNDLED
from depthkit.data.readers import read_image
from depthkit.errors import InputError
from depthkit.models.build import build_model, load_model, save_model
from depthkit.models.calibration import Calibration, load_calibration, predict_calibrated
from depthkit.models.export import export_onnx
from depthkit.run_folder import write_json

onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
pytest.importorskip("onnxscript", reason="the extra onnx is not installed")


@pytest.fixture(scope="module")
def exported(sample_photos, tmp_path_factory):
    """A calibrated relative model as an ONNX file for pictures of 56 × 70: its folder, file and difference."""
    folder = tmp_path_factory.mktemp("export")
    torch.manual_seed(0)
    save_model(build_model("tiny", "relative", input_size=56), folder / "model")
    write_json(folder / "model" / "calibration.json", vars(Calibration(0.5, 0.2, "disparity", 3, 3, 1.0, 0.1)))
    return folder, export_onnx(folder / "model", folder / "model.onnx", (56, 70), photos=sample_photos)


@pytest.fixture(scope="module")
def sample_photos():
    photos = sorted(Path(BUNDLED, "rooms", "val").rglob("*.jpg"))
    assert len(photos) >= 3
    return photos[:7]


def session(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def test_onnx_gives_the_metres_of_pytorch_for_one_picture_and_for_three(exported, sample_photos):
    folder, difference = exported
    assert 0 <= difference < 1e-4
    model, calibration = load_model(folder / "model"), load_calibration(folder / "model")
    images = np.stack([cv2.resize(read_image(photo), (70, 56)) for photo in sample_photos[:3]])
    expected = np.stack([predict_calibrated(model, image, calibration) for image in images])
    assert 0.1 < expected.min() < expected.max() < 5.1  # metres: disparity would begin at 0
    for batch in (1, 3):
        (depth,) = session(folder / "model.onnx").run(None, {"image": images[:batch]})
        assert depth.shape == (batch, 56, 70) and depth.dtype == np.float32
        assert np.abs(depth - expected[:batch]).max() < 1e-4 * np.ptp(expected)


def test_a_place_that_can_not_hold_it_is_refused(exported):
    folder, _ = exported
    for place in (folder / "model.txt", folder / "model"):
        with pytest.raises(InputError, match="can't become an ONNX file"):
            export_onnx(folder / "model", place)


def test_another_size_is_refused(exported):
    folder, _ = exported
    with pytest.raises(Exception, match=r"[Ii]nvalid dimensions"):
        session(folder / "model.onnx").run(None, {"image": np.zeros((1, 70, 56, 3), np.uint8)})


def test_the_text_beside_it_runs_as_it_stands(exported, sample_photos, monkeypatch):
    folder, _ = exported
    text = (folder / "model.txt").read_text()
    for words in ("uint8 (dynamic, 56, 70, 3), RGB", "metres", "1 / metres = 0.5"):
        assert words in text
    photo = read_image(sample_photos[0])
    monkeypatch.chdir(folder)
    cv2.imwrite("photo.jpg", photo[..., ::-1])
    names = {}
    exec(text[text.index("import cv2") :], names)
    expected = predict_calibrated(
        load_model("model"), cv2.imread("photo.jpg")[..., ::-1], load_calibration(folder / "model")
    )
    assert names["depth"].shape == photo.shape[:2]
    assert np.abs(names["depth"] - expected).mean() < 0.04 * np.ptp(expected)


def test_what_differs_from_pytorch_is_not_written(tmp_path, monkeypatch):
    torch.manual_seed(0)
    save_model(build_model("tiny", input_size=56), tmp_path / "model")
    monkeypatch.setattr("depthkit.models.export.TOLERANCE", 1e-12)
    with pytest.raises(InputError, match="differs from PyTorch"):
        export_onnx(tmp_path / "model", tmp_path / "model.onnx", batch=2)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_size_that_does_not_fit_the_patches_is_refused_with_one_that_does(exported):
    folder, _ = exported
    with pytest.raises(InputError, match="480 × 640: use 56 × 70"):
        export_onnx(folder / "model", folder / "other.onnx", (480, 640))
    with pytest.raises(InputError, match="50 × 50: use 56 × 56"):
        export_onnx(folder / "model", folder / "other.onnx", 50)

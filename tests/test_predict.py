import sys

import cv2
import numpy as np
import pytest
import torch

from depthkit import predict
from depthkit.models import build_model, save_model


def test_depth_comes_at_the_images_own_resolution_in_either_layout():
    torch.manual_seed(0)
    model = build_model("tiny", input_size=56)
    image = np.random.default_rng(0).integers(0, 255, (50, 71, 3), dtype=np.uint8)
    depth = predict.predict_depth(model, image)
    assert depth.shape == (50, 71) and depth.dtype == np.float32 and 0 < depth.min() < depth.max() < 10
    assert np.array_equal(depth, predict.predict_depth(model, torch.from_numpy(image.transpose(2, 0, 1).copy())))


def test_kinds_are_not_confused_and_bad_images_are_named():
    image = np.zeros((28, 28, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match="relative depth, which has no metres"):
        predict.predict_depth(build_model("tiny", "relative"), image)
    with pytest.raises(ValueError, match="use predict_depth"):
        predict.predict_disparity(build_model("tiny", "metric"), image)
    with pytest.raises(ValueError, match=r"uint8 RGB, \(H, W, 3\); got float64"):
        predict.predict_depth(build_model("tiny"), image / 255)


def test_the_command_writes_millimetres_and_a_picture(tmp_path, monkeypatch, capsys):
    torch.manual_seed(0)
    model = build_model("tiny", input_size=56)
    save_model(model, tmp_path / "best")
    image = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "photo.png"), image[..., ::-1])
    arguments = [
        "predict",
        str(tmp_path / "photo.png"),
        "--model",
        str(tmp_path / "best"),
        "--output",
        str(tmp_path / "o"),
    ]
    monkeypatch.setattr(sys, "argv", arguments)
    predict.main()
    written = cv2.imread(str(tmp_path / "o" / "photo_depth_mm.png"), cv2.IMREAD_UNCHANGED)
    assert written.dtype == np.uint16
    assert np.abs(written / 1000 - predict.predict_depth(model, image)).max() < 6e-4
    assert (tmp_path / "o" / "photo_depth.png").exists()
    assert "nearest 1 %" in capsys.readouterr().out

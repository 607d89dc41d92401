import warnings

import cv2
import numpy as np
import pytest
import torch

from depthkit.cli import main
from depthkit.data.transforms import resized_shape
from depthkit.errors import InputError
from depthkit.models import predict
from depthkit.models.build import build_model, save_model
from depthkit.models.card import image_processor


def test_depth_comes_at_the_images_own_resolution_in_either_layout():
    torch.manual_seed(0)
    model = build_model("tiny", input_size=56)
    image = np.random.default_rng(0).integers(0, 255, (50, 71, 3), dtype=np.uint8)
    depth = predict.predict_depth(model, image)
    assert depth.shape == (50, 71) and depth.dtype == np.float32 and 0 < depth.min() < depth.max() < 10
    assert np.array_equal(depth, predict.predict_depth(model, torch.from_numpy(image.transpose(2, 0, 1).copy())))


def test_kinds_are_not_confused_and_bad_images_are_named():
    image = np.zeros((28, 28, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match="predicts relative depth, not metric: use predict_disparity"):
        predict.predict_depth(build_model("tiny", "relative"), image)
    with pytest.raises(ValueError, match="use predict_depth"):
        predict.predict_disparity(build_model("tiny", "metric"), image)
    with pytest.raises(ValueError, match=r"uint8 RGB, \(H, W, 3\); got float64"):
        predict.predict_depth(build_model("tiny"), image / 255)


@pytest.mark.parametrize("objective", ["metric", "relative"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_prediction_that_is_not_finite_is_refused(objective, value):
    """Also where a finite weight is too large for the sums of float32, which no look at the weights can find."""
    model = build_model("tiny", objective, input_size=56)
    image = np.random.default_rng(0).integers(0, 255, (56, 70, 3), dtype=np.uint8)
    function = predict.predict_depth if objective == "metric" else predict.predict_disparity
    with torch.no_grad():
        model.backbone.layernorm.weight[3] = value
    with pytest.raises(InputError, match="prediction is not finite"):
        function(model, image)
    with torch.no_grad():
        model.backbone.layernorm.weight.fill_(3e38)
    with pytest.raises(InputError, match="prediction is not finite"):
        function(model, image)


@pytest.mark.parametrize(
    "height, width, differs",
    [
        (56, 75, False),
        (80, 60, False),
        (52, 69, False),
        (40, 53, True),
        (53, 40, True),
        (40, 58, True),
        (40, 120, False),
    ],
)
def test_photos_that_transformers_would_scale_otherwise_are_warned_of(height, width, differs):
    """52 × 69 is NYU's 480 × 640 at 518: smaller than the input, and yet scaled alike."""
    model = build_model("tiny", input_size=56)
    image = np.zeros((height, width, 3), dtype=np.uint8)
    shape = image_processor(56)(images=image, return_tensors="pt")["pixel_values"].shape[-2:]
    assert (tuple(shape) != resized_shape(height, width, 56)) == differs
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        predict.predict_depth(model, image)
    assert [str(each.message).split(" are ")[0] for each in caught] == [
        f"photos of {width} × {height} pixels"
    ] * differs
    assert all(each.filename == __file__ for each in caught)


def test_the_command_writes_millimetres_and_a_picture(tmp_path, capsys):
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
    main(arguments)
    written = cv2.imread(str(tmp_path / "o" / "photo_depth_mm.png"), cv2.IMREAD_UNCHANGED)
    assert written.dtype == np.uint16
    assert np.abs(written / 1000 - predict.predict_depth(model, image)).max() < 6e-4
    assert (tmp_path / "o" / "photo_depth.png").exists()
    assert "nearest 1 %" in capsys.readouterr().out

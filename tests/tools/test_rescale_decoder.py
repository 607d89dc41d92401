"""A rescaled decoder predicts the same up to one factor, from features as large as the other model's."""

import numpy as np
import pytest
import rescale_decoder
import torch
from helpers import write_frame

from depthkit.models.build import build_model, load_model, save_model
from depthkit.models.predict import predict_disparity


@pytest.fixture
def pictures():
    return [np.random.default_rng(seed).integers(0, 255, (56, 70, 3), dtype=np.uint8) for seed in range(3)]


def test_the_prediction_stays_and_the_features_take_the_others_size(pictures, tmp_path):
    models = []
    for seed in 0, 1:
        torch.manual_seed(seed)
        models.append(build_model("tiny", "relative", input_size=56).eval())
        torch.nn.init.constant_(models[-1].head.conv3.bias, 0.5)  # random weights alone may predict nothing but zeros
    model, like = models
    with torch.no_grad():
        for layer in model.neck.fusion_stage.layers:  # features of every layer a thousandfold of those before
            layer.projection.weight.mul_(1e3)
            torch.nn.init.normal_(layer.projection.bias, std=10)
            for unit in layer.residual_layer1, layer.residual_layer2:
                unit.convolution1.weight.mul_(30)
                torch.nn.init.normal_(unit.convolution1.bias)
                torch.nn.init.normal_(unit.convolution2.bias)
    before = [predict_disparity(model, picture) for picture in pictures]
    old, wanted = (rescale_decoder.feature_sizes(each, pictures) for each in (model, like))
    rescale_decoder.rescale(model, like, pictures)
    after = [predict_disparity(model, picture) for picture in pictures]
    found = rescale_decoder.feature_sizes(model, pictures)
    factor = np.mean(after) / np.mean(before)
    for one, other in zip(before, after, strict=True):
        assert np.ptp(one) > 0
        np.testing.assert_allclose(other, factor * one, rtol=1e-4, atol=1e-5)
    for name in ("neck.fusion_stage.layers.3.projection", "head.conv1", "head.conv2", "head.conv3"):
        assert old[name] > 1e3 * wanted[name] and found[name] == pytest.approx(wanted[name], rel=1e-4)
    for number in range(4):
        for name in ("residual_layer1.convolution1", "residual_layer2.convolution1", "residual_layer2"):
            if (name := f"neck.fusion_stage.layers.{number}.{name}") in wanted:
                assert old[name] > 10 * wanted[name] and found[name] == pytest.approx(wanted[name], rel=1e-4)
    save_model(model, tmp_path / "saved")
    assert torch.equal(load_model(tmp_path / "saved").head.conv1.weight, model.head.conv1.weight)


@pytest.mark.parametrize("wrong", ["metric", "nowhere", "pictures", "out"])
def test_what_cannot_be_rescaled_is_named_in_a_line(tmp_path, monkeypatch, capsys, wrong):
    save_model(build_model("tiny", "relative", input_size=56), tmp_path / "relative")
    save_model(build_model("tiny", "metric", max_depth=10.0, input_size=56), tmp_path / "metric")
    (tmp_path / "out").mkdir()
    write_frame(tmp_path / "data" / "val" / "room" / "00000.h5", 0)
    model = wrong if wrong in ("metric", "nowhere") else "relative"
    data, out = ("nothing" if wrong == "pictures" else "data"), ("out" if wrong == "out" else "new")
    paths = [tmp_path / model, "--like", tmp_path / "relative", "--pictures", tmp_path / data, "--out", tmp_path / out]
    monkeypatch.setattr("sys.argv", ["rescale_decoder.py", *map(str, paths)])
    with pytest.raises(SystemExit) as error:
        rescale_decoder.main()
    said = f"{error.value} {capsys.readouterr().err}"
    assert {"metric": "metric", "nowhere": "nowhere", "pictures": "nothing", "out": "out exists already"}[wrong] in said
    assert not (tmp_path / "new").exists()

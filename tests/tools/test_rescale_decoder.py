"""A rescaled decoder predicts the same up to one factor, from features as large as the other model's."""

import numpy as np
import pytest
import rescale_decoder
import torch

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
            torch.nn.init.normal_(layer.residual_layer2.convolution1.bias)
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
    save_model(model, tmp_path / "saved")
    assert torch.equal(load_model(tmp_path / "saved").head.conv1.weight, model.head.conv1.weight)

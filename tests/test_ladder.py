from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
from test_evaluate import tree
from torch import nn

from depthkit.evaluate import Protocol, evaluate, summarise
from depthkit.ladder import ScaledDisparity, fit_one_scale_shift
from depthkit.models import build_model


class PictureIsDisparity(nn.Module):
    """A relative model that reads affine disparity off the red channel: what it says is known."""

    def __init__(self, kind="relative", sign=1):
        super().__init__()
        self.weight, self.sign = nn.Parameter(torch.ones(())), sign
        self.config = SimpleNamespace(depth_estimation_type=kind, input_size=28)

    def forward(self, pixel_values):
        return SimpleNamespace(predicted_depth=self.sign * self.weight * pixel_values[:, 0])


def picture_tree(root, scales=(1.0, 1.0)):
    """Constant frames whose red channel rises with disparity: 5 m, 2 m and 1 m in quarters of the picture."""
    depths = [np.repeat([5.0, 2.0, 1.0, 1.0], 7)[None] + np.zeros((28, 1))] * len(scales)
    dataset = tree(root, depths)
    for path, scale in zip(dataset.files, scales, strict=True):
        with h5py.File(path, "r+") as file:
            file["rgb"][0] = np.rint(200 * scale / depths[0]).astype(np.uint8)
    return dataset


def test_one_scale_and_shift_are_recovered(tmp_path):
    """The normalised red channel is (200 d − 255 m) / (255 s), so d = (255 s p + 255 m) / 200."""
    dataset = picture_tree(tmp_path)
    scale, shift = fit_one_scale_shift(PictureIsDisparity(), dataset)
    assert scale == pytest.approx(255 * 0.229 / 200, rel=1e-3)
    assert shift == pytest.approx(255 * 0.485 / 200, rel=1e-3)
    model = ScaledDisparity(PictureIsDisparity(), scale, shift, 10.0)
    assert summarise(evaluate(model, dataset))["abs_rel"]["mean"] < 1e-3


def test_one_pair_for_all_can_not_follow_an_image_of_another_scale(tmp_path):
    """Per-image alignment forgives that the second image's disparity is half; one pair for both does not."""
    dataset = picture_tree(tmp_path, (1.0, 0.5))
    model = PictureIsDisparity()
    oracle = summarise(evaluate(model, dataset, Protocol(align="disparity")))["abs_rel"]["mean"]
    scaled = ScaledDisparity(model, *fit_one_scale_shift(model, dataset), 10.0)
    assert oracle < 1e-2
    assert summarise(evaluate(scaled, dataset))["abs_rel"]["mean"] > 0.1


def test_holes_take_no_part(tmp_path):
    dataset = picture_tree(tmp_path)
    before = fit_one_scale_shift(PictureIsDisparity(), dataset)
    with h5py.File(dataset.files[0], "r+") as file:
        file["depth"][:4, :7] = 0.0
        file["depth"][4:8, :7] = 50.0  # beyond the protocol's 10 m
    assert fit_one_scale_shift(PictureIsDisparity(), dataset) == pytest.approx(before, rel=1e-6)


def test_disparity_at_or_below_zero_says_the_largest_depth():
    model = ScaledDisparity(PictureIsDisparity(), 1.0, -100.0, 8.0)
    assert model(pixel_values=torch.zeros(1, 3, 28, 28)).predicted_depth.unique().tolist() == [8.0]


def test_what_can_not_be_fitted_is_refused(tmp_path):
    dataset = picture_tree(tmp_path)
    with pytest.raises(ValueError, match="does not rise with the true one"):
        fit_one_scale_shift(PictureIsDisparity(sign=-1), dataset)
    with pytest.raises(ValueError, match="predicts metres already"):
        fit_one_scale_shift(build_model("tiny", "metric"), dataset)
    with pytest.raises(ValueError, match="no depth lies in 6 to 8 m"):
        fit_one_scale_shift(PictureIsDisparity(), dataset, Protocol(min_depth=6, max_depth=8))

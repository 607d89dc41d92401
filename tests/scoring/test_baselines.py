from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
from helpers import tree
from torch import nn

from depthkit.errors import InputError
from depthkit.models.build import build_model
from depthkit.scoring.baselines import (
    RowPrior,
    ScaledDisparity,
    fit_baselines,
    fit_one_scale_shift,
)
from depthkit.scoring.evaluate import evaluate
from depthkit.scoring.protocol import Protocol
from depthkit.scoring.statistics import summarise


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


def test_baselines_of_maps_that_are_alike_in_every_row(tmp_path):
    """Rows of 6 m to 2 m from the top down; one image of three is wholly nearer, and does not move a median."""
    ramp = np.linspace(6, 2, 70)[:, None] + np.zeros((1, 84))
    fitted = fit_baselines(tree(tmp_path, [ramp, ramp / 3, ramp]), images=3)
    assert fitted.rows == pytest.approx(ramp[:, 0] / 3, rel=1e-3)  # 1/t-weighted: the near one counts three times
    fitted = fit_baselines(tree(tmp_path / "other", [ramp, ramp * 1.5, ramp]))
    assert fitted.rows == pytest.approx(ramp[:, 0], rel=1e-3)
    assert fitted.median == pytest.approx(np.median(np.stack([ramp, ramp * 1.5, ramp])), rel=0.02)


def test_the_row_prior_has_the_smallest_abs_rel_of_each_row(tmp_path):
    """Against a search over all depths that occur in a row; holes take no part, images count alike."""
    rng = np.random.default_rng(4)
    depths = [rng.uniform(0.5, 9, (70, 84)) * np.linspace(1, 0.4, 70)[:, None] for _ in range(4)]
    depths[0][:, ::2] = 0
    fitted = fit_baselines(tree(tmp_path, depths))

    def cost(depth, row):
        parts = [(map_[row][map_[row] > 0], (map_ > 0).sum()) for map_ in depths]
        return sum(np.sum(np.abs(depth - t) / t) / pixels for t, pixels in parts)

    for row in (0, 33, 69):
        candidates = np.concatenate([map_[row][map_[row] > 0] for map_ in depths])
        assert cost(fitted.rows[row], row) == pytest.approx(min(cost(c, row) for c in candidates), rel=1e-3)


def test_images_are_thinned(tmp_path):
    rng = np.random.default_rng(5)
    dataset = tree(tmp_path, [rng.uniform(0.5, 9, (28, 28)) for _ in range(5)])
    ends = fit_baselines(dataset, images=2)
    assert ends == fit_baselines(tree(tmp_path / "ends", [dataset.read(i)[1] for i in (0, 4)]))
    assert ends != fit_baselines(dataset)


def test_near_data_and_rows_without_depth(tmp_path):
    """Depth of centimetres is told to 0.1 %, and rows that were never measured take after their neighbours."""
    depth = np.full((70, 84), 0.0523)
    depth[:20] = 0
    depth[60:] = 9.5  # beyond the protocol's 5 m
    fitted = fit_baselines(tree(tmp_path, [depth]), Protocol(max_depth=5))
    assert fitted.rows == pytest.approx([0.0523] * 70, rel=1e-3) and fitted.median == pytest.approx(0.0523, rel=1e-3)
    with pytest.raises(InputError, match="no depth lies in 6 to 8 m"):
        fit_baselines(tree(tmp_path / "none", [depth]), Protocol(min_depth=6, max_depth=8))


@pytest.mark.parametrize("shape", [(28, 28), (70, 84), (480, 640), (90, 40)])
def test_a_row_prior_fits_any_height(tmp_path, shape):
    """A ramp from 4 m to 1 m comes out as a ramp, at whatever size, and scores 0 on it."""
    ramp = np.linspace(4, 1, shape[0])[:, None] + np.zeros((1, shape[1]))
    dataset = tree(tmp_path, [ramp])
    (record,) = evaluate(RowPrior(torch.linspace(4, 1, 70)), dataset)
    assert record["abs_rel"] < 1e-6
    predicted = RowPrior(torch.tensor([4.0, 1.0]))(pixel_values=torch.zeros(2, 3, 4, 5)).predicted_depth
    assert predicted.shape == (2, 4, 5) and predicted[1, :, 3].tolist() == pytest.approx([4, 3, 2, 1])


def test_priors_suit_the_protocol(tmp_path):
    """Aligned in disparity they are read as disparity, and the ramp is recovered up to scale and shift."""
    truth = 1 / (0.1 + 0.3 * np.linspace(0, 1, 70))[:, None] + np.zeros((1, 84))
    dataset = tree(tmp_path, [truth])
    aligned = Protocol(align="disparity")
    fitted = fit_baselines(tree(tmp_path / "train", [1 / (0.2 + 0.5 / truth)]), aligned)
    (record,) = evaluate(fitted.models(aligned)["row prior"], dataset, aligned)
    assert record["abs_rel"] < 1e-3 and not record["degenerate"]
    plain = {name: evaluate(model, dataset)[0]["abs_rel"] for name, model in fitted.models().items()}
    assert list(plain) == ["best constant", "row prior"] and min(plain.values()) > 0.1
    assert evaluate(fitted.models(aligned)["best constant"], dataset, aligned)[0]["degenerate"]

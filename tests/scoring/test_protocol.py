"""Protocols against an oracle in NumPy, written from what ZoeDepth's evaluation does (`compute_metrics`, `infer`)."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers import tree
from torch import nn

from depthkit.data.transforms import EvalTransform, normalise
from depthkit.scoring.evaluate import evaluate
from depthkit.scoring.metrics import METRICS
from depthkit.scoring.protocol import KITTI_GARG, PLAIN, PROTOCOLS, ZOEDEPTH, Protocol, crop_mask
from depthkit.scoring.statistics import summarise


class Lopsided(nn.Module):
    """Depth from the picture and from the column, so that a mirrored picture does not give the mirrored depth."""

    def __init__(self, largest):
        super().__init__()
        self.largest = nn.Parameter(torch.tensor(float(largest)))
        self.config = SimpleNamespace(depth_estimation_type="metric", input_size=28)

    def forward(self, pixel_values):
        column = torch.linspace(-0.2, 1.3, pixel_values.shape[-1])
        return SimpleNamespace(predicted_depth=self.largest * (0.4 * pixel_values.mean(1) + column))


def upsampled(small, shape):
    """Bilinear with aligned corners: first along columns, then along rows."""
    rows, columns = (np.linspace(0, n - 1, m) for n, m in zip(small.shape, shape, strict=True))
    wide = np.stack([np.interp(columns, np.arange(small.shape[1]), line) for line in small])
    return np.stack([np.interp(rows, np.arange(small.shape[0]), line) for line in wide.T]).T


def oracle(model, image, truth, low, high, region):
    """The scores of one image: flip-averaged, upsampled, clamped, on pixels strictly within bounds and region."""
    resized = EvalTransform(28)({"image": image})["image"]
    pixels = normalise(torch.from_numpy(resized.transpose(2, 0, 1).copy())[None])
    with torch.no_grad():
        straight = model(pixel_values=pixels).predicted_depth[0].double().numpy()
        mirrored = model(pixel_values=pixels.flip(-1)).predicted_depth[0].double().numpy()[:, ::-1]
    prediction = upsampled((straight + mirrored) / 2, truth.shape).clip(low, high)
    counted = np.zeros(truth.shape, dtype=bool)
    counted[region] = True
    counted &= (truth > low) & (truth < high)
    p, t = prediction[counted], truth[counted].astype(np.float64)
    log_error = np.log(p) - np.log(t)
    ratio = np.maximum(p / t, t / p)
    return counted.sum(), {
        "abs_rel": np.mean(np.abs(p - t) / t),
        "sq_rel": np.mean((p - t) ** 2 / t),
        "rmse": np.sqrt(np.mean((p - t) ** 2)),
        "rmse_log": np.sqrt(np.mean(log_error**2)),
        "log10": np.mean(np.abs(np.log10(p) - np.log10(t))),
        "d1": np.mean(ratio < 1.25),
        "d2": np.mean(ratio < 1.25**2),
        "d3": np.mean(ratio < 1.25**3),
    }


REGIONS = {
    "nyu-eigen": lambda h, w: np.s_[45:471, 41:601],
    "kitti-garg": lambda h, w: np.s_[
        int(0.40810811 * h) : int(0.99189189 * h), int(0.03594771 * w) : int(0.96405229 * w)
    ],
}


@pytest.mark.parametrize(
    ("name", "shape", "high"),
    [("nyu-eigen", (480, 640), 10), ("kitti-garg", (352, 1216), 80), ("kitti-garg", (375, 1242), 80)],
)
def test_protocols_are_those_of_zoedepth(tmp_path, name, shape, high):
    rng = np.random.default_rng(7)
    depths = [rng.uniform(0, 1.1 * high, shape).astype(np.float32) for _ in range(2)]
    for depth in depths:
        depth[rng.random(shape) < 0.3] = 0
        depth[rng.random(shape) < 0.2] = high  # on the bound, which is excluded
    dataset = tree(tmp_path, depths)
    model = Lopsided(high / 2)
    records = evaluate(model, dataset, PROTOCOLS[name])
    expected = [oracle(model, dataset.read(i)[0], d, 1e-3, high, REGIONS[name](*shape)) for i, d in enumerate(depths)]
    for record, (pixels, scores) in zip(records, expected, strict=True):
        assert record["pixels"] == pixels
        assert {key: record[key] for key in scores} == pytest.approx(scores, rel=1e-6)
    for metric, score in summarise(records, PROTOCOLS[name].average).items():
        if metric in expected[0][1]:
            assert score["mean"] == pytest.approx(np.mean([scores[metric] for _, scores in expected]), rel=1e-6)


def test_bounds_are_the_protocols_choice(tmp_path):
    depth = np.full((28, 28), 2.0, dtype=np.float32)
    depth[:7], depth[7:14] = 1.0, 4.0
    for bounds, rows in (("closed", 28), ("strict", 14)):
        protocol = Protocol(min_depth=1, max_depth=4, bounds=bounds)
        assert protocol.within(depth).sum() == protocol.within(torch.from_numpy(depth)).sum() == rows * 28


def test_crops_fit_or_say_so():
    assert crop_mask(torch.ones(2, 480, 640), "eigen").sum() == 2 * 426 * 560
    garg = crop_mask(torch.ones(1, 100, 1000), "garg")[0]
    assert garg[40:99, 35:964].all() and garg.sum() == 59 * 929
    with pytest.raises(ValueError, match=r"Eigen crop is for 480 × 640 depth maps; got \(100, 200\)"):
        crop_mask(torch.ones(1, 100, 200), "eigen")


def test_a_protocol_says_all_of_itself():
    assert str(PLAIN) == "no alignment, no crop, truth from 0.001 to 10 m, no clamp, no flip, mean per image"
    assert str(ZOEDEPTH) == (
        "no alignment, Eigen crop, truth from 0.001 to 10 m exclusive, predictions clamped to that, flip-averaged, "
        "mean per image; published rows score the raw depth of the official 654 test images"
    )
    assert "Garg crop, truth from 0.001 to 80 m exclusive" in str(KITTI_GARG) and "652 Eigen test" in str(KITTI_GARG)
    aligned = str(Protocol(align="disparity", average="pixel"))
    assert aligned.startswith("scale and shift fitted in disparity per image") and aligned.endswith("mean per pixel")
    assert str(Protocol(align="median")).startswith("scaled to the true median per image")


@pytest.mark.parametrize("wrong", [{"align": "scale"}, {"crop": "Eigen"}, {"average": "mean"}, {"bounds": "open"}])
def test_choices_that_do_not_exist_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"{name} must be one of"):
        Protocol(**wrong)


def test_protocols_of_earlier_files_can_be_read():
    """Files of evaluations that were made before there were bounds."""
    stored = {"align": "disparity", "crop": None, "min_depth": 0.001, "max_depth": 10.0, "clamp": False}
    assert Protocol(**stored, flip_tta=False, average="image") == Protocol(align="disparity")
    assert "boundary_f1" not in METRICS

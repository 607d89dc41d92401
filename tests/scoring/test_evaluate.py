import dataclasses

import numpy as np
import pytest
import torch
from helpers import tree

from depthkit.data.datasets import NYUDepthV2
from depthkit.models.build import build_model
from depthkit.scoring.baselines import ConstantDepth, fit_baselines
from depthkit.scoring.evaluate import evaluate, evaluation_report
from depthkit.scoring.protocol import PLAIN, ZOEDEPTH, Protocol
from depthkit.scoring.statistics import counts, summarise


def test_scores_of_a_constant_by_hand(tmp_path):
    """2 m predicted; truths of 1 m and 4 m: AbsRel 1 and 0.5; an empty map is skipped, never scored 0."""
    dataset = tree(tmp_path, [np.full((28, 28), 1.0), np.full((28, 28), 4.0), np.zeros((28, 28))])
    records = evaluate(ConstantDepth(2.0), dataset)
    assert [record["name"] for record in records] == [f"val/scene/{i:05d}.h5" for i in range(3)]
    assert [record["abs_rel"] for record in records] == [pytest.approx(1), pytest.approx(0.5), None]
    assert records[2]["skipped"] == "0 valid pixels, fewer than 10"
    summary = summarise(records)
    assert counts(records) == {"images": 2, "skipped": 1, "degenerate": 0}
    assert summary["abs_rel"]["mean"] == pytest.approx(0.75)
    assert summary["rmse"]["mean"] == pytest.approx((1 + 2) / 2)
    assert 0.5 <= summary["abs_rel"]["low"] <= 0.75 <= summary["abs_rel"]["high"] <= 1


def test_pixel_average_pools_what_image_average_does_not(tmp_path):
    few = np.zeros((28, 28))
    few[:2, :10] = 4.0  # 20 pixels of AbsRel 0.5 and 784 of AbsRel 1
    records = evaluate(ConstantDepth(2.0), tree(tmp_path, [np.full((28, 28), 1.0), few]))
    pooled = summarise(records, average="pixel")
    assert pooled["abs_rel"]["mean"] == pytest.approx((784 * 1 + 20 * 0.5) / 804)
    assert pooled["rmse"]["mean"] == pytest.approx(np.sqrt((784 * 1 + 20 * 4) / 804))
    assert summarise(records)["abs_rel"]["mean"] == pytest.approx(0.75)


def test_no_scored_image_is_an_error(tmp_path):
    records = evaluate(ConstantDepth(2.0), tree(tmp_path, [np.zeros((28, 28))]))
    with pytest.raises(ValueError, match="none of 1 images has 10 valid pixels"):
        summarise(records)


def test_the_eigen_crop_is_rows_45_to_471_and_columns_41_to_601(tmp_path):
    depth = np.full((480, 640), 2.0)
    depth[45:471, 41:601] = 4.0
    dataset = tree(tmp_path, [depth])
    (record,) = evaluate(ConstantDepth(4.0), dataset, Protocol(crop="eigen"))
    assert record["pixels"] == 426 * 560 and record["abs_rel"] == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="Eigen crop is for 480 × 640"):
        evaluate(ConstantDepth(4.0), tree(tmp_path / "small", [np.full((28, 28), 2.0)]), ZOEDEPTH)


def test_clamping_is_the_protocols_choice(tmp_path):
    dataset = tree(tmp_path, [np.full((28, 28), 5.0)])
    free, clamped = (
        evaluate(ConstantDepth(20.0), dataset, Protocol(clamp=clamp))[0]["abs_rel"] for clamp in (False, True)
    )
    assert (free, clamped) == (pytest.approx(3), pytest.approx(1))


def test_depth_beyond_the_protocols_range_does_not_count(tmp_path):
    depth = np.full((28, 28), 2.0)
    depth[:14] = 12.0
    (record,) = evaluate(ConstantDepth(2.0), tree(tmp_path, [depth]))
    assert record["pixels"] == 14 * 28 and record["abs_rel"] == pytest.approx(0, abs=1e-6)


def test_batches_and_mixed_sizes_score_alike(nyu_root, tmp_path):
    torch.manual_seed(0)
    model = build_model("tiny", input_size=56)
    dataset = NYUDepthV2(nyu_root, "val")
    one, four = (evaluate(model, dataset, batch_size=size) for size in (1, 4))
    for a, b in zip(one, four, strict=True):
        assert a["name"] == b["name"] and a["abs_rel"] == pytest.approx(b["abs_rel"], abs=1e-6)
    mixed = tree(tmp_path, [np.full((28, 28), 2.0), np.full((28, 42), 2.0), np.full((28, 28), 2.0)])
    assert len(evaluate(ConstantDepth(1.0), mixed, batch_size=3)) == 3


def test_flip_averaging_makes_mirrored_pictures_agree(tmp_path):
    torch.manual_seed(0)
    model = build_model("tiny", input_size=56).eval()
    from depthkit.models.predict import predict_maps

    images = torch.randint(0, 255, (1, 3, 56, 70), dtype=torch.uint8)
    with torch.inference_mode():
        plain = predict_maps(model, images.flip(-1), (56, 70), flip=True).flip(-1)
        mirrored = predict_maps(model, images, (56, 70), flip=True)
    assert torch.allclose(plain, mirrored, atol=1e-5)


def test_relative_output_is_not_scored_in_metres_unaligned(nyu_root):
    model = build_model("tiny", "relative", input_size=56)
    dataset = NYUDepthV2(nyu_root, "val")
    with pytest.raises(ValueError, match="relative depth has no metres"):
        evaluate(model, dataset)
    for record in evaluate(model, dataset, Protocol(align="disparity")):
        assert np.isfinite([record["scale"], record["shift"], record["abs_rel"]]).all()


def test_a_constant_prediction_is_reported_as_degenerate(tmp_path):
    dataset = tree(tmp_path, [np.linspace(1, 4, 784).reshape(28, 28)])
    (record,) = evaluate(ConstantDepth(2.0), dataset, Protocol(align="disparity"))
    assert record["degenerate"] and record["skipped"] is None
    assert counts([record])["degenerate"] == 1


def test_best_constant_minimises_abs_rel(tmp_path):
    """Against a brute-force search over the same depths, images counting alike whatever their holes."""
    rng = np.random.default_rng(0)
    depths = [rng.uniform(0.5, 9, (28, 28)).round(3) for _ in range(3)]
    depths[1][:20] = 0
    depths[2] /= 4
    dataset = tree(tmp_path, depths, "train")

    def abs_rel(c):
        return np.mean([np.mean(np.abs(c - d[d > 0]) / d[d > 0]) for d in (x.astype(np.float32) for x in depths)])

    grid = np.arange(0.1, 9, 0.001)
    best = grid[np.argmin([abs_rel(c) for c in grid])]
    assert fit_baselines(dataset).constant == pytest.approx(best, abs=0.005)
    medians = np.median(np.concatenate([d[d > 0] for d in depths]))
    assert abs_rel(fit_baselines(dataset).constant) < abs_rel(medians) - 0.01


def test_reports_are_plain_json(nyu_root):
    import json

    records = evaluate(ConstantDepth(2.0), NYUDepthV2(nyu_root, "val"))
    report = json.loads(json.dumps(evaluation_report(records, PLAIN, model="constant"), allow_nan=False))
    assert report["protocol"] == dataclasses.asdict(PLAIN)
    assert report["model"] == "constant" and len(report["records"]) == 5


def test_reports_hold_no_nan_where_an_image_had_nothing_to_align(tmp_path):
    import json

    dataset = tree(tmp_path, [np.linspace(1, 4, 784).reshape(28, 28), np.zeros((28, 28))])
    protocol = Protocol(align="median")
    report = evaluation_report(evaluate(ConstantDepth(2.0), dataset, protocol), protocol)
    json.dumps(report, allow_nan=False)
    assert [record["skipped"] is None for record in report["records"]] == [True, False]


def test_unknown_alignments_are_refused():
    with pytest.raises(ValueError, match="align must be one of"):
        Protocol(align="scale")

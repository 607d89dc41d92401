import dataclasses
import json

import cv2
import numpy as np
import pytest
import torch

from depthkit.data.datasets import RGBDFolder
from depthkit.data.transforms import EvalTransform
from depthkit.errors import InputError
from depthkit.models.build import build_model, load_model, save_model
from depthkit.models.calibration import (
    Calibration,
    apply_calibration,
    calibrate,
    fit_calibration,
    load_calibration,
    predict_calibrated,
)
from depthkit.models.predict import predict_depth, predict_disparity

PLACES = [(3, 4), (40, 20), (70, 50), (10, 50), (60, 8)]  # (u, v)


@pytest.fixture
def scene(tmp_path):
    """Folders of a metric and a relative model, a photo, and a function that writes points of it as CSV."""
    photo = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    photo = cv2.GaussianBlur(photo, (0, 0), 8) * 3
    cv2.imwrite(str(tmp_path / "photo.png"), photo[..., ::-1])
    for objective in ("metric", "relative"):
        torch.manual_seed(0)
        save_model(build_model("tiny", objective, input_size=56), tmp_path / objective)

    def write(depth, places=PLACES):
        rows = [f"photo.png,{u},{v},{depth[round(v), round(u)]}" for u, v in places]
        (tmp_path / "points.csv").write_text("\n".join(["file,u,v,metres", *rows]) + "\n")
        return tmp_path / "points.csv"

    return tmp_path, photo, write


def test_three_points_undo_a_factor_of_1_34(scene):
    folder, photo, write = scene
    depth = predict_depth(load_model(folder / "metric"), photo)
    calibration = calibrate(folder / "metric", write(depth / 1.34, PLACES[:3]))
    assert calibration.kept and calibration.shift == 0
    assert load_calibration(folder / "metric") == calibration
    assert np.allclose(apply_calibration(depth, calibration), depth / 1.34, rtol=0.02)
    assert set(json.loads((folder / "metric" / "calibration.json").read_text())) >= {
        *("scale", "shift", "space", "points", "error_before", "error_after")
    }
    assert calibration.error_before == pytest.approx(np.log(1.34), abs=0.01) and calibration.error_after < 0.01


def test_the_row_of_a_point_is_v_and_the_column_u(scene):
    """With u and v exchanged the points would be those of other pixels, and the fit could not be exact."""
    folder, photo, write = scene
    depth = predict_depth(load_model(folder / "metric"), photo)
    slanted = depth * np.linspace(0.5, 2, 80)[None]
    places = [(u + 0.4, v - 0.4) for u, v in PLACES]
    found = calibrate(folder / "metric", write(slanted, places))
    ratios = [slanted[v, u] / depth[v, u] for u, v in PLACES]
    assert found.scale == pytest.approx(np.median(ratios), rel=1e-4)


def test_a_relative_model_predicts_metres_after_scale_and_shift_in_disparity(scene):
    folder, photo, write = scene
    model = load_model(folder / "relative")
    disparity = predict_disparity(model, photo)
    metres = 1 / (0.8 * disparity / disparity.max() + 0.15)
    calibration = calibrate(folder / "relative", write(metres, PLACES[:3] + PLACES[3:]))
    assert calibration.kept and calibration.space == "disparity"
    assert np.allclose(predict_calibrated(model, photo, load_calibration(folder / "relative")), metres, rtol=0.01)


def test_a_data_set_calibrates_too_with_maps_smaller_than_its_photos(scene):
    folder, photo, _ = scene
    depth = 0.7 * predict_depth(load_model(folder / "metric"), photo)[1::2, 1::2]
    depth[:10] = 0  # not measured, and not to be divided by
    for name in "abcd":
        for kind in ("rgb", "depth"):
            (folder / "data" / kind).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / "data" / "rgb" / f"{name}.png"), photo[..., ::-1])
        np.save(folder / "data" / "depth" / f"{name}.npy", depth)
    dataset = RGBDFolder(folder / "data", transform=EvalTransform(28))
    calibration = calibrate(folder / "metric", dataset)
    assert dataset.transform is not None  # the caller's data set stays as it was
    assert calibration.scale == pytest.approx(0.7, rel=1e-4) and calibration.parts == 4 and calibration.kept
    assert calibration.error_after < 1e-5


def test_shift_joins_a_scale_only_where_it_helps():
    p = np.linspace(1, 6, 12)
    parts = range(12)
    shifted = fit_calibration(p, 1.2 * p + 0.5, parts, "depth")
    assert (shifted.scale, shifted.shift) == pytest.approx((1.2, 0.5), rel=1e-3)
    few = fit_calibration(p[::2], 1.2 * p[::2] + 0.5, range(6), "depth")
    assert few.kept and few.shift == 0
    noise = np.exp(np.random.default_rng(0).normal(0, 0.05, 12))
    assert fit_calibration(p, 1.5 * p * noise, parts, "depth").shift == 0


def test_one_wrong_point_among_ten_does_not_move_the_fit():
    p = np.linspace(0.2, 1, 10)
    metres = 1 / (0.5 * p + 0.1)
    metres[3] *= 1.5
    found = fit_calibration(p, metres, range(10), "disparity")
    assert found.kept and (found.scale, found.shift) == pytest.approx((0.5, 0.1), rel=0.02)


@pytest.mark.parametrize("count", [3, 4, 8])
@pytest.mark.parametrize("space", ["depth", "disparity"])
def test_random_points_do_not_make_a_good_model_worse(count, space):
    """A model that is right up to 15 % of noise per point: with the calibrations that are kept, its mean error on
    other points hardly grows; with every one of them it would."""
    rng = np.random.default_rng(0)
    true = np.exp(rng.uniform(0, 2, 4000))
    fresh = true * np.exp(rng.normal(0, 0.15, 4000))
    draws = 150
    base = np.abs(np.log(fresh / true)).mean() if space == "depth" else np.abs(np.log(true / np.median(true))).mean()
    kept, errors, all_errors = 0, [], []
    for _ in range(draws):
        metres = np.exp(rng.uniform(0, 2, count))
        noisy = metres * np.exp(rng.normal(0, 0.15, count))
        # a relative model that knows nothing, as its best rival is a constant
        predicted = noisy if space == "depth" else rng.uniform(0.1, 1, count)
        found = fit_calibration(predicted, metres, range(count), space)
        after = apply_calibration(fresh if space == "depth" else rng.uniform(0.1, 1, 4000), found)
        all_errors.append(np.abs(np.log(after / true)).mean())
        errors.append(all_errors[-1] if found.kept else base)
        kept += found.kept
    assert kept <= 0.08 * draws and np.mean(errors) < (1.03 if space == "depth" else 1.08) * base
    assert np.mean(all_errors) > 1.02 * np.mean(errors)


def test_bad_points_are_named_by_line(scene):
    folder, _, write = scene
    path = write(np.ones((60, 80)))
    rows = ["photo.png,1,2,abc", "photo.png,80,2,1.5", "none.png,1,2,1.5", "photo.png,1,2,-1", "photo.png,1,2"]
    rows += ["photo.png,5,7,1,85", "photo.png,79.4,-0.5,1.6"]
    path.write_text("\n".join(["file,u,v,metres", "photo.png,79.4,-0.5,1.5", *rows]))
    with pytest.raises(InputError) as error:
        calibrate(folder / "metric", path)
    for text in ("line 3: could not", "line 4: (80, 2) lies outside", "none.png", "line 6: u, v, metres", "line 7: u"):
        assert text in str(error.value)
    for text in (
        "line 8: 1 field(s) too many; decimals have a point",
        "line 9: (79.4, -0.5) of photo.png is there twice",
    ):
        assert text in str(error.value)
    assert "line 2" not in str(error.value)
    path.write_text("photo.png,1,2,1.5\n")
    with pytest.raises(InputError, match="first line must be file,u,v,metres"):
        calibrate(folder / "metric", path)
    path.write_text("file,u,v,metres\n")
    with pytest.raises(InputError, match=rf"{path.name}: no line after the first"):
        calibrate(folder / "metric", path)
    with pytest.raises(InputError, match="measure 3 or more"):
        calibrate(folder / "metric", write(np.ones((60, 80)), PLACES[:1]))
    with pytest.raises(InputError, match="local model folder"):
        calibrate("someone/model", path)
    whole = dataclasses.asdict(Calibration(2.0, 0.0, "depth", 3, 3, 0.3, 0.1))
    for fault in ({"scale": float("nan")}, {"scale": -1.0}, {"space": "foo"}, {"scale": "1"}, {"shift": None}):
        (folder / "metric" / "calibration.json").write_text(json.dumps(whole | fault))
        with pytest.raises(InputError, match="holds no calibration"):
            load_calibration(folder / "metric")
    (folder / "metric" / "calibration.json").write_text('{"scale": 1}')
    with pytest.raises(InputError, match="holds no calibration"):
        load_calibration(folder / "metric")


def test_distances_in_another_unit_are_doubted(scene):
    folder, photo, write = scene
    depth = predict_depth(load_model(folder / "metric"), photo)
    assert "are the distances in metres?" in str(calibrate(folder / "metric", write(100 * depth)))
    assert "are the distances" not in str(calibrate(folder / "metric", write(depth / 12)))


def test_what_is_not_kept_is_not_saved_and_says_so(scene):
    folder, photo, write = scene
    depth = predict_depth(load_model(folder / "metric"), photo)
    calibration = calibrate(folder / "metric", write(depth))
    assert not calibration.kept and "NOT kept" in str(calibration) and load_calibration(folder / "metric") is None
    assert np.array_equal(apply_calibration(depth, None), depth)


def test_arrays_and_tensors_are_calibrated_alike_and_stay_positive():
    calibration = Calibration(2.0, -1.0, "disparity", 3, 3, 0.3, 0.1)
    values = np.array([0.0, 0.5, 1.0, np.nan], dtype=np.float32)
    expected = np.array([1000, 1000, 1, np.nan], dtype=np.float32)
    found = apply_calibration(values, calibration)
    assert np.allclose(found, expected, equal_nan=True) and found.dtype == np.float32
    assert np.allclose(apply_calibration(torch.from_numpy(values), calibration).numpy(), expected, equal_nan=True)
    depth = dataclasses.replace(calibration, space="depth")
    assert np.allclose(apply_calibration(values[:3], depth), [1e-3, 1e-3, 1])

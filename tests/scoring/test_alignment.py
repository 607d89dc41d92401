import numpy as np
import pytest
import torch

from depthkit.masked import check_maps, masked_median
from depthkit.scoring.alignment import align, align_median, fit_scale_shift, is_degenerate

JUNK = [0.0, -3.0, 1e30, float("nan"), float("inf"), -float("inf")]


def maps(*images):
    return torch.tensor(np.stack(images), dtype=torch.float32)


@pytest.fixture
def scene():
    """Three images of true depth 0.5 to 8 m, and a mask with a tenth of holes."""
    rng = np.random.default_rng(3)
    depth = torch.from_numpy(rng.uniform(0.5, 8, (3, 12, 16)).astype(np.float32))
    mask = torch.from_numpy(rng.random((3, 12, 16)) > 0.1)
    return depth, mask


def test_the_median_ignores_holes_and_averages_the_middle_two():
    values = torch.tensor([[[5.0, 1.0, 9.0, 7.0]], [[5.0, 1.0, 9.0, 7.0]], [[5.0, 1.0, 9.0, 7.0]]])
    mask = torch.tensor([[[True, True, True, True]], [[True, False, True, True]], [[False] * 4]])
    assert masked_median(values, mask)[:2].tolist() == [6.0, 7.0]  # with the hole as a zero the second would be 6
    assert masked_median(values, mask)[2].isnan()
    rng = np.random.default_rng(0)
    for size in (1, 2, 11, 60):
        x = rng.normal(size=(1, 6, 10)).astype(np.float32)
        keep = np.zeros(60, dtype=bool)
        keep[rng.permutation(60)[:size]] = True
        found = masked_median(torch.from_numpy(x), torch.from_numpy(keep.reshape(1, 6, 10)))
        assert found.item() == pytest.approx(np.median(x.reshape(-1)[keep].astype(np.float64)), rel=1e-6)


def test_fit_against_numpy_least_squares(scene):
    target, mask = scene
    pred = torch.from_numpy(np.random.default_rng(5).normal(3, 1, target.shape).astype(np.float32))
    scale, shift = fit_scale_shift(pred, target, mask)
    assert scale.dtype == shift.dtype == torch.float64 and scale.shape == shift.shape == (3,)
    for i in range(3):
        p, t = pred[i][mask[i]].double().numpy(), target[i][mask[i]].double().numpy()
        a, b = np.linalg.lstsq(np.stack([p, np.ones_like(p)], 1), t, rcond=None)[0]
        assert scale[i].item() == pytest.approx(a, rel=1e-9) and shift[i].item() == pytest.approx(b, rel=1e-9)


def test_fit_is_accurate_where_the_spread_is_small_beside_the_mean():
    """float32 sums of squares have no digit left here: mean 1000, spread 1/64, both exact in float32."""
    pred = 1000 + torch.arange(16).reshape(1, 4, 4) / 1024
    target = 1 + torch.arange(16).reshape(1, 4, 4) / 16
    scale, shift = fit_scale_shift(pred, target, torch.ones(1, 4, 4, dtype=torch.bool))
    assert scale.item() == pytest.approx(64, rel=1e-9) and shift.item() == pytest.approx(1 - 64000, rel=1e-9)


@pytest.mark.parametrize("junk", JUNK)
def test_holes_do_not_matter_whatever_stands_in_them(scene, junk):
    depth, mask = scene
    pred = 0.3 / depth + 0.7
    clean = {method: align(pred, depth, mask, method, 10.0) for method in ("disparity", "depth", "median")}
    for spoilt in (depth, pred):
        spoilt[~mask] = junk
    for method, (expected, fit) in clean.items():
        found, refit = align(pred, depth, mask, method, 10.0)
        assert torch.equal(found[mask], expected[mask])
        assert all(torch.equal(refit[name], fit[name]) for name in fit)


def test_affine_disparity_comes_back_as_the_true_depth(scene):
    """Each image with its own unknown scale and shift (pitfall 7: the result is the same for all of them)."""
    depth, mask = scene
    scale, shift = torch.tensor([0.1, 1.0, 30.0]), torch.tensor([-2.0, 0.0, 5.0])
    pred = scale[:, None, None] / depth + shift[:, None, None]
    aligned, fitted = align(pred, depth, mask, "disparity", 10.0)
    assert aligned.dtype == torch.float32 and torch.allclose(aligned, depth, rtol=1e-4)
    assert torch.allclose(fitted["scale"], 1 / scale.double(), rtol=1e-4)
    assert fitted["degenerate"].tolist() == [False] * 3


def test_disparities_at_or_below_zero_become_max_depth_and_nothing_is_clamped_before_the_fit():
    """By hand: disparity truth 1, 0.5, 0.25, 0.25 against 3, 2, 1, 0 fits 0.25·p + 0.125; 0.125 is beyond 5 m.

    A pixel outside the mask has p = −8: 0.25·(−8) + 0.125 < 0, which inverted unclamped would lie behind the camera.
    """
    pred = torch.tensor([[[3.0, 2.0, 1.0, 0.0, -8.0]]])
    depth = torch.tensor([[[1.0, 2.0, 4.0, 4.0, 0.0]]])
    aligned = align(pred, depth, depth > 0, "disparity", 5.0)[0]
    assert aligned[0, 0].tolist() == pytest.approx([1 / 0.875, 1 / 0.625, 1 / 0.375, 5.0, 5.0], rel=1e-6)


def test_degenerate_fits_are_told():
    """Constant; reversed; one valid pixel; none; constant up to float32 rounding; and a sound one."""
    ramp = np.linspace(1, 4, 12).reshape(3, 4)
    depth = maps(*[ramp] * 6)
    rounding = np.full((3, 4), 2.0, dtype=np.float32)
    rounding[1] = np.nextafter(np.float32(2), np.float32(3))
    pred = maps(np.full((3, 4), 2.0), ramp, 1 / ramp, 1 / ramp, rounding, 1 / ramp)
    mask = torch.ones_like(pred, dtype=torch.bool)
    mask[2:4] = False
    mask[2, 1, 1] = True
    aligned, fit = align(pred, depth, mask, "disparity", 10.0)
    assert fit["degenerate"].tolist() == is_degenerate(fit["scale"]).tolist() == [True] * 5 + [False]
    mean_disparity = (1 / ramp.astype(np.float32).astype(np.float64)).mean()
    for i in (0, 4):
        assert fit["scale"][i] == 0 and aligned[i].numpy() == pytest.approx(1 / mean_disparity, rel=1e-6)
    assert fit["scale"][1] < 0
    assert fit["scale"][2] == 0 and aligned[2].numpy() == pytest.approx(depth[2, 1, 1].item(), rel=1e-6)
    assert fit["scale"][3].isnan() and fit["shift"][3].isnan() and aligned[3].isnan().all()


def test_a_prediction_that_is_not_finite_is_degenerate(scene):
    depth, mask = scene
    pred = 1 / depth
    pred[0][mask[0]] = torch.where(torch.arange(int(mask[0].sum())) == 3, torch.nan, pred[0][mask[0]])
    assert align(pred, depth, mask, "disparity", 10.0)[1]["degenerate"].tolist() == [True, False, False]


def test_perfect_disparity_fitted_to_depth_is_wrong(scene):
    """A line through depths 1, 2, 4 over disparities 1, 1/2, 1/4 misses all three; the fit in disparity is exact."""
    depth = torch.tensor([[[1.0, 2.0, 4.0]]])
    mask = torch.ones_like(depth, dtype=torch.bool)
    slope, shift = np.polyfit([1, 0.5, 0.25], [1, 2, 4], 1)
    aligned, fit = align(1 / depth, depth, mask, "depth", 10.0)
    assert aligned[0, 0].tolist() == pytest.approx([slope + shift, slope / 2 + shift, slope / 4 + shift], rel=1e-6)
    assert ((aligned - depth).abs() / depth).mean() > 0.1
    assert torch.allclose(align(1 / depth, depth, mask, "disparity", 10.0)[0], depth)
    assert fit["scale"].item() < 0 and not fit["degenerate"].item()  # disparity runs against depth
    assert align(torch.ones_like(depth), depth, mask, "depth", 10.0)[1]["degenerate"].item()


def test_affine_depth_comes_back_from_a_fit_in_depth(scene):
    depth, mask = scene
    assert torch.allclose(align(0.2 * depth - 4, depth, mask, "depth", 10.0)[0], depth, rtol=1e-4)


def test_median_scaling(scene):
    depth = torch.tensor([[[1.0, 2.0, 9.0, 0.0]]])
    pred = torch.tensor([[[3.0, 4.0, 5.0, 100.0]]])
    assert align_median(pred, depth, depth > 0)[0, 0].tolist() == [1.5, 2.0, 2.5, 50.0]
    depth, mask = scene
    assert torch.allclose(align_median(depth * 0.01, depth, mask), depth, rtol=1e-5)
    assert align(-depth, depth, mask, "median", 10.0)[1]["degenerate"].all()
    zero = align(torch.zeros_like(depth), depth, mask, "median", 10.0)[1]  # median 0: the scale is infinite
    assert zero["degenerate"].all()


def test_wrong_arguments_are_refused(scene):
    depth, mask = scene
    with pytest.raises(ValueError, match=r"one shape \(B, H, W\)"):
        check_maps(depth[0], depth[0], mask[0])
    with pytest.raises(ValueError, match=r"one shape \(B, H, W\)"):
        fit_scale_shift(depth, depth[:1], mask)
    with pytest.raises(TypeError, match="mask must be bool"):
        align_median(depth, depth, mask.float())
    with pytest.raises(ValueError, match="method must be"):
        align(depth, depth, mask, "none", 10.0)

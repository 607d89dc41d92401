import math

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from depthkit.training import losses
from depthkit.training.losses import GradientMatchingLoss, ScaleShiftInvariantLoss, SiLogLoss

JUNK = [0.0, -3.0, 1e30, float("nan"), float("inf"), -float("inf")]
LOSSES = {
    "silog": SiLogLoss(),
    "ssi": ScaleShiftInvariantLoss(),
    "ssi_trimmed": ScaleShiftInvariantLoss(trim=0.2),
    "ssi_least_squares": ScaleShiftInvariantLoss(alignment="least_squares"),
    "gradient": GradientMatchingLoss(),
}
RELATIVE = [name for name in LOSSES if name != "silog"]


@pytest.fixture(params=LOSSES)
def loss(request):
    return LOSSES[request.param]


@pytest.fixture
def batch():
    """Three images of 16 × 20, all values positive, with different shares of holes."""
    rng = np.random.default_rng(7)
    target = rng.uniform(0.2, 3, (3, 16, 20)).astype(np.float32)
    pred = (target * rng.lognormal(0.2, 0.4, target.shape)).astype(np.float32)
    mask = rng.random(target.shape) > np.array([0.1, 0.4, 0.7])[:, None, None]
    return torch.from_numpy(pred), torch.from_numpy(target), torch.from_numpy(mask)


def value_and_gradient(loss, pred, target, mask):
    pred = pred.clone().requires_grad_()
    value = loss(pred, target, mask)
    value.backward()
    return value.detach(), pred.grad


def normalised(d):
    """(d − median) / mean |d − median| of a flat float64 array."""
    d = np.asarray(d, np.float64)
    centred = d - np.median(d)
    return centred / np.abs(centred).mean()


def residuals(pred, target, mask):
    """Per image: the flat valid residuals of the normalised maps."""
    return [normalised(p[m]) - normalised(t[m]) for p, t, m in zip(pred, target, mask, strict=True)]


def numpy(*tensors):
    return [x.numpy() for x in tensors]


# ---- known answers


def test_silog_by_hand():
    """g = (ln 2, 0): mean ln2/2, mean square ln²2/2; λ = 0 is the RMSE of logs, λ = 1 its standard deviation."""
    pred, target = torch.tensor([[[2.0, 3.0]]]), torch.tensor([[[1.0, 3.0]]])
    mask = torch.ones_like(pred, dtype=torch.bool)
    for lam, factor in ((0.0, 1 / 2), (0.5, 1 / 2 - 1 / 8), (1.0, 1 / 4)):
        assert SiLogLoss(lam)(pred, target, mask).item() == pytest.approx(math.log(2) * math.sqrt(factor), rel=1e-6)


def test_silog_is_over_the_pixels_of_the_batch(batch):
    """Not the mean of per-image losses."""
    pred, target, mask = batch
    p, t, m = numpy(*batch)
    g = np.log(p[m].astype(np.float64)) - np.log(t[m].astype(np.float64))
    expected = np.sqrt(np.mean(g**2) - 0.5 * np.mean(g) ** 2)
    assert SiLogLoss()(pred, target, mask).item() == pytest.approx(expected, rel=1e-5)


def test_silog_never_takes_the_root_of_a_negative():
    """A pure global scale under λ = 1: mean g² − (mean g)² cancels to rounding noise of either sign."""
    target = torch.linspace(0.5, 8, 10000).reshape(1, 100, 100)
    for scale in (1.1, 3.0, 700.0):
        value, gradient = value_and_gradient(SiLogLoss(1.0), scale * target, target, target > 0)
        assert 0 <= value.item() < 1e-5 and gradient.isfinite().all()


def test_normalised_maps_have_median_0_mean_deviation_1_and_0_in_holes(batch):
    pred, _, mask = batch
    mask[1] = False
    found = losses.normalise_disparity(pred, mask)
    for i in (0, 2):
        assert found[i][mask[i]].numpy() == pytest.approx(normalised(pred[i][mask[i]].numpy()), abs=1e-5)
    assert (found[~mask] == 0).all()


def test_ssi_against_numpy(batch):
    expected = np.mean([np.abs(r).mean() for r in residuals(*numpy(*batch))])
    assert LOSSES["ssi"](*batch).item() == pytest.approx(expected, rel=1e-5)


def test_ssi_by_hand():
    """Target 0, 1, …, 9 and, for the prediction, a tenth pixel of 19 instead of 9.

    Both medians are 4.5. Mean deviations are 2.5 and 3.5. Differences of d/2.5 − d/3.5, d = ±0.5, ±1.5, … ±4.5, but
    4.5/2.5 against 14.5/3.5 in the last.
    """
    target = torch.arange(10.0).reshape(1, 2, 5)
    pred = torch.where(target == 9, 19.0, target)
    gap = 1 / 2.5 - 1 / 3.5
    rest = gap * (2 * (0.5 + 1.5 + 2.5 + 3.5) + 4.5)
    expected = (rest + (14.5 / 3.5 - 4.5 / 2.5)) / 10
    mask = torch.ones_like(pred, dtype=torch.bool)
    assert ScaleShiftInvariantLoss()(pred, target, mask).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("trim", [0.1, 0.2, 0.5])
def test_trim_drops_the_largest_residuals_of_each_image(batch, trim):
    expected = []
    for r in residuals(*numpy(*batch)):
        kept = len(r) - math.floor(trim * len(r))
        expected.append(np.sort(np.abs(r))[:kept].mean())
    assert ScaleShiftInvariantLoss(trim=trim)(*batch).item() == pytest.approx(np.mean(expected), rel=1e-5)


def test_least_squares_alignment_against_numpy(batch):
    expected = []
    for p, t, m in zip(*numpy(*batch), strict=True):
        design = np.stack([p[m], np.ones(m.sum())], 1).astype(np.float64)
        goal = normalised(t[m])
        expected.append(np.mean((design @ np.linalg.lstsq(design, goal, rcond=None)[0] - goal) ** 2))
    assert LOSSES["ssi_least_squares"](*batch).item() == pytest.approx(np.mean(expected), rel=1e-4)


def gradient_reference(pred, target, mask, scales):
    """Loops over pixels, strides and axes, one difference at a time."""
    images = []
    for m, r in zip(mask, residuals(pred, target, mask), strict=True):
        residual = np.full(m.shape, np.nan)
        residual[m] = r
        total = 0.0
        for k in range(scales):
            small, ok = residual[:: 2**k, :: 2**k], m[:: 2**k, :: 2**k]
            for dy, dx in ((0, 1), (1, 0)):
                steps = [
                    abs(small[y + dy, x + dx] - small[y, x])
                    for y in range(small.shape[0] - dy)
                    for x in range(small.shape[1] - dx)
                    if ok[y, x] and ok[y + dy, x + dx]
                ]
                total += np.mean(steps) if steps else 0.0
        images.append(total)
    return np.mean(images)


@pytest.mark.parametrize("scales", [1, 2, 4])
def test_gradient_matching_against_loops(batch, scales):
    expected = gradient_reference(*numpy(*batch), scales)
    assert GradientMatchingLoss(scales)(*batch).item() == pytest.approx(expected, rel=1e-5)


def test_gradient_matching_counts_no_difference_across_a_hole():
    """Two flat halves, a column of holes between them, swapped by the prediction: within a half nothing changes."""
    target = torch.ones(1, 8, 9)
    target[:, :, 5:] = 3.0
    mask = torch.ones_like(target, dtype=torch.bool)
    mask[:, :, 4] = False
    assert GradientMatchingLoss(1)(4 - target, target, mask).item() == 0
    assert ScaleShiftInvariantLoss()(4 - target, target, mask).item() == pytest.approx(2)


# ---- invariances (pitfall 7)


@pytest.mark.parametrize("name", RELATIVE)
@pytest.mark.parametrize(("a", "b"), [(0.01, 0.0), (1.0, -5.0), (20.0, 3.0), (3.0, 0.1)])
def test_relative_losses_do_not_see_scale_and_shift_of_either_side(batch, name, a, b):
    pred, target, mask = batch
    expected = LOSSES[name](pred, target, mask).item()
    assert LOSSES[name](a * pred + b, target, mask).item() == pytest.approx(expected, rel=1e-3)
    assert LOSSES[name](pred, a * target + b, mask).item() == pytest.approx(expected, rel=1e-3)
    per_image = torch.tensor([a, 1.0, 2.0])[:, None, None]
    assert LOSSES[name](per_image * pred, target, mask).item() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("name", ["ssi", "gradient"])
def test_relative_losses_do_see_a_map_upside_down(batch, name):
    _, target, mask = batch
    assert LOSSES[name](-target, target, mask) > 0.5


def test_silog_with_lambda_1_does_not_see_scale(batch):
    pred, target, mask = batch
    values = [SiLogLoss(1.0)(a * pred, target, mask).item() for a in (1.0, 0.01, 50.0)]
    assert values[1:] == pytest.approx([values[0]] * 2, rel=1e-5)
    assert SiLogLoss(0.5)(3 * pred, target, mask).item() > SiLogLoss(0.5)(pred, target, mask).item() + 0.1


# ---- zero residual, holes, empty images (pitfalls 5 and 6)


def test_zero_residual_has_no_loss_and_a_finite_gradient(loss, batch):
    _, target, mask = batch
    value, gradient = value_and_gradient(loss, target, target, mask)
    assert 0 <= value.item() < 1e-5 and gradient.isfinite().all() and gradient.abs().max() < 0.1


@pytest.mark.parametrize("junk", JUNK)
def test_neither_loss_nor_gradient_depends_on_what_stands_in_holes(loss, batch, junk):
    pred, target, mask = batch
    value, gradient = value_and_gradient(loss, pred, target, mask)
    for spoil_pred, spoil_target in ((True, False), (False, True), (True, True)):
        p = torch.where(mask, pred, junk) if spoil_pred else pred
        t = torch.where(mask, target, junk) if spoil_target else target
        other_value, other_gradient = value_and_gradient(loss, p, t, mask)
        assert torch.equal(other_value, value) and torch.equal(other_gradient, gradient)
    assert (gradient[~mask] == 0).all() and (gradient[mask] != 0).any()


@pytest.mark.parametrize("junk", JUNK)
def test_an_image_that_is_all_hole_takes_no_weight(loss, batch, junk):
    pred, target, mask = batch
    value, gradient = value_and_gradient(loss, pred, target, mask)
    hole = torch.full_like(pred[:1], junk)
    empty = torch.zeros_like(mask[:1])
    padded = [torch.cat([a, b]) for a, b in ((hole, pred), (hole, target), (empty, mask))]
    padded_value, padded_gradient = value_and_gradient(loss, *padded)
    assert padded_value.item() == pytest.approx(value.item(), rel=1e-6)
    assert (padded_gradient[0] == 0).all() and torch.allclose(padded_gradient[1:], gradient, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("junk", JUNK)
def test_an_empty_batch_gives_zero_with_a_graph(loss, junk):
    """Without a graph, backward under DDP would fail or wait for the other process for ever."""
    pred = torch.full((2, 16, 20), junk)
    value, gradient = value_and_gradient(loss, pred, pred, torch.zeros_like(pred, dtype=torch.bool))
    assert value.item() == 0 and (gradient == 0).all()


@pytest.mark.parametrize("name", RELATIVE)
def test_images_count_alike_from_ten_valid_pixels_on(batch, name):
    pred, target, mask = batch
    single = [LOSSES[name](pred[i : i + 1], target[i : i + 1], mask[i : i + 1]).item() for i in range(3)]
    assert LOSSES[name](pred, target, mask).item() == pytest.approx(np.mean(single), rel=1e-5)
    few = torch.zeros_like(mask[:1])
    few[0, 0, :9] = True
    with_few = [torch.cat([x[:1], x]) for x in (pred, target)] + [torch.cat([few, mask])]
    assert LOSSES[name](*with_few).item() == pytest.approx(np.mean(single), rel=1e-5)
    few[0, 0, 9] = True
    ten = LOSSES[name](pred[:1], target[:1], few).item()
    with_ten = with_few[:2] + [torch.cat([few, mask])]
    assert ten > 0 and LOSSES[name](*with_ten).item() == pytest.approx(np.mean([ten, *single]), rel=1e-5)


# ---- constant maps (pitfall 13) and half precision


@pytest.mark.parametrize("name", RELATIVE)
@pytest.mark.parametrize("constant", ["prediction", "target", "both"])
@pytest.mark.parametrize("level", [0.0, 5.0])
def test_constant_maps_give_finite_losses_and_gradients(batch, name, constant, level):
    pred, target, mask = batch
    flat = torch.full_like(pred, level)
    p = flat if constant in ("prediction", "both") else pred
    t = flat if constant in ("target", "both") else target
    value, gradient = value_and_gradient(LOSSES[name], p, t, mask)
    assert value.isfinite() and value < 100 and gradient.isfinite().all()


def test_a_flat_prediction_still_learns(batch):
    """Stuck at one value it gets a gradient that, followed, brings the loss down."""
    _, target, mask = batch
    flat = torch.full_like(target, 0.5)
    loss = LOSSES["ssi"]
    value, gradient = value_and_gradient(loss, flat, target, mask)
    assert gradient.abs().max() > 0
    assert loss(flat - 1e-4 * gradient, target, mask) < 0.9 * value


def test_half_precision_zeros_keep_loss_and_gradient_finite(loss, batch):
    """fp16 has no number between 0 and 6e-8: a sigmoid at −17.4 is 0, and adding 1e-8 to it changes nothing."""
    pred, target, mask = batch
    half = pred.half()
    half[0] = torch.full_like(pred[0], -17.4, dtype=torch.float32).half().sigmoid()
    half[1, :4] = 0
    assert (half[0] == 0).all()
    value, gradient = value_and_gradient(loss, half, target, mask)
    assert value.dtype == torch.float32 and value.isfinite()
    assert gradient.dtype == torch.float16 and gradient.isfinite().all()


def test_silog_pushes_a_zero_prediction_up(batch):
    _, target, mask = batch
    value, gradient = value_and_gradient(SiLogLoss(), torch.zeros_like(target), target, mask)
    assert value.isfinite() and (gradient[mask] < 0).all()
    value, gradient = value_and_gradient(SiLogLoss(), torch.full_like(target, -1e6), target, mask)
    assert value.isfinite() and (gradient[mask] < 0).all()


def test_losses_compute_in_float32_under_autocast(loss, batch, monkeypatch):
    seen = []
    compute = type(loss)._compute

    def spy(self, pred, target, mask):
        seen.append((pred.dtype, target.dtype, torch.is_autocast_enabled("cpu")))
        return compute(self, pred, target, mask)

    monkeypatch.setattr(type(loss), "_compute", spy)
    pred, target, mask = batch
    plain = loss(pred.bfloat16(), target.double(), mask)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(pred.bfloat16(), target.double(), mask)
    assert seen == [(torch.float32, torch.float32, False)] * 2
    assert value.dtype == torch.float32 and torch.equal(value, plain)


def test_losses_never_wait_for_the_device(loss):
    """A fake tensor has no values: reading one (`.item()`, `if tensor`) raises."""
    with FakeTensorMode():
        pred, target = torch.rand(2, 16, 20, requires_grad=True), torch.rand(2, 16, 20)
        loss(pred, target, target > 0.5).backward()
        assert pred.grad.shape == pred.shape


# ---- arguments


def test_wrong_arguments_are_refused(loss, batch):
    pred, target, mask = batch
    with pytest.raises(ValueError, match=r"one shape \(B, H, W\)"):
        loss(pred[:, None], target, mask)
    with pytest.raises(TypeError, match="mask must be bool"):
        loss(pred, target, mask.float())


def test_wrong_options_are_refused():
    with pytest.raises(ValueError, match="lam must lie"):
        SiLogLoss(1.5)
    with pytest.raises(ValueError, match="trim must lie"):
        ScaleShiftInvariantLoss(trim=1.0)
    with pytest.raises(ValueError, match="alignment must be"):
        ScaleShiftInvariantLoss(alignment="mean")


def test_small_images_have_fewer_scales(batch):
    """At stride 8 a 5 × 5 image is one pixel, without a neighbour."""
    pred, target = (x[:1, :5, :5] for x in batch[:2])
    mask = torch.ones_like(pred, dtype=torch.bool)
    assert losses.GradientMatchingLoss(4)(pred, target, mask).item() == pytest.approx(
        gradient_reference(*numpy(pred, target, mask), 3), rel=1e-5
    )

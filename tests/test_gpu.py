"""What only a GPU can show; `make test-gpu` runs it where there is one."""

import dataclasses
import os
import sys
from pathlib import Path

import pytest
import torch
from helpers import STOP_EARLY, command, launched, run, scores

from depthkit.course import sample
from depthkit.course.settings import SAMPLE_CACHE, TINY_WEIGHTS, Settings
from depthkit.data.datasets import NYUDepthV2
from depthkit.models.build import build_model, load_model
from depthkit.run_folder import read_json
from depthkit.scoring.alignment import align
from depthkit.scoring.evaluate import evaluate
from depthkit.scoring.metrics import METRICS, depth_metrics
from depthkit.scoring.protocol import Protocol
from depthkit.scoring.statistics import summarise
from depthkit.training import losses
from depthkit.training.config import TrainConfig
from depthkit.training.losses import objective_loss

pytestmark = pytest.mark.gpu
ON_GPU = {"ACCELERATE_USE_CPU": "false"}  # conftest.py keeps the other tests on the CPU


@pytest.fixture(autouse=True)
def a_gpu():
    assert torch.cuda.is_available(), "these tests need a CUDA device, and PyTorch finds none"


@pytest.fixture
def longer(config):
    """Enough small steps for losses to be worth comparing."""
    return dataclasses.replace(config, epochs=6, lr=1e-4, save_steps=1)


def history(config):
    return read_json(Path(config.output, "history.json"))


def maps(device, seed=0):
    """Predictions, depths and a mask with holes, (3, 60, 80)."""
    generator = torch.Generator().manual_seed(seed)
    depth = 1 + 5 * torch.rand(3, 60, 80, generator=generator)
    pred = depth * (0.8 + 0.4 * torch.rand(3, 60, 80, generator=generator))
    mask = torch.rand(3, 60, 80, generator=generator) > 0.2
    return [values.to(device) for values in (pred, depth, mask)]


@pytest.mark.parametrize("loss", [losses.SiLogLoss(), losses.ScaleShiftInvariantLoss(), losses.GradientMatchingLoss()])
def test_losses_and_gradients_are_those_of_the_cpu(loss):
    values = {}
    for device in ("cpu", "cuda"):
        pred, depth, mask = maps(device)
        pred.requires_grad_()
        value = loss(pred, depth, mask)
        value.backward()
        values[device] = (value.detach().cpu(), pred.grad.cpu())
    for mine, theirs in zip(values["cuda"], values["cpu"], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-7)


def test_scores_and_alignments_are_those_of_the_cpu():
    for method in ("disparity", "depth", "median"):
        scored = {}
        for device in ("cpu", "cuda"):
            pred, depth, mask = maps(device)
            aligned, _ = align(1 / pred if method == "disparity" else pred, depth, mask, method, 10.0)
            scored[device] = depth_metrics(aligned, depth, mask)
        for name in METRICS:
            torch.testing.assert_close(scored["cuda"][name].cpu(), scored["cpu"][name], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("objective", ["metric", "relative"])
def test_neither_step_nor_scores_wait_for_the_gpu(objective):
    """Whatever asks the GPU for a number in mid-computation raises here."""
    config = TrainConfig(encoder="tiny", objective=objective, size=56)
    model, loss = build_model("tiny", objective).cuda(), objective_loss(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    _, depth, mask = maps("cuda")
    batch = {"depth": depth[:, :56, :56], "mask": mask[:, :56, :56]}
    batch["image"] = (batch["depth"] * 40).to(torch.uint8)[:, None].expand(-1, 3, -1, -1)

    def step():
        with torch.autocast("cuda", torch.float16):
            value = loss(model, batch)
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
        return depth_metrics(batch["depth"] * 1.1, batch["depth"], batch["mask"])

    step()  # the first one may, while kernels are chosen
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_training_in_each_precision_learns_what_the_cpu_learns(longer):
    """Convolutions round differently (TF32), so that runs drift apart: loosely the same, not equal."""
    run(command(longer))
    expected = history(longer)
    for precision in ("no", "fp16", "bf16"):
        config = dataclasses.replace(longer, output=f"{longer.output}-{precision}", mixed_precision=precision)
        assert "1 process(es) on cuda" in run(command(config), **ON_GPU)
        rows = history(config)
        assert rows[0]["train_loss"] == pytest.approx(expected[0]["train_loss"], rel=0.05)
        assert rows[-1]["abs_rel"] == pytest.approx(expected[-1]["abs_rel"], rel=0.15)
        model = load_model(Path(config.output, "best"))
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
        again = summarise(evaluate(model, NYUDepthV2(config.data, "val")))["abs_rel"]["mean"]
        assert again == pytest.approx(min(row["abs_rel"] for row in rows), rel=0.01), "the CPU scores it otherwise"


def test_the_samples_recipe_scores_alike_in_each_precision(tmp_path):
    """The real thing: the bundled weights, fine-tuned as notebook 04 does it."""
    root = sample.unpack_sample("rooms", SAMPLE_CACHE)
    here = Settings("sample", data=root, runs=tmp_path, weights=str(TINY_WEIGHTS), encoder="tiny", num_processes=1)
    best = {}
    for precision in ("no", "fp16", "bf16"):
        recipe = here.train_config(output=str(tmp_path / precision), batch_size=8, workers=4)
        run(command(dataclasses.replace(recipe, mixed_precision=precision)), **ON_GPU)
        best[precision] = min(row["abs_rel"] for row in history(recipe))
    print("AbsRel", best)
    assert max(best.values()) - min(best.values()) < 0.01, best


def test_stopped_in_mid_epoch_and_resumed_in_half_precision(longer, tmp_path):
    """The gradient scaler goes on where it stood; sums on a GPU have no fixed order, so that weights are not equal."""
    run(command(longer), **ON_GPU)
    stopped = dataclasses.replace(longer, output=str(tmp_path / "stopped"), max_hours=1e-9)
    code = STOP_EARLY
    run([sys.executable, "-c", code, *command(stopped)[4:]], **ON_GPU)
    state = read_json(Path(stopped.output, "last", "state.json"))
    assert (state["epoch"], state["batch"]) == (0, 1)
    saved = torch.load(Path(stopped.output, "last", "scaler.pt"), weights_only=True)
    run(command(dataclasses.replace(stopped, max_hours=None), "--resume", "True"), **ON_GPU)
    ended = [torch.load(Path(c.output, "last", "scaler.pt"), weights_only=True) for c in (stopped, longer)]
    assert ended[0]["scale"] == ended[1]["scale"] and ended[0]["_growth_tracker"] == ended[1]["_growth_tracker"]
    assert saved["_growth_tracker"] <= 1
    for mine, theirs in zip(scores(history(stopped)), scores(history(longer)), strict=True):
        assert mine["lr_encoder"] == theirs["lr_encoder"]
        assert mine["train_loss"] == pytest.approx(theirs["train_loss"], rel=0.05)


LAUNCH = """
from functools import partial
import torch
from accelerate import notebook_launcher
from depthkit.training import train as training
from depthkit.training.config import TrainConfig
from depthkit.models.build import build_model
from depthkit.models.predict import predict_depth
from depthkit.course.settings import Settings

if torch.cuda.device_count() < 2:  # both processes share it, which NCCL refuses
    training.InitProcessGroupKwargs = partial(training.InitProcessGroupKwargs, backend="gloo")
Settings.detect()
predict_depth(build_model("tiny"), torch.zeros(3, 56, 56, dtype=torch.uint8))  # many threads, as in a notebook
assert not torch.cuda.is_initialized(), "something opened CUDA before the launch"
notebook_launcher(training.train, (TrainConfig(**{config!r}),), num_processes=2, use_port=training.free_port())
print("launch returned")
"""


def test_two_forked_processes_train_in_half_precision(longer, tmp_path):
    """As on 2 × T4: forked from a parent with a thread pool, and their gradients are those of the whole batch."""
    one = dataclasses.replace(longer, objective="relative")
    run(command(one), **ON_GPU)
    two = dataclasses.replace(one, output=str(tmp_path / "two"), batch_size=2)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OMP")} | ON_GPU
    printed = launched(LAUNCH.format(config=dataclasses.asdict(two)), environment)
    assert "2 process(es) on cuda" in printed and "launch returned" in printed
    for mine, theirs in zip(history(two), history(one), strict=True):
        assert mine["lr_encoder"] == pytest.approx(theirs["lr_encoder"])
        assert mine["train_loss"] == pytest.approx(theirs["train_loss"], rel=0.05)
    records = read_json(Path(two.output, "eval", "val.json"))["records"]
    assert len(records) == 5 and all(record["skipped"] is None for record in records)
    again = summarise(
        evaluate(load_model(Path(two.output, "best")), NYUDepthV2(two.data, "val"), Protocol("disparity"))
    )
    assert again["abs_rel"]["mean"] == pytest.approx(min(row["abs_rel"] for row in history(two)), rel=0.01)

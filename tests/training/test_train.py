"""The training function as its users run it: plain, launched, killed, resumed."""

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from helpers import STOP_EARLY, attempt, command, equal, launched, run, scores, weights
from safetensors.torch import load_file

from depthkit.data.datasets import NYUDepthV2
from depthkit.models.build import build_model, load_model, save_model
from depthkit.run_folder import read_json
from depthkit.scoring.baselines import ConstantDepth, fit_baselines
from depthkit.scoring.evaluate import evaluate
from depthkit.scoring.statistics import summarise
from depthkit.training.checkpoints import Progress
from depthkit.training.config import TrainConfig
from depthkit.training.schedule import learning_rate_factor, parameter_groups, set_learning_rates
from depthkit.training.train import free_port, selection_protocol


@pytest.fixture(scope="module")
def finished(nyu_root, tmp_path_factory):
    """One undisturbed run in one process, with its output."""
    output = tmp_path_factory.mktemp("finished") / "run"
    config = TrainConfig(
        data=str(nyu_root), output=str(output), encoder="tiny", size=56, epochs=2, batch_size=4, lr=3e-4, workers=0
    )
    return config, run(command(config))


def test_a_run_leaves_what_the_notebooks_read(finished):
    config, printed = finished
    output = Path(config.output)
    assert read_json(output / "config.json")["encoder"] == "tiny"
    history = read_json(output / "history.json")
    assert [row["epoch"] for row in history] == [1, 2]
    assert history[1]["train_loss"] < history[0]["train_loss"]
    assert history[-1]["lr_encoder"] == pytest.approx(0, abs=1e-12)
    report = read_json(output / "eval" / "val.json")
    assert len(report["records"]) == 5
    best = min(row["abs_rel"] for row in history)
    assert report["summary"]["abs_rel"]["mean"] == pytest.approx(best, abs=1e-12)
    assert f"AbsRel {best:.4f}" in printed
    again = summarise(evaluate(load_model(output / "best"), NYUDepthV2(config.data, "val")))
    assert again["abs_rel"]["mean"] == pytest.approx(best, abs=1e-6)
    assert list(output.glob("tensorboard/*")), "no TensorBoard events"


def test_an_occupied_folder_is_refused_and_left_alone(finished):
    config, _ = finished
    before = weights(config)
    from depthkit.training.train import start

    with pytest.raises(ValueError, match="holds a run already: pass resume=True"):
        start(config)
    assert equal(before, weights(config))


def test_killed_in_mid_epoch_and_resumed_equals_undisturbed(finished, tmp_path):
    config, _ = finished
    killed = dataclasses.replace(config, output=str(tmp_path / "killed"), save_steps=1)
    process = subprocess.Popen(
        command(killed), env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    state = Path(killed.output, "last", "state.json")
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if json.loads(state.read_text())["batch"] >= 2:
                break
        except (OSError, ValueError):
            pass
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run ended before it could be killed"
    left = json.loads(state.read_text())
    assert (left["epoch"], left["batch"]) < (2, 0) and left["batch"] > 0, f"not in mid-epoch: {left}"

    printed = run(command(killed, "--resume", "True"))
    assert "resumed from" in printed
    assert equal(weights(killed), weights(config))
    assert equal(weights(killed, "best"), weights(config, "best"))
    mine, theirs = (scores(read_json(Path(c.output, "history.json"))) for c in (killed, config))
    for a, b in zip(mine, theirs, strict=True):
        assert a == pytest.approx(b, rel=1e-6)  # the loss is a sum that was taken up in the middle


def test_max_hours_saves_and_a_new_folder_goes_on(finished, tmp_path):
    """As over two sessions: the first stops on its time limit, the second has the first's folder as read-only input."""
    config, _ = finished
    first = dataclasses.replace(config, output=str(tmp_path / "first"), max_hours=1e-9)
    code = STOP_EARLY
    printed = run([sys.executable, "-c", code, *command(first)[4:]])
    assert "max_hours reached" in printed
    state = read_json(Path(first.output, "last", "state.json"))
    assert (state["epoch"], state["batch"]) == (0, 1)

    second = dataclasses.replace(config, output=str(tmp_path / "second"))
    run(command(second, "--resume", "True", "--resume_from", first.output))
    assert equal(weights(second), weights(config))
    assert read_json(Path(first.output, "last", "state.json")) == state


def test_time_that_ends_within_an_epoch_of_few_batches_leaves_its_score(finished, tmp_path):
    config, _ = finished
    stopped = dataclasses.replace(config, output=str(tmp_path / "stopped"), max_hours=1e-9)
    assert "max_hours reached" in run(command(stopped))
    state = read_json(Path(stopped.output, "last", "state.json"))
    assert (state["epoch"], state["batch"]) == (1, 0)
    first = read_json(Path(config.output, "history.json"))[:1]
    assert scores(read_json(Path(stopped.output, "history.json"))) == scores(first)
    assert Path(stopped.output, "best", "model.safetensors").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU's precisions are in test_gpu.py")
def test_a_cpu_computes_in_bfloat16_when_asked_for_and_learns_the_same(finished, tmp_path):
    """Begun with --resume True, as one does with a command that is to be given again: it leaves its config, too."""
    config, _ = finished
    half = dataclasses.replace(config, output=str(tmp_path / "half"), mixed_precision="bf16")
    assert "starting from the beginning" in run(command(half, "--resume", "True"))
    assert read_json(Path(half.output, "config.json"))["mixed_precision"] == "bf16"
    for mine, theirs in zip(*(read_json(Path(c.output, "history.json")) for c in (half, config)), strict=True):
        assert mine["train_loss"] != theirs["train_loss"], "computed in float32"
        assert mine["train_loss"] == pytest.approx(theirs["train_loss"], rel=0.05)
    stored = load_file(Path(half.output, "best", "model.safetensors"))
    assert all(value.dtype == torch.float32 for value in stored.values())


def test_resuming_with_another_recipe_is_refused(finished):
    config, _ = finished
    done = attempt(command(dataclasses.replace(config, lr=1e-3), "--resume", "True"))
    assert done.returncode != 0
    assert "belongs to another configuration (lr: 0.0003 then, 0.001 now)" in done.stderr


def test_a_run_that_has_no_checkpoint_yet_keeps_its_folder(config, finished):
    output = Path(config.output)
    output.mkdir(parents=True)
    other = output / "config.json"
    other.write_text(json.dumps(dataclasses.asdict(dataclasses.replace(config, lr=1e-3))))
    before = other.read_text()
    for more in [], ["--resume_from", finished[0].output]:
        done = attempt(command(config, "--resume", "True", *more))
        assert done.returncode == 2 and "lr: 0.001 then, 0.0003 now): nothing more of this" in done.stderr
        assert other.read_text() == before and not (output / "history.json").exists()


def test_bad_data_stops_a_run_before_it_begins(config, tmp_path):
    import shutil

    root = shutil.copytree(config.data, tmp_path / "data")
    bad = next((root / "train").rglob("*.h5"))
    bad.write_bytes(bad.read_bytes()[:500])
    done = attempt(command(dataclasses.replace(config, data=str(root))))
    assert done.returncode != 0
    assert bad.name in done.stderr and done.returncode == 2 and "Traceback" not in done.stderr
    assert not Path(config.output, "history.json").exists()


LAUNCH = """
import sys
import torch
from accelerate import notebook_launcher
from depthkit.training.checkpoints import Progress
from depthkit.training.config import TrainConfig
from depthkit.training.train import free_port, train

config = TrainConfig(**{config!r})
torch.rand(600, 600) @ torch.rand(600, 600)  # many threads, as in a notebook that looked at predictions first
assert torch.get_num_threads() > 1, "this machine has one core: the test proves nothing here"
notebook_launcher(train, (config,), num_processes=2, use_port=free_port())
print("launch returned")
"""


def test_two_launched_processes_after_a_threaded_forward_pass(config, tmp_path):
    """A fork after multi-threaded work hangs unless the child keeps to one thread; two processes do the work of one.

    The relative loss is a mean over images, so the gradients of two halves of a batch average to the whole's.
    """
    one = dataclasses.replace(config, objective="relative", lr=3e-5)  # small: rounding grows with every step taken
    run(command(one))
    two = dataclasses.replace(one, output=str(tmp_path / "two"), batch_size=2)
    # two threads, as on a GPU machine, where accelerate does not set them to 1
    printed = launched(LAUNCH.format(config=dataclasses.asdict(two)), os.environ | {"OMP_NUM_THREADS": "2"})
    assert "2 process(es) on cpu, tiny from random weights" in printed and "launch returned" in printed
    mine, theirs = (scores(read_json(Path(c.output, "history.json"))) for c in (two, one))
    for a, b in zip(mine, theirs, strict=True):
        assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-3)
        assert a["abs_rel"] == pytest.approx(b["abs_rel"], rel=1e-2)
        assert a["lr_encoder"] == b["lr_encoder"] and a["lr_decoder"] == b["lr_decoder"]
    report = read_json(Path(two.output, "eval", "val.json"))
    again = evaluate(load_model(Path(two.output, "best")), NYUDepthV2(config.data, "val"), selection_protocol(two))
    assert [r["name"] for r in report["records"]] == [r["name"] for r in again]
    for name in ("abs_rel", "rmse", "d1", "silog"):
        assert report["summary"][name]["mean"] == pytest.approx(summarise(again)[name]["mean"], abs=1e-6)


def test_the_relative_objective_trains_too(config):
    relative = dataclasses.replace(config, objective="relative")
    run(command(relative))
    history = read_json(Path(config.output, "history.json"))
    assert history[1]["train_loss"] < history[0]["train_loss"]
    assert load_model(Path(config.output, "best")).config.depth_estimation_type == "relative"


def test_a_frozen_encoder_stays_as_it_was_while_the_decoder_learns(config, tmp_path):
    torch.manual_seed(0)
    save_model(build_model("tiny", "relative"), tmp_path / "pretrained")
    frozen = dataclasses.replace(
        config, weights=str(tmp_path / "pretrained"), freeze_encoder=True, epochs=1, warmup_epochs=0
    )
    run(command(frozen))
    before, after = load_file(tmp_path / "pretrained" / "model.safetensors"), weights(frozen, "best")
    encoder = [name for name in before if name.startswith("backbone.")]
    assert len(encoder) > 100 and all(torch.equal(before[name], after[name]) for name in encoder)
    assert not torch.equal(before["head.conv1.weight"], after["head.conv1.weight"])


def test_accumulated_gradients_make_the_steps_of_a_larger_batch(config):
    run(command(dataclasses.replace(config, batch_size=2, accumulation=2, epochs=1)))
    rates = read_json(Path(config.output, "history.json"))[0]
    # 16 images, 8 batches of 2, 4 optimiser steps: warm-up 2 steps, then a half cosine to 0
    assert rates["lr_encoder"] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("schedule, middle", [("cosine", 0.5), ("poly", 0.5**0.9)])
def test_learning_rates_are_those_computed_by_hand(processes, schedule, middle):
    """40 images, batches of 4 per process, 5 epochs, half an epoch of warm-up; the schedule counts in epochs."""
    config = TrainConfig(encoder="tiny", lr=1e-3, epochs=5, batch_size=4, warmup_epochs=0.5, schedule=schedule)
    steps = 40 // (4 * processes)
    total = 5 * steps
    optimizer = torch.optim.AdamW(parameter_groups(build_model("tiny"), config))
    rates = []
    for step in range(total):
        progress = Progress(processes, steps, epoch=step // steps, batch=step % steps)
        set_learning_rates(config, progress, optimizer)
        rates.append([group["lr"] for group in optimizer.param_groups])
    assert rates[0] == pytest.approx([1e-3 / steps / 0.5, 1e-2 / steps / 0.5])
    assert max(rates) == rates[math.ceil(0.5 * steps) - 1] == pytest.approx([1e-3, 1e-2])
    share = (5 - 1 / steps - 0.5) / (5 - 0.5)
    last = (1 - share) ** 0.9 if schedule == "poly" else (1 + math.cos(math.pi * share)) / 2
    assert rates[-1] == pytest.approx([1e-3 * last, 1e-2 * last])
    assert learning_rate_factor(config, 5.0, 0.1) == pytest.approx(0, abs=1e-12)
    assert learning_rate_factor(config, 0.5 + 4.5 / 2, 0.1) == pytest.approx(middle)


def test_free_ports_are_free():
    assert 1024 < int(free_port()) < 65536


def test_training_beats_the_constant_it_is_compared_with(config):
    """The picture of these frames says their depth: a model that learns must beat the best constant."""
    run(command(dataclasses.replace(config, epochs=12, decoder_lr_factor=2.0, warmup_epochs=1.0)))
    constant = fit_baselines(NYUDepthV2(config.data, "train")).constant
    baseline = summarise(evaluate(ConstantDepth(constant), NYUDepthV2(config.data, "val")))["abs_rel"]["mean"]
    assert read_json(Path(config.output, "eval", "val.json"))["summary"]["abs_rel"]["mean"] < 0.8 * baseline


def test_checkpointed_gradients_are_the_same(config, tmp_path):
    """Activations computed twice: less memory, the same steps."""
    run(command(dataclasses.replace(config, epochs=1, warmup_epochs=0)))
    again = dataclasses.replace(config, output=str(tmp_path / "again"), gradient_checkpointing=True)
    run(command(dataclasses.replace(again, epochs=1, warmup_epochs=0)))
    for name, value in weights(config).items():
        torch.testing.assert_close(value, weights(again)[name], rtol=1e-4, atol=1e-6)


def test_tensorboard_shows_step_losses_and_validation_pictures(finished):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config, _ = finished
    events = EventAccumulator(str(next(Path(config.output).rglob("events.out*")).parent), {"images": 0, "scalars": 0})
    events.Reload()
    losses = [event.value for event in events.Scalars("step_loss")]
    assert len(losses) >= 6 and all(math.isfinite(loss) for loss in losses)
    (tag,) = events.Tags()["images"]
    assert tag.startswith("validation") and [event.step for event in events.Images(tag)][-1] == 2


def test_the_small_recipe_sets_defaults_that_options_override(capsys):
    from depthkit.cli import _parse

    for recipe in (["--recipe", "small"], ["--recipe=small"]):
        action = _parse(["train", *recipe, "--data", "d", "--epochs", "10"])
        config = action.keywords.get("config") or action.args[0]
        assert (config.init, config.size, config.gradient_checkpointing, config.epochs) == ("neck", 252, True, 10)
        assert config.max_depth is None  # of layout nyu 10, of others what the data say
    plain = _parse(["train", "--data", "d"])
    assert (plain.keywords.get("config") or plain.args[0]) == TrainConfig(data="d")

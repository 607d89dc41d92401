"""Going on after a stop, on other hardware or other data, and stopping before damage is saved."""

import dataclasses
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import STOP_EARLY, attempt, command, run, weights, write_frame
from safetensors.torch import load_file

from depthkit.run_folder import read_json

TWO_PROCESSES = """
import sys
from accelerate import notebook_launcher
from depthkit.training.config import TrainConfig
from depthkit.training.train import free_port, train
notebook_launcher(train, (TrainConfig(**{config}),), num_processes=2, use_port=free_port())
"""


def run_in(processes, config):
    if processes == 1:
        return run(command(config))
    return run([sys.executable, "-c", TWO_PROCESSES.format(config=dataclasses.asdict(config))])


def rates(config):
    return [row["lr_encoder"] for row in read_json(Path(config.output, "history.json"))]


@pytest.fixture(scope="module")
def curve(nyu_root, tmp_path_factory):
    """A config of four epochs, and the rates of its undisturbed run in one process."""
    from depthkit.training.config import TrainConfig

    config = TrainConfig(
        data=str(nyu_root),
        output=str(tmp_path_factory.mktemp("curve") / "run"),
        encoder="tiny",
        size=56,
        epochs=4,
        batch_size=2,
        warmup_epochs=1.5,
        workers=0,
    )
    run(command(config))
    return config, rates(config)


def stop_after_two_epochs(config, processes):
    """A run whose time is over after each epoch, begun and continued once: two epochs and a checkpoint."""
    limited = dataclasses.replace(config, max_hours=1e-9)
    for resume in (False, True):
        run_in(processes, dataclasses.replace(limited, resume=resume))
    assert read_json(Path(config.output, "last", "state.json"))["epoch"] == 2


@pytest.mark.parametrize("before, after", [(1, 2), (2, 1)])
def test_the_rates_of_a_run_resumed_by_another_number_of_processes_follow_the_curve(curve, before, after, tmp_path):
    config, undisturbed = curve
    config = dataclasses.replace(config, output=str(tmp_path / "run"))
    stop_after_two_epochs(config, before)
    run_in(after, dataclasses.replace(config, resume=True))
    assert rates(config)[1:] == pytest.approx(undisturbed[1:], rel=1e-6, abs=1e-15)
    assert undisturbed[1] == pytest.approx(0.905 * config.lr, rel=1e-2) and undisturbed[2] > 0


@pytest.mark.parametrize("change", ["half of the pictures", "twice the pictures"])
def test_the_rates_of_a_run_resumed_on_more_or_fewer_pictures_follow_the_curve(curve, change, nyu_root, tmp_path):
    config, undisturbed = curve
    data = shutil.copytree(nyu_root, tmp_path / "data")
    config = dataclasses.replace(config, data=str(data), output=str(tmp_path / "run"))
    stop_after_two_epochs(config, 1)
    if change.startswith("half"):
        for path in sorted((data / "train").rglob("*.h5"))[::2]:
            path.unlink()
    else:
        for i in range(16):
            write_frame(data / "train" / "more" / f"{i:05d}.h5", 500 + i)
    run(command(config, "--resume", "True"))
    assert rates(config)[1:] == pytest.approx(undisturbed[1:], rel=1e-6, abs=1e-15)


def test_other_pictures_in_mid_epoch_are_refused(curve, nyu_root, tmp_path):
    config, _ = curve
    data = shutil.copytree(nyu_root, tmp_path / "data")
    config = dataclasses.replace(config, data=str(data), output=str(tmp_path / "run"))
    limited = dataclasses.replace(config, max_hours=1e-9)
    run([sys.executable, "-c", STOP_EARLY, *command(limited)[4:]])
    next((data / "train").rglob("*.h5")).unlink()
    next((data / "train").rglob("*.h5")).unlink()
    done = attempt(command(config, "--resume", "True"))
    assert done.returncode == 2 and "the middle of an epoch of 8 batches, and there are 7 now" in done.stderr


@pytest.mark.parametrize("poison", ["rate", "weights"])
def test_a_loss_that_is_not_finite_stops_the_run_and_leaves_what_was_saved(config, poison, tmp_path):
    """A rate that explodes; and, resumed from a good checkpoint, a picture whose depth overflows the loss."""
    good = dataclasses.replace(config, save_steps=1, epochs=6, max_hours=1e-9)
    run(command(good))
    before = weights(good)
    worse = dataclasses.replace(good, max_hours=None, resume=True, workers=0)
    code = BROKEN_RATE if poison == "rate" else BROKEN_WEIGHTS
    arguments = [sys.executable, "-c", code, *command(worse)[4:]]
    done = attempt(arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr and len(done.stderr.strip().splitlines()) == 1
    if poison == "rate":
        assert "epoch 2, batch" in done.stderr and ".h5" in done.stderr and "lower lr" in done.stderr
    else:
        assert "no longer finite: not saved" in done.stderr
    after = load_file(Path(good.output, "last", "model.safetensors"))
    assert all(np.isfinite(value.numpy()).all() for value in after.values())
    assert all((after[name] == before[name]).all() for name in before)
    assert len(read_json(Path(good.output, "history.json"))) == 1


# Training in which something breaks, to be followed by the arguments of `train`.
BROKEN_RATE = """
import sys, torch, depthkit.cli as cli, depthkit.training.train as training
make = training.objective_loss
training.objective_loss = lambda config: lambda model, batch: make(config)(model, batch) * float("nan")
cli.main(["train", *sys.argv[1:]])
"""
BROKEN_WEIGHTS = """
import sys, torch, depthkit.cli as cli, depthkit.training.train as training
count = training.Progress.count
def poisoned(progress, loss, stepped=True):
    count(progress, loss, stepped)
    for each in gc_models():
        with torch.no_grad():
            each.head.conv3.bias.fill_(float("nan"))
def gc_models():
    import gc
    return [o for o in gc.get_objects() if type(o).__name__ == "DepthAnythingForDepthEstimation"]
training.Progress.count = poisoned
cli.main(["train", *sys.argv[1:]])
"""


def test_a_finished_run_says_how_to_train_longer(curve):
    config, _ = curve
    printed = run(command(config, "--resume", "True"))
    assert "has finished its 4 epochs; to train longer, begin a new run from its best model" in printed
    longer = dataclasses.replace(config, epochs=6, resume=True)
    done = attempt(command(longer))
    assert done.returncode == 2 and "epochs: 4 then, 6 now): to train longer" in done.stderr

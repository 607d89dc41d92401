"""Faults provoked for real: kills at any moment, a full disk, a process that dies, damaged files."""

import dataclasses
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from conftest import write_frame
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from test_train import command, equal, run, weights

from depthkit.data import DataError, NYUDepthV2, RGBDFolder
from depthkit.files import read_json

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}
KILLS = 20


def undisturbed(config, folder):
    config = dataclasses.replace(config, output=str(folder))
    run(command(config))
    return config


def start(config, **options):
    options = dict(stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=ENVIRONMENT) | options
    return subprocess.Popen(command(config, "--resume", "True"), **options)


def whole(config):
    """A checkpoint on disk, under either of its names, can be read whole; its place in the run."""
    folders = [path for path in Path(config.output).glob("last*") if path.name in ("last", "last.fresh")]
    for folder in folders:
        load_file(folder / "model.safetensors")
    return max((read_json(f / "state.json")["epoch"], read_json(f / "state.json")["batch"]) for f in folders)


@pytest.mark.slow
def test_killed_at_twenty_random_moments_a_run_ends_as_the_undisturbed_one(config, tmp_path):
    """By turns at any moment after the start, and as soon as a checkpoint, or the best model, is half written."""
    config = dataclasses.replace(config, epochs=30, save_steps=1)
    calm = undisturbed(config, tmp_path / "calm")
    killed = dataclasses.replace(config, output=str(tmp_path / "killed"))
    moments, rng, places = ("any", "last.draft", "any", "best.draft"), random.Random(0), []
    while len(places) < KILLS:
        process, moment = start(killed), moments[len(places) % len(moments)]
        process.stdout.readline()  # "1 process(es) on cpu": from here on it works
        deadline = time.monotonic() + (rng.uniform(0.2, 1.0) if moment == "any" else 5)
        draft = Path(killed.output, moment)
        while time.monotonic() < deadline and process.poll() is None and not draft.exists():
            time.sleep(0.0005)
        process.kill()
        if process.wait() == 0:
            break  # it was done
        drafts = sorted(path.name for path in Path(killed.output).glob("*.draft"))
        if list(Path(killed.output).glob("last*")) != [Path(killed.output, "last.draft")]:
            places.append((*whole(killed), moment, drafts))
        else:
            places.append((0, 0, moment, drafts))
    print(*places, sep="\n")
    assert len(places) == KILLS and sum(bool(drafts) for *_, drafts in places) >= 5
    run(command(killed, "--resume", "True"))
    for part in ("last", "best"):
        assert equal(weights(killed, part), weights(calm, part))


def test_a_full_disk_is_named_and_the_checkpoint_before_it_serves(config, tmp_path):
    """A limit on the size of a file makes writing fail as a full disk does, in the middle of the weights."""
    calm = undisturbed(config, tmp_path / "calm")
    full = dataclasses.replace(config, output=str(tmp_path / "full"), save_steps=1)
    run([sys.executable, "-c", "import depthkit.train as t; t.STOP_CHECK_BATCHES = 1; t.main()", *command(
        dataclasses.replace(full, max_hours=1e-9))[3:]])  # fmt: skip
    before = weights(full)

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, 4_000_000))  # the weights are twice as large

    process = start(full, preexec_fn=limit, stderr=subprocess.PIPE)
    message = process.communicate(timeout=120)[1]
    assert process.returncode == 1
    assert "could not write a checkpoint" in message and "free some disk space" in message
    assert equal(weights(full), before) and not list(Path(full.output).glob("*.draft"))
    run(command(full, "--resume", "True"))
    assert equal(weights(full), weights(calm))


LAUNCH = """
import os, signal, threading, time
from accelerate import notebook_launcher
from depthkit.config import TrainConfig
from depthkit.train import free_port, train

config = TrainConfig(**{config!r})

def doomed(config):
    if os.environ["RANK"] == "1":
        {fault}
    train(config)

port, begun = free_port(), time.monotonic()
try:
    notebook_launcher(doomed, (config,), num_processes=2, use_port=port)
except Exception as error:
    print("raised", type(error).__name__, str(error).replace(chr(10), " "))
print("after", time.monotonic() - begun)
notebook_launcher(train, (config,), num_processes=2, use_port=port)
print("second launch returned")
"""
FAULTS = {
    "killed": ("threading.Timer(3, os.kill, (os.getpid(), signal.SIGKILL)).start()", "SIGKILL"),
    "raises": ("raise OSError('the disk of rank 1 is gone')", "ChildFailedError"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_process_that_dies_ends_the_other_and_frees_the_port(config, fault):
    code, cause = FAULTS[fault]
    config = dataclasses.replace(config, epochs=2 if fault == "raises" else 4, resume=True)
    script = LAUNCH.format(config=dataclasses.asdict(config), fault=code)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=240, env=ENVIRONMENT)
    assert done.returncode == 0, done.stdout + done.stderr
    raised = next(line for line in done.stdout.splitlines() if line.startswith("raised"))
    assert cause in raised + done.stderr
    if fault == "raises":
        assert "the disk of rank 1 is gone" in raised + done.stderr
    assert float(done.stdout.split("after ")[1].split()[0]) < 90
    assert "second launch returned" in done.stdout
    assert read_json(Path(config.output, "history.json"))[-1]["epoch"] == config.epochs


def damaged(data, mutations):
    """Bytes with some overwritten, or cut off (a negative value)."""
    content = bytearray(data)
    for place, value in mutations:
        where = int(place * (len(content) - 1))
        if value < 0:
            del content[max(1, where) :]
        else:
            content[where] = value
    return bytes(content)


MUTATIONS = st.lists(st.tuples(st.floats(0, 1), st.integers(-1, 255)), min_size=1, max_size=6)
# The same examples at every run, so that nobody's change fails by an old fault; FUZZ_EXAMPLES=5000 looks further.
FUZZ = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", 60)),
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    database=None,
)


@FUZZ
@given(MUTATIONS)
@example([(0.04052441804694618, 1)])  # a dimension of 4 billion rows: h5py raises KeyError
def test_a_damaged_h5_file_reads_or_is_named(tmp_path, mutations):
    path = tmp_path / "train" / "scene" / "00000.h5"
    write_frame(path, 0)
    path.write_bytes(damaged(path.read_bytes(), mutations))
    _reads_or_names(NYUDepthV2(tmp_path, "train"), path)


@pytest.mark.parametrize("name", ["rgb/a.png", "rgb/a.jpg", "depth/a.png", "depth/a.npy", "depth/a.h5"])
@FUZZ
@given(mutations=MUTATIONS)
def test_a_damaged_photo_or_depth_map_reads_or_is_named(tmp_path, name, mutations):
    for each in (tmp_path / "rgb" / "a.png", tmp_path / "depth" / "a.png"):
        _write(tmp_path / name if name.startswith(each.parent.name) else each)
    path = tmp_path / name
    path.write_bytes(damaged(path.read_bytes(), mutations))
    _reads_or_names(RGBDFolder(tmp_path, depth_scale=1000), path)


def _write(path):
    """A photo or a depth map in millimetres, in the format that the name asks for."""
    path.parent.mkdir(exist_ok=True)
    array = np.full((40, 50, 3), 90, np.uint8) if path.parent.name == "rgb" else np.full((40, 50), 2000, np.uint16)
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["depth"] = array
    else:
        cv2.imwrite(str(path), array)


def _reads_or_names(dataset, path):
    try:
        dataset.inspect(0)
        sample = dataset[0]
    except DataError as error:
        assert path.name in str(error)
    else:
        assert sample["image"].shape[1:] == sample["depth"].shape == sample["mask"].shape
        assert np.isfinite(sample["depth"].numpy()).all() and not sample["depth"][~sample["mask"]].any()


def test_the_signal_that_ends_a_session_is_no_special_case(config):
    """SIGTERM, as at the end of a Kaggle session: the process ends at once and the next one goes on."""
    process = start(dataclasses.replace(config, save_steps=1))
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == -signal.SIGTERM
    run(command(config, "--resume", "True"))
    assert read_json(Path(config.output, "history.json"))[-1]["epoch"] == 2

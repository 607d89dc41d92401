"""Faults provoked for real: kills at any moment, a full disk, a process that dies, damaged files."""

import dataclasses
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import nullcontext, suppress
from pathlib import Path

import cv2
import h5py
import numpy as np
import psutil
import pytest
import torch
from accelerate import Accelerator
from helpers import STOP_EARLY, Payload, attempt, command, equal, run, weights, write_frame
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from depthkit.data.datasets import NYUDepthV2, RGBDFolder
from depthkit.data.readers import DataError
from depthkit.run_folder import read_json
from depthkit.training import checkpoints
from depthkit.training.checkpoints import Progress
from depthkit.training.config import TrainConfig

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


def undisturbed(config, folder):
    config = dataclasses.replace(config, output=str(folder))
    run(command(config))
    return config


def start(config, **options):
    options = dict(stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=ENVIRONMENT) | options
    return subprocess.Popen(command(config, "--resume", "True"), **options)


def whole(config):
    """A checkpoint on disk can be read whole, the fresh one where a replacement was stopped; its place in the run."""
    folder = next(path for name in ("last.fresh", "last") if (path := Path(config.output, name)).exists())
    load_file(folder / "model.safetensors")
    state = read_json(folder / "state.json")
    return state["epoch"], state["batch"]


# Training that shows from outside when it evaluates: then, and only then, the file `evaluating` is in the run folder.
SHOWN = """
import pathlib, sys, depthkit.cli as cli, depthkit.training.train as training
evaluate = training.evaluate
def shown(*arguments, **options):
    mark.touch()
    records = evaluate(*arguments, **options)
    mark.unlink()
    return records
training.evaluate, mark = shown, pathlib.Path({output!r}, "evaluating")
cli.main(["train", *sys.argv[1:]])
"""


def is_younger(path, moment):
    """A trace of this process, not one that an earlier killed one has left."""
    try:
        return path.stat().st_mtime > moment
    except FileNotFoundError:
        return False


@pytest.mark.slow
def test_killed_at_twenty_random_moments_a_run_ends_as_the_undisturbed_one(config, tmp_path):
    """As soon as the best model is half written, which happens most in the early epochs; then by turns at any moment
    after the start, as soon as a checkpoint is half written, and in an evaluation."""
    config = dataclasses.replace(config, epochs=80, save_steps=1)
    calm = undisturbed(config, tmp_path / "calm")
    killed = dataclasses.replace(config, output=str(tmp_path / "killed"))
    program = [sys.executable, "-c", SHOWN.format(output=killed.output), *command(killed, "--resume", "True")[4:]]
    rng, places, traces = random.Random(0), [], ("last.draft", "evaluating", "best.draft")
    for moment in ["best.draft"] * 5 + ["any", "last.draft", "evaluating"] * 5:
        process = subprocess.Popen(
            program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=ENVIRONMENT
        )
        process.stdout.readline()  # "1 process(es) on cpu": from here on it works
        time.sleep(rng.uniform(0.2, 1.5))
        begun = time.time()
        while moment != "any" and time.time() < begun + 10 and process.poll() is None:
            if is_younger(Path(killed.output, moment), begun):
                break
            time.sleep(0.0005)
        process.kill()
        if process.wait() == 0:
            break  # it was done
        found = [name for name in traces if is_younger(Path(killed.output, name), begun)]
        checkpoints_there = {path.name for path in Path(killed.output).glob("last*")} - {"last.draft"}
        places.append((*(whole(killed) if checkpoints_there else (0, 0)), moment, found))
    print(*places, sep="\n")
    assert len(places) == 20
    for trace in traces:
        assert sum(trace in found for *_, found in places) >= 3, trace
    run(command(killed, "--resume", "True"))
    for part in ("last", "best"):
        assert equal(weights(killed, part), weights(calm, part))


@pytest.mark.parametrize("first", ["last", "best"])
def test_a_full_disk_is_named_and_the_checkpoint_before_it_serves(config, tmp_path, first):
    """A limit on the size of a file makes writing fail as a full disk does, in the middle of the weights: those of a
    checkpoint, or of the best model."""
    calm = undisturbed(config, tmp_path / "calm")
    full = dataclasses.replace(config, output=str(tmp_path / "full"), save_steps=1 if first == "last" else 500)
    run([sys.executable, "-c", STOP_EARLY, *command(
        dataclasses.replace(full, max_hours=1e-9))[4:]])  # fmt: skip
    before = weights(full)

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, 4_000_000))  # the weights are twice as large

    process = start(full, preexec_fn=limit, stderr=subprocess.PIPE)
    message = process.communicate(timeout=120)[1]
    assert process.returncode == 1
    assert f"could not write {full.output}/{first} (" in message and "free some disk space" in message
    assert equal(weights(full), before) and not list(Path(full.output).glob("*.draft"))
    run(command(full, "--resume", "True"))
    assert equal(weights(full), weights(calm))


LAUNCH = """
import os, signal, threading, time
from accelerate import notebook_launcher
from depthkit.training import checkpoints
from depthkit.training.config import TrainConfig
from depthkit.training.train import free_port, train

config = TrainConfig(**{config!r})

def die():
    while not os.path.exists(config.output + "/last"):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)

def fail(*arguments):
    raise OSError("the disk of rank 1 is gone")

def doomed(config):
    if os.environ["RANK"] == "1":
        {fault}
    try:
        train(config)
    except RuntimeError:  # rank 0 lost its peer; the launcher looks ten times a second, and names the first of the dead
        time.sleep(1)
        raise

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
    # Named is the process that was seen to end first: the killed one, or the other, which lost the connection to it.
    "killed": ("threading.Thread(target=die).start()", r"SIGKILL|closed by peer|reset by"),
    "raises": ("checkpoints.save = fail", "ChildFailedError"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_process_that_dies_ends_the_other_and_frees_the_port(config, fault):
    code, cause = FAULTS[fault]
    config = dataclasses.replace(config, epochs=2 if fault == "raises" else 4, resume=True)
    script = LAUNCH.format(config=dataclasses.asdict(config), fault=code)
    done = attempt([sys.executable, "-c", script])
    assert done.returncode == 0, done.stdout + done.stderr
    raised = next(line for line in done.stdout.splitlines() if line.startswith("raised"))
    assert re.search(cause, raised + done.stderr)
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


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A checkpoint of one linear layer, {file name: bytes}, and a function that loads it from a folder."""

    def parts(folder):
        accelerator, layer = Accelerator(cpu=True), torch.nn.Linear(3, 2)
        layer, optimizer = accelerator.prepare(layer, torch.optim.AdamW(layer.parameters()))
        layer(torch.ones(1, 3)).sum().backward()
        optimizer.step()
        return accelerator, TrainConfig(data="data", output=str(folder), resume=True), Progress()

    def load(folder):
        checkpoints.load(*parts(folder))

    folder = tmp_path_factory.mktemp("checkpoint")
    checkpoints.save(*parts(folder))
    files = {path.name: path.read_bytes() for path in (folder / "last").iterdir()}
    shutil.rmtree(folder / "last")
    return folder, files, load


@pytest.mark.parametrize("name", ["state.json", "model.safetensors", "optimizer.bin", "random_states_0.pkl"])
@FUZZ
@given(mutations=MUTATIONS)
def test_a_damaged_checkpoint_loads_or_is_named(checkpoint, name, mutations):
    folder, files, load = checkpoint
    _lay_out(folder / "last", files | {name: damaged(files[name], mutations)})
    try:
        load(folder)
    except ValueError as error:
        assert str(folder / "last") in str(error)


@pytest.mark.parametrize("name", ["optimizer.bin", "random_states_0.pkl"])
def test_code_in_a_checkpoint_is_not_run(checkpoint, tmp_path, name):
    folder, files, load = checkpoint
    _lay_out(folder / "last", files)
    torch.save(Payload(tmp_path / "ran"), folder / "last" / name)
    # Random states that can't be read accelerate does without; nothing in training draws from them.
    refused = pytest.raises(ValueError, match="last is damaged") if name == "optimizer.bin" else nullcontext()
    with refused:
        load(folder)
    assert not (tmp_path / "ran").exists()


def _lay_out(folder, files):
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def test_the_signal_that_ends_a_session_is_no_special_case(config):
    """SIGTERM, as at the end of a Kaggle session: the process ends at once and the next one goes on."""
    process = start(dataclasses.replace(config, save_steps=1))
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == -signal.SIGTERM
    run(command(config, "--resume", "True"))
    assert read_json(Path(config.output, "history.json"))[-1]["epoch"] == 2


def anonymous_megabytes(pid):
    """Memory of a process that is backed by no file: what it has allocated, not the libraries it has mapped."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:")) / 1024


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="reads memory as Linux tells it")
def test_the_memory_of_a_long_run_stays_level(config):
    """4,000 steps in 250 epochs, so that evaluations and checkpoints count too, with a loader worker."""
    process = start(dataclasses.replace(config, epochs=250, size=28, batch_size=1, workers=1))
    seen = {}
    while process.poll() is None:
        time.sleep(0.5)
        with suppress(psutil.NoSuchProcess, OSError, StopIteration):
            for pid in (process.pid, *(child.pid for child in psutil.Process(process.pid).children())):
                seen.setdefault(pid, []).append(anonymous_megabytes(pid))
    assert process.returncode == 0
    history = read_json(Path(config.output, "history.json"))
    assert len(history) == 250
    lasting = {pid: values for pid, values in seen.items() if len(values) > 0.8 * len(seen[process.pid])}
    assert len(lasting) == 2  # the process and its loader worker; evaluation's come and go
    for values in lasting.values():
        quarter = len(values) // 4
        early, late = np.median(values[quarter : 2 * quarter]), np.median(values[-quarter:])
        print(f"{early:.0f} MB in the second quarter of the run, {late:.0f} MB in the last")
        assert late < 1.03 * early

"""What several test files share: small real data, the command line of a run, and what a run left."""

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import torch
from safetensors.torch import load_file

from depthkit.data.datasets import NYUDepthV2


def write_frame(path, seed, height=60, width=80):
    """One h5 file in the NYU format: a slanted plane with a hole, and a picture that shows its depth."""
    rng = np.random.default_rng(seed)
    near, slope = rng.uniform(1, 4), rng.uniform(-0.5, 1.5)
    depth = (near + slope * np.linspace(0, 1, height)[:, None] + np.zeros((height, width))).astype(np.float32)
    rgb = np.clip(255 - 40 * depth + rng.normal(0, 5, (3, height, width)), 0, 255).astype(np.uint8)
    depth[5:9, 10:20] = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["rgb"], file["depth"] = rgb, depth


def tree(root, depths, split="val"):
    """An NYU tree with the given depth maps under black pictures."""
    for i, depth in enumerate(depths):
        path = root / split / "scene" / f"{i:05d}.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w") as file:
            file["rgb"] = np.zeros((3, *depth.shape), dtype=np.uint8)
            file["depth"] = depth.astype(np.float32)
    return NYUDepthV2(root, split)


class Payload:
    """A pickle that would run a command when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


# A training program that looks at the clock after each batch, to be followed by the arguments of `train`.
STOP_EARLY = """
import sys, depthkit.cli as cli, depthkit.training.train as training
training.STOP_CHECK_BATCHES = 1
cli.main(["train", *sys.argv[1:]])
"""


def command(config, *extra):
    """The command line of `config`."""
    changed = {f.name: value for f in dataclasses.fields(config) if (value := getattr(config, f.name)) != f.default}
    flags = [text for name, value in changed.items() for text in (f"--{name}", str(value))]
    return [sys.executable, "-m", "depthkit", "train", *flags, *extra]


def run(arguments, **environment):
    done = subprocess.run(
        arguments, capture_output=True, text=True, timeout=300, env=os.environ | {"OMP_NUM_THREADS": "1"} | environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def weights(config, which="last"):
    return load_file(Path(config.output, which, "model.safetensors"))


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def scores(history):
    """History without what the clock says."""
    clock = ("train_seconds", "eval_seconds", "images_per_second")
    return [{key: value for key, value in row.items() if key not in clock} for row in history]


def launched(script, environment):
    """What a script printed that launches processes of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        start_new_session=True,
    )
    try:
        printed, _ = process.communicate(timeout=120)
    finally:
        if process.poll() is None:  # children that hang would outlive their parent
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, printed
    return printed

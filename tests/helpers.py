"""What several test files share: small real data, the command line of a run, and what a run left."""

import atexit
import dataclasses
import multiprocessing
import os
import random
import runpy
import signal
import subprocess
import sys
import tempfile
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


# Four of the five seconds of a short run are imports: the processes that this one starts are forked from one that has
# done them, and nothing else.
WARM = multiprocessing.get_context("forkserver")
WARM.set_forkserver_preload(["depthkit.training.train", "accelerate.tracking", "torch.utils.tensorboard"])


def run(arguments, **environment):
    """What `python -m MODULE ...` or `python -c CODE ...`, given as for `subprocess.run`, prints; it must succeed."""
    done = attempt(arguments, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def attempt(arguments, **environment):
    """The same whether it succeeds or not, as `subprocess.run` would return it."""
    with tempfile.TemporaryDirectory() as folder:
        printed = [Path(folder, name) for name in ("stdout", "stderr")]
        environment = os.environ | {"OMP_NUM_THREADS": "1"} | environment
        process = WARM.Process(target=_perform, args=(arguments[1:], printed, environment, Path.cwd()))
        process.start()
        process.join(300)
        if process.is_alive():
            process.kill()
            process.join()
            raise TimeoutError(f"{arguments} did not end: {[path.read_text() for path in printed]}")
        return subprocess.CompletedProcess(arguments, process.exitcode, *(path.read_text() for path in printed))


def _perform(arguments, printed, environment, folder):
    for number, path in enumerate(printed, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    # What else a new interpreter would have of its own (but for the seed of hashes, which all of a server share).
    multiprocessing.process._parent_process = None
    torch.set_num_threads(int(environment["OMP_NUM_THREADS"]))
    random.seed()
    np.random.seed()  # noqa: NPY002 (the global state is what must not be shared)
    option, program, *rest = arguments
    sys.argv = [program if option == "-m" else "-c", *rest]
    try:
        if option == "-m":
            runpy.run_module(program, run_name="__main__", alter_sys=True)
        else:
            exec(program, {"__name__": "__main__"})
    finally:
        atexit._run_exitfuncs()


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

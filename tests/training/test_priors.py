"""A run starts at the median of its depths, whatever their range, and says what it has to beat."""

import dataclasses
from pathlib import Path

import h5py
import numpy as np
import pytest
from helpers import command, run

from depthkit.run_folder import read_json


def slanted_planes(root, near, far, train=16, val=4):
    """Planes of another slant per picture, whose brightness shows their depth, between `near` and `far` metres."""
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for i in range(count):
            first, last = rng.uniform(near, far, 2)
            depth = np.linspace(first, last, 60)[:, None].repeat(80, 1).astype(np.float32)
            grey = 255 * (1 - (depth - near) / (far - near))
            path = root / split / "scene" / f"{i:05d}.h5"
            path.parent.mkdir(parents=True, exist_ok=True)
            with h5py.File(path, "w") as file:
                file["rgb"] = np.clip(grey + rng.normal(0, 4, (3, 60, 80)), 0, 255).astype(np.uint8)
                file["depth"] = depth
    return root


@pytest.mark.parametrize("near, far, max_depth", [(0.15, 0.3, 10), (20, 70, 80), (0.6, 0.7, 10)])
def test_two_epochs_of_default_training_end_below_the_best_constant(near, far, max_depth, config, tmp_path):
    data = slanted_planes(tmp_path / "data", near, far, train=48)
    short = dataclasses.replace(config, data=str(data), max_depth=max_depth, warmup_epochs=0.5)
    printed = run(command(short))
    history = read_json(Path(config.output, "history.json"))
    constant = read_json(Path(config.output, "eval", "constant.json"))["summary"]["abs_rel"]["mean"]
    assert history[-1]["abs_rel"] < constant, printed
    assert f"to beat on val, best constant: AbsRel {constant:.4f}" in printed
    assert printed.index("to beat on val, row prior:") < printed.index("epoch   1/2")


def test_a_run_that_is_no_better_than_a_prior_says_so(config, tmp_path):
    """Pictures of noise say nothing of their depth, which falls from the top row to the bottom row in each."""
    rng = np.random.default_rng(1)
    for split, count in (("train", 8), ("val", 3)):
        for i in range(count):
            path = tmp_path / "data" / split / "scene" / f"{i:05d}.h5"
            path.parent.mkdir(parents=True, exist_ok=True)
            with h5py.File(path, "w") as file:
                file["rgb"] = rng.integers(0, 255, (3, 60, 80), dtype=np.uint8)
                file["depth"] = np.linspace(8, 1, 60, dtype=np.float32)[:, None].repeat(80, 1)
    printed = run(command(dataclasses.replace(config, data=str(tmp_path / "data"), epochs=1, warmup_epochs=0)))
    assert "the model is no better than the" in printed and "row prior, which never saw a picture" in printed
    prior = read_json(Path(config.output, "eval", "row_prior.json"))
    assert prior["summary"]["abs_rel"]["mean"] < 0.02


def test_relative_runs_are_told_the_aligned_ramp(config):
    printed = run(command(dataclasses.replace(config, objective="relative", epochs=1, warmup_epochs=0)))
    assert "to beat on val, row prior:" in printed
    assert read_json(Path(config.output, "eval", "row_prior.json"))["protocol"]["align"] == "disparity"

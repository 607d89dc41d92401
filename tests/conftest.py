"""Small real data for the tests: NYU-like trees of slanted planes, and a tiny config to train on them."""

import os

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"  # a test that needs the network is a broken test
os.environ["ACCELERATE_USE_CPU"] = "true"

import h5py
import numpy as np
import pytest

from depthkit.config import TrainConfig


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


@pytest.fixture(scope="session")
def nyu_root(tmp_path_factory):
    """16 training and 5 validation frames of 60 × 80; 5 leaves an uneven share for two processes."""
    root = tmp_path_factory.mktemp("nyu")
    for split, count, first in (("train", 16, 0), ("val", 5, 100)):
        for i in range(count):
            write_frame(root / split / f"scene_{i // 4}" / f"{i:05d}.h5", first + i)
    return root


@pytest.fixture
def config(nyu_root, tmp_path):
    """Two epochs of four steps of the tiny model at 56 pixels: seconds on a CPU."""
    return TrainConfig(
        data=str(nyu_root),
        output=str(tmp_path / "run"),
        encoder="tiny",
        size=56,
        epochs=2,
        batch_size=4,
        lr=3e-4,
        workers=0,
        save_steps=2,
    )

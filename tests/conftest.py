"""Small real data for the tests: NYU-like trees of slanted planes, and a tiny config to train on them."""

import os

from helpers import write_frame

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"  # a test that needs the network is a broken test
os.environ["ACCELERATE_USE_CPU"] = "true"

import pytest

from depthkit.training.config import TrainConfig


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

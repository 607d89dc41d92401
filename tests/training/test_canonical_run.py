"""A run with camera canonical: labels, limits, start and scores each in the space that it belongs to."""

import dataclasses
import json
import math
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers import command, run

from depthkit.data.datasets import NYUDepthV2
from depthkit.errors import InputError
from depthkit.models.build import load_model
from depthkit.run_folder import read_json
from depthkit.scoring.baselines import fit_baselines
from depthkit.scoring.evaluate import evaluate
from depthkit.training.priors import start_depth
from depthkit.training.splits import checked_splits, open_splits, selection_protocol
from depthkit.training.train import train

FOCAL = 120.0  # pixels of pictures of 60 × 80: a metre is half a canonical one


@pytest.fixture
def canonical(config, tmp_path):
    data = shutil.copytree(config.data, tmp_path / "data")
    (data / "camera.json").write_text(json.dumps({"fx": FOCAL, "fy": FOCAL, "cx": 39.5, "cy": 29.5}))
    return dataclasses.replace(config, data=str(data), camera="canonical", zoom=2.0)


def test_a_run_is_trained_in_canonical_metres_and_scored_in_metres(canonical):
    printed = run(command(canonical))
    assert "max_depth 5 canonical m, from the training data" in printed  # layout nyu: 10 m
    assert f"focal lengths of the pictures: {FOCAL:.0f} to {FOCAL:.0f} pixels" in printed
    model, dataset = load_model(Path(canonical.output, "best")), NYUDepthV2(canonical.data, "val")
    assert (model.config.max_depth, model.config.canonical_focal, model.config.input_size) == (5, 56, 56)
    report = read_json(Path(canonical.output, "eval", "val.json"))
    assert report["protocol"]["max_depth"] == pytest.approx(10)
    again = evaluate(model, dataset)
    assert [record["abs_rel"] for record in report["records"]] == [
        pytest.approx(record["abs_rel"], abs=1e-6) for record in again
    ]
    assert report["summary"]["abs_rel"]["mean"] < 0.5  # in the wrong space it would be off by a factor of 2
    run(command(dataclasses.replace(canonical, resume=True)))  # the saved config is its own


def test_labels_and_start_are_canonical_and_baselines_metres(canonical):
    train_set, val_set = open_splits(canonical)
    metres = open_splits(dataclasses.replace(canonical, camera="ignore"))[0]
    for index in range(4):
        a, b = train_set[(0, index)], metres[(0, index)]
        assert torch.equal(a["image"], b["image"]) and "intrinsics" not in b
        focal = a["intrinsics"][:2].prod().sqrt()
        assert torch.allclose(a["depth"] * focal / 56, b["depth"])
        assert FOCAL * 56 / 60 * 0.96 < focal < 2 * FOCAL * 56 / 60 * 1.04
    limited = dataclasses.replace(canonical, max_depth=5)
    baselines = fit_baselines(train_set, selection_protocol(limited, val_set))
    start = start_depth(canonical, baselines, train_set)
    assert start == pytest.approx(baselines.median / 2 / math.sqrt(2))
    labels = np.concatenate(
        [s["depth"][s["mask"]].numpy() for s in (train_set[(e, i)] for e in range(9) for i in range(16))]
    )
    assert np.median(labels) == pytest.approx(start, rel=0.15)
    assert start_depth(dataclasses.replace(canonical, camera="ignore"), baselines, train_set) == baselines.median
    assert baselines.median == fit_baselines(metres).median


def test_without_cameras_no_run_begins(canonical, config):
    Path(canonical.data, "camera.json").unlink()
    with pytest.raises(InputError, match=r"\.h5: its camera is unknown, and camera canonical needs it"):
        train(canonical)
    assert not Path(canonical.output, "config.json").exists()


def test_one_camera_missing_among_many_is_found_before_the_run(canonical):
    photos = sorted(Path(canonical.data).rglob("*.h5"))
    Path(canonical.data, "camera.json").unlink()
    for photo in photos[:-1]:
        photo.with_suffix(".json").write_text('{"hfov_deg": 50}')
    alone = SimpleNamespace(is_main_process=True)
    with pytest.raises(InputError, match=f"{photos[-1].name}: its camera is unknown"):
        checked_splits(canonical, alone)

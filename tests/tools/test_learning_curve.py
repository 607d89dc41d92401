"""The learning curve trains on no test room, and says what is missing."""

import json
import sys

import build_sample
import camera_runs
import cv2
import learning_curve
import numpy as np
import pytest

from depthkit.course.evidence import bundled_weights
from depthkit.course.settings import REPOSITORY
from depthkit.run_folder import read_json, write_json


@pytest.fixture
def raw(tmp_path, monkeypatch):
    """Small frames for the rooms around both ends of what is left out of the training."""
    monkeypatch.setattr(learning_curve.kinect, "colour", lambda image, rng: image)
    monkeypatch.setattr(learning_curve.kinect, "measure", lambda depth, *others: depth)
    test = build_sample.MORE["rooms/further"]
    for number in {test[0] - 1, *test, test[-1] + 1, *learning_curve.HELD_OUT, learning_curve.HELD_OUT[-1] + 1}:
        frame = tmp_path / "raw" / "more" / "train" / f"room_{number:04d}" / "00000"
        frame.parent.mkdir(parents=True)
        cv2.imwrite(f"{frame}.png", np.zeros((6, 8, 3), np.uint8))
        np.save(f"{frame}.npy", np.ones((6, 8), np.float32))
        frame.with_suffix(".json").write_text(json.dumps({"fx": 8.0, "fy": 8.0, "cx": 3.5, "cy": 2.5}))
    return tmp_path / "raw"


def numbers(work, labels, split):
    return {int(path.name[-4:]) for path in (work / labels / split).iterdir()}


def test_no_test_room_and_no_held_out_one_is_trained_on(raw, tmp_path):
    learning_curve.pack(raw, tmp_path)
    test = set(build_sample.MORE["rooms/further"])
    assert len(test) == 76
    for labels in learning_curve.LABELS:
        learnt, held_out = numbers(tmp_path, labels, "train"), numbers(tmp_path, labels, "held_out")
        assert learnt == {min(test) - 1, max(test) + 1, max(held_out) + 1} and len(held_out) == 100
        assert not learnt & held_out and not (learnt | held_out) & test
    assert numbers(tmp_path, "exact", learning_curve.subset(tmp_path, "exact", 2)) == {min(test) - 1, max(test) + 1}
    with pytest.raises(SystemExit, match="3 training rooms, and 4 are asked for"):
        learning_curve.subset(tmp_path, "exact", 4)


def test_rooms_that_are_missing_are_named(tmp_path):
    with pytest.raises(SystemExit, match="no room 880 of those to pick epochs on"):
        learning_curve.pack(tmp_path, tmp_path)


def test_points_of_another_recipe_or_other_weights_are_not_mixed_in(tmp_path, monkeypatch):
    monkeypatch.setattr(learning_curve, "RESULT", tmp_path / "result.json")
    weights = bundled_weights() | {"sha256": "0"}  # the same runs, done again
    result = {"recipe": learning_curve.RECIPE, "weights": weights, "held_out_rooms": 100, "test_rooms": 24}
    write_json(tmp_path / "result.json", result | {"points": []})
    with pytest.raises(SystemExit, match="was measured with another weights and test_rooms: move it away"):
        learning_curve.run(tmp_path, [12], ["exact"], ["full"], [0])


def test_camera_runs_of_other_weights_are_not_mixed_in(tmp_path, monkeypatch):
    stored = read_json(REPOSITORY / "data" / "camera_runs.json")
    output = tmp_path / "result.json"
    write_json(output, stored | {"recipe": {"lr": 1}, "weights": {"runs": ["coarse"], "sha256": "0"}})
    monkeypatch.setattr(
        sys, "argv", ["camera_runs.py", "run", "--output", str(output), "--work", str(tmp_path / "work")]
    )
    with pytest.raises(SystemExit, match=r"'recipe': \{'lr': 1\}, 'weights': \{'runs': \['coarse'\], .*: name another"):
        camera_runs.main()
    assert not (tmp_path / "work").exists()

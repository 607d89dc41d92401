"""Stored measurements: sorted by what was trained, averaged over seeds, and compared in true sentences."""

import json

import pytest

from depthkit.course import evidence


def point(model, images, by_image, labels="exact", seed=0):
    return {"labels": labels, "images": images, "model": model, "seed": seed, "by_image": by_image}


def test_learning_curves_average_the_seeds_of_one_kind_of_labels():
    points = [
        point("full", 50, {"a": 0.1, "b": 0.5}),
        point("full", 12, {"a": 0.6, "b": 0.8}),
        point("full", 50, {"a": 0.3, "b": 0.7}, seed=1),
        point("full", 50, {"a": 9.0, "b": 9.0}, labels="sensor"),
        point("frozen", 50, {"a": 0.2, "b": 0.2}),
    ]
    curves = evidence.learning_curves(points, "exact")
    assert {model: list(of) for model, of in curves.items()} == {"full": [12, 50], "frozen": [50]}
    assert [r["name"] for r in curves["full"][50]] == ["a", "b"]
    assert [r["abs_rel"] for r in curves["full"][50]] == pytest.approx([0.2, 0.6])


def test_camera_scores_are_sorted_by_test_set():
    def run(variant, seed, value):
        records = [{"name": "a", "abs_rel": value, "d1": 0.5}]
        return {"variant": variant, "seed": seed, "sets": {"halls": {"abs_rel": value, "records": records}}}

    groups = evidence.camera_scores([run("ignore", 0, 0.2), run("ignore", 1, 0.4), run("canonical, zoom", 0, 0.1)])
    assert groups["halls"]["lens ignored"] == [{"name": "a", "abs_rel": pytest.approx(0.3)}]
    assert groups["halls"]["canonical, zoom augmentation"] == [{"name": "a", "abs_rel": pytest.approx(0.1)}]


def records(*values):
    return [{"name": str(i), "abs_rel": value} for i, value in enumerate(values)]


def test_abs_rel_has_an_interval_around_the_mean():
    score = evidence.abs_rel(records(0.1, 0.2, 0.3, 0.2))
    assert score["mean"] == pytest.approx(0.2)
    assert 0.1 < score["low"] < 0.2 < score["high"] < 0.3


@pytest.mark.parametrize(
    "first, said",
    [
        ((0.1, 0.2, 0.3), "A is better than B (difference -0.100"),
        ((0.3, 0.4, 0.5), "A is worse than B (difference +0.100"),
        ((0.1, 0.4, 0.4), "A and B can't be told apart on these 3 images (difference +0.000"),
        ((0.2, 0.3, 0.4), "A and B can't be told apart"),
    ],
)
def test_comparison_says_what_the_paired_interval_says(first, said):
    assert evidence.comparison("A", records(*first), "B", records(0.2, 0.3, 0.4)).startswith(said)


def test_stored_reads_the_points_and_says_of_which_weights_or_what_is_missing(tmp_path, capsys):
    assert evidence.stored("camera_runs", tmp_path) == []
    assert "tools/camera_runs.py" in capsys.readouterr().out
    (tmp_path / "data").mkdir()
    result = {"weights": {"runs": ["first", "second"], "sha256": "0"}, "points": [{"seed": 1}, {"seed": 0}]}
    (tmp_path / "data" / "camera_runs.json").write_text(json.dumps(result))
    assert evidence.stored("camera_runs", tmp_path) == [{"seed": 1}, {"seed": 0}]
    out = capsys.readouterr().out
    assert "2 points, seeds [0, 1]; what began from the tiny model took it as it was after 2 of its" in out
    now = evidence.bundled_weights()
    (tmp_path / "data" / "camera_runs.json").write_text(json.dumps(result | {"weights": now}))
    evidence.stored("camera_runs", tmp_path)
    assert capsys.readouterr().out.endswith("took it as it is\n")
    (tmp_path / "data" / "camera_runs.json").write_text(json.dumps(result | {"weights": now | {"sha256": "0"}}))
    evidence.stored("camera_runs", tmp_path)
    assert capsys.readouterr().out.endswith("took it with other weights of the same runs\n")


def test_weights_are_told_apart_by_their_file_and_not_only_by_the_names_of_their_runs(tmp_path):
    rows = [{"run": run, "epoch": epoch} for run in ("first", "second") for epoch in (1, 2)]
    (tmp_path / "history.json").write_text(json.dumps(rows))
    (tmp_path / "model.safetensors").write_bytes(b"one")
    one = evidence.bundled_weights(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"another")
    another = evidence.bundled_weights(tmp_path)
    assert one["runs"] == another["runs"] == ["first", "second"] and one["sha256"] != another["sha256"]

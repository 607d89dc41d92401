"""The whole way of somebody with a sensor of their own, by the commands they would type."""

import json
import re
import shlex
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers import attempt

from depthkit.cli import main
from depthkit.commands import COMMANDS
from depthkit.data.importers import import_data
from depthkit.models.build import build_model, save_model
from depthkit.run_folder import write_json
from depthkit.training.config import TrainConfig


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Two scenes of five frames of a camera that stores millimetres: walls whose brightness shows their depth."""
    source, rng = tmp_path_factory.mktemp("sensor"), np.random.default_rng(0)
    for scene in ("kitchen", "office", "hall"):
        (source / scene).mkdir()
        for i in range(5):
            first, last = rng.uniform(800, 4000, 2)
            depth = np.linspace(first, last, 60)[:, None].repeat(80, 1)
            grey = np.clip(255 - depth / 20 + rng.normal(0, 5, (60, 80)), 0, 255).astype(np.uint8)
            cv2.imwrite(str(source / scene / f"{i}.color.png"), cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))
            cv2.imwrite(str(source / scene / f"{i}.depth.png"), depth.astype(np.uint16))
    return source


def typed(capsys, *words):
    main([str(word) for word in words])
    return capsys.readouterr().out


def refused(capsys, *words):
    """What a refused command says, which is one line."""
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    assert stop.value.code == 2
    line = capsys.readouterr().err
    assert line.startswith("depthkit: ") and len(line.strip().splitlines()) == 1, line
    return line


@pytest.mark.parametrize("layout", ["nyu", "mixed"])
def test_the_command_that_a_run_names_last_scores_what_the_run_scored(nyu_root, tmp_path, capsys, monkeypatch, layout):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(nyu_root / "val", "data/kept")
    if layout == "nyu":
        shutil.copytree(nyu_root / "train", "data/seen")
        kind = []
    else:
        write_mixed(Path("data/seen"))
        kind = ["--objective", "relative", "--max_depth", 10]
    names = ["--layout", layout, "--data", "data", "--train_split", "seen", "--val_split", "kept", "--output", "run"]
    short = ["--encoder", "tiny", "--size", 56, "--epochs", 1, "--batch_size", 1, "--workers", 0]
    arguments = shlex.split(typed(capsys, "train", *names, *kind, *short).rpartition("next: depthkit ")[2])
    printed = typed(capsys, *arguments)
    score = json.loads(Path("run/eval/val.json").read_text())["summary"]["abs_rel"]["mean"]
    assert re.search(r"abs_rel +([.\d]+)", printed)[1] == f"{score:.4f}"
    assert ("row prior:" in printed) == (layout == "nyu"), "fitted on metric depth alone"


def write_mixed(split):
    """A training split of one ramp whose disparity has no known scale."""
    for folder in ("rgb", "disparity"):
        (split / folder).mkdir(parents=True)
        ramp = np.linspace(1000, 60000, 60, dtype=np.uint16)[:, None].repeat(80, 1)
        cv2.imwrite(str(split / folder / "0.png"), ramp)


def test_check_takes_metric_truth_beside_mixed_data(nyu_root, tmp_path, capsys):
    write_mixed(tmp_path / "train")
    shutil.copytree(nyu_root / "val", tmp_path / "val")
    printed = typed(capsys, "check", tmp_path, "--layout", "mixed")
    assert "train: 1 pairs" in printed and "depth in metres" in printed.partition("val: ")[2]
    assert f"depthkit train --layout mixed --data {tmp_path} --objective relative --recipe" in printed


def test_from_the_files_of_a_sensor_to_a_calibrated_exported_model(recordings, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    printed = typed(
        capsys, "import", recordings, "data", "--rgb", "*.color.png", "--depth", "*.depth.png", "--depth_scale", 1000
    )
    assert "10 pair(s) in train, 5 pair(s) in val" in printed and "depthkit check data" in printed
    printed = typed(capsys, "check", "data")
    assert "max_depth: 4 m holds" in printed and Path("data/check/train.png").exists()
    short = ["--encoder", "tiny", "--size", 56, "--epochs", 2, "--batch_size", 2, "--workers", 0, "--lr", 3e-4]
    printed = typed(capsys, "train", "--layout", "folder", "--data", "data", "--output", "run", *short)
    assert "max_depth 4 m, from the training data" in printed and "row prior" in printed
    printed = typed(capsys, "evaluate", "run/best", "data")
    scores = json.loads(Path("run/eval/plain/scores.json").read_text())
    assert f"abs_rel      {scores['summary']['abs_rel']['mean']:.4f}" in printed
    assert "row prior" in Path("run/eval/plain/report.html").read_text()

    rows = ["file,u,v,metres"]
    for photo in sorted(Path("data/val/rgb").rglob("*.png")):
        depth = cv2.imread(str(photo).replace("rgb", "depth"), cv2.IMREAD_UNCHANGED)
        rows += [f"{photo},{u},{v},{depth[v, u] / 1000}" for u, v in ((10, 10), (40, 30), (70, 50))]
    Path("measured.csv").write_text("\n".join(rows) + "\n")
    assert "held out" in typed(capsys, "calibrate", "run/best", "--points", "measured.csv")
    is_kept = Path("run/best/calibration.json").exists()
    assert ("## Calibration" in Path("run/best/README.md").read_text()) == is_kept
    printed = typed(capsys, "predict", "data/val/rgb", "--model", "run/best", "--output", "out", "--hfov", 60)
    assert "5 file(s) predicted" in printed and len(list(Path("out").rglob("*.ply"))) == 5
    pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
    printed = typed(capsys, "export", "run/best", "--output", "model.onnx")
    assert "verified" in printed and Path("model.txt").exists()


def test_a_mistake_is_one_line(tmp_path, capsys):
    save_model(build_model("tiny", input_size=56), tmp_path / "run" / "best")
    write_json(tmp_path / "run" / "config.json", asdict(TrainConfig()))
    write_json(tmp_path / "run" / "history.json", [])
    train = ("train", "--data", tmp_path)
    assert "max_depth must be a whole number" in refused(capsys, *train, "--max_depth", 1.2)
    assert "--epochs" in refused(capsys, *train, "--epochs", "many")
    assert "--schedule" in refused(capsys, *train, "--schedule", "linear")
    assert "no such split" in refused(capsys, *train)
    assert "no such folder" in refused(capsys, "check", tmp_path / "nowhere")
    assert "run/best" in refused(capsys, "evaluate", tmp_path / "run", tmp_path)
    assert "--points" in refused(capsys, "calibrate", tmp_path / "run" / "best")
    assert "--model" in refused(capsys, "predict", "photo.jpg")
    (tmp_path / "file").touch()
    cv2.imwrite(str(tmp_path / "photo.png"), np.zeros((60, 80, 3), np.uint8))
    assert "subcommand" in refused(capsys, "fly").lower() or "fly" in refused(capsys, "fly")
    options = ("--model", tmp_path / "run" / "best", "--output", tmp_path / "file")
    assert f"{tmp_path / 'file'}" in refused(capsys, "predict", tmp_path / "photo.png", *options)


def test_no_number_counts_as_not_given(recordings, tmp_path, capsys):
    data, model = tmp_path / "data", save_tiny(tmp_path)
    import_data(recordings, data, "*.color.png", "*.depth.png", depth_scale=1000)
    assert "depth_scale must be positive" in refused(capsys, "evaluate", model, data, "--depth_scale", 0)
    for value in (0, -1, "nan"):
        assert "max_depth must hold" in refused(capsys, "evaluate", model, data, "--max_depth", value)
        assert "max_depth must be finite" in refused(capsys, "check", data, "--max_depth", value)


@pytest.mark.parametrize(
    "error", ["OSError(errno.EROFS, 'read-only', '/x/y')", "OSError('76 requested and 7 written')"]
)
def test_a_place_that_takes_nothing_is_one_line(error):
    code = "import errno, depthkit.cli as cli\ndef export(model: str):\n    raise "
    code += f"{error}\ncli.COMMANDS['export'] = export\ncli.main(['export', '--model', 'x'])"
    done = attempt([sys.executable, "-c", code])
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_a_terminal_without_every_character_shows_question_marks(recordings, tmp_path):
    import_data(recordings, tmp_path / "data", rgb="*.color.png", depth="*.depth.png", depth_scale=1000)
    code = "import sys, depthkit.cli as cli; sys.stdout.reconfigure(encoding='ascii'); "
    done = attempt([sys.executable, "-c", f"{code}cli.main(['check', {str(tmp_path / 'data')!r}])"])
    assert done.returncode == 0 and "80 ? 60 (10)" in done.stdout, done.stderr


def test_a_pipe_that_ends_early_is_no_defect(recordings, tmp_path):
    import_data(recordings, tmp_path / "data", "*.color.png", "*.depth.png", depth_scale=1000)
    code = "import os, sys; r, w = os.pipe(); os.close(r); sys.stdout = open(w, 'w'); import depthkit.cli as cli; "
    done = attempt([sys.executable, "-c", f"{code}cli.main(['check', {str(tmp_path / 'data')!r}])"])
    assert done.returncode == 1 and "Traceback" not in done.stderr


def test_commands_that_need_no_more_than_their_names_say_so(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "no photo, video or folder was named" in refused(capsys, "predict", "--model", save_tiny(tmp_path))


def save_tiny(folder):
    save_model(build_model("tiny", input_size=56), folder / "tiny")
    return folder / "tiny"


def test_a_defect_keeps_its_trace(tmp_path):
    code = "import depthkit.cli as cli; cli.COMMANDS['convert'] = lambda: 1 / 0; cli.main(['convert'])"
    done = attempt([sys.executable, "-c", code])
    assert done.returncode == 1 and "ZeroDivisionError" in done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_each_help_fits_80_columns_and_explains_every_option(command):
    done = attempt([sys.executable, "-m", "depthkit", command, "--help"], COLUMNS="80")
    assert done.returncode == 0
    box = [line for line in done.stdout.splitlines() if line.startswith("│")]
    assert max(map(len, box)) <= 80
    for option in re.findall(r"^│ --(\w+)", done.stdout, re.MULTILINE):
        text = done.stdout.split(f"--{option} ", 1)[1].split("--", 1)[0]
        assert re.search(r"[a-z]{3,}", text.split("(default")[0]), f"{command} --{option} says nothing"

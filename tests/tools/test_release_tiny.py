"""The card's table is scored anew from the weights that are there, and nothing else of the card is touched."""

import dataclasses
import re
import shutil
import sys

import cv2
import numpy as np
import pytest
import release_tiny
import torch

from depthkit.course.settings import TINY_WEIGHTS
from depthkit.models.build import load_model, save_model
from depthkit.run_folder import read_json, write_json
from depthkit.training.config import TrainConfig


@pytest.fixture
def weights(tmp_path, monkeypatch):
    shutil.copytree(TINY_WEIGHTS, tmp_path / "tiny")
    only_the_photo = {"motorcycle": release_tiny.test_sets()["motorcycle"]}  # the rooms take longer
    monkeypatch.setattr(release_tiny, "test_sets", lambda: only_the_photo)
    monkeypatch.setattr(sys, "argv", ["release_tiny.py", "--out", str(tmp_path / "tiny")])
    return tmp_path / "tiny"


def test_the_committed_weights_score_what_their_card_says_beside_a_ramp(weights):
    card = weights / "README.md"
    before = card.read_text()
    card.write_text(re.sub(r"\| 0\.\d+ .*", "| 9 |", before))
    release_tiny.main()
    rows = [line for line in before.splitlines() if line.startswith("| motorcycle")]
    assert [row.split(" | ")[1] for row in rows] == ["this model", "vertical ramp", "random weights"]
    assert card.read_text().split("<!-- scores -->")[1].split("<!-- end -->")[0].splitlines()[3:] == rows
    assert card.read_text().split("<!-- end -->")[1] == before.split("<!-- end -->")[1]


def test_a_card_without_its_table_is_refused(weights, capsys):
    (weights / "README.md").write_text("a card")
    with pytest.raises(SystemExit):
        release_tiny.main()
    assert "0 tables of scores instead of one" in capsys.readouterr().err


def test_a_further_run_joins_what_the_weights_were_made_of(weights, tmp_path, monkeypatch):
    first = read_json(weights / "history.json"), read_json(weights / "frames.json")
    run, other = tmp_path / "again", tmp_path / "other"
    save_model(load_model(weights), run / "best")
    write_json(run / "config.json", dataclasses.asdict(TrainConfig(data="other", output="again")))
    write_json(run / "history.json", [first[0][-1] | {"run": "again", "epoch": 1}])
    picture = other / "train" / "rgb" / "room_99999" / "00000.jpg"
    picture.parent.mkdir(parents=True)
    cv2.imwrite(str(picture), np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8))
    arguments = ["release_tiny.py", "--out", str(weights), "--runs", str(run), "--mixed", str(other)]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit, match="no validation pictures"):
        release_tiny.main()
    (other / "val").mkdir()
    (other / "val" / "00000.h5").touch()
    for _ in range(2):  # to release a run again adds nothing
        release_tiny.main()
        history, frames = read_json(weights / "history.json"), read_json(weights / "frames.json")
        assert history[:-1] == first[0] and (history[-1]["run"], history[-1]["epoch"]) == ("again", 1)
        assert frames.items() > first[1].items() and set(frames) - set(first[1]) == {"room_99999/00000"}
    mean = load_model(weights)
    torch.nn.init.zeros_(mean.head.conv3.weight)
    save_model(mean, tmp_path / "mean")
    monkeypatch.setattr(sys, "argv", [*arguments, "--weights", str(tmp_path / "mean")])
    release_tiny.main()
    assert not load_model(weights).head.conv3.weight.any(), "the run's own weights were released"
    card = (weights / "README.md").read_text()
    assert "{{" not in card and f"{len(frames)} training pictures" in card and "| motorcycle (1) | this model |" in card
    cv2.imwrite(str(picture), np.random.default_rng(1).integers(0, 255, (60, 80, 3), dtype=np.uint8))
    with pytest.raises(SystemExit, match="room_99999/00000 is listed with another picture"):
        release_tiny.main()
    assert read_json(weights / "frames.json") == frames

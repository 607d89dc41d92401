"""Scenes held out of training pick the epoch, and the validation split is scored once, at the end."""

import dataclasses
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import STOP_EARLY, attempt, command, run, write_frame

from depthkit.data.datasets import NYUDepthV2
from depthkit.data.scenes import hold_out
from depthkit.errors import InputError
from depthkit.models.build import load_model
from depthkit.run_folder import RunFolder, read_json, write_json
from depthkit.scoring.evaluate import evaluate
from depthkit.scoring.statistics import means
from depthkit.training.checkpoints import refuse_a_second_run
from depthkit.training.config import TrainConfig
from depthkit.training.splits import divided, open_splits
from depthkit.training.train import free_port


def names(dataset):
    return {path.relative_to(dataset.folder).as_posix() for path in dataset.files}


def three_splits(config):
    """What is learnt from, what picks the epoch, and what is scored."""
    train_set, val_set = open_splits(config)
    return *divided(config, train_set, val_set), val_set


@pytest.fixture
def honest(config):
    return dataclasses.replace(config, held_out=0.25)


def test_held_out_scenes_are_whole_not_trained_on_and_not_augmented(honest):
    train_set, select_set, val_set = three_splits(honest)
    assert names(train_set) | names(select_set) == names(NYUDepthV2(honest.data, "train"))
    scenes = [{name.split("/")[0] for name in names(part)} for part in (train_set, select_set)]
    assert not scenes[0] & scenes[1] and len(select_set) == 4
    assert train_set.transform is not None and select_set.transform is None
    assert val_set.folder.name == "val" and len(val_set) == 5


def test_without_it_the_validation_split_picks_as_ever(config):
    train_set, select_set, val_set = three_splits(config)
    assert select_set is val_set and len(train_set) == 16


def test_the_validation_split_is_scored_once_with_the_epoch_that_the_held_out_scenes_picked(honest):
    printed = run(command(honest))
    output, (_, select_set, val_set) = Path(honest.output), three_splits(honest)
    history = read_json(output / "history.json")
    picked = min(history, key=lambda row: row["abs_rel"])
    selection, report = read_json(output / "eval/held_out/val.json"), read_json(output / "eval/val.json")
    assert selection["epoch"] == report["epoch"] == picked["epoch"]
    best = load_model(output / "best")
    for dataset, each in ((select_set, selection), (val_set, report)):
        assert {record["name"] for record in each["records"]} == {f"{dataset.folder.name}/{n}" for n in names(dataset)}
        assert means(evaluate(best, dataset))["abs_rel"] == pytest.approx(each["summary"]["abs_rel"]["mean"], abs=1e-6)
    assert selection["summary"]["abs_rel"]["mean"] == pytest.approx(picked["abs_rel"], abs=1e-12)
    for folder, images in (("eval/held_out", 4), ("eval", 5)):
        for baseline in ("constant", "row_prior"):
            assert read_json(output / folder / f"{baseline}.json")["images"] == images
    assert "held out to pick the epoch: 4 of 16 training pictures (25.0%), of the scenes scene_" in printed
    assert f"best epoch {picked['epoch']}: AbsRel {report['summary']['abs_rel']['mean']:.4f} on val" in printed


def test_a_run_stopped_before_its_end_has_no_score_of_the_validation_split(honest):
    stopped = dataclasses.replace(honest, max_hours=1e-9)
    flags = command(stopped)[4:]
    run([sys.executable, "-c", STOP_EARLY, *flags])
    output = Path(honest.output)
    assert not (output / "eval/val.json").exists() and (output / "eval/held_out/constant.json").exists()
    run(command(honest, "--resume", "True"))
    assert read_json(output / "eval/val.json")["images"] == 5


def test_a_run_killed_before_its_last_score_gets_it_when_it_is_resumed(honest):
    run(command(honest))
    file = Path(honest.output, "eval/val.json")
    before = read_json(file)
    file.unlink()
    assert "has finished" in run(command(honest, "--resume", "True"))
    assert read_json(file) == before


def test_two_processes_hold_out_the_same_scenes_and_score_as_one(honest, tmp_path):
    run(command(honest))
    two = dataclasses.replace(honest, output=str(tmp_path / "two"), batch_size=2)
    launcher = ["accelerate.commands.launch", "--cpu", "--num_processes", "2", "--main_process_port", free_port()]
    run([sys.executable, "-m", *launcher, *command(two)[1:]])
    ours, theirs = (read_json(Path(each.output, "eval/val.json"))["records"] for each in (honest, two))
    assert [record["name"] for record in ours] == [record["name"] for record in theirs]
    assert [record["pixels"] for record in ours] == [record["pixels"] for record in theirs]


@pytest.mark.parametrize("share", [-0.1, 0.6, float("nan")])
def test_a_share_that_leaves_too_little_is_refused(share):
    with pytest.raises(InputError, match=r"held_out must be a share of the training pictures, 0 to 0\.5"):
        TrainConfig(held_out=share)


def test_a_run_that_goes_on_must_hold_out_what_it_held_out(honest, tmp_path):
    """With more scenes the choice may change: the best epoch would be compared with one on other pictures."""
    data = shutil.copytree(honest.data, tmp_path / "grown")
    honest = dataclasses.replace(honest, data=str(data), epochs=2, warmup_epochs=0)
    run(command(honest))
    for scene in range(4, 20):
        for i in range(4):
            write_frame(data / "train" / f"scene_{scene}" / f"{i}.h5", i)
    failed = attempt(command(honest, "--resume", "True"))
    assert failed.returncode == 2 and "has picked its epochs on other pictures" in failed.stderr


def test_a_run_that_goes_on_must_pick_its_epoch_on_the_same_pictures(config, tmp_path):
    data = shutil.copytree(config.data, tmp_path / "grown")
    config = dataclasses.replace(config, data=str(data), epochs=2, warmup_epochs=0)
    run(command(config))
    write_frame(data / "val" / "more" / "0.h5", 0)
    failed = attempt(command(config, "--resume", "True"))
    assert failed.returncode == 2 and "on other pictures: val changed (1 differ, first val/more/0.h5)" in failed.stderr


def test_two_runs_in_one_folder_do_not_mix(config):
    write_json(RunFolder(config.output).config, dataclasses.asdict(config))
    refuse_a_second_run(config)
    write_json(RunFolder(config.output).config, dataclasses.asdict(dataclasses.replace(config, seed=7)))
    with pytest.raises(InputError, match="is of another run in this folder"):
        refuse_a_second_run(config)


def test_the_training_split_is_no_test():
    with pytest.raises(InputError, match="val_split train is the training split too"):
        TrainConfig(held_out=0.1, val_split="train")


def test_pre_training_data_pick_no_epoch():
    with pytest.raises(InputError, match="leave held_out at 0"):
        TrainConfig(held_out=0.1, layout="mixed", objective="relative")


def test_pictures_in_one_folder_are_refused_before_any_work(honest, tmp_path):
    for i in range(6):
        write_frame(tmp_path / "flat/train/scene" / f"{i}.h5", i)
        write_frame(tmp_path / "flat/val/scene" / f"{i}.h5", 9 + i)
    with pytest.raises(InputError, match=r"no scenes to hold out.*give each scene a folder"):
        three_splits(dataclasses.replace(honest, data=str(tmp_path / "flat")))


def test_parts_of_one_place_are_held_out_together(tmp_path):
    for place in ("bookstore_0001d", "bookstore_0001e", "cafe_0001a", "cafe_0001b", "study_0002"):
        for i in range(2):
            write_frame(tmp_path / "train" / place / f"{i}.h5", i)
    left, out = hold_out(NYUDepthV2(tmp_path, "train"), 0.4)
    places = [{name.split("/")[0].rstrip("abde") for name in names(part)} for part in (left, out)]
    assert not places[0] & places[1] and len(out) in (2, 4)


def test_the_share_is_about_what_was_asked(tmp_path):
    rng = np.random.default_rng(0)
    for scene in range(30):
        for i in range(rng.integers(1, 4)):
            path = tmp_path / "train" / f"room_{scene:03d}" / f"{i}.h5"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    dataset = NYUDepthV2(tmp_path, "train")
    for share in (0.1, 0.3):
        assert len(hold_out(dataset, share)[1]) == pytest.approx(share * len(dataset), abs=2)

"""What is attached is found by what it holds, whatever its owner called it."""

import json

import pytest

from depthkit.course import kaggle


@pytest.fixture
def attach(tmp_path, monkeypatch):
    """Write empty files (or text) below an empty folder in the place of /kaggle/input."""
    monkeypatch.setattr(kaggle, "INPUT", tmp_path)

    def write(path, text=""):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    return write


def attach_data(attach, root, ending="h5"):
    for split in ("train", "val"):
        attach(f"{root}/{split}/some_scene/00001.{ending}")


@pytest.mark.parametrize(
    "root",
    [
        "my-depth",
        "nyu-depth-dataset-v2/nyudepthv2",
        "nyu/archive/nyudepthv2",
        "datasets/someone/depth",
        "datasets/someone/nyu/archive/nyudepthv2",
    ],
)
def test_data_is_found_by_its_shape(root, attach, tmp_path):
    attach("depthkit-course/depthkit-1-py3-none-any.whl")
    attach_data(attach, root)
    assert kaggle.find_data() == tmp_path / root


def test_what_only_looks_like_data_is_not_taken(attach):
    attach_data(attach, "pairs", ending="png")
    attach("half/train/a/00001.h5")
    attach_data(attach, "deep/one/two/three")
    assert kaggle.find_data() is None


CONFIG = {"model_type": "depth_anything", "backbone_config": {"hidden_size": 384}}


@pytest.mark.parametrize(
    "folder",
    [
        "models/owner/depth-anything-v2/pytorch/small/1",
        "depth-anything-v2/pytorch/small/1",
        "datasets/owner/weights/a/subfolder",
    ],
)
def test_weights_are_found_at_any_depth(folder, attach, tmp_path):
    attach(f"{folder}/config.json", json.dumps(CONFIG))
    attach(f"{folder}/model.safetensors")
    assert kaggle.find_weights() == tmp_path / folder
    file = attach(f"{folder}/{kaggle.AUTHORS_WEIGHTS}")
    assert kaggle.find_weights() == file


@pytest.mark.parametrize(
    "folder, config",
    [
        ("models/o/n/f/v/1", CONFIG | {"model_type": "dpt"}),
        ("models/o/n/f/v/1", CONFIG | {"backbone_config": {"hidden_size": 768}}),
        ("models/o/n/f/v/1", CONFIG | {"depth_estimation_type": "metric"}),  # a fine-tuned model knows the answers
        ("notebooks/me/course-04/runs/pretrain-001/best", CONFIG),  # what was trained here is no starting point
    ],
)
def test_other_models_are_no_weights(folder, config, attach):
    attach(f"{folder}/config.json", json.dumps(config))
    attach(f"{folder}/model.safetensors")
    attach("models/o/damaged/config.json", "{")
    attach("models/o/damaged/model.safetensors")
    attach("models/o/no-weights/config.json", json.dumps(CONFIG))
    assert kaggle.find_weights() is None


def test_the_listing_names_each_mount_and_what_is_in_it(attach):
    assert kaggle.describe_attached() == "nothing"
    for letter in "abcdef":
        attach(f"nyu-pictures/{letter}.png")
    attach("datasets/owner/depth/labels.csv")
    assert (
        kaggle.describe_attached()
        == "datasets/owner/depth (labels.csv); nyu-pictures (a.png, b.png, c.png, d.png, ...)"
    )

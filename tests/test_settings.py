import importlib.util

import pytest

from depthkit import sample, settings
from depthkit.settings import Settings


@pytest.fixture
def no_overrides(monkeypatch):
    for name in ("PROFILE", "DATA", "WEIGHTS", "RUNS"):
        monkeypatch.delenv(f"DEPTHKIT_{name}", raising=False)


@pytest.mark.parametrize("layout", ["nyu-depth-dataset-v2/nyudepthv2", "datasets/someone/nyu/nyudepthv2"])
def test_kaggle_is_found_by_its_mount_in_both_layouts(layout, tmp_path, monkeypatch, no_overrides):
    for split in ("train", "val"):
        (tmp_path / layout / split).mkdir(parents=True)
    monkeypatch.setattr(settings, "KAGGLE_INPUT", tmp_path)
    monkeypatch.setattr(settings, "gpu_count", lambda: 2)
    found = Settings.detect()
    assert (found.profile, found.data, found.num_processes) == ("kaggle", tmp_path / layout, 2)
    config = found.train_config(output="x")
    assert (config.encoder, config.size, config.batch_size, config.lr) == ("vits", 518, 11, 5e-6)
    assert config.weights == settings.HUB_WEIGHTS and config.max_hours < 12


def test_overrides_and_run_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("DEPTHKIT_DATA", str(tmp_path))
    monkeypatch.setenv("DEPTHKIT_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("DEPTHKIT_PROFILE", "sample")
    here = Settings.detect()
    assert here.data == tmp_path and here.encoder == "tiny"
    with pytest.raises(FileNotFoundError, match="run notebook 04 first"):
        here.latest_run("finetune")
    for number in (1, 2):
        folder = here.new_run("finetune")
        assert folder.name == f"finetune-{number:03d}"
        folder.mkdir(parents=True)
        (folder / "history.json").write_text("[]")
    assert here.latest_run("finetune").name == "finetune-002"


@pytest.mark.parametrize("mount", ["depthkit-04", "notebooks/someone/depthkit-04"])
def test_a_run_is_found_in_an_attached_output_unless_there_is_one_of_ours(mount, tmp_path, monkeypatch):
    monkeypatch.setenv("DEPTHKIT_DATA", str(tmp_path))
    monkeypatch.setenv("DEPTHKIT_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(settings, "KAGGLE_INPUT", tmp_path / "input")
    attached = [tmp_path / "input" / mount / "runs" / f"finetune-{number:03d}" for number in (1, 2)]
    for run in attached:
        run.mkdir(parents=True)
        (run / "history.json").write_text("[]")
    here = Settings.detect()
    assert here.latest_run("finetune") == attached[1]
    ours = here.new_run("finetune")
    ours.mkdir(parents=True)
    (ours / "history.json").write_text("[]")
    assert here.latest_run("finetune") == ours
    with pytest.raises(FileNotFoundError, match="attach the output of notebook 04"):
        here.latest_run("pretrain")


def test_nothing_is_written_beside_an_installed_wheel(tmp_path, monkeypatch, no_overrides):
    site, working = tmp_path / "site-packages", tmp_path / "working"
    monkeypatch.setattr(sample, "REPOSITORY", site)
    monkeypatch.setattr(sample, "ASSETS", site / "depthkit" / "bundled")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    spec = importlib.util.spec_from_file_location("settings_in_wheel", settings.__file__)
    installed = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(installed)
    assert tmp_path / "home" in installed.SAMPLE_CACHE.parents
    assert site / "depthkit" / "bundled" / "weights" / "tiny-relative" == installed.TINY_WEIGHTS
    monkeypatch.setattr(installed, "KAGGLE_WORKING", working)
    monkeypatch.setattr(installed, "KAGGLE_INPUT", tmp_path / "input")
    monkeypatch.setenv("DEPTHKIT_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert installed.Settings.detect().runs == tmp_path / "runs"
    working.mkdir()  # on Kaggle without NYU: still where a notebook's output is kept
    here = installed.Settings.detect()
    assert (here.profile, here.runs) == ("sample", working / "runs")


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("DEPTHKIT_PROFILE", "colab", "must be one of sample, kaggle"),
        ("DEPTHKIT_DATA", "no/such/folder", "DEPTHKIT_DATA is no/such/folder"),
    ],
)
def test_wrong_overrides_are_named(name, value, message, monkeypatch, no_overrides):
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=message):
        Settings.detect()


def test_kaggle_without_the_mount_says_what_to_attach(tmp_path, monkeypatch, no_overrides):
    monkeypatch.setenv("DEPTHKIT_PROFILE", "kaggle")
    monkeypatch.setattr(settings, "KAGGLE_INPUT", tmp_path)
    with pytest.raises(ValueError, match="attach the data set"):
        Settings.detect()


@pytest.mark.parametrize("visible, count", [("0,1", 2), ("", 0), ("-1", 0), ("3", 1)])
def test_gpus_are_counted_without_cuda(visible, count, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert settings.gpu_count() == count

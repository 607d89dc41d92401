import pytest

from depthkit import settings
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

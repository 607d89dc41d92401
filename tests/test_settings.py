import importlib.util
import os
import subprocess
import sys
from dataclasses import asdict, replace

import accelerate
import pytest
import torch

from depthkit import sample, settings
from depthkit.files import write_json
from depthkit.settings import Settings


@pytest.fixture
def no_overrides(monkeypatch):
    for name in ("PROFILE", "DATA", "WEIGHTS", "RUNS", "RECIPE"):
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
    assert config.mixed_precision == "fp16"  # a T4 has no bf16
    assert config.workers * found.num_processes <= 4  # virtual CPUs of a session
    assert config.weights == settings.HUB_WEIGHTS and config.max_hours < 12
    weights = tmp_path / "some-weights" / settings.AUTHORS_WEIGHTS
    weights.parent.mkdir()
    weights.touch()
    assert Settings.detect().weights == str(weights)  # attached: taken without internet


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


@pytest.fixture
def on_kaggle(tmp_path, monkeypatch, no_overrides):
    """The kaggle profile with two GPUs, an empty working folder and NYU attached."""
    for split in ("train", "val"):
        (tmp_path / "input" / "nyu" / "nyudepthv2" / split).mkdir(parents=True)
    monkeypatch.setattr(settings, "KAGGLE_INPUT", tmp_path / "input")
    monkeypatch.setattr(settings, "KAGGLE_WORKING", tmp_path / "working")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    return Settings.detect()


def leave_checkpoint(run, config, epoch, batch=0):
    write_json(run / "last" / "state.json", {"epoch": epoch, "batch": batch, "config": asdict(config)})
    return run


@pytest.mark.parametrize("mount", ["depthkit-04", "datasets/me/my-output", "notebooks/me/depthkit-04"])
def test_a_stopped_run_goes_on_in_the_next_session(mount, on_kaggle, tmp_path):
    here = on_kaggle
    first = here.next_run("finetune")
    assert first == here.train_config(output=str(tmp_path / "working" / "runs" / "finetune-001"))
    earlier = leave_checkpoint(tmp_path / "input" / mount / "runs" / "finetune-001", first, epoch=4, batch=700)

    second = here.next_run("finetune")
    assert second == replace(first, resume=True, resume_from=str(earlier))
    assert here.next_run("finetune", lr=1e-5) == replace(first, lr=1e-5)  # another recipe is another run
    assert here.next_run("frozen").resume is False

    ours = leave_checkpoint(here.runs / "finetune-001", second, epoch=5)  # stopped once more, the files kept
    assert here.next_run("finetune") == replace(first, output=str(ours), resume=True)
    leave_checkpoint(ours, second, epoch=second.epochs)
    assert here.next_run("finetune") == replace(first, output=str(here.runs / "finetune-002"))


def test_runs_on_the_sample_begin_anew(on_kaggle, monkeypatch, tmp_path):
    monkeypatch.setenv("DEPTHKIT_PROFILE", "sample")
    monkeypatch.setenv("DEPTHKIT_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("DEPTHKIT_DATA", str(on_kaggle.data))
    here = Settings.detect()
    leave_checkpoint(here.runs / "finetune-001", here.next_run("finetune"), epoch=1)
    assert here.next_run("finetune").output == str(here.runs / "finetune-002")


def test_fields_of_the_recipe_are_taken_from_the_environment(on_kaggle, monkeypatch):
    monkeypatch.setenv("DEPTHKIT_RECIPE", "epochs=2, size=126,lr=1e-4,max_hours=null,schedule=poly,freeze_encoder=true")
    config = on_kaggle.train_config(epochs=3)
    assert (config.epochs, config.size, config.lr, config.max_hours) == (3, 126, 1e-4, None)
    assert (config.schedule, config.freeze_encoder) == ("poly", True)
    for wrong in ("epoch=1", "epochs", "epochs="):
        monkeypatch.setenv("DEPTHKIT_RECIPE", wrong)
        with pytest.raises(ValueError, match=f"DEPTHKIT_RECIPE has '{wrong}'"):
            on_kaggle.train_config()


def test_a_launch_that_would_fail_is_refused_with_the_remedy(on_kaggle, monkeypatch):
    on_kaggle.check_launch()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(RuntimeError, match="choose the accelerator GPU T4 x2"):
        on_kaggle.check_launch()
    monkeypatch.setattr(accelerate, "__version__", "1.13.0")
    with pytest.raises(RuntimeError, match=r"accelerate 1\.13\.0 .* 1\.14 or newer"):
        on_kaggle.check_launch()


FORK = """
import os, sys, torch
from depthkit.settings import Settings
here = Settings.detect()
here.next_run("finetune")
here.check_launch()
if "ask" in sys.argv:
    torch.cuda.is_available()
child = os.fork()
if child == 0:
    os._exit(torch.cuda._is_in_bad_fork())
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(torch._C, "_cuda_isInBadFork"), reason="a PyTorch without CUDA has none to touch")
def test_what_a_notebook_asks_before_it_launches_leaves_cuda_alone(tmp_path):
    """PyTorch itself tells a forked process whether its parent has spoken to CUDA; the control shows that it would."""
    environment = os.environ | {"DEPTHKIT_DATA": str(tmp_path), "DEPTHKIT_RUNS": str(tmp_path)}
    for argument, spoilt in (("", "0"), ("ask", "1")):
        done = subprocess.run(
            [sys.executable, "-c", FORK, argument], env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.stdout.strip() == spoilt, done.stderr

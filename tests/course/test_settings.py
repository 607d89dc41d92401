import importlib.util
import os
import re
import subprocess
import sys
from dataclasses import asdict, replace

import pytest
import torch

from depthkit.course import kaggle, launch, sample, settings
from depthkit.course.settings import Settings
from depthkit.errors import InputError
from depthkit.run_folder import write_json


@pytest.fixture
def no_overrides(monkeypatch):
    for name in ("PROFILE", "DATA", "WEIGHTS", "RUNS", "RECIPE"):
        monkeypatch.delenv(f"DEPTHKIT_{name}", raising=False)


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """Kaggle's folders below an empty one, and no GPU; a test that makes `working` is on Kaggle."""
    monkeypatch.setattr(kaggle, "INPUT", tmp_path / "input")
    monkeypatch.setattr(kaggle, "WORKING", tmp_path / "working")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def attach_data(tmp_path, mount="nyu/nyudepthv2"):
    root = tmp_path / "input" / mount
    for split in ("train", "val"):
        (root / split / "scene").mkdir(parents=True)
        (root / split / "scene" / "00001.h5").touch()
    return root


def test_kaggle_is_found_by_its_data(tmp_path, monkeypatch, no_overrides):
    root = attach_data(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    found = Settings.detect()
    assert (found.profile, found.data, found.num_processes) == ("kaggle", root, 2)
    config = found.train_config(output="x")
    assert (config.encoder, config.size, config.batch_size, config.lr) == ("vits", 518, 11, 5e-6)
    assert config.mixed_precision == "fp16"  # a T4 has no bf16
    assert config.workers * found.num_processes <= 4  # virtual CPUs of a session
    assert config.weights == settings.HUB_WEIGHTS
    assert config.max_hours <= 10  # a session ends after 12, and its last cells take time too
    weights = tmp_path / "input" / "some-weights" / kaggle.AUTHORS_WEIGHTS
    weights.parent.mkdir()
    weights.touch()
    assert Settings.detect().weights == str(weights)  # attached: taken without internet


def test_a_gpu_on_kaggle_without_data_is_never_spent_on_the_sample(tmp_path, monkeypatch, no_overrides):
    (tmp_path / "working").mkdir()
    pictures = tmp_path / "input" / "nyu-pictures" / "nyu_data" / "train" / "a.png"
    pictures.parent.mkdir(parents=True)
    pictures.touch()
    assert Settings.detect().profile == "sample"  # without a GPU: the notebooks that train nothing
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with pytest.raises(InputError, match=r"train/ and val/ that hold \.h5 files.*nyu-pictures \(nyu_data\)") as caught:
        Settings.detect()
    assert "DEPTHKIT_PROFILE=sample" in str(caught.value) and "\n" not in str(caught.value)
    monkeypatch.setenv("DEPTHKIT_PROFILE", "sample")
    found = Settings.detect()
    assert (found.profile, found.encoder) == ("sample", "tiny")
    monkeypatch.delenv("DEPTHKIT_PROFILE")
    monkeypatch.setenv("DEPTHKIT_DATA", str(tmp_path))
    found = Settings.detect()
    assert (found.profile, found.data, found.encoder) == ("kaggle", tmp_path, "vits")


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
        write_json(folder / "eval" / "val.json", {})
    assert here.latest_run("finetune").name == "finetune-002"


@pytest.mark.parametrize("mount", ["depthkit-04", "notebooks/someone/depthkit-04"])
def test_a_run_is_found_in_an_attached_output_unless_there_is_one_of_ours(mount, tmp_path, monkeypatch):
    monkeypatch.setenv("DEPTHKIT_DATA", str(tmp_path))
    monkeypatch.setenv("DEPTHKIT_RUNS", str(tmp_path / "runs"))
    attached = [tmp_path / "input" / mount / "runs" / f"finetune-{number:03d}" for number in (1, 2)]
    for run in attached:
        write_json(run / "eval" / "val.json", {})
    here = Settings.detect()
    assert here.latest_run("finetune") == attached[1]
    ours = here.new_run("finetune")
    leave_checkpoint(ours, here.train_config(), epoch=1)
    assert here.latest_run("finetune") == attached[1]  # ours was stopped, and has no score yet
    write_json(ours / "eval" / "val.json", {})
    assert here.latest_run("finetune") == ours
    with pytest.raises(FileNotFoundError, match="attach the output of notebook 04"):
        here.latest_run("pretrain")
    leave_checkpoint(here.new_run("frozen"), here.train_config(), epoch=1)
    with pytest.raises(FileNotFoundError, match="frozen-001 was stopped before its last epoch"):
        here.latest_run("frozen")


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


@pytest.fixture
def on_kaggle(tmp_path, monkeypatch, no_overrides):
    """The kaggle profile with two GPUs, an empty working folder and NYU attached."""
    attach_data(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    return Settings.detect()


def leave_checkpoint(run, config, epoch, batch=0):
    write_json(run / "last" / "state.json", {"epoch": epoch, "batch": batch, "config": asdict(config)})
    if epoch == config.epochs:
        write_json(run / "eval" / "val.json", {})
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


def test_the_documented_trial_is_a_recipe(on_kaggle, monkeypatch):
    trial = re.search(r"DEPTHKIT_RECIPE=(\S+)`", Settings.__doc__)[1]
    monkeypatch.setenv("DEPTHKIT_RECIPE", trial)
    config = on_kaggle.train_config()
    assert config.epochs == 1 and config.size < 200 and config.max_hours <= 5 / 60


def test_a_launch_that_would_fail_is_refused(on_kaggle, monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")  # one: nothing is forked, whatever other tests asked of CUDA
    with pytest.raises(RuntimeError, match="the Hub does not answer"):
        replace(on_kaggle, weights="owner/absent").check_launch()
    ready = replace(on_kaggle, weights=str(tmp_path))
    ready.check_launch()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(RuntimeError, match="choose the accelerator GPU T4 x2"):
        ready.check_launch()
    replace(ready, profile="sample").check_launch()  # the sample needs no GPU
    monkeypatch.setattr(launch.accelerate, "__version__", "1.13.0")
    with pytest.raises(RuntimeError, match=r"accelerate 1\.13\.0"):
        replace(ready, profile="sample").check_launch()


FORK = """
import os, sys, torch
from depthkit.course.settings import Settings
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
            [sys.executable, "-c", FORK, argument], env=environment, capture_output=True, text=True, timeout=240
        )
        assert done.stdout.strip() == spoilt, done.stderr

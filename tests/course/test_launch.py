"""What would make a launch fail late is refused before, with what to do."""

import subprocess
import sys

import pytest
import torch
from huggingface_hub import constants

from depthkit.course import launch


@pytest.mark.parametrize("visible, count", [("0,1", 2), ("", 0), ("-1", 0), ("3", 1)])
def test_gpus_are_counted_without_cuda(visible, count, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert launch.gpu_count() == count


@pytest.mark.parametrize("name, old", [("accelerate", "1.13.0"), ("transformers", "5.0.0")])
def test_an_old_release_is_refused_with_the_remedy(name, old, monkeypatch):
    launch.check_versions()
    monkeypatch.setattr(getattr(launch, name), "__version__", old)  # `transformers` replaces itself when it loads
    with pytest.raises(RuntimeError, match=rf"{name} {old} opens .* {name}>=\d\S* is needed.*restart the kernel"):
        launch.check_versions()


def test_weights_that_cannot_be_had_are_named_with_the_remedy(tmp_path, monkeypatch):
    """Offline, as all tests are."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    launch.check_weights(None)
    launch.check_weights(str(tmp_path))
    with pytest.raises(RuntimeError, match=r"owner/small is not on this machine .* switch the internet on .* attach"):
        launch.check_weights("owner/small")
    snapshot = tmp_path / "models--owner--small" / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").touch()
    (tmp_path / "models--owner--small" / "refs").mkdir()
    (tmp_path / "models--owner--small" / "refs" / "main").write_text("0123")
    launch.check_weights("owner/small")


def test_a_machine_without_gpus_is_refused(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(RuntimeError, match="choose the accelerator GPU T4 x2"):
        launch.check_gpus()


FORK = """
import os, torch
from depthkit.course import launch
def refused():
    try:
        launch.check_gpus()
    except RuntimeError as error:
        assert "CUDA was opened in this kernel" in str(error) and "PYTORCH_NVML_BASED_CUDA_CHECK" in str(error)
        return True
    return False
os.environ["CUDA_VISIBLE_DEVICES"] = "0,1"
before = refused()
torch.cuda.is_available()
after = refused()
os.environ["CUDA_VISIBLE_DEVICES"] = "0"
print(before, after, refused())
"""


@pytest.mark.skipif(not hasattr(torch._C, "_cuda_isInBadFork"), reason="a PyTorch without CUDA has none to touch")
def test_cuda_opened_before_a_fork_is_refused():
    """PyTorch itself tells a forked process whether its parent has spoken to CUDA; one GPU needs no fork."""
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=240)
    assert done.stdout.strip() == "False True False", done.stderr

"""What must be so before `notebook_launcher` starts processes: it fails late, with messages that do not help."""

import os
from importlib.metadata import requires
from pathlib import Path

import accelerate
import torch
import transformers
from huggingface_hub import try_to_load_from_cache
from packaging.requirements import Requirement

from depthkit.course import hub
from depthkit.course.kaggle import AUTHORS_WEIGHTS


def gpu_count() -> int:
    """Count the GPUs by the driver's device files and CUDA_VISIBLE_DEVICES, not through CUDA."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([name for name in visible.split(",") if name.strip() not in ("", "-1")])
    return len(list(Path("/dev").glob("nvidia[0-9]*")))


def check_versions() -> None:
    """Raise RuntimeError for an accelerate or a transformers that opens CUDA in the notebook itself."""
    floors = {each.name: each.specifier for each in map(Requirement, requires("depthkit") or [])}
    for package in (accelerate, transformers):
        name, version = package.__name__, package.__version__
        if version not in floors[name]:
            raise RuntimeError(
                f"{name} {version} opens the GPUs before it forks, and training can't then; {name}{floors[name]} is "
                "needed. The first cell installs it from the data set depthkit-course; with internet pip does. Then "
                "restart the kernel and run all cells, so that none has imported the old one before"
            )


def check_weights(weights: str | None) -> None:
    """Raise RuntimeError when `weights` is a Hub id that is not in the cache and the Hub does not answer."""
    if weights is None or Path(weights).exists():
        return
    if isinstance(try_to_load_from_cache(weights, "model.safetensors"), str) or hub.hub_answers():
        return
    raise RuntimeError(
        f"{weights} is not on this machine and the Hub does not answer: switch the internet on in the settings of the "
        f"notebook, or attach Depth Anything V2 Small (a Kaggle model or data set with {AUTHORS_WEIGHTS} or with a "
        "folder in the Hub's format), or name a file or folder in DEPTHKIT_WEIGHTS"
    )


def check_gpus() -> None:
    """Raise RuntimeError when there is no GPU, or when a process forked now could not use it."""
    if gpu_count() == 0:
        raise RuntimeError(
            "there is no GPU here, and ViT-S on NYU would take weeks on a CPU: choose the accelerator GPU T4 x2 in "
            "the settings of the notebook"
        )
    if gpu_count() > 1 and _cuda_fails_in_a_fork():  # for one GPU nothing is forked
        raise RuntimeError(
            "CUDA was opened in this kernel, so that the processes to be launched can't use it: restart the kernel and "
            "run all cells, and let none call torch.cuda before the launch. transformers before 5.4 does so when it is "
            f"imported (this is {transformers.__version__}): install a newer one, or set "
            "PYTORCH_NVML_BASED_CUDA_CHECK=1 in the first cell, before any import"
        )


def _cuda_fails_in_a_fork() -> bool:
    """Ask PyTorch in a forked process whether CUDA was opened before the fork, which makes it unusable there."""
    child = os.fork()
    if child == 0:
        os._exit(int(torch.cuda._is_in_bad_fork()))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0

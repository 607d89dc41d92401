"""Read a model folder, or a model of the Hub, strictly: nothing is lost, left over, of another kind, or not finite."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import torch
from huggingface_hub.utils import logging as hub_logging
from safetensors import SafetensorError
from torch import Tensor
from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation
from transformers.utils import logging as transformers_logging

from depthkit.errors import InputError
from depthkit.models.encoders import Objective
from depthkit.run_folder import RunFolder, read_json


def read_config(path: str | Path) -> Any:
    """Read the config of a model folder or Hub id. Raises InputError when there is none, or it is of no such model."""
    path = str(path)
    for run in (RunFolder(path), RunFolder(Path(path).parent)):
        if Path(path) in (run.path, run.last, run.eval) and run.is_used() and run.best.is_dir():
            raise InputError(f"{path} belongs to a run, whose best model is in another folder: use {run.best}")
    if not Path(path).exists() and (path.count("/") != 1 or path.startswith((".", "/", "~"))):
        raise InputError(f"{path}: no such folder; give a model folder, as best/ of a run is, or OWNER/NAME on the Hub")
    if Path(path).exists() and not Path(path, "config.json").is_file():
        raise InputError(f"{path} holds no config.json: give a model folder; `depthkit convert` makes one of a .pth")
    settings = read_json(Path(path, "config.json")) if Path(path).exists() else _hub_settings(path)
    if not isinstance(settings, dict):
        raise InputError(f"{path}/config.json holds no settings of a model: get the folder again")
    if settings.get("model_type") != "depth_anything":
        found = settings.get("model_type", "no")
        raise InputError(f"{path} holds {found} model, not a Depth Anything: give a model folder, as best/ of a run is")
    kind, limit = settings.get("depth_estimation_type", "relative"), settings.get("max_depth", 1)
    if kind == "relative":  # means nothing then, and is null in some files, which transformers would multiply by
        settings["max_depth"] = limit = 1
    if kind not in get_args(Objective) or isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        wanted = "relative, or metric with a max_depth of whole metres"
        raise InputError(f"{path}: its config.json says {kind}, max_depth {limit}; a model here is {wanted}")
    try:
        return DepthAnythingConfig.from_dict(settings)
    except Exception as error:  # its checks raise errors of many kinds
        raise InputError(f"{path}/config.json is of no Depth Anything ({_first_line(error)}): get it again") from error


def _hub_settings(name: str) -> dict[str, Any]:
    try:
        with quiet_transformers():
            return DepthAnythingConfig.get_config_dict(name)[0]
    except OSError as error:
        raise InputError(
            f"{name} is no model folder, and could not be loaded from the Hugging Face Hub ({_first_line(error)}): "
            "check the name or, on a machine without a network, download the model beforehand and give its folder"
        ) from error


def load_strictly(
    path: str | Path, config: Any, state: dict[str, Tensor] | None = None, whole: bool = True
) -> DepthAnythingForDepthEstimation:
    """Load the weights at `path`, or the `state` that was read from there, into the model of `config`.

    Unless it has to be `whole`, a `state` may be an encoder alone; its decoder is random then.

    Raises: InputError when a parameter is missing, left over, of another shape, or not finite.
    """
    options: dict[str, Any] = dict(config=config, state_dict=state, dtype=torch.float32, use_safetensors=True)
    options |= dict(output_loading_info=True, ignore_mismatched_sizes=True)  # faults are reported, and raised below
    try:
        with quiet_transformers():
            loaded: Any = DepthAnythingForDepthEstimation.from_pretrained(None if state else path, **options)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: the weights can't be read ({_first_line(error)}); get them again") from error
    model, report = loaded
    missing = report["missing_keys"]
    if state and not whole and all(name.startswith("backbone.") for name in state):
        missing = {name for name in missing if name.startswith("backbone.")}
    faults = {"missing": missing, "unexpected": report["unexpected_keys"], "mismatched": report["mismatched_keys"]}
    text = "; ".join(f"{len(keys)} {fault}, first {min(map(str, keys))}" for fault, keys in faults.items() if keys)
    if text:
        raise InputError(f"{path} does not fit this model ({text}): is it another encoder, or another model?")
    if name := first_not_finite(model.state_dict()):
        raise InputError(f"{path}: {name} holds NaN or infinity: take a model from before its training failed")
    return model


def first_not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """Return the name of the first tensor that holds NaN or infinity, or None when all are finite."""
    return next((name for name, tensor in tensors.items() if not tensor.isfinite().all()), None)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep progress bars and reports of `transformers` and the Hub off the screen inside the block.

    What they would say of a model is checked, and raised, in this module.
    """
    bars = transformers_logging.is_progress_bar_enabled()
    levels = transformers_logging.get_verbosity(), hub_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    hub_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(levels[0])
        hub_logging.set_verbosity(levels[1])
        if bars:
            transformers_logging.enable_progress_bar()

"""The authors' `.pth` to a model folder, and a model back to a `.pth` for the authors' code."""

import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import DepthAnythingForDepthEstimation

from depthkit.errors import InputError
from depthkit.models.author_weights import config_of, read, stated_kind, to_author_names
from depthkit.models.build import canonical_focal, input_size, kind_of, save_model
from depthkit.models.encoders import Objective, encoder_of_width, model_config
from depthkit.models.load import load_strictly
from depthkit.run_folder import replaced_file


def to_folder(
    path: str | Path, folder: str | Path, objective: Objective | None = None, max_depth: float | None = None
) -> str:
    """Convert a whole authors' `.pth` once into a model folder, whose `config.json` says what its head predicts.

    Args:
        folder: written for `load_model`, `build_model(weights=folder)` and plain `transformers`.
        objective: "relative" or "metric", believed where the file's name says nothing; not needed where it does. Files
            of Depth Anything V1 look the same and must not be given: V1 has other connections.
        max_depth: metres, what a metric model was trained with (`--max-depth` of the authors' scripts).

    Returns: what the model predicts, in words. Raises: InputError when neither name nor caller says the kind, when they
    disagree, and for what `read` refuses.
    """
    if objective == "relative":
        max_depth = 1
    elif objective and not max_depth:
        raise InputError(f"{path}: a metric head needs the max_depth in metres that it was trained with")
    state = read(path)
    config = config_of(path, state, (objective, max_depth) if objective and max_depth else None)
    if objective not in (None, config.depth_estimation_type) or max_depth not in (None, config.max_depth):
        asked = f"{objective or 'metric'} {max_depth:g}"
        raise InputError(f"{path} holds {kind_of(config)} by its name, not {asked}: rename it")
    save_model(load_strictly(path, config, state), folder)
    return kind_of(config)


def export(model: DepthAnythingForDepthEstimation, path: str | Path) -> str:
    """Write `model` as a `.pth` with the authors' names, for `load_state_dict` in their code.

    Returns: the call that builds the model there, with what the file can't hold: `max_depth`, input size and lens.
    Raises: InputError for an encoder that their code does not know, a name of another kind, or weights that are not
    finite.
    """
    config: Any = model.config
    encoder, stated = encoder_of_width(config.backbone_config.hidden_size), stated_kind(path)
    if Path(path).is_dir():
        raise InputError(f"{path} is a folder: name the .pth file to write")
    if encoder is None or encoder == "tiny":
        raise InputError(f"the authors' code has no encoder {encoder!r}: export vits, vitb, vitl or vitg")
    if stated and kind_of(model_config(encoder, *stated)) != kind_of(config):
        raise InputError(f"{path} is the name of another kind; this model predicts {kind_of(config)}: choose another")
    with tempfile.TemporaryDirectory() as folder:  # on disk the names are the Hub's, in memory transformers' own
        save_model(model, Path(folder, "model"))
        state = load_file(Path(folder, "model", "model.safetensors"))
    with replaced_file(path) as draft:
        torch.save({name: value.float() for name, value in to_author_names(state).items()}, draft)
    arguments = f"encoder={encoder!r}, features={config.fusion_hidden_size}, out_channels={config.neck_hidden_sizes}"
    if config.depth_estimation_type == "metric":
        arguments += f", max_depth={config.max_depth}"
    size = input_size(config)
    lens = "; times focal length / shorter side of a photo: metres" if canonical_focal(config) else ""
    return f"DepthAnythingV2({arguments})" + (f" and call infer_image(image, {size})" if size != 518 else "") + lens

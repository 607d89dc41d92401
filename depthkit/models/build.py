"""Depth Anything V2 on top of `transformers`: build it, load it, save it, and say which parameters are which.

A model's kind of output travels with its weights, in `config.json`: `depth_estimation_type` ("metric" or "relative"),
`max_depth` in metres, `input_size`, the shorter side in pixels the model was trained at, and, where it was trained for
it (`depthkit.camera.CameraUse`), `canonical_focal`, the focal length in pixels of its input that its metres belong to.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import nn
from transformers import DepthAnythingForDepthEstimation, PreTrainedModel

from depthkit.camera import CameraUse
from depthkit.data.transforms import PATCH
from depthkit.errors import InputError
from depthkit.models import author_weights
from depthkit.models.card import image_processor, model_card
from depthkit.models.encoders import Encoder, Init, Objective, encoder_of_width, model_config
from depthkit.models.load import first_not_finite, load_strictly, quiet_transformers, read_config
from depthkit.run_folder import replaced_folder

CALIBRATION_FILE = "calibration.json"
# What a model folder may hold: what `save_model` writes, and its calibration.
MODEL_FILES = {"config.json", "model.safetensors", "preprocessor_config.json", "README.md", CALIBRATION_FILE}


def build_model(
    encoder: Encoder,
    objective: Objective = "metric",
    max_depth: float = 10,
    weights: str | Path | None = None,
    init: Init = "encoder",
    input_size: int | None = None,
    start_depth: float | None = None,
    camera: CameraUse = "ignore",
) -> DepthAnythingForDepthEstimation:
    """Build a Depth Anything that is ready for training.

    Args:
        objective: "metric" (sigmoid × `max_depth`, metres) or "relative" (ReLU, affine disparity).
        weights: a Hub id, a local folder in the Hub's format, an authors' `.pth` file, or None for random weights.
        init: "encoder" takes the encoder from `weights` and a fresh decoder, as the authors' code does (Yang 2024,
            arXiv 2406.09414); "neck" takes the decoder's neck too and a fresh head, which serves few images better;
            "all" takes everything, and then objective and `max_depth` must agree.
        input_size: shorter side in pixels at which the model will be trained; the encoder's own grid if None.
        camera: "canonical" for a metric model whose metres (and `max_depth`, `start_depth`) are canonical ones.
        start_depth: metres that a fresh metric head predicts everywhere at first, best the median of the training data;
            if None, about half of `max_depth`. A relative or trained head ignores it.

    Returns: the model on the CPU, in float32; parameters that no output depends on are frozen.

    Raises: InputError when the weights are not of this encoder, lack keys, are not finite, or hold another kind of
    depth, or when `start_depth` is not between 0 and `max_depth`.
    """
    if init not in get_args(Init):
        raise InputError(f"unknown init {init!r}; choose one of {', '.join(get_args(Init))}")
    config: Any = model_config(encoder, objective, max_depth, input_size)
    if camera == "canonical":
        config.canonical_focal = config.input_size
    model = DepthAnythingForDepthEstimation(config) if weights is None else _load_weights(weights, config, init)
    if weights is None or init == "encoder":
        reset_decoder(model)
    elif init == "neck":
        reset_decoder(model, parts=("head",))
        if objective == "metric":
            # A relative loss leaves the scale of the neck's features free: on large ones random last weights would
            # begin in the sigmoid's flat ends, and their first gradients would harm the neck.
            for parameter in model.head.conv3.parameters():
                nn.init.zeros_(parameter)
    else:
        start_depth = None
    if objective == "metric" and start_depth is not None:
        set_start_depth(model, start_depth)
    return _ready(model)


def reset_decoder(
    model: DepthAnythingForDepthEstimation, parts: Iterable[Literal["neck", "head"]] = ("neck", "head")
) -> DepthAnythingForDepthEstimation:
    """Give neck and head, or one of them, PyTorch's default initialisation, in place; returns the model.

    `transformers` draws them with a standard deviation of 0.02, from which a fresh decoder predicts the same depth for
    every pixel (spread about 1e-6) and training crawls; the authors' code has PyTorch's default.
    """
    for part in parts:
        for module in getattr(model, part).modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
    if model.config.depth_estimation_type == "relative":
        # The relative head ends in a ReLU: a map that starts below 0 has no gradient and would never leave it.
        nn.init.constant_(model.head.get_parameter("conv3.bias"), 0.5)
    return model


@torch.no_grad()
def set_start_depth(model: DepthAnythingForDepthEstimation, depth: float) -> None:
    """Shift the last bias of a fresh metric head, in place, so that it predicts `depth` metres for a grey image.

    All images give nearly the same depth then. The last weights stay as they are: smaller ones would begin as exactly,
    but pass smaller gradients to the layers before, and short trainings ended worse with them.

    Raises: InputError when `depth` is not between 0 and the model's `max_depth`.
    """
    max_depth: Any = model.config.max_depth
    if not 0 < depth < max_depth:
        raise InputError(f"start_depth must be between 0 and max_depth ({max_depth} m); got {depth}")
    grey = torch.zeros(1, 3, 8 * PATCH, 8 * PATCH)
    predicted = model(pixel_values=grey).predicted_depth.double().median()
    wanted = torch.full_like(predicted, depth)
    shift = torch.logit(wanted / max_depth) - torch.logit(predicted / max_depth)
    model.head.get_parameter("conv3.bias").add_(shift)


def _ready(model: DepthAnythingForDepthEstimation) -> DepthAnythingForDepthEstimation:
    """Freeze the parameters that no output depends on, so that data-parallel training need not search for them, and
    store the decoder's filters with the channels last, which is how the fast convolutions of CPU and GPU read them."""
    model.backbone.embeddings.mask_token.requires_grad_(False)  # only self-supervised pre-training masks patches
    # The coarsest fusion layer has nothing finer to merge with, so its first residual unit never runs.
    model.neck.fusion_stage.layers[0].residual_layer1.requires_grad_(False)
    nn.Module.to(model, memory_format=torch.channels_last)
    return model


def checkpoint_activations(encoder: PreTrainedModel) -> None:
    """Let an encoder compute its activations twice instead of keeping them for the backward pass."""
    names = ("activation_checkpointing_enable", "gradient_checkpointing_enable")  # the latter until transformers 5.x
    enable = next(getattr(encoder, name) for name in names if hasattr(encoder, name))
    enable({"use_reentrant": False})


def encoder_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Return the trainable parameters of the DINOv2 encoder."""
    return _trainable(model, "backbone.")


def decoder_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Return the trainable parameters of the DPT decoder: neck and head."""
    return _trainable(model, "neck.") + _trainable(model, "head.")


def _trainable(model: nn.Module, prefix: str) -> list[nn.Parameter]:
    return [value for name, value in model.named_parameters() if name.startswith(prefix) and value.requires_grad]


def load_model(path: str | Path) -> DepthAnythingForDepthEstimation:
    """Load a model from a local folder or a Hub id, as it was saved: its config says what kind of depth it predicts.

    Raises: InputError for what is not there, or does not fit.
    """
    config = read_config(path)
    config.input_size = input_size(config)
    return _ready(load_strictly(path, config)).eval()


def save_model(model: DepthAnythingForDepthEstimation, folder: str | Path) -> None:
    """Write `folder` so that `transformers` loads it by itself: config, safetensors weights, image processor, card.

    The folder appears complete or not at all; a model that is there already is replaced.

    Raises: InputError when a parameter is not finite, or the folder holds anything but a model; RuntimeError when it
    can't be written (a full disk).
    """
    if others := {path.name for path in Path(folder).glob("[!.]*")} - MODEL_FILES:
        raise InputError(
            f"{folder} holds {min(others)}, which is no part of a model, and would be lost: name a new folder"
        )
    if name := first_not_finite(model.state_dict()):
        raise InputError(f"{name} holds NaN or infinity: the model was not saved; train it again with a lower lr")
    size = input_size(model.config)
    with replaced_folder(folder) as draft, quiet_transformers():
        model.save_pretrained(draft)
        image_processor(size).save_pretrained(draft)
        (draft / "README.md").write_text(model_card(model.config, size), encoding="utf-8")


def input_size(config: Any) -> int:
    """Return the shorter side of the images a model was trained on, pixels; the Hub's models have it in their grid."""
    return getattr(config, "input_size", None) or config.backbone_config.image_size


def canonical_focal(config: Any) -> float | None:
    """Return f_c of a metric model that predicts canonical metres, pixels of its input; None of all others."""
    return getattr(config, "canonical_focal", None) if config.depth_estimation_type == "metric" else None


def kind_of(config: Any) -> str:
    """Say what a model predicts; relative and metric heads share their parameter names, so only the config can tell."""
    if config.depth_estimation_type == "relative":
        return "relative depth"
    return f"metric depth up to {config.max_depth} {'canonical metres' if canonical_focal(config) else 'm'}"


def _load_weights(weights: str | Path, config: Any, init: Init) -> DepthAnythingForDepthEstimation:
    """Load all of `weights` into the model of `config`, once they fit what `init` will keep of them."""
    if str(weights).lower() in ("", "none", "null"):
        raise InputError(f"weights {str(weights)!r}: leave weights out to begin from random ones")
    state = None
    if author_weights.is_checkpoint(weights):
        state = author_weights.read(weights)
        found: Any = author_weights.config_of(weights, state, None if init == "all" else ("relative", 1))
    else:
        found = read_config(weights)
    width, found_width = config.backbone_config.hidden_size, found.backbone_config.hidden_size
    if width != found_width:
        encoder, found_encoder = encoder_of_width(width), encoder_of_width(found_width)
        raise InputError(
            f"{weights} holds encoder {found_encoder} (width {found_width}), not {encoder} (width {width}): name the "
            "encoder to fit"
        )
    remedy = "use init='encoder' to take its encoder alone"
    if init == "all" and kind_of(config) != kind_of(found):
        raise InputError(
            f"{weights} predicts {kind_of(found)}, but a model of {kind_of(config)} was asked for: ask for what it "
            f"is, or {remedy}"
        )
    layers, found_layers = config.backbone_config.out_features, found.backbone_config.out_features
    if init != "encoder" and layers != found_layers:  # Depth Anything V1 differs from V2 in nothing else
        raise InputError(f"{weights} reads {found_layers}, Depth Anything V2 {layers}: {remedy}")
    return load_strictly(weights, config, state, whole=init != "encoder")

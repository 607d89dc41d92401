"""Depth Anything V2 on top of `transformers`: build it, load it, save it, and say which parameters are which.

A model's kind of output travels with its weights, in `config.json`: `depth_estimation_type` ("metric" or "relative"),
`max_depth` in metres, and `input_size`, the shorter side in pixels the model was trained at.
"""

from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config, DPTImageProcessor
from transformers.utils import logging as transformers_logging

from depthkit.files import draft_folder, replace_folder, writing
from depthkit.transforms import IMAGENET_MEAN, IMAGENET_STD, PATCH

# The paper's four encoders follow the authors' `model_configs` and `intermediate_layer_idx`; `tiny` is ours.
ENCODERS = {
    "tiny": dict(hidden=128, layers=8, heads=4, stages=(2, 4, 6, 8), neck=(32, 64, 96, 128), fusion=48),
    "vits": dict(hidden=384, layers=12, heads=6, stages=(3, 6, 9, 12), neck=(48, 96, 192, 384), fusion=64),
    "vitb": dict(hidden=768, layers=12, heads=12, stages=(3, 6, 9, 12), neck=(96, 192, 384, 768), fusion=128),
    "vitl": dict(hidden=1024, layers=24, heads=16, stages=(5, 12, 18, 24), neck=(256, 512, 1024, 1024), fusion=256),
    "vitg": dict(hidden=1536, layers=40, heads=24, stages=(10, 20, 30, 40), neck=(1536,) * 4, fusion=384),
}
OBJECTIVES = ("metric", "relative")
INITS = ("encoder", "neck", "all")


def model_config(encoder, objective="metric", max_depth=10, input_size=None) -> DepthAnythingConfig:
    """The `transformers` configuration of one encoder with one kind of output.

    `max_depth` is in metres and whole (`transformers` stores it as an integer); a relative model ignores it.
    """
    if encoder not in ENCODERS:
        raise ValueError(f"unknown encoder {encoder!r}; choose one of {', '.join(ENCODERS)}")
    if objective not in OBJECTIVES:
        raise ValueError(f"unknown objective {objective!r}; choose one of {', '.join(OBJECTIVES)}")
    if objective == "metric" and (max_depth != int(max_depth) or max_depth < 1):
        raise ValueError(f"max_depth must be a whole number of metres, 1 or more, for a metric model; got {max_depth}")
    shape = ENCODERS[encoder]
    grid_size = 168 if encoder == "tiny" else 518
    backbone = Dinov2Config(
        hidden_size=shape["hidden"],
        num_hidden_layers=shape["layers"],
        num_attention_heads=shape["heads"],
        image_size=grid_size,  # of the position embeddings; other sizes interpolate them
        patch_size=PATCH,
        out_features=[f"stage{stage}" for stage in shape["stages"]],
        reshape_hidden_states=False,
        apply_layernorm=True,
        use_swiglu_ffn=encoder == "vitg",
    )
    return DepthAnythingConfig(
        backbone_config=backbone,
        patch_size=PATCH,
        reassemble_hidden_size=shape["hidden"],
        neck_hidden_sizes=list(shape["neck"]),
        fusion_hidden_size=shape["fusion"],
        depth_estimation_type=objective,
        max_depth=int(max_depth) if objective == "metric" else 1,
        input_size=input_size or grid_size,
    )


def build_model(encoder, objective="metric", max_depth=10, weights=None, init="encoder", input_size=None):
    """A Depth Anything ready for training.

    Args:
        encoder: "tiny", "vits", "vitb", "vitl" or "vitg".
        objective: "metric" (sigmoid × `max_depth`, metres) or "relative" (ReLU, affine disparity).
        max_depth: metres, the largest depth a metric model can say.
        weights: a Hub id, a local folder in the Hub's format, an authors' `.pth` file, or None for random weights.
        init: "encoder" takes the encoder from `weights` and a fresh decoder, the paper's recipe (Yang 2024,
            arXiv 2406.09414); "neck" takes the decoder's neck too and a fresh head, which serves few images better: a
            metric one says half of `max_depth` everywhere at first; "all" takes everything, and then objective and
            `max_depth` must agree.
        input_size: shorter side in pixels at which the model will be trained; the encoder's own grid if None.

    Returns: `DepthAnythingForDepthEstimation` on the CPU, in float32; parameters that no output depends on are frozen.

    Raises: ValueError when the weights are not of this encoder, lack keys, or hold another kind of depth.
    """
    if init not in INITS:
        raise ValueError(f"unknown init {init!r}; choose one of {', '.join(INITS)}")
    config = model_config(encoder, objective, max_depth, input_size)
    if weights is None:
        model = DepthAnythingForDepthEstimation(config)
        reset_decoder(model)
    else:
        model = _load_weights(weights, config, init)
        if init == "encoder":
            reset_decoder(model)
        elif init == "neck":
            reset_decoder(model, parts=("head",))
            if objective == "metric":
                # A relative loss leaves the scale of the neck's features free: on large ones random last weights would
                # begin in the sigmoid's flat ends, and their first gradients would harm the neck.
                nn.init.zeros_(model.head.conv3.weight)
                nn.init.zeros_(model.head.conv3.bias)
    return _ready(model)


def reset_decoder(model, parts=("neck", "head")):
    """Give neck and head, or one of them, PyTorch's default initialisation, in place; returns the model.

    `transformers` draws them with a standard deviation of 0.02, from which a fresh decoder says the same depth for
    every pixel (spread about 1e-6) and training crawls; the authors' code has PyTorch's default.
    """
    for part in parts:
        for module in getattr(model, part).modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
    if model.config.depth_estimation_type == "relative":
        # The relative head ends in a ReLU: a map that starts below 0 has no gradient and would never leave it.
        nn.init.constant_(model.head.conv3.bias, 0.5)
    return model


def _ready(model):
    """Freeze the parameters that no output depends on, so that data-parallel training need not search for them, and
    store the decoder's filters with the channels last, which is how the fast convolutions of CPU and GPU read them."""
    model.backbone.embeddings.mask_token.requires_grad_(False)  # only self-supervised pre-training masks patches
    # The coarsest fusion layer has nothing finer to merge with, so its first residual unit never runs.
    model.neck.fusion_stage.layers[0].residual_layer1.requires_grad_(False)
    return model.to(memory_format=torch.channels_last)


def encoder_parameters(model):
    """The trainable parameters of the DINOv2 encoder."""
    return [parameter for parameter in model.backbone.parameters() if parameter.requires_grad]


def decoder_parameters(model):
    """The trainable parameters of the DPT decoder: neck and head."""
    parts = (*model.neck.parameters(), *model.head.parameters())
    return [parameter for parameter in parts if parameter.requires_grad]


def load_model(path):
    """A model from a local folder or a Hub id, as it was saved: its config says what kind of depth it predicts.

    Raises: ValueError when weights are missing, unexpected or of the wrong shape; OSError when nothing is there.
    """
    config = _read_config(path)
    config.input_size = input_size(config)
    return _ready(load_strictly(path, config)).eval()


def save_model(model, folder):
    """Write `folder` so that `transformers` loads it by itself: config, safetensors weights, image processor.

    The folder appears complete or not at all; one that is there already is replaced.

    Raises: RuntimeError when it can't be written (a full disk).
    """
    with writing(folder), _quiet_transformers():
        draft = draft_folder(folder)
        model.save_pretrained(draft)
        image_processor(input_size(model.config)).save_pretrained(draft)
    replace_folder(draft, folder)


def image_processor(size):
    """The `transformers` image processor that does what `depthkit.transforms.EvalTransform` does, for `pipeline`.

    It scales "as little as possible", which is the authors' "shorter side to `size`" whenever both sides of the image
    are at least `size` pixels; smaller images it enlarges less.
    """
    return DPTImageProcessor(
        size={"height": size, "width": size},
        keep_aspect_ratio=True,
        ensure_multiple_of=PATCH,
        resample=3,  # bicubic
        image_mean=list(IMAGENET_MEAN),
        image_std=list(IMAGENET_STD),
    )


def input_size(config) -> int:
    """Shorter side, in pixels, of the images a model was trained on; Hub checkpoints don't say, their grid does."""
    return getattr(config, "input_size", None) or config.backbone_config.image_size


def encoder_of_width(width):
    """The name of the encoder whose tokens are `width` numbers long, or None."""
    return next((name for name, shape in ENCODERS.items() if shape["hidden"] == width), None)


def kind_of(config):
    """What a model predicts; relative and metric heads share their parameter names, so only the config can tell."""
    relative = config.depth_estimation_type == "relative"
    return "relative depth" if relative else f"metric depth up to {config.max_depth} m"


def _load_weights(weights, config, init):
    """The model of `config` with all of `weights` loaded, once they fit what `init` will keep of them."""
    if str(weights).endswith((".pth", ".pt")):
        from depthkit import author_weights  # here, because it builds on this module

        state = author_weights.read(weights)
        theirs = author_weights.config_of(weights, state, None if init == "all" else ("relative", 1))
    else:
        theirs, state = _read_config(weights), None
    ours, found = config.backbone_config, theirs.backbone_config
    if ours.hidden_size != found.hidden_size:
        names = [f"{encoder_of_width(each.hidden_size)} (width {each.hidden_size})" for each in (found, ours)]
        raise ValueError(f"{weights} holds encoder {names[0]}, not {names[1]}: name the encoder to fit")
    alone = "use init='encoder' to take its encoder alone"
    if init == "all" and kind_of(config) != kind_of(theirs):
        raise ValueError(
            f"{weights} predicts {kind_of(theirs)}, but a model of {kind_of(config)} was asked for: ask for what it "
            f"is, or {alone}"
        )
    if (
        init != "encoder" and ours.out_features != found.out_features
    ):  # Depth Anything V1 differs from V2 in nothing else
        raise ValueError(f"{weights} reads {found.out_features}, Depth Anything V2 {ours.out_features}: {alone}")
    return load_strictly(weights, config, state, whole=init != "encoder")


def _read_config(path):
    if Path(path).exists() and not Path(path, "config.json").is_file():
        raise ValueError(f"{path} holds no config.json: give a model folder, or convert a .pth with author_weights")
    config = DepthAnythingConfig.from_pretrained(path)
    if config.model_type != "depth_anything":
        raise ValueError(f"{path} holds a {config.model_type} model, not a Depth Anything")
    return config


def load_strictly(path, config, state=None, whole=True):
    """The model of `config` with the weights at `path`, or with `state` read from there; no key is lost or left over.

    Unless it has to be `whole`, a `state` may be an encoder alone; its decoder is random then.
    """
    options = dict(config=config, state_dict=state, dtype=torch.float32, use_safetensors=True)  # no pickles
    options |= dict(output_loading_info=True, ignore_mismatched_sizes=True)
    try:
        with _quiet_transformers():
            model, report = DepthAnythingForDepthEstimation.from_pretrained(None if state else path, **options)
    except SafetensorError as error:
        raise ValueError(f"{path}: the weights can't be read ({error}); copy or download them again") from error
    problems = {kind: set(report.get(f"{kind}_keys") or ()) for kind in ("missing", "unexpected", "mismatched")}
    if state and not whole and all(name.startswith("backbone.") for name in state):
        problems["missing"] = {name for name in problems["missing"] if name.startswith("backbone.")}
    text = "; ".join(f"{len(keys)} {kind}, first {min(map(str, keys))}" for kind, keys in problems.items() if keys)
    if text:
        raise ValueError(f"{path} does not fit this model ({text}): is it another encoder, or another model?")
    return model


@contextmanager
def _quiet_transformers():
    """No progress bars and no reports: what they would say is checked, and raised, here."""
    bars, verbosity = transformers_logging.is_progress_bar_enabled(), transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()

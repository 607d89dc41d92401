"""The authors' `.pth` checkpoints: read safely, and named as the Hub names them, and back.

The authors' names are those of `depth_anything_v2/dpt.py` and `dinov2.py` in
github.com/DepthAnything/Depth-Anything-V2; the Hub's are those on disk in `depth-anything/Depth-Anything-V2-Small-hf`,
which every `transformers` version reads.

A `.pth` does not hold what its head predicts: relative and metric weights have the same names and shapes. The authors'
file names do say it (see `stated_kind`); for a file of another name the caller has to.

From the same weights our model and the authors' agree at 518 × 518 pixels to float32 precision. At other sizes they
differ (at 518 × 686, with random weights, by 0.3 % of the output's standard deviation on average and 4 % at most),
because their code interpolates the position embeddings by a scale of (cells + 0.1) / 37 and `transformers` to the exact
number of cells.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from transformers import DepthAnythingConfig

from depthkit.errors import InputError
from depthkit.models.encoders import Objective, encoder_of_width, model_config
from depthkit.models.load import first_not_finite

HeadKind = tuple[Objective, float]  # what a head predicts: ("relative", 1), or ("metric", its largest depth in metres)

# Authors' name and Hub name; # stands for the number of a layer, * for weight or bias.
_NAMES = [
    ("pretrained.cls_token", "backbone.embeddings.cls_token"),
    ("pretrained.mask_token", "backbone.embeddings.mask_token"),
    ("pretrained.pos_embed", "backbone.embeddings.position_embeddings"),
    ("pretrained.patch_embed.proj.*", "backbone.embeddings.patch_embeddings.projection.*"),
    ("pretrained.norm.*", "backbone.layernorm.*"),
    ("pretrained.blocks.#.norm#.*", "backbone.encoder.layer.#.norm#.*"),
    ("pretrained.blocks.#.ls#.gamma", "backbone.encoder.layer.#.layer_scale#.lambda1"),
    ("pretrained.blocks.#.attn.qkv.*", "backbone.encoder.layer.#.attention.attention.qkv.*"),  # three on the Hub
    ("pretrained.blocks.#.attn.proj.*", "backbone.encoder.layer.#.attention.output.dense.*"),
    ("pretrained.blocks.#.mlp.fc#.*", "backbone.encoder.layer.#.mlp.fc#.*"),
    ("pretrained.blocks.#.mlp.w12.*", "backbone.encoder.layer.#.mlp.weights_in.*"),
    ("pretrained.blocks.#.mlp.w3.*", "backbone.encoder.layer.#.mlp.weights_out.*"),
    ("depth_head.projects.#.*", "neck.reassemble_stage.layers.#.projection.*"),
    ("depth_head.resize_layers.#.*", "neck.reassemble_stage.layers.#.resize.*"),
    ("depth_head.scratch.output_conv1.*", "head.conv1.*"),
    ("depth_head.scratch.output_conv2.0.*", "head.conv2.*"),
    ("depth_head.scratch.output_conv2.2.*", "head.conv3.*"),
]
for _i in range(1, 5):
    # The authors count refinement blocks from the finest, transformers from the coarsest.
    _authors, _hub = f"depth_head.scratch.refinenet{_i}", f"neck.fusion_stage.layers.{4 - _i}"
    _NAMES += [
        (f"depth_head.scratch.layer{_i}_rn.weight", f"neck.convs.{_i - 1}.weight"),
        (f"{_authors}.out_conv.*", f"{_hub}.projection.*"),
        (f"{_authors}.resConfUnit#.conv#.*", f"{_hub}.residual_layer#.convolution#.*"),
    ]
_PARTS = ("query", "key", "value")
_MAX_DEPTH = {"hypersim": 20, "vkitti": 80}  # metres, from the README of the authors' metric_depth
_WRAPPERS = ("model", "state_dict", "model_state_dict")  # the entry of a training checkpoint that holds the parameters


def is_checkpoint(path: str | Path) -> bool:
    """Return whether `path` is named like a PyTorch checkpoint: .pth, .pt, .ckpt, .bin, or .pth.tar."""
    return Path(path).suffix.lower() in (".pth", ".pt", ".ckpt", ".bin", ".tar") and not Path(path).is_dir()


def stated_kind(path: str | Path) -> HeadKind | None:
    """Return what an authors' file name says of its head, or None if it says nothing.

    Their names are `depth_anything_v2_vits.pth` and `depth_anything_v2_metric_hypersim_vits.pth` or `..._vkitti_...`.
    """
    match = re.fullmatch(r"depth_anything_v2_(?:metric_(hypersim|vkitti)_)?vit[sblg]\.pth", Path(path).name)
    if match is None:
        return None
    return ("metric", _MAX_DEPTH[match[1]]) if match[1] else ("relative", 1)


def config_of(path: str | Path, state: Mapping[str, Tensor], kind: HeadKind | None = None) -> DepthAnythingConfig:
    """Return the config of the model whose `state` was read from `path`; its file name is believed before `kind`.

    Raises: InputError when neither says what the head predicts, or no encoder is as wide.
    """
    width = state["backbone.embeddings.cls_token"].shape[-1]
    encoder, kind = encoder_of_width(width), stated_kind(path) or kind
    if encoder is None:
        raise InputError(f"{path} holds an encoder of width {width}: no Depth Anything V2 is as wide")
    if kind is None:
        raise InputError(
            f"{path} does not say whether its head is relative or metric, as the authors' file names do: use "
            "init='encoder', or say it once, with `depthkit convert FILE FOLDER --objective metric "
            "--max_depth 20` or `--objective relative`, and take the folder that this writes"
        )
    return model_config(encoder, *kind)


def read(path: str | Path) -> dict[str, Tensor]:
    """Read the parameters of an authors' checkpoint, whole or encoder alone: float32, under the Hub's names.

    The dictionaries that training scripts wrap them in (`{"model": ...}`, `{"state_dict": ...}`) are opened, and what
    data-parallel training, `torch.compile` and the like put before each name (`module.`, `_orig_mod.`) is removed.
    Raises: InputError naming the file when it is missing, would run code, is damaged, holds another model, or holds
    numbers that are not finite.
    """
    path = Path(path)
    content = _load_tensors(path)
    prefix = re.compile(r"^.*?(?=\b(pretrained|depth_head)\.)")
    state = {prefix.sub("", str(name)): value.float() for name, value in content.items()}
    if len(state) < len(content):
        raise InputError(f"{path} holds some parameters twice, under different prefixes such as 'module.'")
    if name := first_not_finite(state):
        raise InputError(f"{path}: {name} holds NaN or infinity: take a checkpoint from before its training failed")
    try:
        state = to_hub_names(state)
    except InputError as error:
        raise InputError(f"{path}: {error}; is this another model's checkpoint?") from error
    if "backbone.embeddings.cls_token" not in state:
        raise InputError(f"{path} has no 'pretrained.cls_token': it lacks the encoder of a Depth Anything V2")
    return state


def _load_tensors(path: Path) -> dict[str, Tensor]:
    """Read the state dict of a checkpoint out of its wrappers, running no code that it may hold."""
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint file")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler meets damage and foreign classes with errors of every kind
        function = re.search(r"GLOBAL (\S+)", str(error))  # the rest of torch's text recommends to run it
        reason = f"it would call {function[1]}" if function else f"damaged, or no checkpoint: {type(error).__name__}"
        raise InputError(
            f"{path} can't be read as plain tensors ({reason}); nothing in it was run. Download it again or, where you "
            "trust it, load it by hand and save its state dict alone"
        ) from error
    while isinstance(content, dict) and (inside := [content[w] for w in _WRAPPERS if isinstance(content.get(w), dict)]):
        content = inside[0]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise InputError(f"{path} holds no state dict of tensors: give the file of a Depth Anything V2")
    return content


def to_hub_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the authors' parameters to the Hub's, splitting each fused `qkv` in three.

    Raises: InputError naming the first key that is no parameter of the authors' model.
    """
    renamed = {}
    for name, value in state.items():
        hub_name = _translate(name, _TO_HUB)
        if ".qkv." not in hub_name:
            renamed[hub_name] = value
            continue
        for part, tensor in zip(_PARTS, value.tensor_split(3), strict=True):
            renamed[hub_name.replace(".qkv.", f".{part}.")] = tensor.clone()
    return renamed


def to_author_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the Hub's parameters to the authors', the inverse of `to_hub_names`.

    Raises: InputError naming the first key that the authors' model does not have.
    """
    renamed = {}
    for name, value in state.items():
        part = next((part for part in _PARTS if f".attention.{part}." in name), "qkv")
        if part != "qkv":
            value = torch.cat([state[name.replace(f".{part}.", f".{each}.")] for each in _PARTS])
        renamed[_translate(name.replace(f".attention.{part}.", ".attention.qkv."), _TO_AUTHORS)] = value
    return renamed


def _compiled(source: str, target: str) -> tuple[re.Pattern[str], str]:
    """Turn two templates into the regular expression of the one and the format string of the other."""
    pattern = re.escape(source).replace(r"\#", r"(\d+)").replace(r"\*", "(weight|bias)")
    return re.compile(pattern), target.replace("#", "{}").replace("*", "{}")


_TO_HUB = [_compiled(authors, hub) for authors, hub in _NAMES]
_TO_AUTHORS = [_compiled(hub, authors) for authors, hub in _NAMES]


def _translate(name: str, table: list[tuple[re.Pattern[str], str]]) -> str:
    for pattern, target in table:
        if match := pattern.fullmatch(name):
            return target.format(*match.groups())
    raise InputError(f"{name!r} is no parameter of the authors' Depth Anything V2")

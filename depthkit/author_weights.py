"""The authors' `.pth` checkpoints: read safely, renamed to the Hub's parameter names.

The authors' names are those of `depth_anything_v2/dpt.py` and `dinov2.py` in
github.com/DepthAnything/Depth-Anything-V2; the Hub's are those on disk in `depth-anything/Depth-Anything-V2-Small-hf`,
which every `transformers` version reads.
"""

import pickle
import re
from pathlib import Path

import torch
from safetensors.torch import save_file

# authors' name (a regular expression) → Hub name; fused query, key and value are split on their own
_RENAMES = [
    (r"pretrained\.cls_token", r"backbone.embeddings.cls_token"),
    (r"pretrained\.mask_token", r"backbone.embeddings.mask_token"),
    (r"pretrained\.pos_embed", r"backbone.embeddings.position_embeddings"),
    (r"pretrained\.patch_embed\.proj\.(\w+)", r"backbone.embeddings.patch_embeddings.projection.\1"),
    (r"pretrained\.norm\.(\w+)", r"backbone.layernorm.\1"),
    (r"pretrained\.blocks\.(\d+)\.(norm[12]|mlp\.fc[12])\.(\w+)", r"backbone.encoder.layer.\1.\2.\3"),
    (r"pretrained\.blocks\.(\d+)\.mlp\.w12\.(\w+)", r"backbone.encoder.layer.\1.mlp.weights_in.\2"),
    (r"pretrained\.blocks\.(\d+)\.mlp\.w3\.(\w+)", r"backbone.encoder.layer.\1.mlp.weights_out.\2"),
    (r"pretrained\.blocks\.(\d+)\.ls([12])\.gamma", r"backbone.encoder.layer.\1.layer_scale\2.lambda1"),
    (r"pretrained\.blocks\.(\d+)\.attn\.proj\.(\w+)", r"backbone.encoder.layer.\1.attention.output.dense.\2"),
    (r"depth_head\.projects\.(\d)\.(\w+)", r"neck.reassemble_stage.layers.\1.projection.\2"),
    (r"depth_head\.resize_layers\.(\d)\.(\w+)", r"neck.reassemble_stage.layers.\1.resize.\2"),
    (r"depth_head\.scratch\.output_conv1\.(\w+)", r"head.conv1.\1"),
    (r"depth_head\.scratch\.output_conv2\.0\.(\w+)", r"head.conv2.\1"),
    (r"depth_head\.scratch\.output_conv2\.2\.(\w+)", r"head.conv3.\1"),
]
_QKV = re.compile(r"pretrained\.blocks\.(\d+)\.attn\.qkv\.(weight|bias)")
_RN = re.compile(r"depth_head\.scratch\.layer([1-4])_rn\.weight")
_REFINE = re.compile(r"depth_head\.scratch\.refinenet([1-4])\.(out_conv|resConfUnit[12]\.conv[12])\.(\w+)")


def read(path) -> dict[str, torch.Tensor]:
    """The state dict in a `.pth` file, with wrappers (`{"model": ...}`) and `module.` prefixes removed.

    Raises: ValueError naming the file when it is missing, is no checkpoint, or holds a pickle that would run code.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such checkpoint file")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path} can't be read as plain tensors ({reason}); nothing in it was run") from error
    for wrapper in ("model", "state_dict"):
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ValueError(f"{path} holds no state dict of tensors")
    return {name.removeprefix("module."): value for name, value in state.items()}


def to_hub_names(state) -> dict[str, torch.Tensor]:
    """Rename the authors' parameters to the Hub's, splitting each fused `qkv` in three.

    Raises: ValueError naming the first key that is no parameter of the authors' model.
    """
    renamed = {}
    for name, value in state.items():
        if match := _QKV.fullmatch(name):
            layer, kind = match.groups()
            for part, tensor in zip(("query", "key", "value"), value.chunk(3), strict=True):
                renamed[f"backbone.encoder.layer.{layer}.attention.attention.{part}.{kind}"] = tensor.clone()
        else:
            renamed[_hub_name(name)] = value
    return renamed


def write_hub_folder(state, config, folder):
    """Write the authors' `state` as a Hub-format folder with `config`, for `from_pretrained`."""
    config.save_pretrained(folder)
    tensors = {name: value.float().contiguous() for name, value in to_hub_names(state).items()}
    save_file(tensors, Path(folder) / "model.safetensors", metadata={"format": "pt"})


def _hub_name(name):
    if match := _RN.fullmatch(name):
        return f"neck.convs.{int(match[1]) - 1}.weight"
    if match := _REFINE.fullmatch(name):
        # The authors count refinement blocks from the finest, transformers from the coarsest.
        unit = match[2].replace("out_conv", "projection").replace("resConfUnit", "residual_layer")
        unit = unit.replace("conv1", "convolution1").replace("conv2", "convolution2")
        return f"neck.fusion_stage.layers.{4 - int(match[1])}.{unit}.{match[3]}"
    for pattern, replacement in _RENAMES:
        if match := re.fullmatch(pattern, name):
            return match.expand(replacement)
    raise ValueError(f"{name!r} is no parameter of the authors' Depth Anything V2; is this another model's checkpoint?")

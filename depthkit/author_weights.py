"""The authors' `.pth` checkpoints: read safely, converted to a model folder, and written back for the authors' code.

The authors' names are those of `depth_anything_v2/dpt.py` and `dinov2.py` in
github.com/DepthAnything/Depth-Anything-V2; the Hub's are those on disk in `depth-anything/Depth-Anything-V2-Small-hf`,
which every `transformers` version reads.

A `.pth` does not hold what its head predicts: relative and metric weights have the same names and shapes, and the
authors' class takes `max_depth` as an argument. Their file names do say it (see `stated_kind`); for a file of another
name, such as the `latest.pth` of their training script, the caller has to.

From the same weights our model and the authors' agree at 518 × 518 pixels to float32 precision. At other sizes they
differ (at 518 × 686, with random weights, by 0.3 % of the output's standard deviation on average and 4 % at most),
because their code interpolates the position embeddings by a scale of (cells + 0.1) / 37 and `transformers` to the exact
number of cells; nothing else differs.

    python -m depthkit.author_weights depth_anything_v2_metric_hypersim_vits.pth FOLDER
    python -m depthkit.author_weights latest.pth FOLDER --objective metric --max_depth 20
    python -m depthkit.author_weights runs/mine/best mine.pth
"""

import argparse
import re
import tempfile
from itertools import product
from pathlib import Path

import torch
from safetensors.torch import load_file

from depthkit.models import encoder_of_width, kind_of, load_model, load_strictly, model_config, save_model

# Authors' name and Hub name; # stands for the number of a layer, * for weight or bias.
_NAMES = [
    ("pretrained.cls_token", "backbone.embeddings.cls_token"),
    ("pretrained.mask_token", "backbone.embeddings.mask_token"),
    ("pretrained.pos_embed", "backbone.embeddings.position_embeddings"),
    ("pretrained.patch_embed.proj.*", "backbone.embeddings.patch_embeddings.projection.*"),
    ("pretrained.norm.*", "backbone.layernorm.*"),
    ("pretrained.blocks.#.norm1.*", "backbone.encoder.layer.#.norm1.*"),
    ("pretrained.blocks.#.norm2.*", "backbone.encoder.layer.#.norm2.*"),
    ("pretrained.blocks.#.ls1.gamma", "backbone.encoder.layer.#.layer_scale1.lambda1"),
    ("pretrained.blocks.#.ls2.gamma", "backbone.encoder.layer.#.layer_scale2.lambda1"),
    ("pretrained.blocks.#.attn.qkv.*", "backbone.encoder.layer.#.attention.attention.qkv.*"),  # three on the Hub
    ("pretrained.blocks.#.attn.proj.*", "backbone.encoder.layer.#.attention.output.dense.*"),
    ("pretrained.blocks.#.mlp.fc1.*", "backbone.encoder.layer.#.mlp.fc1.*"),
    ("pretrained.blocks.#.mlp.fc2.*", "backbone.encoder.layer.#.mlp.fc2.*"),
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
    _theirs, _ours = f"depth_head.scratch.refinenet{_i}", f"neck.fusion_stage.layers.{4 - _i}"
    _NAMES.append((f"depth_head.scratch.layer{_i}_rn.weight", f"neck.convs.{_i - 1}.weight"))
    _NAMES.append((f"{_theirs}.out_conv.*", f"{_ours}.projection.*"))
    for _u, _c in product((1, 2), (1, 2)):
        _NAMES.append((f"{_theirs}.resConfUnit{_u}.conv{_c}.*", f"{_ours}.residual_layer{_u}.convolution{_c}.*"))
_PARTS = ("query", "key", "value")
_MAX_DEPTH = {"hypersim": 20, "vkitti": 80}  # metres, from the README of the authors' metric_depth


def stated_kind(path):
    """What an authors' file name says of its head: ("relative", 1), ("metric", metres), or None if it says nothing.

    Their names are `depth_anything_v2_vits.pth` and `depth_anything_v2_metric_hypersim_vits.pth` (20 m) or
    `..._vkitti_...` (80 m).
    """
    match = re.fullmatch(r"depth_anything_v2_(?:metric_(hypersim|vkitti)_)?vit[sblg]\.pth", Path(path).name)
    if match is None:
        return None
    return ("metric", _MAX_DEPTH[match[1]]) if match[1] else ("relative", 1)


def config_of(path, state, kind=None):
    """The config of the model whose `state` was read from `path`; what its file name says goes before `kind`.

    Raises: ValueError when neither says what the head predicts, or no encoder is as wide.
    """
    width = state["backbone.embeddings.cls_token"].shape[-1]
    encoder, kind = encoder_of_width(width), stated_kind(path) or kind
    if encoder is None:
        raise ValueError(f"{path} holds an encoder of width {width}: no Depth Anything V2 is as wide")
    if kind is None:
        raise ValueError(
            f"{path} does not say whether its head is relative or metric, as the authors' file names do: use "
            "init='encoder', or say it once, with `python -m depthkit.author_weights FILE FOLDER --objective metric "
            "--max_depth 20` or `--objective relative`, and take the folder that this writes"
        )
    return model_config(encoder, *kind)


def read(path) -> dict[str, torch.Tensor]:
    """The parameters in an authors' `.pth`, whole or encoder alone, in float32 under the Hub's names.

    Wrappers (`{"model": ...}`, `{"state_dict": ...}`) and `module.` prefixes of data-parallel training are removed.

    Raises: ValueError naming the file when it is missing, would run code, is damaged, or holds another model.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such checkpoint file")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler meets damage and foreign classes with errors of every kind
        named = re.search(r"GLOBAL (\S+)", str(error))  # the rest of torch's text recommends to run it
        reason = f"it would call {named[1]}" if named else f"damaged, or no checkpoint: {type(error).__name__}"
        raise ValueError(
            f"{path} can't be read as plain tensors ({reason}); nothing in it was run. Download it again or, where you "
            "trust it, load it by hand and save its state dict alone"
        ) from error
    for wrapper in ("model", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in content.items()
    ):
        raise ValueError(f"{path} holds no state dict of tensors: give the file of a Depth Anything V2")
    state = {name.removeprefix("module."): value.float() for name, value in content.items()}
    if len(state) < len(content):
        raise ValueError(f"{path} holds some parameters twice, with and without the prefix 'module.'")
    try:
        state = to_hub_names(state)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; is this another model's checkpoint?") from error
    if "backbone.embeddings.cls_token" not in state:
        raise ValueError(f"{path} has no 'pretrained.cls_token': it lacks the encoder of a Depth Anything V2")
    return state


def to_hub_names(state) -> dict[str, torch.Tensor]:
    """Rename the authors' parameters to the Hub's, splitting each fused `qkv` in three.

    Raises: ValueError naming the first key that is no parameter of the authors' model.
    """
    renamed = {}
    for name, value in state.items():
        hub_name = _translate(name, _TO_HUB)
        if hub_name is None:
            raise ValueError(f"{name!r} is no parameter of the authors' Depth Anything V2")
        if ".qkv." in hub_name:
            for part, tensor in zip(_PARTS, value.tensor_split(3), strict=True):
                renamed[hub_name.replace(".qkv.", f".{part}.")] = tensor.clone()
        else:
            renamed[hub_name] = value
    return renamed


def to_author_names(state) -> dict[str, torch.Tensor]:
    """Rename the Hub's parameters to the authors', the inverse of `to_hub_names`."""
    renamed = {}
    for name, value in state.items():
        part = next((part for part in _PARTS if f".attention.{part}." in name), "qkv")
        author_name = _translate(name.replace(f".attention.{part}.", ".attention.qkv."), _TO_AUTHORS)
        if author_name is None:
            raise ValueError(f"{name!r} has no counterpart in the authors' Depth Anything V2")
        if part != "qkv":
            value = torch.cat([state[name.replace(f".{part}.", f".{each}.")] for each in _PARTS])
        renamed[author_name] = value
    return renamed


def to_folder(path, folder, objective=None, max_depth=None):
    """Convert a whole authors' `.pth` once into a model folder, whose `config.json` says what its head predicts.

    Args:
        path: the `.pth`.
        folder: written for `load_model`, `build_model(weights=folder)` and plain `transformers`.
        objective: "relative" or "metric", believed where the file's name says nothing; not needed where it does. Files
            of Depth Anything V1 look the same and must not be given: V1 has other connections.
        max_depth: metres, what a metric model was trained with (`--max-depth` of the authors' scripts).

    Returns: what the model predicts, in words.

    Raises: ValueError when neither name nor caller says the kind, when they disagree, and for what `read` refuses.
    """
    if objective == "metric" and max_depth is None:
        raise ValueError(f"{path}: a metric head needs the max_depth in metres that it was trained with")
    said = (objective, max_depth if objective == "metric" else 1) if objective else None
    state = read(path)
    config = config_of(path, state, said)
    if said and said != (config.depth_estimation_type, config.max_depth):
        raise ValueError(f"{path} holds {kind_of(config)} by its name, not {objective} {max_depth or ''}: rename it")
    save_model(load_strictly(path, config, state), folder)
    return kind_of(config)


def export(model, path) -> str:
    """Write `model` as a `.pth` with the authors' names, for `load_state_dict` in their code.

    Returns: the call that builds the model there, with the `max_depth` that the file itself can't hold.

    Raises: ValueError for an encoder that their code does not know, or a file name that says another kind.
    """
    path, config = Path(path), model.config
    encoder, stated = encoder_of_width(config.backbone_config.hidden_size), stated_kind(path)
    if encoder not in ("vits", "vitb", "vitl", "vitg"):
        raise ValueError(f"the authors' code has no encoder {encoder!r}: export vits, vitb, vitl or vitg")
    if stated and kind_of(model_config(encoder, *stated)) != kind_of(config):
        raise ValueError(f"{path} is the name of another kind; this model predicts {kind_of(config)}: choose another")
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".draft")
    with tempfile.TemporaryDirectory() as folder:  # on disk the names are the Hub's, in memory transformers' own
        save_model(model, Path(folder, "model"))
        state = load_file(Path(folder, "model", "model.safetensors"))
        torch.save({name: value.float() for name, value in to_author_names(state).items()}, draft)
    draft.replace(path)
    arguments = f"encoder={encoder!r}, features={config.fusion_hidden_size}, out_channels={config.neck_hidden_sizes}"
    if config.depth_estimation_type == "metric":
        arguments += f", max_depth={config.max_depth}"
    return f"DepthAnythingV2({arguments})"


def _compiled(pairs):
    """Templates as (regular expression of the source, format string of the target)."""
    for source, target in pairs:
        pattern = re.escape(source).replace(r"\#", r"(\d+)").replace(r"\*", "(weight|bias)")
        yield re.compile(pattern), target.replace("#", "{}").replace("*", "{}")


_TO_HUB = list(_compiled(_NAMES))
_TO_AUTHORS = list(_compiled((hub, authors) for authors, hub in _NAMES))


def _translate(name, table):
    for pattern, target in table:
        if match := pattern.fullmatch(name):
            return target.format(*match.groups())
    return None


def main():
    parser = argparse.ArgumentParser(description="Convert an authors' .pth to a model folder, or a model to a .pth.")
    parser.add_argument("source", help="authors' .pth; or a model folder (best/ of a run) or Hub id")
    parser.add_argument("target", help="folder to write; or .pth to write")
    parser.add_argument("--objective", choices=("relative", "metric"), help="of a .pth whose name does not say it")
    parser.add_argument("--max_depth", type=int, help="metres; of a metric .pth whose name does not say it")
    options = parser.parse_args()
    if options.source.endswith((".pth", ".pt")):
        print(options.target, to_folder(options.source, options.target, options.objective, options.max_depth), sep=": ")
    else:
        call = export(load_model(options.source), options.target)
        print(f"{options.target}: in the authors' code, load_state_dict into {call}")


if __name__ == "__main__":
    main()

import os
import pickle

import pytest
import torch

from depthkit import author_weights
from depthkit.models import build_model, model_config


class Payload:
    """A pickle that would run a command when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_a_pickle_that_would_run_code_is_not_run(tmp_path):
    bad = tmp_path / "bad.pth"
    bad.write_bytes(pickle.dumps(Payload(tmp_path / "ran")))
    with pytest.raises(ValueError, match=r"bad\.pth can't be read as plain tensors"):
        author_weights.read(bad)
    assert not (tmp_path / "ran").exists()


def test_wrappers_and_prefixes_are_removed(tmp_path):
    torch.save({"model": {"module.pretrained.cls_token": torch.ones(1, 1, 4)}, "epoch": 3}, tmp_path / "w.pth")
    assert list(author_weights.read(tmp_path / "w.pth")) == ["pretrained.cls_token"]


def test_fused_attention_is_split_in_order():
    qkv = torch.arange(12.0).reshape(12, 1)
    renamed = author_weights.to_hub_names({"pretrained.blocks.5.attn.qkv.weight": qkv})
    prefix = "backbone.encoder.layer.5.attention.attention."
    assert {k: v[:, 0].tolist() for k, v in renamed.items()} == {
        prefix + "query.weight": [0, 1, 2, 3],
        prefix + "key.weight": [4, 5, 6, 7],
        prefix + "value.weight": [8, 9, 10, 11],
    }


def test_refinement_blocks_are_counted_from_the_other_end():
    name = "depth_head.scratch.refinenet4.resConfUnit2.conv1.bias"
    assert list(author_weights.to_hub_names({name: torch.zeros(1)})) == [
        "neck.fusion_stage.layers.0.residual_layer2.convolution1.bias"
    ]


def test_strangers_and_unstated_heads_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"'resnet\.conv1\.weight' is no parameter"):
        author_weights.to_hub_names({"resnet.conv1.weight": torch.zeros(1)})
    torch.save({}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match="does not say whether its head is relative or metric"):
        build_model("vits", weights=str(tmp_path / "w.pth"), init="all")
    with pytest.raises(ValueError, match="no such checkpoint"):
        author_weights.read(tmp_path / "none.pth")
    with pytest.raises(ValueError, match=r"w\.pth does not fit this model"):
        build_model("vits", weights=str(tmp_path / "w.pth"))


def test_names_agree_with_what_transformers_writes(tmp_path):
    """Every Hub name on disk of ViT-S and ViT-G is reached from an authors' name, and none besides."""
    from safetensors import safe_open

    from depthkit.models import save_model

    save_model(build_model("vits", "relative"), tmp_path / "m")
    with safe_open(tmp_path / "m" / "model.safetensors", "pt") as file:
        on_disk = set(file.keys())
    assert {author_weights.to_hub_names({name: torch.zeros(3)}).popitem()[0] for name in authors_names(12)} <= on_disk
    reached = set()
    for name in authors_names(12):
        reached |= set(author_weights.to_hub_names({name: torch.zeros(3)}))
    assert reached == on_disk
    assert model_config("vitg").backbone_config.use_swiglu_ffn


def authors_names(layers):
    """Parameter names of the authors' model, written out from the structure of `depth_anything_v2/dpt.py`."""
    names = [f"pretrained.{n}" for n in ("cls_token", "pos_embed", "mask_token", "norm.weight", "norm.bias")]
    names += [f"pretrained.patch_embed.proj.{kind}" for kind in ("weight", "bias")]
    for i in range(layers):
        for part in ("norm1", "norm2", "attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"):
            names += [f"pretrained.blocks.{i}.{part}.{kind}" for kind in ("weight", "bias")]
        names += [f"pretrained.blocks.{i}.ls{k}.gamma" for k in (1, 2)]
    for kind in ("weight", "bias"):
        names += [f"depth_head.projects.{i}.{kind}" for i in range(4)]
        names += [f"depth_head.resize_layers.{i}.{kind}" for i in (0, 1, 3)]
        for i in range(1, 5):
            names.append(f"depth_head.scratch.refinenet{i}.out_conv.{kind}")
            names += [f"depth_head.scratch.refinenet{i}.resConfUnit{u}.conv{c}.{kind}" for u in (1, 2) for c in (1, 2)]
        names += [f"depth_head.scratch.{n}.{kind}" for n in ("output_conv1", "output_conv2.0", "output_conv2.2")]
    return names + [f"depth_head.scratch.layer{i}_rn.weight" for i in range(1, 5)]

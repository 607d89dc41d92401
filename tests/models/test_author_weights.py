import functools
import pickle

import pytest
import torch
import torch.nn.functional as F
from helpers import Payload
from safetensors.torch import load_file

from depthkit.cli import main
from depthkit.errors import InputError
from depthkit.models import author_weights, convert
from depthkit.models.build import build_model, load_model, reset_decoder, save_model
from depthkit.models.encoders import ENCODERS, model_config

AUTHORS = ("vits", "vitb", "vitl", "vitg")


def authors_model(encoder):
    """The authors' code, from the package jkp-depth-anything-v2, freshly initialised by it."""
    from depth_anything_v2.dpt import DepthAnythingV2

    shape = ENCODERS[encoder]
    return DepthAnythingV2(encoder, features=shape["fusion"], out_channels=list(shape["neck"])).eval()


def picture(height, width):
    torch.manual_seed(1)
    return F.interpolate(torch.randn(1, 3, height // 14, width // 14), (height, width), mode="bicubic")


@torch.no_grad()
def telling_model(encoder):
    """The authors' model with no two parameters alike, whose output is spread over about 1 and cut at 0 in part.

    As initialised all norms are 1 and all biases 0, so that swapped names would pass unnoticed, and the output is so
    nearly constant that any two models would agree to 1e-2.
    """
    torch.manual_seed(0)
    model = authors_model(encoder)
    for parameter in model.parameters():
        if (parameter == parameter.flatten()[0]).all():
            parameter.add_(0.1 * torch.randn_like(parameter))
    last = model.depth_head.scratch.output_conv2[2]
    last.bias.fill_(1)  # positive everywhere
    depth = model(picture(126, 126))
    last.bias.copy_(0.5 + (1 - depth.mean()) / depth.std())
    last.weight.div_(depth.std())
    return model


@pytest.fixture
def narrow(monkeypatch):
    """A function that makes an encoder 96 wide in both codes, with its own layers, stages and feed-forward network."""
    from depth_anything_v2 import dinov2

    def make(encoder):
        shape = ENCODERS[encoder] | dict(hidden=96, heads=3, neck=(8, 16, 24, 32), fusion=16)
        monkeypatch.setitem(ENCODERS, encoder, shape)
        block = functools.partial(dinov2.Block, attn_class=dinov2.MemEffAttention)
        options = dict(embed_dim=96, depth=shape["layers"], num_heads=3, mlp_ratio=4, block_fn=block)
        factory = {"vits": "vit_small", "vitb": "vit_base", "vitl": "vit_large", "vitg": "vit_giant2"}[encoder]
        monkeypatch.setattr(dinov2, factory, functools.partial(dinov2.DinoVisionTransformer, **options))
        return telling_model(encoder)

    return make


@pytest.fixture(scope="module")
def vits():
    return telling_model("vits")


@pytest.fixture(scope="module")
def vits_file(vits, tmp_path_factory):
    path = tmp_path_factory.mktemp("authors") / "depth_anything_v2_vits.pth"
    torch.save(vits.state_dict(), path)
    yield path
    path.unlink()  # 100 MB


@pytest.fixture(scope="module")
def tiny_state(tmp_path_factory):
    """Our smallest encoder with its decoder under the authors' names, to be written quickly and often."""
    folder = tmp_path_factory.mktemp("tiny") / "m"
    save_model(build_model("tiny", "relative"), folder)
    return author_weights.to_author_names(load_file(folder / "model.safetensors"))


def named(state, folder, name="depth_anything_v2_vits.pth"):
    torch.save(state, folder / name)
    return folder / name


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@torch.inference_mode()
def predicted(model, images):
    return model.eval()(pixel_values=images).predicted_depth


# --- the same output as the authors' code


def check_relative(model, path, encoder, images):
    """Returns the authors' map before its last ReLU, for heads of another kind."""
    before = []
    hook = model.depth_head.scratch.output_conv2[2].register_forward_hook(
        lambda module, inputs, output: before.append(output.clone())
    )
    with torch.inference_mode():
        expected = model(images)
    hook.remove()
    assert expected.std() > 0.3 and 0.05 < (expected == 0).float().mean() < 0.8  # worth comparing
    converted = build_model(encoder, "relative", weights=path, init="all")
    assert (predicted(converted, images) - expected).abs().max() < 1e-4
    return before[0][:, 0]


def test_vits_agrees_with_the_authors_code(vits, vits_file, tmp_path):
    """Relative, and metric: the authors' `metric_depth` has the same model with a sigmoid, times max_depth, at its end.

    The package holds their relative model alone, so the metric end is applied here to its map before the ReLU.
    """
    before = check_relative(vits, vits_file, "vits", picture(518, 518))
    path = tmp_path / "depth_anything_v2_metric_hypersim_vits.pth"
    path.symlink_to(vits_file)
    expected = before.sigmoid() * 20
    converted = predicted(build_model("vits", "metric", 20, path, init="all"), picture(518, 518))
    assert expected.std() > 1 and (converted - expected).abs().max() < 1e-3  # metres of 20: as tight as 1e-4 of 2


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["vitb", "vitl"])
def test_the_larger_encoders_agree_with_the_authors_code(encoder, tmp_path):
    model = telling_model(encoder)
    path = named(model.state_dict(), tmp_path, f"depth_anything_v2_{encoder}.pth")
    check_relative(model, path, encoder, picture(518, 518))
    path.unlink()  # 400 MB and 1.3 GB


@pytest.mark.parametrize("encoder", AUTHORS)
def test_every_depth_agrees_with_the_authors_code(narrow, tmp_path, encoder):
    model = narrow(encoder)
    model.pretrained.interpolate_offset = 0.0  # see the next test
    path = named(model.state_dict(), tmp_path, f"depth_anything_v2_{encoder}.pth")
    check_relative(model, path, encoder, picture(126, 168))
    convert.export(build_model(encoder, "relative", weights=path, init="all"), tmp_path / "back.pth")
    assert equal(torch.load(tmp_path / "back.pth"), model.state_dict())


@pytest.mark.parametrize("size", [(252, 336), pytest.param((518, 686), marks=pytest.mark.slow)])
def test_other_sizes_differ_by_the_position_embeddings_alone(narrow, tmp_path, monkeypatch, size):
    """The authors interpolate them by (cells + 0.1) / 37; without that 0.1 both codes agree at every size."""
    model = narrow("vits")
    converted = predicted(
        build_model("vits", "relative", weights=named(model.state_dict(), tmp_path), init="all"), picture(*size)
    )
    with torch.inference_mode():
        with_offset = model(picture(*size))
        monkeypatch.setattr(model.pretrained, "interpolate_offset", 0.0)
        without = model(picture(*size))
    difference = (converted - with_offset).abs() / with_offset.std()
    assert 1e-3 < difference.max() < 0.15 and difference.mean() < 0.01
    assert (converted - without).abs().max() / without.std() < 1e-4


# --- names


@pytest.mark.parametrize("encoder", AUTHORS)
def test_every_name_and_number_has_its_counterpart(encoder, tmp_path, monkeypatch):
    """The authors' full size, without memory for it, against our model; names as a narrow model of it has on disk."""
    from safetensors import safe_open

    with monkeypatch.context() as patch, torch.device("meta"):
        patch.setattr(torch, "linspace", functools.partial(torch.linspace, device="cpu"))  # its items are read
        model = authors_model(encoder)
        hub_model = type(build_model("tiny"))(model_config(encoder))
    shape, state = ENCODERS[encoder], model.state_dict()
    assert model.pretrained.num_heads == shape["heads"]
    assert [index + 1 for index in model.intermediate_layer_idx[encoder]] == list(shape["stages"])
    hub = author_weights.to_hub_names(state)
    back = author_weights.to_author_names(hub)
    assert {name: value.shape for name, value in back.items()} == {name: value.shape for name, value in state.items()}
    assert sum(map(torch.numel, hub.values())) == sum(map(torch.numel, hub_model.state_dict().values()))
    monkeypatch.setitem(ENCODERS, encoder, shape | dict(hidden=24, heads=1, neck=(8,) * 4, fusion=8))
    save_model(build_model(encoder), tmp_path / "narrow")
    with safe_open(tmp_path / "narrow" / "model.safetensors", "pt") as file:
        assert set(hub) == set(file.keys())


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


# --- what is loaded, and what is refused


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"model": state, "epoch": 3},
        lambda state: {"state_dict": state, "model": "a name"},
        lambda state: {"model_state_dict": state, "optimizer_state_dict": {"state": {}, "param_groups": []}},
        lambda state: {"state_dict": {"model": state}},
    ],
)
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod.", "model.", "net.core."])
def test_wrappers_and_prefixes_are_removed(tiny_state, tmp_path, wrap, prefix):
    path = named(wrap({prefix + name: value for name, value in tiny_state.items()}), tmp_path)
    assert equal(author_weights.read(path), author_weights.to_hub_names(tiny_state))


@pytest.mark.parametrize("name", ["w.pth", "w.pt", "w.ckpt", "w.bin", "w.pth.tar", "W.PTH"])
def test_a_checkpoint_is_known_by_any_of_its_suffixes(tiny_state, tmp_path, name):
    path = named(tiny_state, tmp_path, name)
    assert author_weights.is_checkpoint(path)
    build_model("tiny", weights=path)


def test_a_model_folder_is_no_checkpoint_whatever_its_name(tmp_path):
    save_model(build_model("tiny", "relative"), tmp_path / "run.pt")
    assert not author_weights.is_checkpoint(tmp_path / "run.pt")
    assert not author_weights.is_checkpoint("depth-anything/Depth-Anything-V2-Small-hf")
    build_model("tiny", weights=tmp_path / "run.pt")


@pytest.mark.parametrize("name", ["pretrained.blocks.3.attn.qkv.weight", "depth_head.scratch.output_conv2.2.bias"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_not_finite_are_refused(tiny_state, tmp_path, name, value):
    broken = tiny_state[name].clone()
    broken.view(-1)[-1] = value
    path = named(tiny_state | {name: broken}, tmp_path)
    with pytest.raises(InputError, match=rf"vits\.pth: {name} holds NaN or infinity"):
        author_weights.read(path)
    with pytest.raises(InputError, match=rf"vits\.pth: {name} holds NaN or infinity"):
        convert.to_folder(path, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_a_number_too_large_for_the_float16_of_the_file_is_refused(tiny_state, tmp_path):
    halved = {
        name: (value * 1e6 if name == "pretrained.norm.weight" else value).half() for name, value in tiny_state.items()
    }
    with pytest.raises(InputError, match=r"pretrained\.norm\.weight holds NaN or infinity"):
        author_weights.read(named(halved, tmp_path))


def test_a_checkpoint_of_their_training_script_needs_the_callers_word(narrow, tmp_path):
    """`latest.pth` of `metric_depth/train.py`: model under data-parallel names, optimiser and scores; no max_depth."""
    trained = narrow("vits")
    optimizer = torch.optim.AdamW(trained.parameters(), lr=5e-6)
    for parameter in trained.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    model = {f"module.{name}": value for name, value in trained.state_dict().items()}
    scores = {"d1": 0.9, "abs_rel": 0.1}
    content = {"model": model, "optimizer": optimizer.state_dict(), "epoch": 1, "previous_best": scores}
    path = named(content, tmp_path, "latest.pth")
    with pytest.raises(ValueError, match=r"latest\.pth does not say whether its head .* --objective metric"):
        build_model("vits", "metric", 20, path, init="all")
    with pytest.raises(ValueError, match=r"latest\.pth does not say"):
        convert.to_folder(path, tmp_path / "m")
    with pytest.raises(ValueError, match=r"latest\.pth: a metric head needs the max_depth"):
        convert.to_folder(path, tmp_path / "m", "metric")
    assert convert.to_folder(path, tmp_path / "m", "metric", 12) == "metric depth up to 12 m"
    loaded = build_model("vits", "metric", 12, tmp_path / "m", init="all")
    assert convert.export(loaded, tmp_path / "back.pth").endswith("max_depth=12)")
    assert equal(torch.load(tmp_path / "back.pth"), trained.state_dict())
    with pytest.raises(ValueError, match="up to 12 m, but a model of metric depth up to 20 m was asked for"):
        build_model("vits", "metric", 20, tmp_path / "m", init="all")


@pytest.mark.parametrize(
    "name, found, objective, max_depth",
    [
        ("depth_anything_v2_vits.pth", "relative depth", "metric", 20),
        ("depth_anything_v2_metric_hypersim_vits.pth", "metric depth up to 20 m", "relative", 10),
        ("depth_anything_v2_metric_hypersim_vits.pth", "metric depth up to 20 m", "metric", 10),
        ("depth_anything_v2_metric_vkitti_vits.pth", "metric depth up to 80 m", "metric", 20),
    ],
)
def test_another_kind_than_the_name_says_is_refused(tiny_state, tmp_path, name, found, objective, max_depth):
    path = named(tiny_state, tmp_path, name)
    with pytest.raises(ValueError, match=rf"{name} predicts {found}, but .* ask for what it is, or use init='encoder'"):
        build_model("tiny", objective, max_depth, path, init="all")
    with pytest.raises(ValueError, match=rf"{name} holds {found} by its name"):
        convert.to_folder(path, tmp_path / "m", objective, max_depth)
    model = build_model("tiny", objective, max_depth, path)  # its encoder serves any kind
    assert model.config.depth_estimation_type == objective


@pytest.mark.parametrize("name", ["depth_anything_v2_vits (1).pth", "my_depth_anything_v2_vits.pth", "latest.pth"])
def test_other_names_say_nothing(name):
    assert author_weights.stated_kind(name) is None


def test_an_encoder_alone_serves_a_fresh_decoder_only(tiny_state, tmp_path):
    encoder = {name: value for name, value in tiny_state.items() if name.startswith("pretrained.")}
    path, whole_path = named(encoder, tmp_path), named(tiny_state, tmp_path, "whole.pth")
    torch.manual_seed(5)
    alone = build_model("tiny", weights=path)
    torch.manual_seed(6)
    whole = build_model("tiny", weights=whole_path)
    assert equal(alone.backbone.state_dict(), whole.backbone.state_dict())
    assert not torch.equal(alone.head.conv1.weight, whole.head.conv1.weight)  # drawn by each
    assert 0.5 < alone.head.conv1.weight.std() / whole.head.conv1.weight.std() < 2
    for init in ("neck", "all"):
        with pytest.raises(ValueError, match=r"vits\.pth does not fit this model \(.* missing, first head\.conv1"):
            build_model("tiny", "relative", weights=path, init=init)
    with pytest.raises(ValueError, match=r"vits\.pth does not fit this model"):
        convert.to_folder(path, tmp_path / "m")


@pytest.mark.parametrize(
    "name",
    [
        "pretrained.mask_token",
        "pretrained.pos_embed",
        "pretrained.blocks.7.ls2.gamma",
        "pretrained.blocks.3.attn.qkv.bias",
        "depth_head.scratch.layer3_rn.weight",
        "depth_head.scratch.output_conv2.2.bias",
    ],
)
def test_a_lost_or_misshapen_parameter_is_refused(tiny_state, tmp_path, name):
    state = dict(tiny_state)
    path = named(state | {name: state[name].repeat_interleave(2, -1)}, tmp_path)
    with pytest.raises(ValueError, match=r"vits\.pth does not fit this model \([13] mismatched"):
        build_model("tiny", weights=path)
    del state[name]
    named(state, tmp_path)
    with pytest.raises(ValueError, match=r"vits\.pth does not fit this model \([13] missing"):
        build_model("tiny", weights=path)


def test_strangers_are_refused(tiny_state, tmp_path):
    state = dict(tiny_state)
    for content, message in (
        (state | {"pretrained.register_tokens": torch.zeros(1)}, "'pretrained.register_tokens' is no parameter"),
        (state | {"module.pretrained.cls_token": torch.zeros(1)}, "twice"),
        ({f"{who}.{name}": state[name] for name in state for who in ("student", "teacher")}, "twice"),
        (state | {"pretrained.blocks.8.ls1.gamma": torch.zeros(128)}, "1 unexpected"),
        ({"pretrained.cls_token": torch.zeros(1, 1, 200)}, "width 200: no Depth Anything V2 is as wide"),
        ({}, "lacks the encoder"),
        ({"a": 1}, "no state dict of tensors"),
        ([torch.zeros(1)], "no state dict of tensors"),
    ):
        with pytest.raises(ValueError, match=rf"vits\.pth.*{message}"):
            build_model("tiny", weights=named(content, tmp_path))
    with pytest.raises(ValueError, match=r"none\.pth: no such checkpoint"):
        build_model("tiny", weights=tmp_path / "none.pth")


def test_another_encoder_is_refused_by_name(vits_file):
    for init in ("encoder", "all"):
        with pytest.raises(ValueError, match=r"vits\.pth holds encoder vits \(width 384\), not vitb \(width 768\)"):
            build_model("vitb", "relative", weights=vits_file, init=init)


@pytest.mark.parametrize("form", ["pickle", "zip", "beside the weights", "old"])
def test_a_pickle_that_would_run_code_is_not_run(tmp_path, monkeypatch, form):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    bad, payload = tmp_path / "bad.pth", Payload(tmp_path / "ran")
    if form == "pickle":
        bad.write_bytes(pickle.dumps(payload, protocol=2))
    else:
        content = {"model": {"pretrained.cls_token": torch.zeros(1, 1, 384)}, "args": payload}
        torch.save(payload if form == "zip" else content, bad, _use_new_zipfile_serialization=form != "old")
    with pytest.raises(
        ValueError, match=r"bad\.pth can't be read as plain tensors \(it would call \w+\.system\); nothing"
    ):
        build_model("vits", weights=bad)
    assert not (tmp_path / "ran").exists()


def test_damaged_files_are_named(vits_file, tmp_path):
    whole = vits_file.read_bytes()
    for i, content in enumerate(
        (b"", whole[:100], whole[:-1000], whole[1000:], b"version https://git-lfs", b"\x80\x02N.")
    ):
        path = tmp_path / f"{i}.pth"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"{i}\.pth (can't be read|holds no state dict)"):
            author_weights.read(path)


# --- back to the authors


def test_round_trip_and_strict_loading_by_the_authors_code(vits, vits_file, tmp_path, capsys):
    """`.pth` → folder → `.pth` → folder through the command line: not one bit changes, and their code loads it."""

    def run(*arguments):
        main(["convert", *map(str, arguments)])
        return capsys.readouterr().out

    assert run(vits_file, tmp_path / "hub").endswith("hub: relative depth\n")
    printed = run(tmp_path / "hub", tmp_path / "sub" / "mine.pth")
    from depth_anything_v2.dpt import DepthAnythingV2

    rebuilt = eval(printed.partition(" into ")[2], {"DepthAnythingV2": DepthAnythingV2})
    rebuilt.load_state_dict(torch.load(tmp_path / "sub" / "mine.pth"))  # strict, as in their scripts
    assert equal(rebuilt.state_dict(), vits.state_dict())
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["mine.pth"]
    run(tmp_path / "sub" / "mine.pth", tmp_path / "again", "--objective", "relative")
    assert equal(load_model(tmp_path / "hub").state_dict(), load_model(tmp_path / "again").state_dict())
    assert (tmp_path / "hub" / "config.json").read_text() == (tmp_path / "again" / "config.json").read_text()
    for path in [*tmp_path.glob("*/*.pth"), *tmp_path.glob("*/*.safetensors")]:
        path.unlink()  # 100 MB each


def test_export_refuses_a_false_name_and_a_stranger(tmp_path):
    model = build_model("vits", "metric", 10)
    for name in ("depth_anything_v2_vits.pth", "depth_anything_v2_metric_hypersim_vits.pth"):
        with pytest.raises(ValueError, match=rf"{name} is the name of another kind; .* up to 10 m"):
            convert.export(model, tmp_path / name)
    with pytest.raises(ValueError, match="no encoder 'tiny'"):
        convert.export(build_model("tiny"), tmp_path / "tiny.pth")
    assert not list(tmp_path.iterdir())


def test_export_of_weights_that_are_not_finite_leaves_the_file_before(narrow, tmp_path):
    model = build_model("vits", "relative", weights=named(narrow("vits").state_dict(), tmp_path), init="all")
    (tmp_path / "mine.pth").write_text("before")
    with torch.no_grad():
        model.head.conv1.bias[0] = float("nan")
    with pytest.raises(InputError, match=r"head\.conv1\.bias holds NaN or infinity"):
        convert.export(model, tmp_path / "mine.pth")
    assert (tmp_path / "mine.pth").read_text() == "before"


# --- a fresh decoder


@pytest.mark.parametrize("objective", ["metric", "relative"])
def test_a_fresh_decoder_has_the_authors_scale_in_every_layer(objective):
    """Both draw from uniform distributions, of which a standard deviation over n numbers is known to 0.45/√n.

    One number differs on purpose: the bias that ends the relative head, 0.5 here.
    """
    torch.manual_seed(0)
    model = build_model("vits", objective)
    torch.manual_seed(1)
    authors = author_weights.to_hub_names(authors_model("vits").state_dict())
    fresh = {name: value for name, value in reset_decoder(model).state_dict().items() if name in authors}
    decoder = [name for name in authors if name.startswith(("neck.", "head."))]
    assert len(decoder) > 60 and set(decoder) <= set(fresh)
    for name in decoder:
        count = authors[name].numel()
        if count > 1:
            assert fresh[name].std().item() == pytest.approx(authors[name].std().item(), rel=3.2 / count**0.5), name

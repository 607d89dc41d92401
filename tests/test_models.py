import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from depthkit.models import (
    build_model,
    decoder_parameters,
    encoder_parameters,
    image_processor,
    input_size,
    load_model,
    model_config,
    save_model,
)
from depthkit.transforms import EvalTransform


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.fixture(scope="module")
def relative_folder(tmp_path_factory):
    torch.manual_seed(7)
    folder = tmp_path_factory.mktemp("weights") / "relative"
    save_model(build_model("tiny", "relative"), folder)
    return folder


def test_a_fresh_decoder_tells_pictures_apart():
    torch.manual_seed(0)
    images = torch.randn(8, 3, 56, 56)
    for objective in ("metric", "relative"):
        spread = build_model("tiny", objective)(pixel_values=images).predicted_depth.std()
        assert spread > 1e-3, f"{objective}: a fresh model says one depth for every pixel, spread {spread:.1e}"


def test_decoder_layers_have_pytorch_default_scale():
    """A convolution's default is uniform within ±1/√fan_in: standard deviation 1/√(3 fan_in)."""
    torch.manual_seed(0)
    model = build_model("vits", "metric")
    for part in (model.neck, model.head):
        for layer in part.modules():
            if isinstance(layer, nn.Conv2d) and layer.weight.numel() > 5000:
                fan_in = layer.weight[0].numel()
                assert layer.weight.std().item() == pytest.approx((3 * fan_in) ** -0.5, rel=0.05)


def test_metric_output_stays_below_max_depth_and_relative_above_zero():
    images = torch.randn(2, 3, 42, 56) * 3
    metric = build_model("tiny", "metric", max_depth=4)(pixel_values=images).predicted_depth
    assert metric.shape == (2, 42, 56) and metric.min() > 0 and metric.max() < 4
    assert build_model("tiny", "relative")(pixel_values=images).predicted_depth.min() >= 0


def test_every_trainable_parameter_has_a_gradient_and_a_group():
    model = build_model("tiny", "metric")
    model(pixel_values=torch.randn(1, 3, 56, 56)).predicted_depth.mean().backward()
    trainable = {id(p): name for name, p in model.named_parameters() if p.requires_grad}
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    grouped = [id(p) for p in (*encoder_parameters(model), *decoder_parameters(model))]
    assert sorted(grouped) == sorted(trainable)


def test_twenty_steps_from_random_weights_lower_the_relative_loss():
    from depthkit.losses import ScaleShiftInvariantLoss

    torch.manual_seed(0)
    model = build_model("tiny", "relative")
    images = torch.randn(4, 3, 56, 56)
    target = images.mean(1) + torch.linspace(0, 3, 56)[:, None]
    mask = torch.ones_like(target, dtype=torch.bool)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4)
    losses = []
    for _ in range(20):
        loss = ScaleShiftInvariantLoss()(model(pixel_values=images).predicted_depth, target, mask)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_encoder_init_takes_the_encoder_and_only_it(relative_folder):
    source = load_model(relative_folder)
    model = build_model("tiny", "metric", weights=relative_folder, init="encoder")
    assert same(model.backbone.parameters(), source.backbone.parameters())
    assert not same(model.head.parameters(), source.head.parameters())
    assert model.config.depth_estimation_type == "metric" and model.config.max_depth == 10


def test_neck_init_keeps_all_but_the_head_whatever_the_kind(relative_folder):
    source = load_model(relative_folder)
    model = build_model("tiny", "metric", weights=relative_folder, init="neck")
    for part in ("backbone", "neck"):
        assert same(getattr(model, part).parameters(), getattr(source, part).parameters())
    assert not any(same([a], [b]) for a, b in zip(model.head.parameters(), source.head.parameters(), strict=True))
    assert model.config.depth_estimation_type == "metric" and model.config.max_depth == 10


def test_neck_init_starts_in_mid_range_and_learns_whatever_the_scale_of_the_features(relative_folder, tmp_path):
    """The relative loss does not hold that scale; the neck of the bundled model gives features of about 100."""
    source = load_model(relative_folder)
    with torch.no_grad():
        for convolution in source.neck.convs:
            convolution.weight *= 1e3
    save_model(source, tmp_path / "large")
    model = build_model("tiny", "metric", max_depth=8, weights=tmp_path / "large", init="neck")
    depth = model(pixel_values=torch.randn(2, 3, 56, 56)).predicted_depth
    assert (depth == 4).all()
    depth.log().mean().backward()
    assert model.head.conv3.weight.grad.abs().max() > 0
    relative = build_model("tiny", "relative", weights=relative_folder, init="neck")
    assert relative(pixel_values=torch.randn(2, 3, 56, 56)).predicted_depth.std() > 0


def test_whole_init_keeps_the_decoder_and_refuses_another_kind(relative_folder):
    model = build_model("tiny", "relative", weights=relative_folder, init="all")
    assert same(model.parameters(), load_model(relative_folder).parameters())
    with pytest.raises(ValueError, match=r"predicts relative depth, but a model of metric depth up to 10 m"):
        build_model("tiny", "metric", weights=relative_folder, init="all")


def test_another_max_depth_is_another_kind(tmp_path):
    save_model(build_model("tiny", "metric", max_depth=10), tmp_path / "m")
    with pytest.raises(ValueError, match="up to 10 m, but a model of metric depth up to 20 m"):
        build_model("tiny", "metric", max_depth=20, weights=tmp_path / "m", init="all")


def test_wrong_encoder_and_lost_keys_are_refused(relative_folder, tmp_path):
    from safetensors.torch import load_file, save_file

    with pytest.raises(ValueError, match=r"relative holds encoder tiny \(width 128\), not vits \(width 384\)"):
        build_model("vits", "metric", weights=relative_folder)
    save_model(load_model(relative_folder), tmp_path / "w")
    state = load_file(tmp_path / "w" / "model.safetensors")
    lost = state.pop("backbone.encoder.layer.3.attention.attention.query.weight")
    state["backbone.encoder.layer.3.attention.attention.qury.weight"] = lost
    save_file(state, tmp_path / "w" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"1 missing.*1 unexpected"):
        build_model("tiny", "metric", weights=tmp_path / "w")


def test_a_decoder_that_reads_other_layers_is_refused(relative_folder, tmp_path):
    """As Depth Anything V1's does, whose parameters have the names and shapes of V2's."""
    model = load_model(relative_folder)
    model.config.backbone_config.out_features = [f"stage{i}" for i in (5, 6, 7, 8)]
    save_model(model, tmp_path / "v1")
    for init in ("neck", "all"):
        with pytest.raises(ValueError, match=r"v1 reads .*'stage5'.* use init='encoder'"):
            build_model("tiny", "relative", weights=tmp_path / "v1", init=init)
    kept = build_model("tiny", "relative", weights=tmp_path / "v1")
    assert same(kept.backbone.parameters(), model.backbone.parameters())
    assert kept.config.backbone_config.out_features == model_config("tiny").backbone_config.out_features


def test_damaged_weights_and_empty_folders_are_named(relative_folder, tmp_path):
    save_model(load_model(relative_folder), tmp_path / "w")
    weights = tmp_path / "w" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"w: the weights can't be read"):
        load_model(tmp_path / "w")
    weights.rename(tmp_path / "w" / "pytorch_model.bin")  # a pickle: never opened
    with pytest.raises(OSError, match=r"no file named model\.safetensors"):
        load_model(tmp_path / "w")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"holds no config\.json"):
        load_model(tmp_path / "empty")


def test_saved_models_come_back_with_their_kind_and_size(tmp_path):
    model = build_model("tiny", "metric", max_depth=5, input_size=84).eval()
    save_model(model, tmp_path / "m")
    save_model(model, tmp_path / "m")  # over itself
    loaded = load_model(tmp_path / "m")
    images = torch.randn(1, 3, 56, 70)
    with torch.inference_mode():
        assert torch.equal(model(pixel_values=images).predicted_depth, loaded(pixel_values=images).predicted_depth)
    assert input_size(loaded.config) == 84 and loaded.config.max_depth == 5
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_best_loads_in_plain_transformers(tmp_path):
    """A process that never imports depthkit predicts the same metres through `pipeline`."""
    from depthkit.predict import predict_depth

    torch.manual_seed(3)
    model = build_model("tiny", "metric", input_size=84).eval()
    save_model(model, tmp_path / "best")
    picture = np.random.default_rng(0).integers(0, 255, (12, 16, 3), dtype=np.uint8).repeat(14, 0).repeat(14, 1)
    Image.fromarray(picture).save(tmp_path / "photo.png")
    code = f"""
import json, sys
from transformers import pipeline
result = pipeline("depth-estimation", model=r"{tmp_path / "best"}", device="cpu")(r"{tmp_path / "photo.png"}")
assert "depthkit" not in sys.modules
print(json.dumps(result["predicted_depth"].tolist()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr
    theirs = np.array(json.loads(done.stdout.splitlines()[-1]))
    ours = predict_depth(model, picture)
    assert theirs.shape == ours.shape == (168, 224)
    # Two bicubic resizes (theirs filters when shrinking) of one picture: alike to a few centimetres, and in metres
    assert np.abs(theirs - ours).mean() < 0.05 and 0 < theirs.min() < theirs.max() < 10


@pytest.mark.parametrize("height, width", [(480, 640), (640, 480), (720, 1280), (518, 518)])
def test_image_processor_has_the_same_geometry(height, width):
    picture = np.zeros((height, width, 3), dtype=np.uint8)
    theirs = image_processor(168)(images=picture, return_tensors="pt")["pixel_values"].shape[-2:]
    assert tuple(theirs) == EvalTransform(168)({"image": picture})["image"].shape[:2]


@pytest.mark.parametrize("encoder, millions", [("vits", 24.8), ("vitb", 97.5), ("vitl", 335.3), ("vitg", 1260)])
def test_the_papers_encoders_have_the_papers_sizes(encoder, millions):
    """Parameters, in millions, from the authors' README (ViT-G from its 1.3 B there)."""
    from transformers import DepthAnythingForDepthEstimation

    with torch.device("meta"):
        model = DepthAnythingForDepthEstimation(model_config(encoder))
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, rel=0.06)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"encoder": "vitx"}, "unknown encoder 'vitx'"),
        ({"encoder": "tiny", "objective": "absolute"}, "unknown objective"),
        ({"encoder": "tiny", "max_depth": 2.5}, "whole number of metres"),
        ({"encoder": "tiny", "init": "some"}, "unknown init"),
    ],
)
def test_bad_choices_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_model(**arguments)

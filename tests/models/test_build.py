import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from depthkit.data.transforms import EvalTransform
from depthkit.errors import InputError
from depthkit.models.build import (
    build_model,
    decoder_parameters,
    encoder_parameters,
    input_size,
    load_model,
    save_model,
)
from depthkit.models.card import image_processor
from depthkit.models.encoders import model_config
from depthkit.models.predict import predict_depth, predict_disparity
from depthkit.run_folder import RunFolder

REPOSITORY = Path(__file__).parents[2]


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
    from depthkit.training.losses import ScaleShiftInvariantLoss

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


@pytest.mark.parametrize("init", ["random", "encoder", "neck"])
@pytest.mark.parametrize(
    "depth, max_depth", [(0.05, 10), (0.25, 10), (0.65, 10), (3, 10), (9.9, 10), (40, 80), (79.5, 80)]
)
def test_a_fresh_metric_head_starts_at_the_asked_depth_and_learns(relative_folder, init, depth, max_depth):
    torch.manual_seed(0)
    arguments = {} if init == "random" else {"weights": relative_folder, "init": init}
    model = build_model("tiny", "metric", max_depth, start_depth=depth, **arguments)
    images = torch.nn.functional.interpolate(torch.randn(4, 3, 5, 6), (56, 70), mode="bicubic") * 2
    predicted = model(pixel_values=images).predicted_depth
    assert predicted.median().item() == pytest.approx(depth, rel=0.05)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    predicted.log().mean().backward()
    assert model.head.conv3.weight.grad.abs().max() > 0
    optimizer.step()
    optimizer.zero_grad()
    model(pixel_values=images).predicted_depth.log().mean().backward()
    assert all(p.grad.abs().max() > 0 for p in (model.head.conv1.weight, model.neck.convs[0].weight))


def test_the_start_depth_changes_the_last_bias_alone(relative_folder):
    """The head's other weights are drawn as ever; short trainings with smaller ones ended worse."""
    models = []
    for start in (None, 0.65):
        torch.manual_seed(1)
        models.append(build_model("tiny", weights=relative_folder, start_depth=start).state_dict())
    changed = [name for name, value in models[0].items() if not torch.equal(value, models[1][name])]
    assert changed == ["head.conv3.bias"]


def test_a_trained_or_relative_head_ignores_the_start_depth(relative_folder, tmp_path):
    save_model(build_model("tiny", "metric"), tmp_path / "m")
    for objective, folder in (("metric", tmp_path / "m"), ("relative", relative_folder)):
        kept = build_model("tiny", objective, weights=folder, init="all", start_depth=0.65)
        assert same(kept.parameters(), load_model(folder).parameters())
    assert build_model("tiny", "relative", start_depth=0.65).head.conv3.bias.item() == 0.5


@pytest.mark.parametrize("depth", [0, -1, 10, 11, float("nan"), float("inf")])
def test_a_start_depth_out_of_range_is_refused(depth):
    with pytest.raises(InputError, match=rf"start_depth must be between 0 and max_depth \(10 m\); got {depth}$"):
        build_model("tiny", "metric", 10, start_depth=depth)


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


def test_a_run_folder_is_answered_with_its_best_model(tmp_path):
    run = RunFolder(tmp_path / "mine")
    run.last.mkdir(parents=True)
    run.config.write_text('{"data": "x", "max_depth": 10.0}')
    with pytest.raises(InputError, match=r"mine holds no model, not a Depth Anything.* best/ of a run"):
        load_model(run.path)  # stopped before its first epoch ended
    save_model(build_model("tiny", "relative"), run.best)
    for path in (run.path, f"{run.path}/", run.last, run.eval):
        for read in (load_model, lambda path: build_model("tiny", weights=path)):
            with pytest.raises(InputError, match=rf"mine\S* belongs to a run, .*: use {run.best}$"):
                read(path)
    assert load_model(run.best).config.depth_estimation_type == "relative"


@pytest.mark.parametrize("weights", ["none", "None", "null", ""])
def test_the_word_none_is_no_model(weights):
    with pytest.raises(InputError, match=rf"weights '{weights}': leave weights out"):
        build_model("tiny", weights=weights)


@pytest.mark.parametrize("name", ["someone/absent", "runs/mine/best/typo", "./absent", "/nowhere/best", "absent"])
def test_a_model_that_is_nowhere_is_one_line(name):
    """Offline, as tests are, a model of the Hub is nowhere unless it was downloaded before."""
    for read in (load_model, lambda path: build_model("tiny", weights=path)):
        on_hub = name.count("/") == 1 and not name.startswith(".")
        words = " is no model folder, and could not be loaded .*: check" if on_hub else ": no such folder"
        with pytest.raises(InputError, match=rf"^{re.escape(name)}{words}") as told:
            read(name)
        assert "\n" not in str(told.value)


def test_a_file_or_another_kind_of_model_is_refused(relative_folder, tmp_path):
    with pytest.raises(InputError, match=r"model\.safetensors holds no config\.json: give a model folder"):
        load_model(relative_folder / "model.safetensors")
    (tmp_path / "config.json").write_text('{"model_type": "dpt"}')
    with pytest.raises(InputError, match="holds dpt model, not a Depth Anything"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json is damaged"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(InputError, match="holds no settings of a model"):
        load_model(tmp_path)


def test_a_folder_of_other_things_is_not_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("years")
    with pytest.raises(InputError, match=r"holds thesis\.txt, which is no part of a model"):
        save_model(build_model("tiny"), tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years"
    (tmp_path / "m" / ".ipynb_checkpoints").mkdir(parents=True)  # what editors leave does not stop a training
    save_model(build_model("tiny"), tmp_path / "m")
    save_model(build_model("tiny"), tmp_path / "m")


def test_a_relative_config_without_max_depth_still_predicts(relative_folder, tmp_path):
    shutil.copytree(relative_folder, tmp_path / "m")
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    without = {key: value for key, value in config.items() if key != "max_depth"}
    for changed in (config | {"max_depth": None}, without):
        (tmp_path / "m" / "config.json").write_text(json.dumps(changed))
        assert predict_disparity(load_model(tmp_path / "m"), np.zeros((168, 168, 3), np.uint8)).shape == (168, 168)


def test_a_config_that_transformers_refuses_is_one_line(tmp_path):
    save_model(build_model("tiny", "metric"), tmp_path / "m")
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    (tmp_path / "m" / "config.json").write_text(json.dumps(config | {"backbone_config": []}))
    with pytest.raises(InputError, match="is of no Depth Anything"):
        load_model(tmp_path / "m")


@pytest.mark.parametrize(
    "fault",
    [{"max_depth": m} for m in (None, "7", 7.5, 7.0, True, float("nan"), 0)] + [{"depth_estimation_type": "both"}],
)
def test_a_config_that_says_no_depth_is_refused(tmp_path, fault):
    save_model(build_model("tiny", "metric"), tmp_path / "m")
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    (tmp_path / "m" / "config.json").write_text(json.dumps(config | fault))
    with pytest.raises(InputError, match="relative, or metric with a max_depth of whole metres"):
        load_model(tmp_path / "m")


@pytest.mark.parametrize("name", ["head.conv3.bias", "backbone.encoder.layer.2.attention.attention.key.weight"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(relative_folder, tmp_path, name, value):
    save_model(load_model(relative_folder), tmp_path / "m")
    state = load_file(tmp_path / "m" / "model.safetensors")
    state[name].view(-1)[0] = value
    save_file(state, tmp_path / "m" / "model.safetensors", metadata={"format": "pt"})
    for read in (load_model, lambda path: build_model("tiny", weights=path)):
        with pytest.raises(InputError, match=r"m: \S+ holds NaN or infinity"):
            read(tmp_path / "m")


def test_nothing_that_is_not_finite_is_saved(tmp_path):
    model = build_model("tiny")
    save_model(model, tmp_path / "m")
    before = (tmp_path / "m" / "model.safetensors").read_bytes()
    broken = build_model("tiny")
    for parameter, value in (
        (broken.head.conv3.bias, float("inf")),
        (broken.backbone.embeddings.cls_token, float("nan")),
    ):
        with torch.no_grad():
            parameter.view(-1)[0] = value
        with pytest.raises(InputError, match=r"(cls_token|conv3\.bias) holds NaN or infinity: the model was not saved"):
            save_model(broken, tmp_path / "m")
    large = build_model("tiny")
    with torch.no_grad():
        large.head.conv3.bias.fill_(1e6)
    with pytest.raises(InputError, match=r"conv3\.bias holds NaN or infinity"):
        save_model(large.half(), tmp_path / "m")
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_damaged_weights_and_empty_folders_are_named(relative_folder, tmp_path):
    save_model(load_model(relative_folder), tmp_path / "w")
    weights = tmp_path / "w" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"w: the weights can't be read"):
        load_model(tmp_path / "w")
    weights.rename(tmp_path / "w" / "pytorch_model.bin")  # a pickle: never opened
    with pytest.raises(InputError, match=r"no file named model\.safetensors"):
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


def card_code(folder, photo):
    """The lines of the model card in `folder`, for `photo`."""
    code = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)[1]
    return code.replace("path/to/this/folder", str(folder)).replace("photo.jpg", str(photo))


@pytest.fixture(scope="module")
def bundled(tmp_path_factory):
    """The bundled model, whose maps depend on the scale of the picture as those of a random one do not."""
    folder = tmp_path_factory.mktemp("bundled") / "m"
    save_model(load_model(REPOSITORY / "weights" / "tiny-relative"), folder)
    return folder


def difference(disparity, model, picture):
    """Mean difference to `predict_disparity`, in standard deviations of the map, at the size of the picture."""
    expected = predict_disparity(model, picture)
    found = cv2.resize(disparity, picture.shape[1::-1], interpolation=cv2.INTER_AREA)
    return np.abs(found - expected).mean() / expected.std()


def test_best_loads_in_plain_transformers(tmp_path):
    """A process that never imports depthkit predicts the same metres with the lines of the model card."""
    torch.manual_seed(3)
    model = build_model("tiny", "metric", input_size=84).eval()
    save_model(model, tmp_path / "best")
    picture = np.random.default_rng(0).integers(0, 255, (12, 16, 3), dtype=np.uint8).repeat(14, 0).repeat(14, 1)
    Image.fromarray(picture).save(tmp_path / "photo.png")
    code = (
        card_code(tmp_path / "best", tmp_path / "photo.png")
        + """
import json, sys
assert "depthkit" not in sys.modules
print(json.dumps(depth.tolist()))
"""
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr
    from_pipeline = np.array(json.loads(done.stdout.splitlines()[-1]))
    depth = predict_depth(model, picture)
    assert from_pipeline.shape == depth.shape == (168, 224)
    # Two bicubic resizes (that of transformers filters when shrinking) of one picture: alike to a few centimetres
    assert np.abs(from_pipeline - depth).mean() < 0.05 and 0 < from_pipeline.min() < from_pipeline.max() < 10


@pytest.mark.parametrize("height, width", [(480, 640), (96, 128), (128, 96), (60, 170), (170, 100)])
@pytest.mark.filterwarnings("ignore:photos of")
def test_the_lines_of_the_card_predict_what_depthkit_predicts_at_any_size(bundled, tmp_path, height, width):
    whole = cv2.imread(str(min(REPOSITORY.glob("data/sample/rooms/train/*/*.jpg"))))
    picture = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(tmp_path / "photo.png"), picture)
    names, model, picture = {}, load_model(bundled), picture[..., ::-1].copy()
    exec(card_code(bundled, tmp_path / "photo.png"), names)
    assert difference(names["depth"].numpy(), model, picture) < 0.03
    as_it_is = names["pipeline"]("depth-estimation", model=str(bundled))(str(tmp_path / "photo.png"))
    needed = difference(as_it_is["predicted_depth"].numpy(), model, picture) > 0.1
    assert needed == (min(height, width) < input_size(model.config))  # else the card would ask for nothing


def test_the_card_is_valid_and_says_what_is_predicted(relative_folder, tmp_path):
    save_model(build_model("tiny", "metric", max_depth=7, input_size=84), tmp_path / "m")
    for folder, words in (
        (tmp_path / "m", ("in metres, up to 7 m", "84 pixels", "# metres", "predict_depth")),
        (relative_folder, ("unknown scale and shift", "168 pixels", "predict_disparity")),
    ):
        card = ModelCard.load(folder / "README.md")
        assert card.data.library_name == "transformers" and card.data.pipeline_tag == "depth-estimation"
        assert all(each in card.text for each in words) and not re.search(r"[{}]", card.text)


@pytest.mark.parametrize("height, width", [(480, 640), (640, 480), (720, 1280), (518, 518)])
def test_image_processor_has_the_same_geometry(height, width):
    picture = np.zeros((height, width, 3), dtype=np.uint8)
    shape = image_processor(168)(images=picture, return_tensors="pt")["pixel_values"].shape[-2:]
    assert tuple(shape) == EvalTransform(168)({"image": picture})["image"].shape[:2]


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

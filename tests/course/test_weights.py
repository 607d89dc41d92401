"""The bundled tiny model: that it is what its card says, and that it never saw a test picture."""

import numpy as np
import pytest
import torch

from depthkit.course import sample
from depthkit.course.scenes import motorcycle
from depthkit.course.settings import SAMPLE_CACHE, TINY_WEIGHTS, Settings
from depthkit.data.datasets import NYUDepthV2
from depthkit.data.duplicates import difference_hash, hamming
from depthkit.data.readers import read_image
from depthkit.models.build import build_model, load_model
from depthkit.models.predict import predict_disparity
from depthkit.run_folder import read_json
from depthkit.scoring.evaluate import evaluate
from depthkit.scoring.protocol import Protocol
from depthkit.scoring.statistics import counts, summarise

CARD = TINY_WEIGHTS / "README.md"


@pytest.fixture(scope="module")
def rooms():
    return NYUDepthV2(sample.unpack_sample("rooms", SAMPLE_CACHE), "val")


@pytest.fixture(scope="module")
def report():
    return read_json(TINY_WEIGHTS / "eval" / "rooms.json")


def test_the_sample_profile_starts_from_the_bundled_weights(monkeypatch):
    for name in ("PROFILE", "WEIGHTS", "DATA"):
        monkeypatch.delenv(f"DEPTHKIT_{name}", raising=False)
    here = Settings.detect()
    assert here.weights == str(TINY_WEIGHTS) and here.encoder == "tiny"
    assert build_model("tiny", "relative", weights=here.weights, init="all").config.depth_estimation_type == "relative"


def test_the_weights_score_what_the_card_says_and_random_ones_far_worse(rooms, report):
    protocol = Protocol(**report["protocol"])
    assert protocol.align == "disparity" and protocol.crop is None and not protocol.clamp and not protocol.flip_tta
    records = evaluate(load_model(TINY_WEIGHTS), rooms, protocol)
    found = summarise(records)
    stated = report["summary"]
    assert found["abs_rel"]["mean"] == pytest.approx(stated["abs_rel"]["mean"], abs=1e-3)
    assert counts(records)["degenerate"] == report["degenerate"] == 0
    assert f"| rooms ({counts(records)['images']}) | this model | {stated['abs_rel']['mean']:.3f} " in CARD.read_text()
    torch.manual_seed(0)
    untrained = summarise(evaluate(build_model("tiny", "relative").eval(), rooms, protocol))
    assert found["abs_rel"]["high"] < untrained["abs_rel"]["low"]


def test_no_feature_leaves_what_float16_holds(rooms):
    """The loss leaves their scale free; training on a GPU, which computes in float16, would begin with infinities."""
    model, largest = load_model(TINY_WEIGHTS), []

    def note(_, inputs, output):
        largest.append(output.abs().max().item() if torch.is_tensor(output) else 0)

    for module in model.modules():
        module.register_forward_hook(note)
    for index in range(0, len(rooms), 8):
        predict_disparity(model, rooms[index]["image"].permute(1, 2, 0).numpy())
    assert 0 < max(largest) < torch.finfo(torch.float16).max / 2


def test_no_test_picture_is_near_a_training_picture():
    """A copy is 0 to 3 of 64 bits away whatever its size. By chance the closest of 500,610 pairs of strangers are 6."""
    trained = np.array([int(value, 16) for value in read_json(TINY_WEIGHTS / "frames.json").values()], dtype=np.uint64)
    assert len(trained) > 1500
    pictures = [read_image(path) for path in sorted(sample.BUNDLED.glob("*/val/**/*.jpg"))] + [motorcycle()[0]]
    assert len(pictures) >= 24 + 16 + 1
    distance = hamming(np.array([difference_hash(picture) for picture in pictures]), trained)
    assert distance.min() > 4

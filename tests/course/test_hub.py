import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch
from huggingface_hub import constants

from depthkit.course import hub
from depthkit.models.build import build_model, save_model

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the Hub, in its layout: `cache("owner/name")` gives the folder of a model's one snapshot."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))

    def snapshot(model_id):
        model = tmp_path / f"models--{model_id.replace('/', '--')}"
        (model / "refs").mkdir(parents=True)
        (model / "refs" / "main").write_text(COMMIT)
        folder = model / "snapshots" / COMMIT
        folder.parent.mkdir()
        return folder

    return snapshot


def test_a_cached_model_opens_offline_and_predicts_at_the_images_size(cache, capfd):
    torch.manual_seed(0)
    save_model(build_model("tiny", "relative", input_size=56), cache("someone/small"))
    pipe = hub.open_pipeline("someone/small")
    image = np.random.default_rng(0).integers(0, 255, (70, 90, 3), dtype=np.uint8)
    disparity = hub.predict(pipe, image)
    assert disparity.shape == (70, 90) and disparity.dtype == np.float32 and np.ptp(disparity) > 0
    assert np.array_equal(disparity, hub.predict(pipe, image))
    assert capfd.readouterr() == ("", "")


def test_what_is_not_cached_or_only_half_is_left_out_without_a_word(cache, capfd, caplog):
    caplog.set_level("INFO", logger="depthkit.course.hub")
    half = cache("someone/half")
    save_model(build_model("tiny", "relative"), half)
    (half / "model.safetensors").unlink()
    for model_id in ("someone/absent", "someone/half", "not a model id"):
        assert hub.open_pipeline(model_id) is None
        assert model_id in caplog.text  # the reason can be had
    assert capfd.readouterr() == ("", "")


def test_loudness_of_the_libraries_is_as_before():
    from huggingface_hub.utils import are_progress_bars_disabled
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled(), are_progress_bars_disabled()
    hub.open_pipeline("someone/absent")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled(), are_progress_bars_disabled()) == before


@pytest.mark.parametrize("server", ["silent", "none"])
def test_a_hub_that_does_not_answer_costs_seconds_once(server, tmp_path):
    """A fresh process, since the libraries read the Hub's address when they are imported."""
    with socket.create_server(("127.0.0.1", 0)) as listening:  # takes connections, never answers
        port = listening.getsockname()[1]
        if server == "none":
            listening.close()
        here = {"HF_ENDPOINT": f"http://127.0.0.1:{port}", "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path)}
        probe = (
            "import time; from depthkit.course import hub; start = time.monotonic();"
            "print([hub.open_pipeline(f'someone/model-{i}') for i in range(3)], time.monotonic() - start < 9)"
        )
        done = subprocess.run(
            [sys.executable, "-c", probe], env=os.environ | here, capture_output=True, text=True, timeout=120
        )
        assert done.stdout.strip() == "[None, None, None] True", done.stdout + done.stderr
        assert done.stderr == ""

"""The demo page, served for real and clicked in a real browser."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from depthkit.models.build import build_model, save_model
from depthkit.training.train import free_port

pytest.importorskip("gradio", reason="the extra demo is not installed")
pytest.importorskip("plotly", reason="the extra demo is not installed")
from depthkit import demo


@pytest.fixture(params=["metric", "relative"])
def model(request, tmp_path):
    torch.manual_seed(0)
    save_model(build_model("tiny", request.param, 10, input_size=56), tmp_path / request.param)
    return tmp_path / request.param


def test_the_map_carries_its_values_and_the_cloud_its_colours():
    depth = np.linspace(1, 4, 60)[:, None].repeat(80, 1).astype(np.float32)
    shown = json.loads(demo.depth_figure(depth, metric=True).to_json())["data"][0]
    assert " m" in shown["hovertemplate"] and shown["colorbar"]["title"]["text"] == "depth (m)"
    photo = np.full((60, 80, 3), (200, 30, 10), np.uint8)
    cloud = demo.cloud_figure(depth, photo, demo.Intrinsics.from_fov(60, 80, 60)).data[0]
    assert np.max(cloud.y) == pytest.approx(4) and set(cloud.marker.color) == {"rgb(200,30,10)"}


@pytest.mark.browser
def test_a_photo_is_predicted_by_a_click(model, tmp_path):
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("needs Debian's chromium and chromium-driver, which .ci/run installs")
    webdriver = pytest.importorskip("selenium.webdriver")
    photo, port = tmp_path / "photo.png", free_port()
    cv2.imwrite(str(photo), np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8))
    (temporary := tmp_path / "temporary").mkdir()
    environment = os.environ | {"GRADIO_ANALYTICS_ENABLED": "False", "OMP_NUM_THREADS": "1", "TMPDIR": str(temporary)}
    command = [sys.executable, "-m", "depthkit", "demo", str(model), "--port", port]
    server = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores Ctrl-C
    )
    try:
        wait_for(f"http://127.0.0.1:{port}")
        with open_browser(webdriver, tmp_path) as browser:
            browser.get(f"http://127.0.0.1:{port}")
            by = webdriver.common.by.By.CSS_SELECTOR
            element(browser, by, "#photo input[type=file]").send_keys(str(photo))
            element(browser, by, "#photo img")
            element(browser, by, "#predict").click()
            element(browser, by, "#depth .js-plotly-plot .heatmaplayer image")
            element(browser, by, "#cloud .js-plotly-plot canvas")
            words = element(browser, by, "#words p").text
            assert ("nearest 1 %" in words) == (model.name == "metric"), words
            assert "points\n.ply" in element(browser, by, "#files").text
            browser.save_screenshot(str(tmp_path / "page.png"))
            assert np.asarray(Image.open(tmp_path / "page.png")).std() > 10
            assert any(temporary.glob("gradio/*/points.ply"))
            server.send_signal(signal.SIGINT)
            server.wait(timeout=60)
            left = [path for path in temporary.rglob("*") if path.is_file()]
            assert not left, "files of predictions stay behind when the page is stopped"
    finally:
        server.kill()
        server.wait()


def wait_for(address):
    for _ in range(240):
        try:
            return urllib.request.urlopen(address, timeout=5)
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"{address} did not answer")


def open_browser(webdriver, tmp_path):
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    flags = "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking"
    for flag in [*flags.split(), "disable-component-update", "disable-sync", "window-size=1400,1400"]:
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={tmp_path / 'browser'}")
    return webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))


def element(browser, by, selector):
    """The element, once it is there; the page has a minute."""
    for _ in range(240):
        if found := browser.find_elements(by, selector):
            return found[0]
        time.sleep(0.25)
    raise AssertionError(f"no {selector} on the page")

"""Figures that move: what they carry, and in a real browser what their controls do."""

import re
import shutil
import subprocess
from base64 import b64decode
from io import BytesIO

import matplotlib as mpl

mpl.use("Agg")

import numpy as np
import pytest
from matplotlib import pyplot as plt
from PIL import Image

from depthkit.course import plots

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
GREYS = [np.full((20, 30, 3), 40 * k, np.uint8) for k in range(6)]
CONTROLS = {"a < b": ["low", "high"], "c": ["1", "2", "3"]}
PHOTO = np.zeros((30, 40, 3), np.uint8)
TRUTH = np.linspace(1, 4, 40) + np.zeros((30, 1))


def frames_of(html):
    return re.search(r'data-frames="([^"]*)"', html)[1].split(" ")


def level(webp):
    return int(np.asarray(Image.open(BytesIO(b64decode(webp)))).mean().round())


def in_browser(tmp_path, html, script):
    """The page's document after `script` has run in it."""
    page = tmp_path / "page.html"
    page.write_text(f'<meta charset="utf-8"><body>{html}<script>onload = () => {{ {script} }}</script>', "utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000", "--dump-dom"]
    return subprocess.run([CHROMIUM, *options, page.as_uri()], capture_output=True, text=True, check=True).stdout


def test_a_slider_holds_every_frame_and_a_still():
    moving = plots.slider(GREYS, CONTROLS, 'From "dark" to bright.', start=[1, 0])
    assert [level(frame) for frame in frames_of(moving.html)] == pytest.approx([0, 40, 80, 120, 160, 200], abs=2)
    data, metadata = moving._repr_mimebundle_()
    assert set(data) == {"text/html", "image/png", "text/plain"}
    assert metadata["image/png"]["alt"] == data["text/plain"] == 'From "dark" to bright.'
    still = np.asarray(Image.open(BytesIO(b64decode(data["image/png"]))).convert("L"))
    assert still[-20:].mean() == pytest.approx(120, abs=2) and len(still) > 20
    assert still[:-20].min() < 100 and still[:-20].max() == 255  # the stops are written above it
    assert 'alt="From &quot;dark&quot; to bright."' in moving.html
    assert 'value="1" aria-label="a &lt; b" aria-valuetext="high"' in moving.html


def test_a_page_needs_no_other_file_and_no_identifiers():
    for moving in (plots.slider(GREYS, CONTROLS, "greys", [0, 0]), plots.compare(PHOTO, TRUTH, TRUTH, "same")):
        assert not re.search(r"https?:|\bid=|<script|<link|@import", moving.html)
        assert all(source.startswith("data:image/webp;base64,") for source in re.findall(r'src="([^"]*)', moving.html))


def test_figures_are_closed_and_come_out_the_same_twice():
    def drawn():
        for k in range(2):
            fig, ax = plt.subplots(figsize=(2, 1))
            ax.plot([0, k])
            yield fig

    once, again = (plots.slider(drawn(), {"k": ["0", "1"]}, "lines", [0]) for _ in range(2))
    assert once == again
    assert not plt.get_fignums()


def test_frames_and_stops_have_to_agree():
    with pytest.raises(ValueError, match="5 frames for 6"):
        plots.slider(GREYS[:5], CONTROLS, "greys", [0, 0])


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_moving_a_control_shows_its_frame_and_leaves_other_figures_alone(tmp_path):
    one, two = (plots.slider(GREYS, CONTROLS, "greys", [0, 0]) for _ in range(2))
    move = """const bar = document.querySelectorAll('.moving-figure')[1].querySelectorAll('input');
        bar[0].value = 1; bar[0].dispatchEvent(new Event('input'));
        bar[1].value = 2; bar[1].dispatchEvent(new Event('input'));
        document.body.innerHTML += `<p>said ${[...document.querySelectorAll('output')].map(o => o.value)}</p>`"""
    page = in_browser(tmp_path, one.html + two.html, move)
    first, second = (level(source) for source in re.findall(r'<img src="data:image/webp;base64,([^"]*)', page))
    assert (first, second) == (0, pytest.approx(200, abs=2))
    assert "said low,1,high,3" in page
    assert re.findall(r'aria-valuetext="([^"]*)', page) == ["low", "1", "high", "3"]


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_comparison_reads_both_depths_and_wipes(tmp_path):
    truth, prediction = TRUTH.copy(), 2 * TRUTH
    truth[:6] = 0
    moving = plots.compare(PHOTO, truth, prediction, "twice too far", step=3)
    point = """const said = [];
        for (const [k, x, y] of [[0, 0.99, 0.99], [1, 0.01, 0.99], [0, 0.5, 0.01]]) {
          const picture = document.querySelectorAll('img')[k], box = picture.getBoundingClientRect();
          const place = {clientX: box.left + x * box.width, clientY: box.top + y * box.height, bubbles: true};
          picture.dispatchEvent(new PointerEvent('pointermove', place));
          said.push(document.querySelector('output').value); }
        const bar = document.querySelector('input'); bar.value = 80; bar.dispatchEvent(new Event('input'));
        document.body.innerHTML += `<p>said ${said.join('; ')}</p>`"""
    page = in_browser(tmp_path, moving.html, point)
    middle = prediction[0, 21]  # half of 14 columns, of which each is the third pixel
    said = "truth 4.00 m, prediction 8.00 m; truth 1.00 m, prediction 2.00 m; truth not measured, prediction"
    assert f"said {said} {middle:.2f} m" in page
    assert "inset(0px 0px 0px 80%)" in page


def test_a_cloud_turns_about_its_middle_and_the_nearest_hides_the_rest():
    points = np.array([[-1.0, 0, 0], [1, 0, 0], [0, 0, -1], [0, 0, 1]])
    colours = np.repeat([[10], [20], [30], [40]], 3, axis=1)
    ahead = plots.view_cloud(points, colours.astype(np.uint8), 0, 0, 10, (40, 60))
    assert (ahead[20, 20, 0], ahead[20, 30, 0], ahead[20, 40, 0]) == (10, 30, 20)
    turned = plots.view_cloud(points, colours.astype(np.uint8), 90, 0, 10, (40, 60))
    assert sorted((turned[20, 20, 0], turned[20, 40, 0])) == [30, 40]
    above = plots.view_cloud(points, colours.astype(np.uint8), 0, 90, 10, (40, 60))
    assert (above[10, 30, 0], above[30, 30, 0]) == (40, 30)  # far is up
    assert ahead[0, 0].tolist() == [255, 255, 255]

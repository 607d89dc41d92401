"""Figures that move: pictures behind sliders, in HTML that needs no other file and no network.

One output carries HTML with all pictures and a few lines of JavaScript inside, and a still with alternative text for
viewers without. (matplotlib's `to_jshtml` is no choice: it loads the icons of its buttons from another server.)
"""

import io
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from matplotlib import cm, colors
from matplotlib import pyplot as plt
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont, ImageOps

from depthkit.course.plots.basics import Array, Figure, Named, Texts
from depthkit.course.plots.maps import DEPTH_CMAP, depth_limits

MOVE = """const box = this.closest('.moving-figure'); let k = 0;
for (const bar of box.querySelectorAll('input')) {
  const label = bar.dataset.labels.split('|')[bar.value];
  k = k * (+bar.max + 1) + +bar.value;
  bar.setAttribute('aria-valuetext', label), bar.nextElementSibling.value = label; }
box.querySelector('img').src = 'data:image/webp;base64,' + box.dataset.frames.split(' ')[k];"""
SLIDER = """<label style="display: flex; gap: 0.7em; align-items: center">{name}
<input type="range" min="0" max="{last}" value="{start}" aria-label="{name}" aria-valuetext="{label}"
data-labels="{labels}" oninput="{move}" style="flex: 1"><output style="min-width: 8em">{label}</output></label>"""
FIGURE = """<div class="moving-figure" role="group" aria-label="{alt}" data-frames="{frames}"
style="max-width: {width}px">
<img src="data:image/webp;base64,{first}" alt="{alt}" style="width: 100%">
{sliders}</div>"""

WIPE = "this.closest('.moving-figure').querySelectorAll('img')[2].style.clipPath = `inset(0 0 0 ${this.value}%)`;"
READ = """const box = this.closest('.moving-figure'), place = event.target.getBoundingClientRect();
const x = Math.floor((event.clientX - place.left) / place.width * box.dataset.columns);
const y = Math.floor((event.clientY - place.top) / place.height * box.dataset.rows);
const at = 2 * (y * box.dataset.columns + x), metres = (name) => { const bytes = atob(box.dataset[name]);
  const mm = bytes.charCodeAt(at) + 256 * bytes.charCodeAt(at + 1);
  return name + ' ' + (mm ? (mm / 1000).toFixed(2) + ' m' : 'not measured'); };
if (event.target.tagName == 'IMG') box.querySelector('output').value = metres('truth') + ', ' + metres('prediction');"""
COMPARISON = """<div class="moving-figure" role="group" aria-label="{alt}" data-truth="{truth}"
data-prediction="{prediction}" data-columns="{columns}" data-rows="{rows}" style="max-width: 780px">
<div style="display: flex; gap: 4px; cursor: crosshair" onpointermove="{read}" onpointerdown="{read}">
<img src="{pictures[0]}" alt="the picture" style="display: block; width: 50%">
<div style="position: relative; width: 50%">
<img src="{pictures[1]}" alt="true depth" style="display: block; width: 100%">
<img src="{pictures[2]}" alt="predicted depth"
style="position: absolute; left: 0; top: 0; width: 100%; clip-path: inset(0 0 0 50%)"></div></div>
<label style="display: flex; gap: 0.7em; align-items: center">prediction <input type="range" min="0" max="100"
value="50" aria-label="how much of the truth is shown, in percent" oninput="{wipe}" style="flex: 1"> truth</label>
<output>Point at a place to read its metres.</output></div>"""


@dataclass(frozen=True)
class Moving:
    """An output for a notebook's cell: HTML that moves, and a still with its alternative text for viewers without."""

    html: str
    still: bytes  # PNG
    alt: str

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, Any]]:
        data = {"text/html": self.html, "image/png": b64encode(self.still).decode(), "text/plain": self.alt}
        return data, {"image/png": {"alt": self.alt}}


def slider(frames: Iterable[Figure | Array], controls: Named[Texts], alt: str, start: Sequence[int]) -> Moving:
    """Put pictures behind one slider for each control.

    Args:
        frames: matplotlib figures, which are closed here, or uint8 arrays (H, W, 3), all of one size: one for each
            combination of the controls' stops; the last control changes fastest.
        controls: {name: the label of each stop}.
        alt: what the figure shows and how it changes, for somebody who can't see it.
        start: the stop of each control that is shown first, and as the still.

    Raises: ValueError if the number of frames is not that of the combinations.
    """
    alt = " ".join(alt.split())
    pictures = [_picture(frame) for frame in frames]
    shape = [len(labels) for labels in controls.values()]
    if len(pictures) != np.prod(shape):
        raise ValueError(f"{len(pictures)} frames for {np.prod(shape)} combinations of the controls' stops")
    first = int(np.ravel_multi_index(list(start), shape))
    webp = [_encoded(picture) for picture in pictures]
    sliders = [
        SLIDER.format(name=escape(name), last=len(labels) - 1, start=stop, label=escape(labels[stop]),
                      labels=escape("|".join(labels)), move=escape(MOVE))
        for (name, labels), stop in zip(controls.items(), start, strict=True)
    ]  # fmt: skip
    html = FIGURE.format(alt=escape(alt), frames=" ".join(webp), width=pictures[first].width, first=webp[first],
                         sliders="\n".join(sliders))  # fmt: skip
    stops = ", ".join(f"{name}: {labels[stop]}" for (name, labels), stop in zip(controls.items(), start, strict=True))
    return Moving(html, _still(_named(pictures[first], stops)), alt)


def compare(image: Array, truth: Array, prediction: Array, alt: str, step: int = 3) -> Moving:
    """Put a prediction over the truth, with a slider that wipes it away; both depths are read under the pointer.

    Args:
        image, truth, prediction: uint8 (H, W, 3), and (H, W) metres, 0 where not measured; colours are the truth's.
        alt: what the figure shows, for somebody who can't see it.
        step: every `step`-th pixel's metres travel with the page, in millimetres up to 65.5 m.
    """
    alt = " ".join(alt.split())
    shade = cm.ScalarMappable(colors.Normalize(*depth_limits(truth)), DEPTH_CMAP)
    maps = [shade.to_rgba(np.ma.masked_less_equal(depth, 0), bytes=True)[..., :3] for depth in (truth, prediction)]
    pictures = [Image.fromarray(np.ascontiguousarray(picture)) for picture in (image, *maps)]
    millimetres = [np.rint(1000 * depth[::step, ::step]).clip(0, 65535).astype("<u2") for depth in (truth, prediction)]
    rows, columns = millimetres[0].shape
    html = COMPARISON.format(
        alt=escape(alt), rows=rows, columns=columns, read=escape(READ), wipe=escape(WIPE),
        pictures=[f"data:image/webp;base64,{_encoded(picture)}" for picture in pictures],
        truth=b64encode(millimetres[0]).decode(), prediction=b64encode(millimetres[1]).decode(),
    )  # fmt: skip
    names = ("picture", "true depth", "predicted depth")
    half = [np.asarray(_named(picture.reduce(2), name)) for picture, name in zip(pictures, names, strict=True)]
    return Moving(html, _still(Image.fromarray(np.hstack(half))), alt)


def _picture(frame: Figure | Array) -> Image.Image:
    if not isinstance(frame, Figure):
        return Image.fromarray(frame)
    png = io.BytesIO()
    frame.savefig(png, format="png", dpi=100)
    plt.close(frame)
    return Image.open(png).convert("RGB")


def _named(picture: Image.Image, text: str) -> Image.Image:
    """Put a line of text above a still, which nobody can ask what it shows."""
    named = ImageOps.expand(picture, (0, 22, 0, 0), "white")
    font = ImageFont.truetype(findfont("DejaVu Sans"), 13)  # matplotlib's own, which has Greek letters
    ImageDraw.Draw(named).text((6, 3), text, fill="black", font=font)
    return named


def _encoded(picture: Image.Image) -> str:
    webp = io.BytesIO()
    picture.save(webp, "WEBP", quality=72, method=6)  # text stays clean, in some 15 kB per frame
    return b64encode(webp.getvalue()).decode()


def _still(picture: Image.Image) -> bytes:
    png = io.BytesIO()
    picture.quantize(128, dither=Image.Dither.NONE).save(png, "PNG", optimize=True)
    return png.getvalue()

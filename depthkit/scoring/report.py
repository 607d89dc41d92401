"""One HTML file about one evaluation: scores beside baselines, pictures, where the errors lie, and every record."""

import base64
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import StrictUndefined, Template
from torch import nn

from depthkit.data.datasets import DepthDataset
from depthkit.data.files import spread
from depthkit.data.overview import HOLE, coloured, png, scaled
from depthkit.run_folder import replaced_file
from depthkit.scoring.errors import binned_sums, edge_distance, errors_from_sums
from depthkit.scoring.evaluate import compared_maps, with_input_of
from depthkit.scoring.protocol import Protocol
from depthkit.scoring.statistics import Record, counts, paired_difference, summarise

TEMPLATE = Path(__file__).with_name("report.html.jinja")
CHARTED = 100  # images whose pixels the charts are made of
PICTURE_WIDTH = 360
CHARTS = {  # what pixels are sorted by: its unit, and the limits of its bins
    "true depth": ("m", np.array([s * 10.0**k for k in range(-2, 3) for s in (1, 1.5, 2, 3, 5, 7)])),
    "distance to the nearest depth edge": ("pixels", np.array([0, 2, 4, 8, 16, 32, np.inf])),
    "image row, from the top": ("%", np.linspace(0, 100, 9)),
}
# From blue, too near, over white to red, too far; OpenCV's order of the channels is blue, green, red.
ERROR_STOPS = ([178, 247, 24], [102, 247, 24], [33, 247, 178])
ERROR_COLOURS = np.stack([np.interp(range(256), [0, 128, 255], stops) for stops in ERROR_STOPS], -1).astype(np.uint8)


def write_report(
    path: str | Path,
    model: nn.Module,
    dataset: DepthDataset,
    protocol: Protocol,
    records: list[Record],
    baselines: dict[str, list[Record]],
    model_name: str,
    data_name: str,
) -> None:
    """Write a self-contained page, which asks nothing of the network, about `records`.

    Args:
        model, dataset, protocol: what `evaluate` made the records from. The best, the median and the worst image, and
            up to CHARTED others, are predicted again for pictures and charts.
        records, baselines: what `evaluate` gave for the model and, by name, for each baseline under the same protocol.

    Raises: InputError when no image was scored.
    """
    summaries = {name: summarise(each, protocol.average) for name, each in ({model_name: records} | baselines).items()}
    scored = [index for index, record in enumerate(records) if record["skipped"] is None]
    ranked = sorted(scored, key=lambda index: records[index]["abs_rel"])
    shown = {"best": ranked[0], "median": ranked[len(ranked) // 2], "worst": ranked[-1]}
    pictures, sums = {}, []
    inputs = with_input_of(model, dataset)
    model.eval()
    for index in sorted({scored[i] for i in spread(len(scored), CHARTED)} | set(shown.values())):
        prediction, truth, mask, _ = compared_maps(model, [inputs[index]], protocol)
        p, t, valid = (maps[0].cpu().numpy() for maps in (prediction, truth, mask))
        sums.append(_chart_sums(p, t, valid))
        if index in shown.values():
            pictures[index] = _pictures(dataset.read(index)[0], p, t, valid)
    page = {
        "model": model_name,
        "data": data_name,
        "protocol": protocol,
        "counts": counts(records),
        "summaries": summaries,
        "differences": {name: paired_difference(records, each) for name, each in baselines.items()},
        "pictures": [(title, records[index], pictures[index]) for title, index in shown.items()],
        "charts": {name: _bars(name, np.array([each[i] for each in sums])) for i, name in enumerate(CHARTS)},
        "charted": len(sums),
        "records": records,
    }
    template = Template(TEMPLATE.read_text(encoding="utf-8"), autoescape=True, undefined=StrictUndefined)
    with replaced_file(path) as draft:
        draft.write_text(template.render(page), encoding="utf-8")


def _chart_sums(p: np.ndarray, t: np.ndarray, mask: np.ndarray) -> list[np.ndarray]:
    """Take the `binned_sums` of one image for each of CHARTS."""
    rows = (np.arange(len(t)) + 0.5) / len(t) * 100
    keys = t, edge_distance(t, mask), np.broadcast_to(rows[:, None], t.shape)
    return [binned_sums(key, p, t, mask, edges) for key, (_, edges) in zip(keys, CHARTS.values(), strict=True)]


def _bars(name: str, sums: np.ndarray) -> list[dict[str, Any]]:
    """Make the bars of one chart from `binned_sums` (images, 3, bins), for bins with at least 0.5 % of the pixels."""
    errors, (unit, edges) = errors_from_sums(sums), CHARTS[name]
    labels = [f"{low:g} to {high:g} {unit}" for low, high in pairwise(edges)]
    bars = [{"label": label, **{key: values[i] for key, values in errors.items()}} for i, label in enumerate(labels)]
    return [bar for bar in bars if bar["share"] >= 0.005]


def _pictures(photo: np.ndarray, p: np.ndarray, t: np.ndarray, mask: np.ndarray) -> dict[str, Any]:
    """Show photo, truth, prediction and error of one image as data URIs; the depths at the ends of their colours."""
    near, far = np.percentile(t[mask], [2, 98])
    error = np.where(mask, (p - t) / np.where(mask, t, 1), 0).clip(-0.5, 0.5)
    colours = ERROR_COLOURS[((error + 0.5) * 255).round().astype(int)]
    return {
        "near": near,
        "far": far,
        "photo": _data_uri(photo[..., ::-1]),
        "truth": _data_uri(_coloured_depth(t, mask, near, far)),
        "prediction": _data_uri(_coloured_depth(p, np.isfinite(p), near, far)),
        "error": _data_uri(np.where(mask[..., None], colours, HOLE)),
    }


def _coloured_depth(depth: np.ndarray, mask: np.ndarray, near: float, far: float) -> np.ndarray:
    """Show depth (H, W) in colours (H, W, 3) that run evenly in disparity."""
    disparity = 1 / np.where(mask, depth, far).clip(near, far)
    return coloured(disparity, mask, (1 / max(far, near * 1.01), 1 / near), near_is_large=True)


def _data_uri(picture: np.ndarray) -> str:
    small = scaled(picture, min(1, PICTURE_WIDTH / picture.shape[1]))
    return "data:image/png;base64," + base64.b64encode(png(small)).decode()

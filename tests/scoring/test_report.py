"""The page of an evaluation, read as a browser reads it."""

import base64
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
import torch
from helpers import tree, write_frame

from depthkit.data.datasets import NYUDepthV2
from depthkit.scoring import report
from depthkit.scoring.baselines import ConstantDepth, RowPrior
from depthkit.scoring.evaluate import evaluate
from depthkit.scoring.protocol import PLAIN, ZOEDEPTH
from depthkit.scoring.report import write_report
from depthkit.scoring.statistics import summarise

EVIL = "<img src=x onerror=alert(1)>&\"'"


class Page(HTMLParser):
    """What is on a page: its elements with their attributes, the rows of its tables by id, and its text."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.tables, self.text, self.table, self.in_cell = [], {}, "", None, False
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag == "table":
            self.table = self.tables.setdefault(dict(attributes)["id"], [])
        elif tag == "tr":
            self.table.append([])
        elif tag in ("td", "th"):
            self.table[-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.in_cell = False

    def handle_data(self, data):
        self.text += data
        if self.in_cell:
            self.table[-1][-1] += data


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    root = tmp_path_factory.mktemp("report")
    for seed, name in enumerate(("a", "b", EVIL.replace("/", ""), "c")):
        write_frame(root / "data" / "val" / "scene" / f"{name}.h5", seed)
    dataset = NYUDepthV2(root / "data", "val")
    model = ConstantDepth(3.0)
    records = evaluate(model, dataset)
    priors = {"best constant": ConstantDepth(2.0), "row prior": RowPrior(torch.tensor([1.0, 9.0]))}
    baselines = {name: evaluate(prior, dataset) for name, prior in priors.items()}
    path = root / "report.html"
    write_report(path, model, dataset, PLAIN, records, baselines, f"model {EVIL}", "data <b>")
    return Page(path.read_text(encoding="utf-8")), path.read_text(encoding="utf-8"), records, baselines


def test_names_of_files_are_text_and_nothing_else(scored):
    page, html, records, _ = scored
    assert "<img src=x" not in html and "data <b>" not in html
    assert not [1 for _, attributes in page.elements if "onerror" in attributes]
    shown = {row[0] for row in page.tables["records"][1:]}
    assert shown == {record["name"] for record in records} and any(EVIL in name for name in shown)
    assert f"model {EVIL}" in page.text and "data <b>" in page.text


def test_the_page_asks_nothing_of_the_network(scored):
    page, html, _, _ = scored
    assert not re.search(r"https?:|url\(|@import|fetch\(", html)
    pointers = [a[key] for _, a in page.elements for key in ("src", "href", "srcset", "action") if key in a]
    assert pointers and all(pointer.startswith("data:image/png;base64,") for pointer in pointers)
    assert not {tag for tag, _ in page.elements} & {"link", "iframe", "object", "embed", "base", "form"}


def test_scores_are_those_of_the_summaries(scored):
    page, _, records, baselines = scored
    head, *rows = page.tables["scores"]
    assert head[1:] == [f"model {EVIL}", "best constant", "row prior"]
    abs_rel = next(row for row in rows if row[0].startswith("AbsRel"))
    for cell, each in zip(abs_rel[1:], (records, *baselines.values()), strict=True):
        score = summarise(each)["abs_rel"]
        assert cell == f"{score['mean']:.3f} {score['low']:.3f} to {score['high']:.3f}"
    columns = page.tables["records"][0]
    for row, record in zip(page.tables["records"][1:], records, strict=True):
        assert row[columns.index("AbsRel")] == f"{record['abs_rel']:.3f}"
        assert row[columns.index("pixels")] == str(record["pixels"])


def test_the_page_says_the_protocol_and_whether_baselines_are_beaten(scored):
    page, _, records, _ = scored
    text = " ".join(page.text.split())
    assert str(PLAIN) in text and "Not clamped" in text and "scored in metres as it is" in text
    assert "the best constant: on the same images its AbsRel differs by" in text
    assert "Better than the row prior" in text
    assert f"{len(records)} images scored" in text


def test_best_median_and_worst_are_shown(scored):
    page, _, records, _ = scored
    ranked = sorted(records, key=lambda record: record["abs_rel"])
    text = " ".join(page.text.split())
    for title, record in (("Best", ranked[0]), ("Median", ranked[2]), ("Worst", ranked[-1])):
        assert f"{title}: AbsRel {record['abs_rel']:.3f}, δ1 {record['d1']:.3f} {record['name']}" in text
    assert len([1 for tag, _ in page.elements if tag == "img"]) == 3 * 4


def test_bars_are_as_long_as_their_numbers(scored):
    """The first three are the models'; the longest interval of theirs ends at the end of the track."""
    page, _, records, baselines = scored
    scores = [summarise(each)["abs_rel"] for each in (records, *baselines.values())]
    styles = [attributes["style"] for tag, attributes in page.elements if tag in "ib" and "style" in attributes][:6]
    longest = max(score["high"] for score in scores)
    for bar, interval, score in zip(styles[::2], styles[1::2], scores, strict=True):
        low, extent = (100 * value / longest for value in (score["low"], score["high"] - score["low"]))
        assert bar == f"width:{100 * score['mean'] / longest:.2f}%"
        assert interval == f"left:{low:.2f}%;width:{extent:.2f}%"


def test_images_without_scores_and_the_ground_truth_are_named(tmp_path):
    step = np.full((480, 640), 2.0)
    step[:, 300:] = 4.0
    dataset = tree(tmp_path, [step, np.zeros((480, 640))])
    model = ConstantDepth(2.0)
    write_report(tmp_path / "r.html", model, dataset, ZOEDEPTH, evaluate(model, dataset, ZOEDEPTH), {}, "m", "d")
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    text = " ".join(page.text.split())
    assert "1 image scored, 1 skipped" in text and "fewer than 10" in text and "No baseline was scored" in text
    assert "Published rows score the raw depth of the official 654 test images" in text
    assert "The Eigen crop" in text and "both excluded" in text and "Clamped" in text
    with pytest.raises(ValueError, match="none of 1 images"):
        empty = tree(tmp_path / "e", [np.zeros((28, 28))])
        write_report(tmp_path / "e.html", model, empty, PLAIN, evaluate(model, empty), {}, "m", "d")
    assert not (tmp_path / "e.html").exists()


def test_near_is_bright_holes_are_grey_and_truth_and_prediction_share_colours():
    depth = np.array([[1.0, 2.0, 4.0, 0.0]])
    colours = report._coloured_depth(depth, depth > 0, 1.0, 4.0)
    brightness = cv2.cvtColor(colours, cv2.COLOR_BGR2GRAY)[0].astype(int)
    assert brightness[0] > brightness[1] > brightness[2] and colours[0, 3].tolist() == [128] * 3
    same = report._coloured_depth(np.array([[2.0, 2.0]]), np.ones((1, 2), bool), 1.0, 4.0)
    assert (same[0, 0] == colours[0, 1]).all()


def test_errors_are_blue_where_too_near_and_red_where_too_far():
    truth = np.full((1, 3), 2.0)
    picture = report._pictures(np.zeros((1, 3, 3), np.uint8), np.array([[1.0, 2.0, 3.0]]), truth, truth > 0)
    png = base64.b64decode(picture["error"].removeprefix("data:image/png;base64,"))
    near, right, far = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)[0].astype(int)
    assert near[0] > near[2] + 100 and far[2] > far[0] + 100 and right.min() > 240

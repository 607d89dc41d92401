"""What an image costs in evaluation, with the network and without it."""

from types import SimpleNamespace

import torch
from torch import nn

from benchmarks.measure import alternate, speed_row
from benchmarks.networks import our_model
from benchmarks.reference import ArticleNYU, article_evaluation, article_loader, authors_twin
from depthkit.data.datasets import NYUDepthV2
from depthkit.scoring.evaluate import evaluate
from depthkit.scoring.statistics import summarise

WORKERS = 1
SHARED = ("d1", "abs_rel", "rmse", "mae", "silog")  # the article's five scores; ours are ten


class Glance(nn.Module):
    """In place of a network, almost free of cost: says 3 m plus half the image's red, in the article's way or ours."""

    def __init__(self, size=None):
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(()))  # tells `evaluate` the device
        self.config = size and SimpleNamespace(input_size=size, depth_estimation_type="metric")

    def forward(self, pixel_values):
        depth = 3 + pixel_values[:, 0] / 2 + self.anchor
        return SimpleNamespace(predicted_depth=depth) if self.config else depth


def scoring_rows(root, images, rounds, size):
    """Everything but the network: reading, resizing, upsampling, scores; and whether the shared scores agree."""
    files = NYUDepthV2(root, "train").files[:images]
    tasks, scores = _tasks(root, files, Glance(size), Glance(), size)
    seconds = alternate(tasks, rounds)
    ours, theirs = scores["ours"], scores["reference"]
    worst = max(abs(ours[name] / theirs[name] - 1) for name in SHARED)
    per_image = {side: [value / images for value in values] for side, values in seconds.items()}
    return [
        speed_row(f"evaluation without the network, an image of {images}, {WORKERS} worker", per_image),
        {"what": "shared scores, largest relative difference", "unit": "%", "ours": 100 * worst}
        | {"target": "≤ 0.1 %", "met": worst <= 1e-3},
    ]


def whole_row(root, encoder, images, rounds, size):
    """With the network."""
    files = NYUDepthV2(root, "val").files[:images]
    model = our_model(encoder)
    tasks, _ = _tasks(root, files, model, authors_twin(model), size)
    seconds = alternate(tasks, rounds, warmups=0)
    per_image = {side: [value / images for value in values] for side, values in seconds.items()}
    return speed_row(f"evaluation with {encoder}, an image of {images}, {WORKERS} worker", per_image)


def _tasks(root, files, our_network, their_network, size):
    """Both evaluations as tasks, and a dict that they leave their scores in."""
    dataset = NYUDepthV2(root, "train")
    dataset.files = files
    loader, scores = article_loader(ArticleNYU(files, "val", size), 1, WORKERS), {}

    def ours():
        records = evaluate(our_network, dataset, workers=WORKERS)
        summary = summarise(records, resamples=1)
        scores["ours"] = {name: summary[name]["mean"] for name in SHARED}

    def reference():
        scores["reference"] = article_evaluation(their_network, loader)

    return {"ours": ours, "reference": reference}, scores

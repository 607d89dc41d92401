"""What we measure against: the article's data set and loops, with the authors' transforms and model.

The transforms and the network are the authors' own, imported from their package (jkp-depth-anything-v2); what that
package lacks, and the article's steps, are written here after the sources that each comment names. "Article" is
"Metric and Relative Monocular Depth Estimation: An Overview. Fine-Tuning Depth Anything V2"; "authors" is
github.com/DepthAnything/Depth-Anything-V2.
"""

import logging
import tempfile
from pathlib import Path

import albumentations as A
import cv2
import h5py
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import Compose

from depthkit.data.transforms import IMAGENET_MEAN, IMAGENET_STD
from depthkit.models import convert
from depthkit.models.encoders import encoder_of_width

logging.getLogger("dinov2").setLevel(logging.ERROR)  # it warns that xFormers, made for GPUs, is not there
from depth_anything_v2.dpt import DepthAnythingV2  # noqa: E402
from depth_anything_v2.util.transform import NormalizeImage, PrepareForNet, Resize  # noqa: E402


class ArticleNYU(Dataset):
    """The article's data set (its step 4) over a list of h5 files; `mode` is "train" or "val"."""

    def __init__(self, files, mode, size=518):
        self.files, self.mode = files, mode
        # authors, metric_depth/dataset: the order and the arguments of the transforms
        steps = [
            Resize(
                width=size,
                height=size,
                resize_target=mode == "train",
                keep_aspect_ratio=True,
                ensure_multiple_of=14,
                resize_method="lower_bound",
                image_interpolation_method=cv2.INTER_CUBIC,
            ),
            NormalizeImage(mean=IMAGENET_MEAN, std=IMAGENET_STD),
            PrepareForNet(),
        ]
        self.transform = Compose(steps + [RandomCrop(size)] if mode == "train" else steps)
        # article, step 4: each with albumentations' default probability of a half. Its GaussNoise(var_limit=25), a
        # deviation of up to 5 grey levels, is written std_range since albumentations 2.
        self.augment = A.Compose(
            [
                A.HorizontalFlip(),
                A.ColorJitter(hue=0.1, contrast=0.1, brightness=0.1, saturation=0.1),
                A.GaussNoise(std_range=(0, 5 / 255)),
            ]
        )

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        with h5py.File(self.files[index], "r") as file:
            image, depth = np.array(file["rgb"]).transpose(1, 2, 0), np.array(file["depth"])
        if self.mode == "train":
            augmented = self.augment(image=image, mask=depth)
            image, depth = augmented["image"], augmented["mask"]
        sample = self.transform({"image": image / 255.0, "depth": depth})  # float64 from here to PrepareForNet
        return {"image": torch.from_numpy(sample["image"]), "depth": torch.from_numpy(sample["depth"])}


class RandomCrop:
    """A random square of a prepared sample (authors, metric_depth/dataset/transform.py: Crop)."""

    def __init__(self, size):
        self.size = size

    def __call__(self, sample):
        height, width = sample["image"].shape[-2:]
        top, left = np.random.randint(height - self.size + 1), np.random.randint(width - self.size + 1)  # noqa: NPY002
        window = (..., slice(top, top + self.size), slice(left, left + self.size))
        return sample | {"image": sample["image"][window], "depth": sample["depth"][window]}


def article_loader(dataset, batch_size, workers):
    """The article's loaders (its step 6), but that workers live on between passes, so that no pass times their start.

    OpenCV keeps as many threads as it likes, as in the article.
    """
    return DataLoader(
        dataset,
        batch_size=batch_size,
        shuffle=dataset.mode == "train",
        num_workers=workers,
        drop_last=True,
        persistent_workers=workers > 0,
    )


class MetricDepthAnything(DepthAnythingV2):
    """The authors' network with their metric head (metric_depth/depth_anything_v2/dpt.py): a sigmoid ends it, times
    `max_depth`. The package has the relative head alone, which differs in its last activation."""

    def __init__(self, max_depth, **shape):
        super().__init__(**shape)
        self.max_depth = max_depth
        self.depth_head.scratch.output_conv2[3] = nn.Sigmoid()

    def forward(self, x):
        features = self.pretrained.get_intermediate_layers(
            x, self.intermediate_layer_idx[self.encoder], return_class_token=True
        )
        depth = self.depth_head(features, x.shape[-2] // 14, x.shape[-1] // 14) * self.max_depth
        return depth.squeeze(1)


def authors_twin(model):
    """The authors' metric network with the weights of our `model`."""
    config = model.config
    twin = MetricDepthAnything(
        config.max_depth,
        encoder=encoder_of_width(config.backbone_config.hidden_size),
        features=config.fusion_hidden_size,
        out_channels=list(config.neck_hidden_sizes),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "twin.pth")
        convert.export(model, path)
        twin.load_state_dict(torch.load(path, weights_only=True))
    return twin


def article_optimizer(model, lr=5e-6):
    """AdamW with the decoder at ten times the encoder's rate (article, step 9)."""
    parts = {True: [], False: []}
    for name, parameter in model.named_parameters():
        parts["pretrained" in name].append(parameter)
    groups = [{"params": parts[True], "lr": lr}, {"params": parts[False], "lr": lr * 10}]
    return torch.optim.AdamW(groups, lr=lr, weight_decay=0.01)


def article_loss(model, batch, max_depth=10):
    """The loss of one batch (article, step 9)."""
    depth = batch["depth"]
    return authors_silog(model(batch["image"]), depth, (depth <= max_depth) & (depth >= 0.001))


def authors_silog(pred, target, mask, lam=0.5):
    """√(mean g² − λ (mean g)²) over valid pixels, picked by the mask (authors, metric_depth/util/loss.py)."""
    g = target[mask].log() - pred[mask].log()
    return (g.pow(2).mean() - lam * g.mean().pow(2)).sqrt()


@torch.no_grad()
def article_evaluation(model, loader, max_depth=10):
    """The article's validation loop (its step 9): one image at a time, scores added up, their means as numbers."""
    model.eval()
    sums = dict.fromkeys(("d1", "abs_rel", "rmse", "mae", "silog"), 0)
    for sample in loader:
        image, depth = sample["image"].float(), sample["depth"][0]
        pred = F.interpolate(model(image)[:, None], depth.shape[-2:], mode="bilinear", align_corners=True)[0, 0]
        mask = (depth <= max_depth) & (depth >= 0.001)
        scores = article_scores(pred[mask], depth[mask])
        sums = {name: total + scores[name] for name, total in sums.items()}
    return {name: (total / len(loader)).item() for name, total in sums.items()}


def article_scores(pred, target):
    """Five scores of the valid pixels of one image (article, step 7), each a tensor."""
    ratio = torch.max(target / pred, pred / target)
    error, log_error = pred - target, pred.log() - target.log()
    return {
        "d1": (ratio < 1.25).sum().float() / len(ratio),
        "abs_rel": (error.abs() / target).mean(),
        "rmse": error.pow(2).mean().sqrt(),
        "mae": error.abs().mean(),
        "silog": (log_error.pow(2).mean() - 0.5 * log_error.mean().pow(2)).sqrt(),
    }

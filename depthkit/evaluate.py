"""Score a model on a data set under a stated protocol: one record an image, then a summary with intervals."""

import copy
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from depthkit import alignment
from depthkit.data import valid_mask
from depthkit.loading import one_thread
from depthkit.metrics import METRICS, MIN_VALID, metric_sums, metrics_from_sums
from depthkit.models import input_size
from depthkit.predict import predict_maps
from depthkit.transforms import EvalTransform

ALIGNMENTS = ("none", "disparity", "depth", "median")
# Eigen 2014 on NYU: rows and columns of the 480 × 640 frame, as first and last + 1
EIGEN_CROP = (45, 471, 41, 601)


@dataclass(frozen=True)
class Protocol:
    """How predictions become numbers; two numbers under different protocols can't be compared.

    align: "none" for metric models; "disparity" for relative ones (least squares per image against the truth it is then
        scored on); "median" (scale alone) and "depth" (least squares in depth, wrong for disparity) for comparison.
    crop: None, or "eigen" on 480 × 640 frames.
    min_depth, max_depth: metres; the truth is valid within them.
    clamp: also bring predictions into [min_depth, max_depth].
    flip_tta: mean of the prediction and of the mirrored prediction of the mirrored image.
    average: "image", mean of per-image scores; "pixel", one score over all pixels.
    """

    align: str = "none"
    crop: str | None = None
    min_depth: float = 1e-3
    max_depth: float = 10.0
    clamp: bool = False
    flip_tta: bool = False
    average: str = "image"

    def __post_init__(self):
        for name, allowed in {"align": ALIGNMENTS, "crop": (None, "eigen"), "average": ("image", "pixel")}.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {allowed}; got {getattr(self, name)!r}")

    def __str__(self):
        parts = [f"align {self.align}", f"crop {self.crop or 'none'}", f"{self.min_depth:g} to {self.max_depth:g} m"]
        parts += ["clamped"] * self.clamp + ["flip-averaged"] * self.flip_tta + [f"mean per {self.average}"]
        return ", ".join(parts)


PLAIN = Protocol()
"""No crop, no clamp, no flip, mean per image: the authors' `metric_depth/train.py`."""
ZOEDEPTH = Protocol(crop="eigen", clamp=True, flip_tta=True)
"""In-domain NYU of ZoeDepth (Bhat 2023, arXiv 2302.12288) and of the Depth Anything tables."""


def evaluate(model, dataset, protocol=PLAIN, batch_size=1, workers=0, accelerator=None, progress=False):
    """Score `model` on every image of `dataset` (used without its transform), at each depth map's own resolution.

    With an `accelerator` of several processes each scores its share and all return every record: no image is padded in
    or counted twice, so that the result does not depend on the number of processes.

    Returns: a list of records in the data set's order, one an image: `name`, `pixels` (valid ones scored), `skipped`
    (None, or why there are no scores), `scale` and `shift` when aligned, each metric, and the sums they came from.

    Raises: ValueError when a relative model is to be scored without alignment, or the crop does not fit.
    """
    if protocol.align == "none" and model.config.depth_estimation_type == "relative":
        raise ValueError("relative depth has no metres to score: choose a Protocol with align='disparity'")
    dataset = copy.copy(dataset)
    dataset.transform = EvalTransform(input_size(model.config))
    rank, world = (accelerator.process_index, accelerator.num_processes) if accelerator else (0, 1)
    mine = range(rank, len(dataset), world)
    loader = DataLoader(
        Subset(dataset, mine), batch_size, num_workers=workers, collate_fn=list, worker_init_fn=one_thread
    )
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    records = []
    for samples in tqdm(loader, desc="evaluate", disable=not progress, leave=False):
        for group in _same_shapes(samples):
            records += _score(model, group, protocol, device)
    model.train(was_training)
    shares = _gather(records, accelerator)
    return [shares[i % world][i // world] for i in range(len(dataset))]


def summarise(records, average="image", resamples=2000, seed=0):
    """Means over the scored images with 95 % bootstrap intervals over images.

    Returns: {metric: {"mean", "low", "high"}}, with "images" (scored), "skipped" and "degenerate" (fits that could not
    align, still scored as they are) counts. Intervals resample images, so they say how the number would move with
    another draw of as many images like these; they know nothing of other seeds in training (Efron 1979).

    Raises: ValueError when no image was scored.
    """
    scored = [record for record in records if record["skipped"] is None]
    if not scored:
        raise ValueError(f"none of {len(records)} images has {MIN_VALID} valid pixels: check depth range and masks")
    draws = np.random.default_rng(seed).integers(len(scored), size=(resamples, len(scored)))
    counts = np.stack([np.bincount(draw, minlength=len(scored)) for draw in draws])
    rows = np.vstack([np.ones(len(scored)), counts])
    values = _averages(scored, rows, average)
    summary = {
        name: {"mean": float(value[0]), "low": float(low), "high": float(high)}
        for name, value in values.items()
        for low, high in [np.percentile(value[1:], [2.5, 97.5])]
    }
    skipped = len(records) - len(scored)
    return summary | {"images": len(scored), "skipped": skipped, "degenerate": sum(r["degenerate"] for r in scored)}


def evaluation_report(records, protocol, **notes):
    """What `eval/*.json` of a run folder holds: the protocol, the summary and the records (without sums)."""
    slim = [{key: value for key, value in record.items() if key != "sums"} for record in records]
    return notes | {"protocol": asdict(protocol), "summary": summarise(records, protocol.average), "records": slim}


class ConstantDepth(nn.Module):
    """Predicts one depth for every pixel: what a model must beat to have learnt anything from the picture."""

    def __init__(self, depth):
        super().__init__()
        self.depth = nn.Parameter(torch.tensor(float(depth)), requires_grad=False)
        self.config = _ConstantConfig()

    def forward(self, pixel_values):
        return _Output(self.depth.expand(pixel_values.shape[0], *pixel_values.shape[-2:]))


@dataclass
class _ConstantConfig:
    input_size: int = 14
    depth_estimation_type: str = "metric"


@dataclass
class _Output:
    predicted_depth: torch.Tensor


def best_constant_depth(dataset, protocol=PLAIN):
    """The depth, in metres, whose AbsRel over `dataset` is the smallest: argmin_c mean over images of mean |c − t| / t.

    Each pixel pulls with weight 1/t (over its image's pixel count, as images count alike), so the answer is the
    weighted median of all depths; they are binned to millimetres. Fit it on the training split.
    """
    bare = copy.copy(dataset)
    bare.transform = None
    weights = np.zeros(int(np.ceil(protocol.max_depth * 1000)) + 1)
    for index in range(len(bare)):
        sample = bare[index]
        valid = sample["mask"] & valid_mask(sample["depth"], protocol.min_depth, protocol.max_depth)
        depth = sample["depth"][valid].double().numpy()
        if len(depth) >= MIN_VALID:
            bins = np.rint(depth * 1000).astype(int)
            weights += np.bincount(bins, 1 / (depth * len(depth)), minlength=len(weights))
    if not weights.any():
        raise ValueError(f"{dataset.root}: no depth lies in {protocol.min_depth:g} to {protocol.max_depth:g} m")
    return float(np.searchsorted(np.cumsum(weights), weights.sum() / 2)) / 1000


def _same_shapes(samples):
    """Split a list of samples into batches whose images and depth maps stack."""
    groups = []
    for sample in samples:
        shapes = (sample["image"].shape, sample["depth"].shape)
        if not groups or groups[-1][0] != shapes:
            groups.append((shapes, []))
        groups[-1][1].append(sample)
    return [group for _, group in groups]


@torch.inference_mode()
def _score(model, samples, protocol, device):
    """Records of samples of one shape."""
    images, depth, mask = (torch.stack([s[key] for s in samples]).to(device) for key in ("image", "depth", "mask"))
    prediction = predict_maps(model, images, depth.shape[-2:], protocol.flip_tta)
    mask = mask & valid_mask(depth, protocol.min_depth, protocol.max_depth) & _crop_mask(depth, protocol.crop)
    prediction, fit = _align(prediction, depth, mask, protocol)
    if protocol.clamp:
        prediction = prediction.clamp(protocol.min_depth, protocol.max_depth)
    sums = metric_sums(prediction, depth, mask)
    columns = {key: value.tolist() for key, value in {**metrics_from_sums(sums), **fit}.items()}
    sums = {key: value.tolist() for key, value in sums.items()}
    records = []
    for i, sample in enumerate(samples):
        record = {"name": sample["name"], "pixels": int(sums["pixels"][i]), "skipped": None}
        record |= {key: values[i] for key, values in columns.items()}
        record["degenerate"] = bool(record.get("degenerate", False))
        record["sums"] = {key: values[i] for key, values in sums.items()}
        if record["pixels"] < MIN_VALID:
            record["skipped"] = f"{record['pixels']} valid pixels, fewer than {MIN_VALID}"
        elif not np.isfinite([record[name] for name in METRICS]).all():
            record["skipped"] = "the prediction is not finite"
        if record["skipped"]:
            record |= {name: None for name in (*METRICS, "scale", "shift") if name in record}
        records.append(record)
    return records


def _crop_mask(depth, crop):
    inside = torch.ones_like(depth, dtype=torch.bool)
    if crop == "eigen":
        if depth.shape[-2:] != (480, 640):
            raise ValueError(
                f"the Eigen crop is for 480 × 640 depth maps; got {tuple(depth.shape[-2:])}: use crop=None"
            )
        top, bottom, left, right = EIGEN_CROP
        inside[:] = False
        inside[:, top:bottom, left:right] = True
    return inside


def _align(prediction, depth, mask, protocol):
    """Prediction in metres, and what was fitted: {} or `scale`, `shift` and `degenerate`, (B,) each."""
    if protocol.align == "none":
        return prediction, {}
    return alignment.align(prediction, depth, mask, protocol.align, protocol.max_depth)


def _gather(records, accelerator):
    """The records of every process, in the order of their ranks."""
    if accelerator is None or accelerator.num_processes == 1:
        return [records]
    shares = [None] * accelerator.num_processes
    torch.distributed.all_gather_object(shares, records)
    return shares


def _averages(scored, rows, average):
    """{metric: (rows,)} for each row of image weights."""
    if average == "image":
        table = np.array([[record[name] for name in METRICS] for record in scored])
        means = rows @ table / rows.sum(1, keepdims=True)
        return dict(zip(METRICS, means.T, strict=True))
    names = list(scored[0]["sums"])
    pooled = rows @ np.array([[record["sums"][name] for name in names] for record in scored])
    values = metrics_from_sums({name: torch.from_numpy(column) for name, column in zip(names, pooled.T, strict=True)})
    return {name: values[name].numpy() for name in METRICS}

"""Score a model on a data set under a stated protocol: one record per image, and a report of them all."""

import copy
import itertools
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from depthkit.data.datasets import DepthDataset
from depthkit.data.loader import keep_freed_memory, one_thread
from depthkit.data.transforms import EvalTransform
from depthkit.errors import InputError
from depthkit.masked import MIN_VALID
from depthkit.models.build import canonical_focal, input_size
from depthkit.models.predict import predict_maps
from depthkit.scoring.alignment import align
from depthkit.scoring.boundaries import boundary_f1
from depthkit.scoring.metrics import METRICS, metric_sums, metrics_from_sums
from depthkit.scoring.protocol import PLAIN, Protocol, crop_mask
from depthkit.scoring.statistics import Record, counts, summarise


def evaluate(
    model: nn.Module,
    dataset: DepthDataset,
    protocol: Protocol = PLAIN,
    batch_size: int = 1,
    workers: int = 0,
    accelerator: Accelerator | None = None,
    progress: bool = False,
) -> list[Record]:
    """Score `model` on every image of `dataset` (used without its transform), at each depth map's own resolution.

    With an `accelerator` of several processes each scores its share and all return every record: no image is padded in
    or counted twice, so that the result does not depend on the number of processes.

    Returns: a list of records in the data set's order, one per image: `name`, `pixels` (valid ones scored), `skipped`
    (None, or why there are no scores), `scale` and `shift` when aligned, each metric, `boundary_f1` (None where the
    truth has no boundary), and the sums they came from.

    Raises: InputError when a relative model is to be scored without alignment, the crop does not fit, or a canonical
    model, which the intrinsics of the data bring to metres, meets an unknown camera.
    """
    if protocol.align == "none" and output_kind(model) == "relative":
        raise InputError("relative depth has no metres to score: choose a Protocol with align='disparity'")
    keep_freed_memory()
    dataset = with_input_of(model, dataset)
    rank, world = (accelerator.process_index, accelerator.num_processes) if accelerator else (0, 1)
    share = Subset(dataset, range(rank, len(dataset), world))
    loader = DataLoader(share, batch_size, num_workers=workers, collate_fn=list, worker_init_fn=one_thread)
    was_training = model.training
    model.eval()
    records: list[Record] = []
    for samples in tqdm(loader, desc="evaluate", disable=not progress, leave=False):
        for _, group in itertools.groupby(samples, lambda sample: (sample["image"].shape, sample["depth"].shape)):
            records += _score(model, list(group), protocol)
    model.train(was_training)
    shares = gather_object([records]) if accelerator else [records]  # of every process, in order of their ranks
    return [shares[i % world][i // world] for i in range(len(dataset))]


def evaluation_report(records: list[Record], protocol: Protocol, **notes: Any) -> dict[str, Any]:
    """What `eval/*.json` of a run folder holds: protocol, summary, counts and the records (without sums)."""
    slim = [{key: value for key, value in record.items() if key != "sums"} for record in records]
    summary = summarise(records, protocol.average)
    return notes | {"protocol": asdict(protocol), "summary": summary, **counts(records), "records": slim}


def output_kind(model: nn.Module) -> str:
    """What `model` predicts: "metric" or "relative" depth."""
    config: Any = model.config
    return config.depth_estimation_type


def with_input_of(model: nn.Module, dataset: DepthDataset) -> DepthDataset:
    """`dataset` with its images resized, and with intrinsics, as `model` wants them."""
    dataset = copy.copy(dataset)
    dataset.with_intrinsics = canonical_focal(model.config) is not None
    dataset.transform = EvalTransform(input_size(model.config))
    return dataset


@torch.inference_mode()
def compared_maps(
    model: nn.Module, samples: list[dict], protocol: Protocol
) -> tuple[Tensor, Tensor, Tensor, dict[str, Tensor]]:
    """What is scored of samples of one shape, as `with_input_of` gives them: predicted and true depth, metres, and
    mask, each (B, H, W), and the fit of `align`, empty without it."""
    device = next(model.parameters()).device
    images, depth, mask = (torch.stack([s[key] for s in samples]).to(device) for key in ("image", "depth", "mask"))
    prediction = predict_maps(model, images, tuple(depth.shape[-2:]), protocol.flip_tta)
    if (canonical := canonical_focal(model.config)) is not None:
        focal = torch.stack([s["intrinsics"][:2] for s in samples]).to(device).prod(1).sqrt()
        prediction = prediction * (focal / canonical)[:, None, None]
    mask = mask & protocol.within(depth) & crop_mask(depth, protocol.crop)
    fit: dict[str, Tensor] = {}
    if protocol.align != "none":
        prediction, fit = align(prediction, depth, mask, protocol.align, protocol.max_depth)
    if protocol.clamp:
        prediction = prediction.clamp(protocol.min_depth, protocol.max_depth)
    return prediction, depth, mask, fit


def _score(model: nn.Module, samples: list[dict], protocol: Protocol) -> list[Record]:
    prediction, depth, mask, fit = compared_maps(model, samples, protocol)
    sums = metric_sums(prediction, depth, mask)
    scored = {**metrics_from_sums(sums), "boundary_f1": boundary_f1(prediction, depth, mask), **fit}
    columns = [column.to(sums["pixels"].dtype) for column in (*scored.values(), *sums.values())]
    rows = torch.stack(columns, 1).tolist()  # in one piece: every copy from a GPU waits for it
    tables = [[dict(zip(scored, row, strict=False)), dict(zip(sums, row[len(scored) :], strict=True))] for row in rows]
    return [_record(sample["name"], *table) for sample, table in zip(samples, tables, strict=True)]


def _record(name: str, scores: dict[str, Any], sums: dict[str, float]) -> Record:
    """The record of one image; without scores, and with the reason, where it can't be scored."""
    pixels, skipped = int(sums["pixels"]), None
    if pixels < MIN_VALID:
        skipped = f"{pixels} valid pixels, fewer than {MIN_VALID}"
    elif not np.isfinite([scores[metric] for metric in METRICS]).all():
        skipped = "the prediction is not finite"
    degenerate = bool(scores.pop("degenerate", False))
    if np.isnan(scores["boundary_f1"]):
        scores["boundary_f1"] = None
    if skipped:
        scores = dict.fromkeys(scores)
    return {"name": name, "pixels": pixels, "skipped": skipped, **scores, "degenerate": degenerate, "sums": sums}

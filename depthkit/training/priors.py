"""What a run is measured by: priors fitted before training, their scores, which a model has to beat, and its own."""

import math
from pathlib import Path

import numpy as np
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from depthkit.data.datasets import DepthDataset
from depthkit.models.build import load_model
from depthkit.run_folder import RunFolder, read_json, write_json
from depthkit.scoring.baselines import Baselines, fit_baselines
from depthkit.scoring.evaluate import evaluate, evaluation_report
from depthkit.scoring.protocol import Protocol
from depthkit.scoring.statistics import means
from depthkit.scoring.truth import canonical_per_metre
from depthkit.training.checkpoints import Progress
from depthkit.training.config import TrainConfig
from depthkit.training.splits import selection_protocol

FILES = {"best constant": "constant", "row prior": "row_prior"}  # baseline and its file in eval/


def fit_on_main(accelerator: Accelerator, train_set: DepthDataset, protocol: Protocol) -> Baselines | None:
    """The baselines of a training split, fitted by one process and known to all; None where it holds no depth."""
    if train_set.target != "depth":
        return None
    fitted = [fit_baselines(train_set, protocol) if accelerator.is_main_process else None]
    return broadcast_object_list(fitted)[0]


def start_depth(config: TrainConfig, baselines: Baselines | None, train_set: DepthDataset) -> float | None:
    """Where a fresh metric head starts: about the median of the labels, canonical ones zoomed as in training."""
    canonical = config.camera == "canonical"
    factor = float(np.median(canonical_per_metre(train_set))) / math.sqrt(config.zoom) if canonical else 1.0
    return baselines.median * factor if baselines else None


def score_baselines(
    accelerator: Accelerator,
    folder: Path,
    baselines: Baselines,
    dataset: DepthDataset,
    protocol: Protocol,
    where: str,
) -> None:
    """Score the baselines on a data set, print them, and keep their records in `folder`; `where` names the data.

    A run that goes on keeps the scores that it has.
    """
    for name, model in baselines.models(protocol).items():
        report = folder / f"{FILES[name]}.json"
        if not report.exists():
            records = evaluate(model.to(accelerator.device), dataset, protocol, accelerator=accelerator)
            accelerator.wait_for_everyone()  # all have seen that the file is missing
            if accelerator.is_main_process:
                write_json(report, evaluation_report(records, protocol, model=name, data=where))
        accelerator.wait_for_everyone()
        score = read_json(report)["summary"]["abs_rel"]["mean"]
        accelerator.print(f"to beat on {where}, {name}: AbsRel {score:.4f}")


def score_once(
    accelerator: Accelerator,
    config: TrainConfig,
    progress: Progress,
    baselines: Baselines | None,
    val_set: DepthDataset,
) -> float:
    """Score the best model, and what it has to beat, on the validation split, where held-out scenes have picked the
    epoch; returns AbsRel."""
    run, protocol = RunFolder(config.output), selection_protocol(config, val_set)
    if baselines:
        score_baselines(accelerator, run.eval, baselines, val_set, protocol, config.val_split)
    model = load_model(run.best).to(accelerator.device)
    records = evaluate(model, val_set, protocol, accelerator=accelerator, workers=config.workers)
    if accelerator.is_main_process:
        report = evaluation_report(records, protocol, model="best", data=config.val_split, epoch=progress.best_epoch)
        write_json(run.report("val"), report)
    return means(records)["abs_rel"]


def verdict(run: RunFolder, score: float) -> str:
    """The score of a finished run beside those of its baselines, in words, or nothing."""
    reports = {name: run.report(file) for name, file in FILES.items()}
    scores = {name: read_json(file)["summary"]["abs_rel"]["mean"] for name, file in reports.items() if file.exists()}
    if not scores:
        return ""
    text = ", ".join(f"{name} {value:.4f}" for name, value in scores.items())
    if beaten_by := [name for name, value in scores.items() if value <= score]:
        return f" ({text}): the model is no better than the {' or the '.join(beaten_by)}, which never saw a picture"
    return f" ({text})"

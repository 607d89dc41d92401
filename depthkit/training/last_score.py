"""The one score on the validation split, where scenes held out of the training split have picked the epoch."""

from accelerate import Accelerator

from depthkit.data.datasets import DepthDataset
from depthkit.models.build import load_model
from depthkit.run_folder import RunFolder, write_json
from depthkit.scoring.baselines import Baselines
from depthkit.scoring.evaluate import evaluate, evaluation_report
from depthkit.scoring.statistics import means
from depthkit.training.checkpoints import Progress
from depthkit.training.config import TrainConfig
from depthkit.training.priors import score_baselines
from depthkit.training.splits import selection_protocol


def score_once(
    accelerator: Accelerator,
    config: TrainConfig,
    progress: Progress,
    baselines: Baselines | None,
    val_set: DepthDataset,
) -> float:
    """Score the best model, and what it has to beat, on the validation split, which picked nothing; returns AbsRel."""
    run, protocol = RunFolder(config.output), selection_protocol(config, val_set)
    if baselines:
        score_baselines(accelerator, run.eval, baselines, val_set, protocol, config.val_split)
    model = load_model(run.best).to(accelerator.device)
    records = evaluate(model, val_set, protocol, accelerator=accelerator, workers=config.workers)
    if accelerator.is_main_process:
        report = evaluation_report(records, protocol, model="best", data=config.val_split, epoch=progress.best_epoch)
        write_json(run.report("val"), report)
    return means(records)["abs_rel"]

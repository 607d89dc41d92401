"""Train a depth model, in a notebook or from a shell, in one process or many, on CPU or GPU.

    notebook_launcher(train, (config,), num_processes=2, use_port=free_port())
    accelerate launch -m depthkit.train --data data --output runs/mine
    python -m depthkit.train --help

What it learns goes to the run folder `config.output`; a launched function's return value is lost.
"""

import math
import multiprocessing
import socket
import time
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs, is_tensorboard_available, set_seed
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from transformers import HfArgumentParser

from depthkit import checkpoints
from depthkit.config import TrainConfig
from depthkit.data import check, valid_mask
from depthkit.evaluate import Protocol, evaluate, evaluation_report, summarise
from depthkit.files import write_json
from depthkit.loading import on_gpu, one_thread, open_splits, progress_bar, train_loader
from depthkit.losses import GradientMatchingLoss, ScaleShiftInvariantLoss, SiLogLoss
from depthkit.models import build_model, decoder_parameters, encoder_parameters, save_model
from depthkit.transforms import normalise

STOP_CHECK_BATCHES = 20  # processes agree on the time limit this often; every batch would wait for the slowest
# How long processes wait for one another: while the first looks at 47,584 files on a network disk, say.
PATIENCE = timedelta(hours=1)


def train(config: TrainConfig):
    """Fine-tune (or pre-train) as `config` says, and write the run folder.

    The folder then holds `config.json`, `history.json` (a row an epoch), `last/` (to resume from), `best/` (the epoch
    of the smallest AbsRel on the validation split, as a `transformers` model folder) and `eval/val.json` (its records).

    Raises: `depthkit.data.DataError` for bad data and ValueError for a bad checkpoint or an occupied folder, before any
    long work starts.
    """
    if multiprocessing.parent_process() is not None:
        one_thread()  # a forked child inherits locks of the parent's thread pool, and hangs on a second thread
    deadline = time.monotonic() + (config.max_hours or math.inf) * 3600
    accelerator = start(config)
    set_seed(config.seed)
    train_set, val_set = open_splits(config)
    if accelerator.is_main_process:
        for dataset in (train_set, val_set):
            check(dataset, config.min_depth, config.max_depth)
    accelerator.wait_for_everyone()

    model = build_model(
        config.encoder, config.objective, config.max_depth, config.weights, config.init, input_size=config.size
    )
    if config.freeze_encoder:
        model.backbone.requires_grad_(False)
    loader = train_loader(train_set, config, accelerator.num_processes)
    sampler, batches = loader.sampler, len(loader) // accelerator.num_processes
    optimizer = AdamW(parameter_groups(model, config), weight_decay=config.weight_decay)
    # The scheduler is not prepared: a prepared one would step once for every process.
    scheduler = LambdaLR(optimizer, learning_rate_factor(config, math.ceil(batches / config.accumulation)))
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    loss_function, folder = objective_loss(config), Path(config.output).name

    progress = checkpoints.Progress(num_processes=accelerator.num_processes)
    if config.resume:
        checkpoints.load(accelerator, config, progress, scheduler)
    elif accelerator.is_main_process:
        write_json(Path(config.output, "config.json"), asdict(config))

    while progress.epoch < config.epochs:
        sampler.start_at(progress.epoch, progress.batch * config.batch_size * accelerator.num_processes)
        model.train()
        progress.clock = time.monotonic()
        for batch in progress_bar(loader, progress, batches, config, accelerator):
            with accelerator.accumulate(model):
                loss = loss_function(model, batch)
                accelerator.backward(loss)
                optimizer.step()
                optimizer.zero_grad()
            progress.count(loss)
            if accelerator.sync_gradients:
                if not accelerator.optimizer_step_was_skipped:  # fp16 overflowed: the weights did not move either
                    scheduler.step()
                if progress.batch < batches and out_of_time(accelerator, deadline, progress.batch):
                    checkpoints.save(accelerator, config, progress, scheduler)
                    return stop(accelerator, folder)
                if progress.batch < batches and scheduler.last_epoch % config.save_steps == 0:
                    checkpoints.save(accelerator, config, progress, scheduler)
        finish_epoch(accelerator, config, progress, scheduler, model, val_set)
        if progress.epoch < config.epochs and out_of_time(accelerator, deadline):
            return stop(accelerator, folder)
    accelerator.print(f"best epoch {progress.best_epoch}: AbsRel {progress.best:.4f}; model in {folder}/best")
    accelerator.end_training()


def start(config):
    """An accelerator for `config`, after making sure that no earlier run would be overwritten."""
    output = Path(config.output)
    if not config.resume and (output / "history.json").exists() | (output / "last").exists():
        raise ValueError(f"{output} holds a run already: pass resume=True to go on with it, or name another output")
    accelerator = Accelerator(
        mixed_precision=config.mixed_precision if on_gpu() else "no",
        gradient_accumulation_steps=config.accumulation,
        log_with="tensorboard" if is_tensorboard_available() else None,
        project_dir=config.output,
        kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
    )
    accelerator.init_trackers("tensorboard")
    accelerator.print(f"{accelerator.num_processes} process(es) on {accelerator.device.type}, {config.encoder}")
    return accelerator


def parameter_groups(model, config):
    """Encoder and decoder with their own learning rates (Yang 2024, arXiv 2406.09414: decoder 10 ×)."""
    return [
        {"params": encoder_parameters(model), "lr": config.lr},
        {"params": decoder_parameters(model), "lr": config.lr * config.decoder_lr_factor},
    ]


def learning_rate_factor(config, steps_per_epoch):
    """A function of the optimiser step (0 for the first) → factor of the learning rate.

    Linear warm-up from 1/w to 1 over w steps, then down to 0 after the last step: a half cosine, or (1 − progress)^0.9.
    """
    total = config.epochs * steps_per_epoch
    warmup = round(config.warmup_epochs * steps_per_epoch)

    def factor(step):
        if step < warmup:
            return (step + 1) / warmup
        progress = min(1.0, (step - warmup) / max(1, total - warmup))
        return (1 - progress) ** 0.9 if config.schedule == "poly" else 0.5 * (1 + math.cos(math.pi * progress))

    return factor


def objective_loss(config):
    """The loss as a function of (model, batch): SiLog on metres, or SSI with gradient matching on disparity."""
    silog = SiLogLoss(config.silog_lambda)
    invariant, gradient = ScaleShiftInvariantLoss(), GradientMatchingLoss()

    def metric(model, batch):
        depth_metric = model(pixel_values=normalise(batch["image"])).predicted_depth
        return silog(depth_metric, batch["depth"], valid(batch))

    def relative(model, batch):
        disparity_affine = model(pixel_values=normalise(batch["image"])).predicted_depth
        if "disparity" in batch:
            disparity, mask = batch["disparity"], batch["mask"]
        else:
            mask = valid(batch)
            disparity = torch.where(mask, 1 / batch["depth"].clamp(min=config.min_depth), 0.0)
        return invariant(disparity_affine, disparity, mask) + config.gradient_weight * gradient(
            disparity_affine, disparity, mask
        )

    def valid(batch):
        return batch["mask"] & valid_mask(batch["depth"], config.min_depth, config.max_depth)

    return metric if config.objective == "metric" else relative


def selection_protocol(config):
    """The protocol that picks the best epoch: metric output as it is, relative output aligned in disparity."""
    align = "none" if config.objective == "metric" else "disparity"
    return Protocol(align=align, min_depth=config.min_depth, max_depth=config.max_depth)


def finish_epoch(accelerator, config, progress, scheduler, model, val_set):
    """Evaluate, write the history row, keep the model if it is the best so far, and save a checkpoint."""
    started = time.monotonic()
    protocol = selection_protocol(config)
    bare = accelerator.unwrap_model(model)
    records = evaluate(bare, val_set, protocol, accelerator=accelerator, workers=config.workers)
    scores = {name: value["mean"] for name, value in summarise(records, resamples=1).items() if isinstance(value, dict)}
    loss = accelerator.reduce(torch.as_tensor(progress.loss_sum, device=accelerator.device), "mean").item()
    images = progress.batch * config.batch_size * accelerator.num_processes
    progress.epoch += 1
    row = {
        "epoch": progress.epoch,
        "train_loss": loss / progress.batch,
        "lr_encoder": scheduler.get_last_lr()[0],
        "lr_decoder": scheduler.get_last_lr()[1],
        **scores,
        "train_seconds": progress.seconds,
        "images_per_second": images / progress.seconds,
        "eval_seconds": time.monotonic() - started,
    }
    progress.history.append(row)
    progress.batch, progress.loss_sum, progress.seconds = 0, 0.0, 0.0
    if scores["abs_rel"] < progress.best:
        progress.best, progress.best_epoch = scores["abs_rel"], progress.epoch
        if accelerator.is_main_process:
            save_model(bare, Path(config.output, "best"))
            report = evaluation_report(records, protocol, model="best", data=config.val_split, epoch=progress.epoch)
            write_json(Path(config.output, "eval", "val.json"), report)
    checkpoints.save(accelerator, config, progress, scheduler)
    accelerator.log({key: value for key, value in row.items() if key != "epoch"}, step=progress.epoch)
    if accelerator.is_main_process:
        write_json(Path(config.output, "history.json"), progress.history)
    accelerator.print(
        f"epoch {progress.epoch:>3}/{config.epochs}  loss {row['train_loss']:.4f}  AbsRel {scores['abs_rel']:.4f}  "
        f"d1 {scores['d1']:.4f}  {row['images_per_second']:.1f} images/s"
    )


def out_of_time(accelerator, deadline, batch=0) -> bool:
    """Whether the time limit is over for any process; asked together, so that all stop at the same step.

    After an epoch's last batch it is asked when the epoch has been evaluated, so that its work leaves a score.
    """
    if deadline == math.inf or batch % STOP_CHECK_BATCHES:
        return False
    late = torch.tensor(float(time.monotonic() > deadline), device=accelerator.device)
    return accelerator.reduce(late, "sum").item() > 0


def stop(accelerator, folder):
    """End a run whose time is over, after its checkpoint was saved."""
    accelerator.print(f"max_hours reached: saved in {folder}/last; go on with resume=True")
    accelerator.end_training()


def free_port() -> str:
    """A port for `notebook_launcher(use_port=...)`: its own, 29500, may be taken by another run."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def main():
    (config,) = HfArgumentParser(TrainConfig, description=__doc__.splitlines()[0]).parse_args_into_dataclasses()
    train(config)


if __name__ == "__main__":
    main()

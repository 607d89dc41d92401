"""Train a depth model, in a notebook or from a shell, in one process or many, on CPU or GPU.

    notebook_launcher(train, (config,), num_processes=2, use_port=free_port())
    accelerate launch -m depthkit train --data data --output runs/mine

What it learns goes to the run folder `config.output`; a launched function's return value is lost.
"""

import math
import multiprocessing
import socket
import sys
import time
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import cast

import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs, set_seed
from torch import nn
from torch.optim import AdamW, Optimizer
from torch.utils.data import DataLoader
from tqdm import tqdm

from depthkit.data.datasets import DepthDataset
from depthkit.data.loader import EpochSampler, keep_freed_memory, on_gpu, one_thread, train_loader
from depthkit.errors import InputError
from depthkit.models.build import build_model, checkpoint_activations, save_model
from depthkit.run_folder import RunFolder, write_json
from depthkit.scoring.evaluate import evaluate, evaluation_report
from depthkit.scoring.protocol import Protocol
from depthkit.scoring.statistics import means
from depthkit.training import checkpoints
from depthkit.training.checkpoints import Progress
from depthkit.training.config import TrainConfig
from depthkit.training.losses import check_finite, objective_loss
from depthkit.training.pictures import log_pictures
from depthkit.training.priors import fit_on_main, score_baselines, score_once, start_depth, verdict
from depthkit.training.schedule import parameter_groups, set_learning_rates
from depthkit.training.splits import checked_splits, next_arguments, selection_protocol

STOP_CHECK_BATCHES = 20  # processes agree on the time limit this often; every batch would wait for the slowest
PROCESS_TIMEOUT = timedelta(hours=1)  # they wait while the first looks at 47,584 files on a network disk, say


def train(config: TrainConfig) -> None:
    """Fine-tune (or pre-train) as `config` says, and write the run folder.

    The folder then holds `config.json`, `history.json` (one row per epoch), `last/` (to resume from), `best/` (the
    epoch of the smallest AbsRel on the data that pick it, as a `transformers` model folder) and `eval/val.json` (the
    records of that model on the validation split). With `held_out`, scenes of the training split pick the epoch, whose
    scores lie in `eval/held_out/`, and `val.json` is written once, when all epochs are done.

    Raises: InputError for bad data, a bad checkpoint or an occupied folder, before any long work starts.
    """
    if multiprocessing.parent_process() is not None:
        one_thread()  # a forked child inherits locks of the parent's thread pool, and hangs on a second thread
    keep_freed_memory()
    deadline = time.monotonic() + (config.max_hours or math.inf) * 3600
    run = RunFolder(config.output)
    accelerator = start(config)
    set_seed(config.seed)
    train_set, select_set, val_set, max_depth = checked_splits(config, accelerator)
    config = replace(config, max_depth=max_depth)
    protocol = selection_protocol(config, select_set)
    baselines = fit_on_main(accelerator, train_set, protocol)
    model = build_model(
        config.encoder,
        config.objective,
        config.depth_limit,
        config.weights,
        config.init,
        input_size=config.size,
        start_depth=start_depth(config, baselines, train_set),
        camera=config.camera,
    )
    if config.freeze_encoder:
        model.backbone.requires_grad_(False)
    if config.gradient_checkpointing:
        checkpoint_activations(model.backbone)
    loader = train_loader(train_set, config.batch_size, accelerator.num_processes, config.seed, config.workers)
    optimizer = AdamW(parameter_groups(model, config), weight_decay=config.weight_decay)
    progress = Progress(accelerator.num_processes, batches=len(loader) // accelerator.num_processes)
    sampler = cast(EpochSampler, loader.sampler)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    if config.resume:
        checkpoints.load(accelerator, config, progress)
    if accelerator.is_main_process:
        write_json(run.config, asdict(config))
    if baselines:
        folder = run.selection(config.held_out)
        score_baselines(accelerator, folder, baselines, select_set, protocol, config.selects_on)

    while progress.epoch < config.epochs:
        sampler.start_at(progress.epoch, progress.batch * config.batch_size * accelerator.num_processes)
        in_time = train_epoch(accelerator, config, progress, model, optimizer, loader, deadline)
        if in_time:
            end_epoch(accelerator, config, progress, model, optimizer, select_set, protocol)
            in_time = progress.epoch == config.epochs or not out_of_time(accelerator, deadline)
        if not in_time:
            accelerator.print(f"max_hours reached: saved in {run.name}/last; go on with resume=True")
            return accelerator.end_training()
    score = score_once(accelerator, config, progress, baselines, val_set) if config.held_out else progress.best
    accelerator.print(
        f"best epoch {progress.best_epoch}: AbsRel {score:.4f} on {config.val_split}{verdict(run, score)}"
    )
    accelerator.print(f"model in {run.name}/best; next: depthkit evaluate {next_arguments(config)}")
    accelerator.end_training()


def start(config: TrainConfig) -> Accelerator:
    """An accelerator for `config`, after making sure that no earlier run would be overwritten."""
    run = RunFolder(config.output)
    if not config.resume and (run.is_used() or run.best.exists()):
        raise InputError(
            f"{config.output} holds a run already: pass resume=True to go on with it, or name another output"
        )
    accelerator = Accelerator(
        mixed_precision=config.mixed_precision if on_gpu() or config.mixed_precision == "bf16" else "no",
        gradient_accumulation_steps=config.accumulation,
        log_with=None if config.tracker == "none" else config.tracker,
        project_dir=config.output,
        kwargs_handlers=[InitProcessGroupKwargs(timeout=PROCESS_TIMEOUT)],
    )
    accelerator.register_save_state_pre_hook(checkpoints.refuse_non_finite)
    accelerator.init_trackers("depthkit" if config.tracker in ("wandb", "trackio") else "tensorboard")
    where, start = accelerator.device.type, Path(config.weights or "random weights").name
    accelerator.print(f"{accelerator.num_processes} process(es) on {where}, {config.encoder} from {start}")
    return accelerator


def train_epoch(
    accelerator: Accelerator,
    config: TrainConfig,
    progress: Progress,
    model: nn.Module,
    optimizer: Optimizer,
    loader: DataLoader,
    deadline: float,
) -> bool:
    """Train to the end of the current epoch; False, after a checkpoint, when the time limit came first."""
    loss_function = objective_loss(config)
    model.train()
    set_learning_rates(config, progress, optimizer)
    progress.clock = time.monotonic()
    watched = None
    for batch in progress_bar(accelerator, config, progress, loader):
        with accelerator.accumulate(model):
            loss = loss_function(model, batch)
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
        if watched:  # the batch before, because to ask for the loss of this one would wait for the device
            check_finite(watched)
            accelerator.log({"step_loss": watched[2].item()}, step=progress.epoch * progress.batches + progress.batch)
        watched = progress.epoch + 1, progress.batch + 1, loss.detach(), batch["name"], optimizer.param_groups[0]["lr"]
        progress.count(loss, stepped=accelerator.sync_gradients)
        if not accelerator.sync_gradients:
            continue
        set_learning_rates(config, progress, optimizer)
        if progress.batch < progress.batches:
            late = out_of_time(accelerator, deadline, progress.batch)
            if late or progress.steps % config.save_steps == 0:
                check_finite(watched)
                checkpoints.save(accelerator, config, progress)
            if late:
                return False
    check_finite(watched)
    return True


def progress_bar(accelerator: Accelerator, config: TrainConfig, progress: Progress, loader: DataLoader) -> tqdm:
    """The loader behind a text bar of one epoch (only text works in forked processes), on the main process.

    Where output is no terminal, short epochs go without, and long ones report twice a minute.
    """
    terminal = sys.stderr.isatty()
    return tqdm(
        loader,
        desc=f"epoch {progress.epoch + 1}/{config.epochs}",
        initial=progress.batch,
        total=progress.batches,
        leave=False,
        mininterval=0.5 if terminal else 30,
        disable=not accelerator.is_main_process or (not terminal and progress.batches < 200),
    )


def end_epoch(
    accelerator: Accelerator,
    config: TrainConfig,
    progress: Progress,
    model: nn.Module,
    optimizer: Optimizer,
    select_set: DepthDataset,
    protocol: Protocol,
) -> None:
    """Evaluate, write the history row, keep the model if it is the best so far, and save a checkpoint."""
    started = time.monotonic()
    plain_model = accelerator.unwrap_model(model)
    records = evaluate(plain_model, select_set, protocol, accelerator=accelerator, workers=config.workers)
    loss = accelerator.reduce(torch.as_tensor(progress.loss_sum, device=accelerator.device), "mean").item()
    images = progress.batch * config.batch_size * accelerator.num_processes
    row = {
        "epoch": progress.epoch + 1,
        "train_loss": loss / progress.batch,
        "lr_encoder": optimizer.param_groups[0]["lr"],
        "lr_decoder": optimizer.param_groups[1]["lr"],
        **means(records),
        "train_seconds": progress.seconds,
        "images_per_second": images / progress.seconds,
        "eval_seconds": time.monotonic() - started,
    }
    if progress.end_epoch(row) and accelerator.is_main_process:
        run = RunFolder(config.output)
        checkpoints.refuse_a_second_run(config)
        save_model(plain_model, run.best)
        report = evaluation_report(records, protocol, model="best", data=config.selects_on, epoch=progress.epoch)
        write_json(run.selection(config.held_out) / "val.json", report)
    checkpoints.save(accelerator, config, progress)
    accelerator.log({key: value for key, value in row.items() if key != "epoch"}, step=progress.epoch)
    log_pictures(accelerator, plain_model, select_set, progress.epoch)
    if accelerator.is_main_process:
        write_json(RunFolder(config.output).history, progress.history)
    accelerator.print(
        f"epoch {progress.epoch:>3}/{config.epochs}  loss {row['train_loss']:.4f}  AbsRel {row['abs_rel']:.4f}  "
        f"d1 {row['d1']:.4f}  {row['images_per_second']:.1f} images/s"
    )


def out_of_time(accelerator: Accelerator, deadline: float, batch: int = 0) -> bool:
    """Whether the time limit is over for any process; asked together, so that all stop at the same step.

    After an epoch's last batch it is asked when the epoch has been evaluated, so that its work leaves a score.
    """
    if deadline == math.inf or batch % STOP_CHECK_BATCHES:
        return False
    late = torch.tensor(float(time.monotonic() > deadline), device=accelerator.device)
    return accelerator.reduce(late, "sum").item() > 0


def free_port() -> str:
    """A port for `notebook_launcher(use_port=...)`: its own, 29500, may be taken by another run."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])

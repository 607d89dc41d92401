"""Save and restore a run at any optimiser step, in `<output>/last`.

`accelerate` writes weights, optimiser, gradient scaler and random states; beside them `state.json` tells where the run
stands. A checkpoint is written as a draft and then takes the place of the one before.
"""

import math
import shutil
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn

from depthkit.errors import InputError
from depthkit.models.load import first_not_finite
from depthkit.run_folder import RunFolder, read_json, replaced_folder, settle, write_json
from depthkit.training.config import TrainConfig

LONGER = "to train longer, begin a new run from its best model: --weights RUN/best --init all --output NEW"


@dataclass
class Progress:
    """Where a run stands; saved with every checkpoint."""

    num_processes: int = 1
    batches: int = 1  # of one epoch, in each process
    epoch: int = 0  # finished epochs
    batch: int = 0  # finished batches of the current epoch, in each process
    steps: int = 0  # finished optimiser steps
    loss_sum: float | Tensor = 0.0  # over those batches; a tensor while running, so as not to wait for the device
    seconds: float = 0.0  # spent on those batches, loading included
    clock: float = 0.0  # when the latest batch was done
    best: float = math.inf
    best_epoch: int = 0
    history: list = field(default_factory=list)

    def count(self, loss: Tensor, stepped: bool = True) -> None:
        """Count one batch with its loss, after which the optimiser stepped or went on adding up gradients."""
        self.batch += 1
        self.steps += stepped
        self.loss_sum = self.loss_sum + loss.detach()
        now = time.monotonic()
        self.seconds, self.clock = self.seconds + now - self.clock, now

    def end_epoch(self, row: dict[str, Any]) -> bool:
        """Add a row to the history and begin the next epoch; returns whether this one is the best so far."""
        self.history.append(row)
        self.epoch += 1
        self.batch, self.loss_sum, self.seconds = 0, 0.0, 0.0
        if row["abs_rel"] >= self.best:
            return False
        self.best, self.best_epoch = row["abs_rel"], self.epoch
        return True


def refuse_a_second_run(config: TrainConfig) -> None:
    """Raise InputError where another run has begun in the same folder: both would write their models there."""
    saved = RunFolder(config.output).config
    if saved.exists() and (changed := config.differences(read_json(saved))):
        raise InputError(
            f"{saved} is of another run in this folder ({_listed(changed)}): nothing more of this one is saved; "
            "name another output, or remove that file if its run has ended"
        )


def _listed(changed: dict[str, tuple[Any, Any]]) -> str:
    return ", ".join(f"{name}: {was!r} then, {now!r} now" for name, (was, now) in changed.items())


def save(accelerator: Accelerator, config: TrainConfig, progress: Progress) -> None:
    """Write `last/`; every process takes part.

    Raises: RuntimeError when it can't be written (a full disk); the checkpoint before is whole then.
    """
    run = RunFolder(config.output)
    loss_sum = torch.as_tensor(progress.loss_sum, device=accelerator.device)
    loss_sum = accelerator.reduce(loss_sum, "mean").item()
    best = progress.best if math.isfinite(progress.best) else None  # JSON knows no infinity
    state = asdict(progress) | {"loss_sum": loss_sum, "best": best, "config": asdict(config)}
    is_main = accelerator.is_main_process
    if is_main:
        refuse_a_second_run(config)
    with replaced_folder(run.last) if is_main else nullcontext(run.last.with_name("last.draft")) as draft:
        accelerator.wait_for_everyone()
        accelerator.save_state(str(draft))
        accelerator.wait_for_everyone()
        if is_main:
            write_json(draft / "state.json", state)
    accelerator.wait_for_everyone()


def refuse_non_finite(models: list[nn.Module], *_: Any) -> None:
    """Raise InputError for a model with NaN or infinite weights; accelerate asks before it saves a state."""
    for model in models:
        if (name := first_not_finite(model.state_dict())) is not None:
            raise InputError(f"{name} is no longer finite: not saved, what was saved before is whole; lower lr")


def load(accelerator: Accelerator, config: TrainConfig, progress: Progress) -> None:
    """Restore `progress` and all that `accelerator` prepared; does nothing if there is no checkpoint yet.

    Raises: InputError when the checkpoint is damaged, belongs to another config, was left in mid-epoch by another
    number of processes or on other data, or is not there for all processes, or the output is of another run.
    """
    source = _find(accelerator, config)
    if not RunFolder(config.output).last.exists():
        refuse_a_second_run(config)
    state = _read_state(source) if source.exists() else None
    if len(set(gather_object([state and (state["epoch"], state["batch"])]))) > 1:
        raise InputError(f"not every process finds the same {source}: it must lie on storage that all machines see")
    if state is None:
        if config.resume_from:
            raise InputError(f"{source} does not exist: {config.resume_from} holds no checkpoint to go on from")
        return accelerator.print(f"{source.parent.name}/last does not exist yet: starting from the beginning")
    _check_state(source, state, config, progress)
    try:
        accelerator.load_state(str(source))  # reads its pickles as plain tensors: no code in them is run
    except Exception as error:
        raise InputError(f"{source} is damaged ({error}); remove it to start again, or resume from a copy") from error
    state["best"] = math.inf if state["best"] is None else state["best"]
    for name in state.keys() - {"config", "clock", "num_processes", "batches"}:
        setattr(progress, name, state[name])
    _bring_best(accelerator, config, progress, source.parent)
    if progress.epoch == config.epochs:
        return accelerator.print(f"{source.parent.name} has finished its {config.epochs} epochs; {LONGER}")
    accelerator.print(f"resumed from {source.parent.name}/last: epoch {progress.epoch + 1}, batch {progress.batch}")


def _find(accelerator: Accelerator, config: TrainConfig) -> Path:
    """The checkpoint to go on from: that of the output, else of `resume_from`; it may not exist."""
    last = RunFolder(config.output).last
    if accelerator.is_main_process:
        settle(last)
    accelerator.wait_for_everyone()
    return last if last.exists() or not config.resume_from else RunFolder(config.resume_from).last


def _read_state(source: Path) -> dict[str, Any]:
    state = read_json(source / "state.json")
    expected = {each.name for each in fields(Progress)} | {"config"}
    if not isinstance(state, dict) or state.keys() != expected or not isinstance(state["config"], dict):
        raise InputError(f"{source / 'state.json'} is damaged; remove {source} to start again, or resume from a copy")
    return state


def _check_state(source: Path, state: dict[str, Any], config: TrainConfig, progress: Progress) -> None:
    if changed := config.differences(state["config"]):
        remedy = LONGER if changed.keys() == {"epochs"} else "use that one, or another output"
        raise InputError(f"{source} belongs to another configuration ({_listed(changed)}): {remedy}")
    if not state["batch"]:
        return
    if state["num_processes"] != progress.num_processes:
        raise InputError(
            f"{source} was left in mid-epoch by {state['num_processes']} processes, and there are "
            f"{progress.num_processes} now: resume with as many, or from a checkpoint at an epoch's end"
        )
    if state["batches"] != progress.batches:
        raise InputError(
            f"{source} was left in the middle of an epoch of {state['batches']} batches, and there are "
            f"{progress.batches} now: resume with the same pictures, or from a checkpoint at an epoch's end"
        )


def _bring_best(accelerator: Accelerator, config: TrainConfig, progress: Progress, old: Path) -> None:
    """Into a new output, bring the best model, its records and the history of the earlier session in `old`."""
    run = RunFolder(config.output)
    if accelerator.is_main_process:
        for folder in (run.best, run.eval):
            if not settle(folder) and (old / folder.name).is_dir():
                with replaced_folder(folder) as draft:
                    shutil.copytree(old / folder.name, draft, dirs_exist_ok=True)
        if progress.history:
            write_json(run.history, progress.history)
    accelerator.wait_for_everyone()

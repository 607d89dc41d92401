"""Save and restore a run at any optimiser step, in `<output>/last`.

`accelerate` writes weights, optimiser, gradient scaler and random states; beside them `state.json` tells where the run
stands. A checkpoint is written as a draft and then takes the place of the one before.
"""

import math
import shutil
import time
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import torch
from accelerate.utils import gather_object

from depthkit.files import draft_folder, read_json, replace_folder, settle, write_json, writing


@dataclass
class Progress:
    """Where a run stands; saved with every checkpoint."""

    num_processes: int = 1
    epoch: int = 0  # finished epochs
    batch: int = 0  # finished batches of the current epoch, in each process
    loss_sum: float | torch.Tensor = 0.0  # over those batches; a tensor while running, so as not to wait for the device
    seconds: float = 0.0  # spent on those batches, loading included
    clock: float = 0.0  # when the latest batch was done
    best: float = math.inf
    best_epoch: int = 0
    history: list = field(default_factory=list)

    def count(self, loss):
        self.batch += 1
        self.loss_sum = self.loss_sum + loss.detach()
        now = time.monotonic()
        self.seconds, self.clock = self.seconds + now - self.clock, now


def save(accelerator, config, progress, scheduler):
    """Write `last/`; every process takes part.

    Raises: RuntimeError when it can't be written (a full disk); the checkpoint before is whole then.
    """
    last = Path(config.output, "last")
    draft = last.with_name("last.draft")
    loss_sum = torch.as_tensor(progress.loss_sum, device=accelerator.device)
    loss_sum = accelerator.reduce(loss_sum, "mean").item()
    if accelerator.is_main_process:
        draft_folder(last)
    accelerator.wait_for_everyone()
    with writing(last):
        accelerator.save_state(str(draft))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        state = asdict(progress) | {"loss_sum": loss_sum, "best": _finite(progress.best)}
        with writing(last):
            write_json(draft / "state.json", state | {"scheduler": scheduler.state_dict(), "config": asdict(config)})
        replace_folder(draft, last)
    accelerator.wait_for_everyone()


def load(accelerator, config, progress, scheduler):
    """Restore `progress`, `scheduler` and all that `accelerator` prepared; does nothing if there is no checkpoint yet.

    Raises: ValueError when the checkpoint is damaged, belongs to another config, was left in mid-epoch by another
    number of processes, or is not there for all of them.
    """
    last = Path(config.output, "last")
    if accelerator.is_main_process:
        settle(last)
    accelerator.wait_for_everyone()
    source = last if last.exists() or not config.resume_from else Path(config.resume_from, "last")
    state = _read_state(source) if source.exists() else None
    if len(set(gather_object([state and (state["epoch"], state["batch"])]))) > 1:
        raise ValueError(f"not every process finds the same {source}: it must lie on storage that all machines see")
    if state is None:
        if config.resume_from:
            raise ValueError(f"{source} does not exist: {config.resume_from} holds no checkpoint to go on from")
        return accelerator.print(f"{last.parent.name}/last does not exist yet: starting from the beginning")
    _check_state(source, state, config, progress.num_processes)
    try:
        accelerator.load_state(str(source))  # reads its pickles as plain tensors: no code in them is run
        scheduler.load_state_dict(state.pop("scheduler"))
    except Exception as error:
        raise ValueError(f"{source} is damaged ({error}); remove it to start again, or resume from a copy") from error
    del state["config"], state["clock"]
    state |= {"best": math.inf if state["best"] is None else state["best"], "num_processes": progress.num_processes}
    for name, value in state.items():
        setattr(progress, name, value)
    _bring_best(accelerator, config, progress, source)
    accelerator.print(f"resumed from {source.parent.name}/last: epoch {progress.epoch + 1}, batch {progress.batch}")


def _read_state(source):
    state = read_json(source / "state.json")
    expected = {each.name for each in fields(Progress)} | {"scheduler", "config"}
    if not isinstance(state, dict) or state.keys() != expected or not isinstance(state["config"], dict):
        raise ValueError(f"{source / 'state.json'} is damaged; remove {source} to start again, or resume from a copy")
    return state


def _check_state(source, state, config, num_processes):
    if changed := config.differences(state["config"]):
        text = ", ".join(f"{name}: {was!r} then, {now!r} now" for name, (was, now) in changed.items())
        raise ValueError(f"{source} belongs to another configuration ({text}): use that one, or another output")
    if state["batch"] and state["num_processes"] != num_processes:
        raise ValueError(
            f"{source} was left in mid-epoch by {state['num_processes']} processes, and there are {num_processes} now: "
            "resume with as many, or from a checkpoint at an epoch's end"
        )


def _bring_best(accelerator, config, progress, source):
    """Into a new output, bring the earlier session's best model, its records and the history too."""
    old, output = source.parent, Path(config.output)
    if accelerator.is_main_process:
        for name in ("best", "eval"):
            if not settle(output / name) and (old / name).is_dir():
                shutil.copytree(old / name, draft := draft_folder(output / name), dirs_exist_ok=True)
                replace_folder(draft, output / name)
        write_json(output / "config.json", asdict(config))
        if progress.history:
            write_json(output / "history.json", progress.history)
    accelerator.wait_for_everyone()


def _finite(value):
    """JSON knows no infinity."""
    return value if math.isfinite(value) else None

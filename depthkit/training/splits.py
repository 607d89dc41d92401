"""The data of a run: its two splits, looked at before training, and the largest depth that it takes from them."""

import os
from pathlib import Path
from shlex import quote

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from depthkit.data.check import check, compare_splits
from depthkit.data.datasets import DepthDataset, open_split
from depthkit.data.overview import suggest_max_depth
from depthkit.data.transforms import TrainTransform
from depthkit.run_folder import RunFolder, read_json
from depthkit.training.config import TrainConfig


def open_splits(config: TrainConfig) -> tuple[DepthDataset, DepthDataset]:
    """The training split, augmented, and the validation split, as it is on disk.

    Raises: InputError when a folder is missing or empty, or pairs don't match.
    """
    transform = TrainTransform(config.size, config.seed)
    scored_as = "nyu" if config.layout == "mixed" else config.layout  # disparity of unknown scale has no score
    return (
        open_split(config.layout, config.data, config.train_split, config.depth_scale, transform),
        open_split(scored_as, config.data, config.val_split, config.depth_scale),
    )


def checked_splits(config: TrainConfig, accelerator: Accelerator) -> tuple[DepthDataset, DepthDataset, float]:
    """The two splits, after the main process has looked at both, and the `max_depth` of the run.

    The process prints what is odd. Where the config leaves `max_depth` open, a run that goes on keeps its own, and a
    new one takes what the training data suggest.
    """
    splits, found = open_splits(config), [config.depth_limit if config.layout == "nyu" else config.max_depth]
    saved = RunFolder(config.resume_from or config.output).config
    if found[0] is None and config.resume and saved.exists():
        found = [read_json(saved)["max_depth"]]
    if accelerator.is_main_process:
        looks = [check(dataset, config.min_depth, found[0], progress=True) for dataset in splits]
        for note in (note for look in looks for note in look.notes):
            print(f"note: {note}")
        compare_splits(*looks)
        if found[0] is None:
            found = [float(suggest_max_depth(looks[0]) or 10)]
            print(f"max_depth {found[0]:g} m, from the training data")
    accelerator.wait_for_everyone()
    return *splits, broadcast_object_list(found)[0]


def next_arguments(config: TrainConfig) -> str:
    """What `depthkit evaluate` needs to score the run's best model on its validation split."""
    best, data = (
        min(str(path), os.path.relpath(path), key=len) for path in (RunFolder(config.output).best, Path(config.data))
    )
    options = ""
    if config.layout != "folder":
        options += f" --layout {config.layout}"
    if config.depth_scale:
        options += f" --depth_scale {config.depth_scale:g}"
    return f"{quote(best)} {quote(data)}{options}"

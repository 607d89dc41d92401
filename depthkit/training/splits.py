"""The data of a run: its splits, looked at before training, and the largest depth that it takes from them."""

import math
import os
from pathlib import Path
from shlex import quote

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from depthkit.data.check import check, compare_splits
from depthkit.data.datasets import DepthDataset, open_split
from depthkit.data.files import listed
from depthkit.data.mixed import open_scored
from depthkit.data.overview import suggest_max_depth
from depthkit.data.scenes import hold_out, scenes_of
from depthkit.data.transforms import TrainTransform
from depthkit.errors import InputError
from depthkit.run_folder import RunFolder, read_json
from depthkit.scoring.protocol import Alignment, Protocol
from depthkit.scoring.truth import canonical_per_metre
from depthkit.training.config import TrainConfig


def open_splits(config: TrainConfig) -> tuple[DepthDataset, DepthDataset]:
    """The training split, augmented, and the validation split, as it is on disk.

    Raises: InputError when a folder is missing or empty, or pairs don't match.
    """
    canonical = config.camera == "canonical"
    transform = TrainTransform(config.size, config.seed, config.zoom, canonical)
    train_set = open_split(config.layout, config.data, config.train_split, config.depth_scale, transform)
    train_set.with_intrinsics = canonical
    return train_set, open_scored(config.layout, config.data, config.val_split, config.depth_scale)


def divided(config: TrainConfig, train_set: DepthDataset, val_set: DepthDataset) -> tuple[DepthDataset, DepthDataset]:
    """What is learnt from, and what picks the epoch, as it is on disk: held-out scenes, else the validation split.

    Raises: InputError when there are no scenes to hold out.
    """
    if not config.held_out:
        return train_set, val_set
    learn_set, select_set = hold_out(train_set, config.held_out)
    select_set.transform = None
    return learn_set, select_set


def checked_splits(
    config: TrainConfig, accelerator: Accelerator
) -> tuple[DepthDataset, DepthDataset, DepthDataset, float]:
    """What is learnt from, what picks the epoch, the validation split, and the `max_depth` of the run, after the main
    process has looked at both splits.

    The process prints what is odd. Where the config leaves `max_depth` open, a run that goes on keeps its own, and a
    new one takes what the training data suggest.
    """
    splits, found = open_splits(config), [None if config.depth_is_open else config.depth_limit]
    learn_set, select_set = divided(config, *splits)
    canonical = config.camera == "canonical"
    saved = RunFolder(config.resume_from or config.output).config
    if found[0] is None and config.resume and saved.exists():
        found = [read_json(saved)["max_depth"]]
    if accelerator.is_main_process:
        limit = None if canonical else found[0]  # in metres
        if config.held_out:
            print(f"held out to pick the epoch: {held_out_in_words(learn_set, select_set)}")
        refuse_other_pictures(config, select_set)
        looks = [check(dataset, config.min_depth, limit, progress=True) for dataset in splits]
        for note in (note for look in looks for note in look.notes):
            print(f"note: {note}")
        compare_splits(*looks)
        if canonical:  # a camera that is missing in the middle of an epoch would come too late
            focal = [each.known_intrinsics(i).focal for each in splits for i in range(len(each))]
            print(f"focal lengths of the pictures: {min(focal):.0f} to {max(focal):.0f} pixels")
        if found[0] is None:
            metres = (config.layout != "nyu" and suggest_max_depth(looks[0])) or 10
            found = [float(math.ceil(metres * canonical_per_metre(splits[0]).max()) if canonical else metres)]
            print(f"max_depth {found[0]:g}{' canonical' * canonical} m, from the training data")
    accelerator.wait_for_everyone()
    return learn_set, select_set, splits[1], broadcast_object_list(found)[0]


def held_out_in_words(train_set: DepthDataset, select_set: DepthDataset) -> str:
    """How many pictures are held out, and of which scenes."""
    files = [*train_set.files, *select_set.files]
    names = scenes_of([path.relative_to(select_set.folder).as_posix() for path in files])
    scenes = listed(sorted(set(names[len(train_set) :])))
    share = f"{len(select_set)} of {len(files)} training pictures ({len(select_set) / len(files):.1%})"
    return f"{share}, of the scenes {scenes}"


def refuse_other_pictures(config: TrainConfig, select_set: DepthDataset) -> None:
    """Raise InputError where a run that goes on has picked its best epoch so far on other pictures."""
    run = RunFolder(config.resume_from or config.output)
    scored = run.selection(config.held_out) / "constant.json"
    if not scored.exists():
        return
    before = {record["name"] for record in read_json(scored)["records"]}
    changed = before ^ {path.relative_to(select_set.root).as_posix() for path in select_set.files}
    if changed:
        raise InputError(
            f"{run.path} has picked its epochs on other pictures: {config.selects_on} changed ({len(changed)} differ, "
            f"first {min(changed)}); go on with the same data, or begin a new run from its best model"
        )


def selection_protocol(config: TrainConfig, val_set: DepthDataset | None = None) -> Protocol:
    """The protocol that picks the best epoch: metric output as it is, relative output aligned in disparity; canonical
    metres end where the cameras of `val_set` let every prediction end."""
    align: Alignment = "none" if config.objective == "metric" else "disparity"
    limit = config.depth_limit
    if config.camera == "canonical" and val_set is not None:
        limit /= float(canonical_per_metre(val_set).max())
    return Protocol(align=align, min_depth=config.min_depth, max_depth=limit)


def next_arguments(config: TrainConfig) -> str:
    """What `depthkit evaluate` needs to score the run's best model on its validation split."""
    best, data = (
        min(str(path), os.path.relpath(path), key=len) for path in (RunFolder(config.output).best, Path(config.data))
    )
    options = {"layout": config.layout, "split": config.val_split, "train_split": config.train_split}
    options["depth_scale"] = f"{config.depth_scale:g}" if config.depth_scale else ""
    defaults = {"layout": "folder", "split": "val", "train_split": "train", "depth_scale": ""}
    given = (f" --{name} {quote(value)}" for name, value in options.items() if value != defaults[name])
    return f"{quote(best)} {quote(data)}{''.join(given)}"

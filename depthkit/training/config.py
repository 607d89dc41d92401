"""What one training run does: every choice in one frozen dataclass, which is also the command line."""

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from depthkit.camera import CameraUse
from depthkit.data.datasets import Layout
from depthkit.data.transforms import PATCH
from depthkit.errors import InputError
from depthkit.models.encoders import Encoder, Init, Objective, check_max_depth

Schedule = Literal["cosine", "poly"]
Precision = Literal["fp16", "bf16", "no"]
Tracker = Literal["tensorboard", "wandb", "trackio", "none"]
Recipe = Literal["nyu", "small"]
RECIPES: dict[Recipe, dict[str, Any]] = {
    "nyu": {},  # the defaults: tens of thousands of images, two GPUs
    # A few hundred images on a CPU or one small GPU: little to learn from, so the neck is kept; little memory, so
    # pictures are small, gradients are added up, and activations are computed twice.
    "small": dict(init="neck", size=252, batch_size=2, accumulation=4, epochs=20, warmup_epochs=1.0, lr=2e-5, workers=0)
    | dict(gradient_checkpointing=True),
}

# What may differ between a run and its continuation: where things lie, and what does not change the result.
FREE_FIELDS = {"output", "data", "weights", "resume", "resume_from", "max_hours", "save_steps"}
FREE_FIELDS |= {"workers", "tracker", "gradient_checkpointing"}


@dataclass(frozen=True)
class TrainConfig:
    """One run of `train`. The defaults are the course's recipe for ViT-S on 2 × T4 with NYU Depth V2.

    Raises InputError at construction for values that can't work, naming the field, the value and the remedy.
    """

    data: str = "data"  # root of the data set
    output: str = "runs/finetune"  # run folder: config.json, history.json, last/, best/, eval/
    layout: Layout = "nyu"  # nyu: <data>/<split>/**/*.h5; folder: <split>/rgb and depth; mixed: train/rgb and disparity
    train_split: str = "train"  # folder of the training split
    val_split: str = "val"  # folder of the split that is scored, and that picks the best epoch if held_out is 0
    held_out: float = 0.0  # share of training pictures, whole scenes, to pick the epoch; val_split is scored once then
    depth_scale: float | None = None  # layout folder: units of an integer depth file per metre (1000 for mm)

    encoder: Encoder = "vits"  # size of the network; tiny is the course's own
    objective: Objective = "metric"  # metric: SiLog on metres; relative: scale and shift invariant on disparity
    weights: str | None = None  # Hub id, model folder or the authors' .pth; None: random weights
    init: Init = "encoder"  # encoder: fresh decoder, as in the authors' code; neck: fresh head; all: keep everything
    min_depth: float = 1e-3  # metres; smaller depths count as not measured
    max_depth: float | None = None  # metres, where the metric head ends; None: 10 for layout nyu, else from the data
    camera: CameraUse = "ignore"  # canonical: labels and max_depth as one lens would see them, to survive other lenses
    zoom: float = 1.0  # largest zoom of the training crops, drawn from 1 on; 1: none, as in the article
    size: int = 518  # shorter side of the images and side of the training crop, pixels, multiple of 14

    epochs: int = 10  # passes over the training split
    batch_size: int = 11  # images per step in each process
    accumulation: int = 1  # batches whose gradients are added up before the optimiser steps
    lr: float = 5e-6  # AdamW learning rate of the encoder
    decoder_lr_factor: float = 10.0  # the decoder's learning rate is this many times the encoder's
    weight_decay: float = 0.01  # AdamW weight decay
    schedule: Schedule = "cosine"  # cosine, or poly: polynomial of power 0.9 as in the authors' code
    warmup_epochs: float = 0.5  # linear warm-up from 0; the authors' code has none
    silog_lambda: float = 0.5  # metric: share of the global scale error that SiLog forgives
    freeze_encoder: bool = False  # train the decoder alone
    gradient_checkpointing: bool = False  # compute the encoder's activations twice instead of keeping them
    gradient_weight: float = 2.0  # relative: weight of gradient matching beside the SSI loss, 2 in the paper
    mixed_precision: Precision = "fp16"  # fp16 is for GPUs: a CPU computes in float32 then, in bf16 when asked for

    seed: int = 42  # of weights, data order and augmentation
    workers: int = 2  # loader processes for each training process
    tracker: Tracker = "tensorboard"  # where loss, scores and pictures are followed; wandb and trackio if installed
    save_steps: int = 500  # optimiser steps between checkpoints, besides one at each epoch's end
    max_hours: float | None = None  # save and stop after this long, to be resumed
    resume: bool = False  # go on from the checkpoint in output, or begin if there is none
    resume_from: str | None = None  # with resume: run folder to take the checkpoint from if output has none

    def __post_init__(self) -> None:
        self._check_choices()
        self._check_ranges()
        if self.layout == "mixed" and self.objective != "relative":
            raise InputError("layout mixed holds disparity of unknown scale: it needs objective relative")
        if self.held_out and self.layout == "mixed":
            raise InputError("layout mixed holds disparity of unknown scale, which picks no epoch: leave held_out at 0")
        if self.camera == "canonical" and self.objective != "metric":
            raise InputError("camera canonical is for metres, which objective relative has none of: use camera ignore")
        if self.resume_from and not self.resume:
            raise InputError(f"resume_from ({self.resume_from}) needs resume=True")
        if self.resume_from and not Path(self.resume_from).is_dir():
            raise InputError(f"resume_from: {self.resume_from} is no folder")

    def _check_choices(self) -> None:
        for name, kind in get_type_hints(type(self)).items():
            value, choices = getattr(self, name), get_args(kind)
            if getattr(kind, "__origin__", None) is Literal and value not in choices:
                raise InputError(f"{name} must be one of {', '.join(choices)}; got {value!r}")

    def _check_ranges(self) -> None:
        lowest = {"epochs": 1, "batch_size": 1, "accumulation": 1, "save_steps": 1, "workers": 0, "warmup_epochs": 0}
        lowest |= {"weight_decay": 0, "gradient_weight": 0, "seed": 0}
        for name, least in lowest.items():
            if not least <= getattr(self, name) < math.inf:  # false for NaN
                raise InputError(f"{name} must be at least {least}; got {getattr(self, name)}")
        if self.seed >= 2**32:
            raise InputError(f"seed must be below 2 ** 32; got {self.seed}")
        if not self.output:
            raise InputError("output must name a folder for the run; got ''")
        if not 0 <= self.silog_lambda <= 1:
            raise InputError(f"silog_lambda must lie in 0 to 1; got {self.silog_lambda}")
        limit = math.inf if self.depth_is_open else self.depth_limit
        if not 0 < self.min_depth < limit:
            raise InputError(f"0 < min_depth < max_depth must hold; got {self.min_depth} and {limit}")
        if self.objective == "metric" and self.max_depth is not None:
            check_max_depth(self.max_depth)
        if self.size % PATCH or self.size <= 0:
            raise InputError(f"size must be a multiple of {PATCH}; got {self.size}")
        if not 1 <= self.zoom < math.inf:
            raise InputError(f"zoom must be at least 1, which means no zoom; got {self.zoom}")
        if not 0 <= self.held_out <= 0.5:
            raise InputError(f"held_out must be a share of the training pictures, 0 to 0.5; got {self.held_out}")
        if self.held_out and self.val_split == self.train_split:
            raise InputError(f"val_split {self.val_split} is the training split too: name another one to score")
        if self.warmup_epochs >= self.epochs:
            raise InputError(f"warmup_epochs ({self.warmup_epochs}) must be less than epochs ({self.epochs})")
        if not (0 < self.lr < math.inf and 0 < self.decoder_lr_factor < math.inf):
            raise InputError(f"learning rates must be positive; got {self.lr} × {self.decoder_lr_factor}")
        if self.max_hours is not None and not self.max_hours > 0:
            raise InputError(f"max_hours must be positive, or left out; got {self.max_hours}")

    @property
    def selects_on(self) -> str:
        """What picks the best epoch, in words."""
        return f"scenes held out of {self.train_split}" if self.held_out else self.val_split

    @property
    def depth_is_open(self) -> bool:
        """Whether the data have to say `max_depth`: of layout nyu its cameras, where they are used."""
        return self.max_depth is None and (self.layout != "nyu" or self.camera == "canonical")

    @property
    def depth_limit(self) -> float:
        """`max_depth` in metres; without one, 10 for layout nyu. Raises ValueError where the data have to say it."""
        if self.depth_is_open:
            raise ValueError("max_depth is left to the data, which have not been looked at")
        return 10.0 if self.max_depth is None else self.max_depth  # 10 as in the article and the published tables

    def differences(self, other: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
        """Fields in which a saved config differs and that would change the result: {name: (saved, mine)}."""
        mine = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in FREE_FIELDS}
        mine["max_depth"] = other.get("max_depth") if self.max_depth is None else self.max_depth
        other = {"camera": "ignore", "zoom": 1.0, "held_out": 0.0} | other  # a run from before there was another choice
        return {name: (other.get(name), value) for name, value in mine.items() if other.get(name) != value}

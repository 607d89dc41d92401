"""What one training run does: every choice in one frozen dataclass, which is also the command line."""

from dataclasses import dataclass, field, fields
from pathlib import Path

from depthkit.models import ENCODERS, INITS, OBJECTIVES
from depthkit.transforms import PATCH


def _option(default, text):
    """A field with its comment, shown by `python -m depthkit.train --help`."""
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class TrainConfig:
    """One run of `depthkit.train.train`. The defaults are the course's recipe for ViT-S on 2 × T4 with NYU Depth V2.

    Raises ValueError at construction for values that can't work, naming the field, the value and the remedy.
    """

    data: str = _option("data", "root of the data set")
    output: str = _option("runs/finetune", "run folder: config.json, history.json, last/, best/, eval/")
    layout: str = _option(
        "nyu", "nyu: <data>/<split>/**/*.h5; folder: <split>/rgb and depth; mixed: train/rgb and disparity, val as nyu"
    )
    train_split: str = _option("train", "folder of the training split")
    val_split: str = _option("val", "folder of the split that picks the best epoch")
    depth_scale: float | None = _option(None, "layout folder: units of an integer depth file per metre (1000 for mm)")

    encoder: str = _option("vits", "tiny, vits, vitb, vitl or vitg")
    objective: str = _option("metric", "metric: SiLog on metres; relative: scale and shift invariant on disparity")
    weights: str | None = _option(None, "Hub id, local folder or authors' .pth; none: random weights")
    init: str = _option("encoder", "encoder: fresh decoder, the paper's recipe; neck: fresh head; all: keep everything")
    min_depth: float = _option(1e-3, "metres; smaller depths count as not measured")
    max_depth: float = _option(10.0, "metres; larger depths count as not measured, the metric head ends here")
    size: int = _option(518, "shorter side of the images and side of the training crop, pixels, multiple of 14")

    epochs: int = _option(10, "passes over the training split")
    batch_size: int = _option(11, "images a step in each process")
    accumulation: int = _option(1, "batches whose gradients are added up before the optimiser steps")
    lr: float = _option(5e-6, "AdamW learning rate of the encoder")
    decoder_lr_factor: float = _option(10.0, "the decoder's learning rate is this many times the encoder's")
    weight_decay: float = _option(0.01, "AdamW weight decay")
    schedule: str = _option("cosine", "cosine, or poly: polynomial of power 0.9 as in the paper")
    warmup_epochs: float = _option(0.5, "linear warm-up from 0; the paper has none")
    silog_lambda: float = _option(0.5, "metric: share of the global scale error that SiLog forgives")
    freeze_encoder: bool = _option(False, "train the decoder alone")
    gradient_weight: float = _option(2.0, "relative: weight of gradient matching beside the SSI loss, 2 in the paper")
    mixed_precision: str = _option("fp16", "fp16, bf16 or no, on a GPU; the CPU always computes in float32")

    seed: int = _option(42, "of weights, data order and augmentation")
    workers: int = _option(2, "loader processes for each training process")
    save_steps: int = _option(500, "optimiser steps between checkpoints, besides one at each epoch's end")
    max_hours: float | None = _option(None, "save and stop after this long, to be resumed")
    resume: bool = _option(False, "go on from the checkpoint in output, or begin if there is none")
    resume_from: str | None = _option(None, "with resume: run folder to take the checkpoint from if output has none")

    def __post_init__(self):
        self._check_choices()
        self._check_ranges()

    def _check_choices(self):
        choices = {
            "layout": ("nyu", "folder", "mixed"),
            "encoder": tuple(ENCODERS),
            "objective": OBJECTIVES,
            "init": INITS,
            "schedule": ("cosine", "poly"),
            "mixed_precision": ("fp16", "bf16", "no"),
        }
        for name, allowed in choices.items():
            if (value := getattr(self, name)) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}; got {value!r}")

    def _check_ranges(self):
        lowest = {"epochs": 1, "batch_size": 1, "accumulation": 1, "save_steps": 1, "workers": 0, "warmup_epochs": 0}
        for name, least in lowest.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}; got {getattr(self, name)}")
        if not 0 < self.min_depth < self.max_depth:
            raise ValueError(f"0 < min_depth < max_depth must hold; got {self.min_depth} and {self.max_depth}")
        if self.size % PATCH or self.size <= 0:
            raise ValueError(f"size must be a multiple of {PATCH}; got {self.size}")
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs ({self.warmup_epochs}) must be less than epochs ({self.epochs})")
        if self.lr <= 0 or self.decoder_lr_factor <= 0:
            raise ValueError(f"learning rates must be positive; got {self.lr} × {self.decoder_lr_factor}")
        if self.max_hours is not None and self.max_hours <= 0:
            raise ValueError(f"max_hours must be positive, or left out; got {self.max_hours}")
        if self.layout == "mixed" and self.objective != "relative":
            raise ValueError("layout mixed holds disparity of unknown scale: it needs objective relative")
        if self.resume_from and not self.resume:
            raise ValueError(f"resume_from ({self.resume_from}) needs resume=True")
        if self.resume_from and not Path(self.resume_from).is_dir():
            raise ValueError(f"resume_from: {self.resume_from} is no folder")

    def differences(self, other: dict) -> dict:
        """Fields in which a saved config differs and that would change the result: {name: (saved, mine)}."""
        free = {"output", "workers", "save_steps", "max_hours", "resume", "resume_from", "data", "weights"}
        mine = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in free}
        return {name: (other.get(name), value) for name, value in mine.items() if other.get(name) != value}

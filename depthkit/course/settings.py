"""Where this machine's data, weights and runs are: one object, so that the same notebook cells run everywhere.

The profile `kaggle` is the real model on NYU Depth V2, `sample` the bundled rooms and the tiny model on a CPU.
"""

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

from depthkit.course import kaggle, launch, sample
from depthkit.errors import InputError
from depthkit.models.encoders import Encoder
from depthkit.run_folder import RunFolder, read_json
from depthkit.training.config import TrainConfig

REPOSITORY = sample.REPOSITORY
IN_CHECKOUT = (REPOSITORY / "pyproject.toml").is_file()  # else installed from a wheel, which nothing is written beside
HUB_WEIGHTS = "depth-anything/Depth-Anything-V2-Small-hf"
TINY_WEIGHTS = sample.ASSETS / "weights" / "tiny-relative"
# Where the bundled sample is laid out as h5 files.
SAMPLE_CACHE = (REPOSITORY / ".cache" if IN_CHECKOUT else Path.home() / ".cache" / "depthkit") / "sample"
Profile = Literal["sample", "kaggle"]
HELD_OUT: dict[Profile, float] = {"sample": 0.08, "kaggle": 0.015}  # some 36 of 456 images, and 700 of 47,584


@dataclass(frozen=True)
class Settings:
    """What the notebooks need to know of the machine. `Settings.detect()` finds it out.

    Environment variables override what it finds: `DEPTHKIT_PROFILE` (sample or kaggle), `DEPTHKIT_DATA` (a folder with
    train/ and val/ of h5 files), `DEPTHKIT_WEIGHTS` (a Hub id, a folder or a .pth file), `DEPTHKIT_RUNS` (where runs
    are written) and `DEPTHKIT_RECIPE` (fields of the recipe).

    Before a long run on Kaggle, try everything once with `DEPTHKIT_RECIPE=epochs=1,size=126,max_hours=0.08`: it trains
    one epoch on small images and stops after five minutes at the latest.
    """

    profile: Profile
    data: Path
    runs: Path
    weights: str | None
    encoder: Encoder
    num_processes: int

    @classmethod
    def detect(cls) -> "Settings":
        """Look at the environment, without touching CUDA: a launched process could not use it afterwards.

        Raises: InputError for an unknown profile, for a data folder that is not there, and on a Kaggle machine with a
            GPU but without data, since the bundled sample must not be trained there by mistake.
        """
        named = os.environ.get("DEPTHKIT_DATA")
        if named and not Path(named).is_dir():
            raise InputError(f"DEPTHKIT_DATA is {named}, which is no folder: name the one that holds train/ and val/")
        attached = kaggle.find_data()
        profile = _profile(attached)
        if named:
            data = Path(named)
        elif profile == "sample":
            data = sample.unpack_sample("rooms", SAMPLE_CACHE)
        elif attached:
            data = attached
        else:
            raise InputError(
                f"no NYU Depth V2 under {kaggle.INPUT}: looked for a folder with train/ and val/ that hold .h5 files, "
                f"at most two levels deep in what is attached, which is: {kaggle.describe_attached()}. Attach such a "
                "data set to the notebook or name its folder in DEPTHKIT_DATA; for the bundled sample set "
                "DEPTHKIT_PROFILE=sample"
            )
        weights = _weights(profile)
        tiny = profile == "sample" and weights in (None, str(TINY_WEIGHTS))
        processes = 2 if profile == "sample" else max(1, launch.gpu_count())
        return cls(profile, data, _runs_root(profile), weights, "tiny" if tiny else "vits", processes)

    def train_config(self, **changes: Any) -> TrainConfig:
        """Return the course's recipe for this profile, changed by `DEPTHKIT_RECIPE` and, last, by `changes`."""
        recipe: dict[str, Any] = dict(data=str(self.data), weights=self.weights, encoder=self.encoder, max_depth=10.0)
        recipe |= dict(held_out=HELD_OUT[self.profile])
        if self.encoder == "tiny":
            # Measured on rooms outside of the sample: a small model and few images want the rates of its pre-training,
            # hardly slower in the encoder, a loss that cares more for the size of the room, and no fresh neck. Smaller
            # pictures than the bundled model's own, because the course is to train in minutes.
            recipe |= dict(size=168, epochs=6, batch_size=2, lr=3e-4, decoder_lr_factor=1.5, silog_lambda=0.2)
            recipe |= dict(init="neck", workers=0)
        elif self.profile == "sample":  # the real model on a laptop: small images, few epochs
            recipe |= dict(size=252, epochs=3, batch_size=2)
        else:
            # A Kaggle session ends after 12 hours and loses what it wrote; the cells after training need time too.
            recipe |= dict(max_hours=10.0)
        return TrainConfig(**(recipe | _recipe_of_environment() | changes))

    def next_run(self, name: str, **changes: Any) -> TrainConfig:
        """Return the recipe, with `changes`, for the next run of that name, which goes on where the newest was stopped.

        The newest may lie in the attached output of an earlier session, which is read-only: then a new folder continues
        it. Where it is finished or followed another recipe, and always on the sample, a new run begins.
        """
        config = self.train_config(output=str(self.new_run(name)), **changes)
        run = None if self.profile == "sample" else self._newest(name, "last/state.json")
        if run is None:
            return config
        state = read_json(run / "last" / "state.json")
        finished = state["epoch"] >= config.epochs and RunFolder(run).report("val").exists()  # scored when all is done
        if finished or config.differences(state["config"]):
            return config
        if run.parent == self.runs:
            return replace(config, output=str(run), resume=True)
        return replace(config, resume=True, resume_from=str(run))

    def new_run(self, name: str) -> Path:
        """Return a folder of `runs` that no run has used yet: `<name>-001`, `<name>-002` and so on."""
        number = 1
        while (folder := self.runs / f"{name}-{number:03d}").exists():
            number += 1
        return folder

    def latest_run(self, name: str) -> Path:
        """Return the newest run of that name that has its score: one of `runs`, else, on Kaggle, an attached one.

        Raises: FileNotFoundError that says which notebook makes one.
        """
        if run := self._newest(name, "eval/val.json"):
            return run
        if stopped := self._newest(name, "last/state.json"):
            raise FileNotFoundError(
                f"{stopped.name} was stopped before its last epoch and has no score on the test images yet: run "
                "notebook 04 again (on Kaggle with its own output attached), and it goes on"
            )
        raise FileNotFoundError(
            f"no run {name}-* in {self.runs}: run notebook 04 first, set DEPTHKIT_RUNS, or on Kaggle attach the output "
            "of notebook 04"
        )

    def _newest(self, name: str, file: str) -> Path | None:
        """Return the last run of that name that holds `file`: one of `runs` if there is one, else an attached one."""
        for runs in (self.runs.glob(f"{name}-*"), kaggle.attached(f"runs/{name}-*")):
            if found := [run for run in runs if (run / file).is_file()]:
                return max(found, key=lambda run: run.name)
        return None

    def check_launch(self) -> None:
        """Refuse what would make `notebook_launcher` fail late; to call before any waiting, and just before it.

        Raises: RuntimeError that says what to do, for an old accelerate or transformers and, on Kaggle, without a GPU,
            without weights that can be had, and where CUDA was opened before.
        """
        launch.check_versions()
        if self.profile == "kaggle":
            launch.check_gpus()
            launch.check_weights(self.weights)


def launch_on_cpu() -> None:
    """Let `notebook_launcher` start real CPU processes, one thread each; else each believes that it is alone."""
    os.environ["ACCELERATE_USE_CPU"] = "true"
    os.environ["OMP_NUM_THREADS"] = "1"  # what accelerate would choose too, with a warning


def _profile(attached: Path | None) -> Profile:
    """Choose the profile: the one that is named, else by what the machine has; `attached` is the data found there."""
    if named := os.environ.get("DEPTHKIT_PROFILE"):
        if named not in get_args(Profile):
            raise InputError(f"DEPTHKIT_PROFILE is {named!r}: it must be one of {', '.join(get_args(Profile))}")
        return cast(Profile, named)
    # On a Kaggle machine with a GPU the reader wants the real model, even when its data is missing.
    wants_gpu = kaggle.WORKING.is_dir() and launch.gpu_count() > 0
    return "kaggle" if attached or wants_gpu else "sample"


def _weights(profile: Profile) -> str | None:
    if named := os.environ.get("DEPTHKIT_WEIGHTS"):
        return named
    if profile == "kaggle":
        return str(kaggle.find_weights() or HUB_WEIGHTS)
    return str(TINY_WEIGHTS) if TINY_WEIGHTS.is_dir() else None


def _recipe_of_environment() -> dict[str, Any]:
    """Read `DEPTHKIT_RECIPE` as fields of TrainConfig; a value is a JSON number, true, false or null, else a string."""
    changes = {}
    for part in filter(None, os.environ.get("DEPTHKIT_RECIPE", "").split(",")):
        name, _, value = part.strip().partition("=")
        if name not in TrainConfig.__dataclass_fields__ or not value:
            raise InputError(f"DEPTHKIT_RECIPE has {part!r}: it must be fields of TrainConfig, as in epochs=1,size=126")
        try:
            changes[name] = json.loads(value)
        except ValueError:
            changes[name] = value
    return changes


def _runs_root(profile: Profile) -> Path:
    if named := os.environ.get("DEPTHKIT_RUNS"):
        return Path(named)
    if profile == "kaggle" or kaggle.WORKING.is_dir():
        return kaggle.WORKING / "runs"
    return (REPOSITORY if IN_CHECKOUT else Path.cwd()) / "runs"

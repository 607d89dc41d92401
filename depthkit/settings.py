"""Where this machine's data, weights and runs are: one object, so that the same notebook cells run everywhere.

Two profiles: `kaggle` where the NYU mount is found, else `sample`, the bundled rooms and the tiny model on a CPU.
"""

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

import accelerate
from packaging.version import Version

from depthkit import sample
from depthkit.config import TrainConfig
from depthkit.files import read_json

REPOSITORY = sample.REPOSITORY
IN_CHECKOUT = (REPOSITORY / "pyproject.toml").is_file()  # else installed from a wheel, which nothing is written beside
HUB_WEIGHTS = "depth-anything/Depth-Anything-V2-Small-hf"
AUTHORS_WEIGHTS = "depth_anything_v2_vits.pth"  # the same, taken instead where it is attached: needs no internet
TINY_WEIGHTS = sample.ASSETS / "weights" / "tiny-relative"
# Where the bundled sample is laid out as h5 files.
SAMPLE_CACHE = (REPOSITORY / ".cache" if IN_CHECKOUT else Path.home() / ".cache" / "depthkit") / "sample"
KAGGLE_INPUT, KAGGLE_WORKING = Path("/kaggle/input"), Path("/kaggle/working")
MOUNTS = ("*", "datasets/*/*", "notebooks/*/*")  # what is attached lies in one of these, by the age of the machine
PROFILES = ("sample", "kaggle")


@dataclass(frozen=True)
class Settings:
    """What the notebooks need to know of the machine. `Settings.detect()` finds out; environment variables override it:
    `DEPTHKIT_PROFILE` (sample, kaggle), `DEPTHKIT_DATA` (a folder with train/ and val/ of h5 files), `DEPTHKIT_WEIGHTS`
    (Hub id, folder or .pth), `DEPTHKIT_RUNS` (where runs are written) and `DEPTHKIT_RECIPE` (fields of the recipe, such
    as `epochs=1,size=126` for a quick trial).
    """

    profile: str
    data: Path
    runs: Path
    weights: str | None
    encoder: str
    num_processes: int

    @classmethod
    def detect(cls):
        """Look at the environment, without touching CUDA: a launched process could not use it afterwards.

        Raises: ValueError for an unknown profile, or a data folder that is not there.
        """
        mount = _nyu_mount()
        profile = os.environ.get("DEPTHKIT_PROFILE") or ("kaggle" if mount else "sample")
        if profile not in PROFILES:
            raise ValueError(f"DEPTHKIT_PROFILE is {profile!r}: it must be one of {', '.join(PROFILES)}")
        weights = os.environ.get("DEPTHKIT_WEIGHTS") or None
        if profile == "kaggle":
            weights = weights or next(map(str, _attached(AUTHORS_WEIGHTS)), HUB_WEIGHTS)
        elif weights is None and TINY_WEIGHTS.is_dir():
            weights = str(TINY_WEIGHTS)
        tiny = profile == "sample" and weights in (None, str(TINY_WEIGHTS))
        return cls(
            profile=profile,
            data=_data_root(profile, mount),
            runs=_runs_root(profile),
            weights=weights,
            encoder="tiny" if tiny else "vits",
            num_processes=2 if profile == "sample" else max(1, gpu_count()),
        )

    def train_config(self, **changes) -> TrainConfig:
        """The course's recipe for this profile, with what `DEPTHKIT_RECIPE` says and, before that, with `changes`."""
        recipe = dict(data=str(self.data), weights=self.weights, encoder=self.encoder)
        if self.encoder == "tiny":
            # Measured on the bundled rooms: small images and few of them want larger steps than the paper's 5e-6, and
            # too few to train a fresh neck.
            recipe |= dict(size=168, epochs=8, batch_size=4, lr=2e-5, warmup_epochs=1.0, init="neck", workers=0)
        elif self.profile == "sample":  # the real model on a laptop: small images, few epochs
            recipe |= dict(size=252, epochs=3, batch_size=2)
        else:
            recipe |= dict(max_hours=11.0)  # a Kaggle session ends after 12
        return TrainConfig(**(recipe | _named_recipe() | changes))

    def next_run(self, name, **changes) -> TrainConfig:
        """The recipe, with `changes`, for a run of that name: one that goes on with the newest where that was stopped,
        else a new one.

        The newest may lie in an attached output of an earlier session, which is read-only: then a new folder takes it
        up. A run by another recipe is left alone, and the sample's, which take minutes, always begin anew.
        """
        config = self.train_config(output=str(self.new_run(name)), **changes)
        run = None if self.profile == "sample" else self._newest(name, "last/state.json")
        if run is None:
            return config
        state = read_json(run / "last" / "state.json")
        if state["epoch"] >= config.epochs or config.differences(state["config"]):
            return config
        if run.parent == self.runs:
            return replace(config, output=str(run), resume=True)
        return replace(config, resume=True, resume_from=str(run))

    def new_run(self, name) -> Path:
        """A folder of `runs` that no run has used yet: `<name>-001`, `<name>-002`, ..."""
        number = 1
        while (folder := self.runs / f"{name}-{number:03d}").exists():
            number += 1
        return folder

    def latest_run(self, name) -> Path:
        """The newest finished or interrupted run of that name: of `runs`, else, on Kaggle, of an attached notebook's
        output, which is read-only.

        Raises: FileNotFoundError that says which notebook makes one.
        """
        if run := self._newest(name, "history.json"):
            return run
        raise FileNotFoundError(
            f"no run {name}-* in {self.runs}: run notebook 04 first, set DEPTHKIT_RUNS, or on Kaggle attach the output "
            "of notebook 04"
        )

    def _newest(self, name, file):
        for found in (self.runs.glob(f"{name}-*/{file}"), _attached(f"runs/{name}-*/{file}")):
            runs = [path.parents[file.count("/")] for path in found]
            if runs:
                return max(runs, key=lambda run: run.name)
        return None

    def check_launch(self):
        """To be asked before `notebook_launcher`, which fails late and darkly.

        Raises: RuntimeError that says what to do, for an old accelerate, and on Kaggle without a GPU.
        """
        if Version(accelerate.__version__) < Version("1.14"):
            raise RuntimeError(
                f"accelerate {accelerate.__version__} opens the GPUs before it forks, and training can't then: it has "
                "to be 1.14 or newer. The first cell installs it from the data set depthkit-course; restart the "
                "kernel and run all cells, so that none has imported the old one before"
            )
        if self.profile == "kaggle" and gpu_count() == 0:
            raise RuntimeError(
                "there is no GPU here, and ViT-S on NYU would take weeks on a CPU: choose the accelerator GPU T4 x2 in "
                "the settings of the notebook"
            )


def launch_on_cpu():
    """Let `notebook_launcher` start real CPU processes, one thread each; else each believes that it is alone."""
    os.environ["ACCELERATE_USE_CPU"] = "true"
    os.environ["OMP_NUM_THREADS"] = "1"  # what accelerate would choose too, with a warning


def gpu_count() -> int:
    """GPUs of this machine, counted from the driver's device files and CUDA_VISIBLE_DEVICES, not through CUDA."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([name for name in visible.split(",") if name.strip() not in ("", "-1")])
    return len(list(Path("/dev").glob("nvidia[0-9]*")))


def _nyu_mount():
    """The folder of NYU Depth V2 among Kaggle's inputs, in the older and the newer mount layout; None elsewhere."""
    for found in _attached("nyudepthv2"):
        if (found / "train").is_dir() and (found / "val").is_dir():
            return found
    return None


def _attached(pattern):
    """What is attached on Kaggle and matches `pattern` within its own folder, in the older and newer layouts."""
    return [path for mount in MOUNTS for path in sorted(KAGGLE_INPUT.glob(f"{mount}/{pattern}"))]


def _named_recipe():
    """`DEPTHKIT_RECIPE` as fields of TrainConfig; each value is a JSON number, true, false or null, else a string."""
    changes = {}
    for part in filter(None, os.environ.get("DEPTHKIT_RECIPE", "").split(",")):
        name, _, value = part.strip().partition("=")
        if name not in TrainConfig.__dataclass_fields__ or not value:
            raise ValueError(f"DEPTHKIT_RECIPE has {part!r}: it must be fields of TrainConfig, as in epochs=1,size=126")
        try:
            changes[name] = json.loads(value)
        except ValueError:
            changes[name] = value
    return changes


def _runs_root(profile):
    if named := os.environ.get("DEPTHKIT_RUNS"):
        return Path(named)
    if profile == "kaggle" or KAGGLE_WORKING.is_dir():
        return KAGGLE_WORKING / "runs"
    return (REPOSITORY if IN_CHECKOUT else Path.cwd()) / "runs"


def _data_root(profile, mount):
    if named := os.environ.get("DEPTHKIT_DATA"):
        if not Path(named).is_dir():
            raise ValueError(f"DEPTHKIT_DATA is {named}, which is no folder")
        return Path(named)
    if profile == "sample":
        return sample.unpack_sample("rooms", SAMPLE_CACHE)
    if mount is None:
        raise ValueError(
            f"no NYU Depth V2 under {KAGGLE_INPUT} (looked for */nyudepthv2/train and val): attach the data set to the "
            "notebook, or name its folder in DEPTHKIT_DATA"
        )
    return mount

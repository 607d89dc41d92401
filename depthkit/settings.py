"""Where this machine's data, weights and runs are: one object, so that the same notebook cells run everywhere.

Two profiles: `kaggle` where the NYU mount is found, else `sample`, the bundled rooms and the tiny model on a CPU.
"""

import os
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from depthkit import sample
from depthkit.config import TrainConfig

REPOSITORY = sample.REPOSITORY
IN_CHECKOUT = (REPOSITORY / "pyproject.toml").is_file()  # else installed from a wheel, which nothing is written beside
HUB_WEIGHTS = "depth-anything/Depth-Anything-V2-Small-hf"
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
    (Hub id, folder or .pth) and `DEPTHKIT_RUNS` (where runs are written).
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
            weights = weights or HUB_WEIGHTS
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
        """The course's recipe for this profile, with `changes`."""
        recipe = dict(data=str(self.data), weights=self.weights, encoder=self.encoder)
        if self.encoder == "tiny":
            # Measured on the bundled rooms: small images and few of them want larger steps than the paper's 5e-6.
            recipe |= dict(
                size=168, epochs=20, batch_size=4, lr=3e-4, decoder_lr_factor=3.0, warmup_epochs=1.0, workers=0
            )
        elif self.profile == "sample":  # the real model on a laptop: small images, few epochs
            recipe |= dict(size=252, epochs=3, batch_size=2)
        else:
            recipe |= dict(max_hours=11.0)  # a Kaggle session ends after 12
        return TrainConfig(**(recipe | changes))

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
        attached = (KAGGLE_INPUT.glob(f"{mount}/runs/{name}-*/history.json") for mount in MOUNTS)
        for histories in (self.runs.glob(f"{name}-*/history.json"), chain.from_iterable(attached)):
            if found := [path.parent for path in histories]:
                return max(found, key=lambda run: run.name)
        raise FileNotFoundError(
            f"no run {name}-* in {self.runs}: run notebook 04 first, set DEPTHKIT_RUNS, or on Kaggle attach the output "
            "of notebook 04"
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
    for mount in MOUNTS:
        for found in sorted(KAGGLE_INPUT.glob(f"{mount}/nyudepthv2")):
            if (found / "train").is_dir() and (found / "val").is_dir():
                return found
    return None


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

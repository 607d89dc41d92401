"""Run the course as Kaggle would, on this machine: what `kaggle_bundle.py` uploads, in folders like Kaggle's, offline.

python tools/rehearse_kaggle.py     # executed notebooks land in build/rehearsal; see `make rehearse IMAGE=...` too

Each notebook runs through nbmake in a session of its own, with a root folder of its own: /kaggle/input holds what its
metadata attach, read-only, in the older or the newer layout, and /kaggle/working is empty. No index can be reached, and
there is no depthkit until the first cell has installed it: from the bundle, or in one session, which stands for
"internet on", from an archive of the repository. NYU lies in three ways. Notebook 04 is stopped by `max_hours` within
its first epoch, at an epoch's end and in the middle of one; each time its own output is attached and it goes on.

Small is what takes long: 48 + 8 frames of the bundled sample stand for NYU, ViT-S has random weights and sees 126
pixels, and two processes on the CPU stand for the two GPUs. It needs Linux and the right to `unshare`.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from contextlib import suppress
from importlib.metadata import distribution
from pathlib import Path
from shutil import copy

import h5py
import kaggle_bundle
import torch

from depthkit.course import sample
from depthkit.course.kaggle import AUTHORS_WEIGHTS
from depthkit.course.settings import SAMPLE_CACHE
from depthkit.data.datasets import NYUDepthV2
from depthkit.models import convert
from depthkit.models.build import build_model
from depthkit.run_folder import read_json
from depthkit.scoring.baselines import fit_one_scale_shift

REPOSITORY = Path(__file__).resolve().parent.parent
ADDRESS = re.search(r'REPOSITORY = "(.+)"', kaggle_bundle.FIRST_CELL.read_text(encoding="utf-8"))[1]
PAGES = REPOSITORY / "build" / "rehearsal"
USER, NYU, WEIGHTS = "a-reader", "some-owner/nyu-depth-dataset-v2", "some-owner/depth-anything-v2"
RECIPE = "epochs=2,size=126,batch_size=1"  # two processes: less than 24 batches an epoch, as a scene is held out
STOP = ",max_hours=1e-6"  # over when the clock is next looked at: after 20 batches, or an epoch
# Each session of 04, how it stops, and after it: finished epochs, batches of the next one.
RUNS = {"04-first": (STOP, 0, 20), "04-second": (STOP, 1, 0), "04-third": (STOP, 1, 20), "04-fourth": ("", 2, 0)}
# Where train/ and val/ lie within NYU's mount, as its owners have packed it; "nyudepthv2" in the other sessions.
LAYOUTS = {"04-first": "archive/nyudepthv2", "04-third": "", "05": ""}
NEWER = ("02", "04-second", "04-fourth", "06")  # sessions on a machine of the newer layout of /kaggle/input
FROM_REPOSITORY = "01"  # this session has no data set attached, and the internet on
# By the first cell, wherever depthkit comes from; not there before.
INSTALLED = ("accelerate", "tyro", "docstring-parser", "typeguard")
# Bytes that may lie in /kaggle/working at any time: at most two checkpoints of ViT-S (weights and two moments) and two
# models, 0.8 GB, whatever the number of epochs, and what the notebooks write. Kaggle keeps 20 GB.
DISK = 1.2e9
# A root folder that shows all of this machine's, and in place of its /kaggle the one given; arguments: the new root,
# the working folder, a Python, a command, and NAME=FOLDER for each input.
SESSION = r"""
set -e
root=$1 working=$2 python=$3 command=$4; shift 4
mount -t tmpfs none "$root"
for entry in /*; do
    if [ -L "$entry" ]; then cp -P "$entry" "$root"
    elif [ -d "$entry" ] && [ "$entry" != /kaggle ]; then mkdir "$root$entry"; mount --rbind "$entry" "$root$entry"; fi
done
mkdir -p "$root/kaggle/working"
mount --bind "$working" "$root/kaggle/working"
for input in "$@"; do
    mkdir -p "$root/kaggle/input/${input%%=*}"
    mount --bind "${input#*=}" "$root/kaggle/input/${input%%=*}"
    mount -o remount,bind,ro "$root/kaggle/input/${input%%=*}"
done
"$python" -c "import fcntl, socket, struct; fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sh22x', b'lo', 1))"
exec chroot "$root" bash -c "$command"
"""
# Run by each kernel when it starts: a process forked from it finds out from PyTorch whether it had opened CUDA before.
GUARD = """
import os, torch
KERNEL = os.getpid()
def tell():
    if os.getppid() == KERNEL and getattr(torch._C, "_cuda_isInBadFork", bool)():
        open("/kaggle/working/cuda-was-opened", "w").close()
os.register_at_fork(after_in_child=tell)
"""


class RehearsalError(RuntimeError):
    """What would have gone wrong on Kaggle."""


def rehearse(place):
    """Everything, in the folder `place`; yields what was /kaggle/working in each session.

    Raises: RehearsalError.
    """
    kernels, attachable = prepare(place)
    for folder in sorted(kernels.iterdir()):
        metadata = read_json(folder / "kernel-metadata.json")
        number, own = folder.name[:2], metadata["id"]
        if number != "04":
            yield session(place, number, folder, metadata, attachable, RECIPE)
            continue
        for name, (stop, epochs, batches) in RUNS.items():
            attachable[own] = session(place, name, folder, metadata, attachable, RECIPE + stop)
            check_run(attachable[own], epochs, batches)
            yield attachable[own]


def prepare(place):
    """The bundle's kernels, and what can be attached to them: {owner/slug: folder}."""
    (place / "wheels").mkdir()
    packed = [name for name in kaggle_bundle.CARRIED if pack_wheel(place / "wheels", name)]
    kaggle_bundle.build(place / "bundle", USER, NYU, wheels=place / "wheels")
    write_archive(place / "repository" / "archive" / "HEAD.zip")
    write_nyu(place / "nyu")
    convert.export(relative_model(place / "nyu"), place / "weights" / AUTHORS_WEIGHTS)
    link_packages(place / "packages", [name for name in INSTALLED if name in packed])
    attachable = {f"{USER}/{kaggle_bundle.DATASET}": place / "bundle" / "dataset", NYU: place / "nyu"}
    return place / "bundle" / "kernels", attachable | {WEIGHTS: place / "weights"}


def pack_wheel(folder, name):
    """Make a wheel of an installed package's files, so that nothing is downloaded; False where it is too old.

    A too old one is downloaded in the oldest release that will do, as for a bundle.
    """
    found, (wanted,) = distribution(name), kaggle_bundle.requirements([name])
    if found.version not in wanted.specifier:
        kaggle_bundle.download(folder, [wanted])
        return False
    with zipfile.ZipFile(folder / f"{name.replace('-', '_')}-{found.version}-py3-none-any.whl", "w") as wheel:
        for file in found.files:
            if ".." not in file.parts and "__pycache__" not in file.parts:
                wheel.write(file.locate(), str(file))
    return True


def write_archive(path):
    """The repository as GitHub packs it, of the files that the wheel is made of."""
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name in kaggle_bundle.IN_WHEEL:
            for file in (REPOSITORY / name, *(REPOSITORY / name).rglob("*")):
                if file.is_file() and file.suffix != ".pyc":
                    archive.write(file, Path("depthkit-main", file.relative_to(REPOSITORY)))


def write_nyu(root):
    """Frames of the sample under NYU's names, without the intrinsics that NYU's files lack: scenes of several frames
    for training, since NYU's are videos."""
    rooms = sample.unpack_sample("rooms", SAMPLE_CACHE)
    train = [file for scene in sorted((rooms / "train").iterdir()) for file in sorted(scene.glob("*.h5"))]
    train.sort(key=lambda file: not file.with_stem("00001").exists())  # those of several frames first
    test = sorted((rooms / "val").rglob("*.h5"))
    for number, file in enumerate(train[:48] + test[:8], 1):
        scene = "val/official" if file in test else f"train/room_{number // 6:04d}"  # 6 frames each: videos, in small
        path = root / scene / f"{number:05d}.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(file) as source, h5py.File(path, "w") as target:
            for name in ("rgb", "depth"):
                target[name] = source[name][()]


def relative_model(data):
    """A ViT-S that knows nothing, but for taking the near to be nearer, on the whole, as relative models do."""
    torch.manual_seed(0)
    model = build_model("vits", "relative", input_size=126).eval()
    try:
        fit_one_scale_shift(model, NYUDepthV2(data, "train"))
    except ValueError:  # the other way round
        model.head.conv3.weight.data.neg_()
    return model


def link_packages(folder, without):
    """The packages of this environment but depthkit and those named."""
    folder.mkdir()
    hidden = ("depthkit", "_depthkit", "__editable__", "__pycache__", *(name.replace("-", "_") for name in without))
    for path in Path(distribution("torch").locate_file("")).iterdir():
        if not path.name.startswith(hidden):
            (folder / path.name).symlink_to(path)


def new_environment(place, name):
    """A virtual environment that holds nothing and sees the linked packages; returns its Python."""
    folder = place / name
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "machine.pth").write_text(str(place / "packages"))
    startup = folder / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "guard.py").write_text(GUARD)
    return folder / "bin" / "python"


def session(place, name, folder, metadata, attachable, recipe):
    """Run one notebook from the start of its machine to the end; returns what was its /kaggle/working.

    Raises: RehearsalError when the notebook fails, opens CUDA before it forks, or fills the disk.
    """
    python, working, root = new_environment(place, f"machine-{name}"), place / f"working-{name}", place / f"root-{name}"
    for each in (working, root):
        each.mkdir()
    notebook = (folder / metadata["code_file"]).read_text(encoding="utf-8")
    if name == FROM_REPOSITORY:
        notebook = notebook.replace(ADDRESS, f"file://{place / 'repository'}")
        metadata["dataset_sources"] = []
    (working / metadata["code_file"]).write_text(notebook, encoding="utf-8")
    gpus = "0,1" if metadata["enable_gpu"] else ""
    environment = {"PATH": os.environ["PATH"], "HOME": str(place), "LANG": "C.UTF-8", "DEPTHKIT_RECIPE": recipe}
    environment |= {"IPYTHONDIR": str(python.parent.parent / "ipython"), "KAGGLE_KERNEL_RUN_TYPE": "Batch"}
    environment |= {"CUDA_VISIBLE_DEVICES": gpus, "ACCELERATE_USE_CPU": "true"}
    # pip has no index, but for what the internet would give it; the build backend is this environment's.
    environment |= {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1"}
    if name == FROM_REPOSITORY:
        environment |= {"PIP_FIND_LINKS": str(place / "wheels"), "PIP_NO_BUILD_ISOLATION": "0"}
    command = f"cd /kaggle/working && '{python}' -m pytest -q -p no:cacheprovider --nbmake --overwrite "
    command += f"--nbmake-timeout=1800 {metadata['code_file']}"
    arguments = [root, working, python, command, *inputs(metadata, attachable, name)]
    outer = ["unshare", "--mount", "--net", "--map-root-user", "bash", "-c", SESSION, "session", *arguments]
    started, log, most = time.monotonic(), place / f"{name}.log", 0
    with log.open("w") as output:
        process = subprocess.Popen(outer, env=environment, stdout=output, stderr=subprocess.STDOUT)
        while process.poll() is None:
            most = max(most, bytes_in(working))
            time.sleep(0.1)
    print(f"{name}: {time.monotonic() - started:.0f} s, at most {most / 1e6:.0f} MB in /kaggle/working", flush=True)
    if process.returncode:
        raise RehearsalError(f"{folder.name} failed:\n{log.read_text()[-6000:]}")
    if (working / "cuda-was-opened").exists():
        raise RehearsalError(f"{folder.name} opened CUDA before it forked: two GPUs would fail")
    executed = (working / metadata["code_file"]).read_text(encoding="utf-8")
    stopped = bool(RUNS.get(name, ("",))[0])  # then the test images have no score yet
    if "The rest of this cell is left out" in executed and not stopped:
        raise RehearsalError(f"{folder.name} could not run a cell to its end after the training")
    if most > DISK:
        raise RehearsalError(f"{folder.name} had {most / 1e9:.1f} GB in /kaggle/working")
    return working


def inputs(metadata, attachable, name):
    """NAME=FOLDER of all that is attached, as the session `name` has it; weights go to whoever trains or scores.

    A source that is not there yet is left out, as Kaggle does at the first push of 04.
    """
    sources = [(source, "datasets") for source in [*metadata["dataset_sources"], *[WEIGHTS] * metadata["enable_gpu"]]]
    sources += [(source, "notebooks") for source in metadata["kernel_sources"] if source in attachable]
    for source, group in sources:
        mount = f"{group}/{source}" if name in NEWER else Path(source).name
        inner = LAYOUTS.get(name, "nyudepthv2") if source == NYU else ""
        yield f"{mount}/{inner}={attachable[source]}"


def bytes_in(folder):
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # replaced meanwhile
                total += Path(parent, name).lstat().st_size
    return total


def check_run(working, epochs, batches):
    """The one run there has come so far, by the recipe, as ViT-S on two processes from the attached weights.

    Raises: RehearsalError.
    """
    (run,) = (path for path in (working / "runs").iterdir() if (path / "last").is_dir())
    state, config = read_json(run / "last" / "state.json"), read_json(run / "config.json")
    rows = len(read_json(run / "history.json")) if epochs else 0
    found = (run.name, rows, state["epoch"], state["batch"], state["num_processes"])
    if found != ("finetune-001", epochs, epochs, batches, 2):
        raise RehearsalError(f"the run stands elsewhere than after epoch {epochs} and {batches} batches: {found}")
    if (config["encoder"], config["size"], Path(config["weights"]).name) != ("vits", 126, AUTHORS_WEIGHTS):
        raise RehearsalError(f"another recipe was run: {config}")


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    PAGES.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="rehearsal-") as place:
        for working in rehearse(Path(place)):
            for notebook in working.glob("*.ipynb"):
                copy(notebook, PAGES / f"{working.name.removeprefix('working-')}.ipynb")
    print(f"all done in {(time.monotonic() - started) / 60:.1f} minutes; executed notebooks: {PAGES}")


if __name__ == "__main__":
    main()

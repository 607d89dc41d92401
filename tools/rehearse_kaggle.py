"""Run the course as Kaggle would, on this machine: what `kaggle_bundle.py` uploads, in folders like Kaggle's, offline.

python tools/rehearse_kaggle.py     # executed notebooks land in build/rehearsal

Each notebook runs through nbmake in a session of its own, with a root folder of its own: /kaggle/input holds what its
metadata attach, read-only, in the older or the newer layout, and /kaggle/working is empty. There is no network, and no
depthkit and no accelerate until the first cell has installed them from the bundle. Notebook 04 runs twice: once it is
stopped by `max_hours`, then it has its own output attached and goes on.

Small is what takes long: 24 + 8 frames of the bundled sample stand for NYU, ViT-S has random weights and sees 126
pixels, and two processes on the CPU stand for the two GPUs. It needs Linux and the right to `unshare`.
"""

import argparse
import os
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
from depthkit.course.settings import AUTHORS_WEIGHTS, SAMPLE_CACHE
from depthkit.data.datasets import NYUDepthV2
from depthkit.models import convert
from depthkit.models.build import build_model
from depthkit.run_folder import read_json
from depthkit.scoring.baselines import fit_one_scale_shift

REPOSITORY = Path(__file__).resolve().parent.parent
PAGES = REPOSITORY / "build" / "rehearsal"
USER, NYU, WEIGHTS = "a-reader", "some-owner/nyu-depth-dataset-v2", "some-owner/depth-anything-v2"
RECIPE = "epochs=3,size=126,batch_size=2"
STOP = ",max_hours=1e-6"  # over when the first epoch is
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
        if number == "04":
            attachable[own] = session(place, "04-first", folder, metadata, attachable, RECIPE + STOP)
            check_run(attachable[own], epochs=1)
            yield attachable[own]
            metadata["kernel_sources"] = [own]
            attachable[own] = session(place, "04-second", folder, metadata, attachable, RECIPE)
            check_run(attachable[own], epochs=3)
            yield attachable[own]
        else:
            yield session(place, number, folder, metadata, attachable, RECIPE)


def prepare(place):
    """The bundle's kernels, and what can be attached to them: {owner/slug: folder}."""
    kaggle_bundle.build(place / "bundle", USER, NYU, accelerate=pack_accelerate(place))
    write_nyu(place / "nyu" / "nyudepthv2")
    convert.export(relative_model(place / "nyu" / "nyudepthv2"), place / "weights" / AUTHORS_WEIGHTS)
    link_packages(place / "packages")
    attachable = {f"{USER}/{kaggle_bundle.DATASET}": place / "bundle" / "dataset", NYU: place / "nyu"}
    return place / "bundle" / "kernels", attachable | {WEIGHTS: place / "weights"}


def pack_accelerate(folder):
    """The wheel of the accelerate that is installed here: made of its files, so that nothing is downloaded."""
    found = distribution("accelerate")
    path = folder / f"accelerate-{found.version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for file in found.files:
            if ".." not in file.parts and "__pycache__" not in file.parts:
                wheel.write(file.locate(), str(file))
    return path


def write_nyu(root):
    """Frames of the sample under NYU's names, without the intrinsics that NYU's files lack: scenes of several frames
    for training, since NYU's are videos."""
    rooms = sample.unpack_sample("rooms", SAMPLE_CACHE)
    train = [file for scene in sorted((rooms / "train").iterdir()) for file in sorted(scene.glob("*.h5"))]
    videos = [file for file in train if file.with_stem("00001").exists()]
    test = sorted((rooms / "val").rglob("*.h5"))
    for number, file in enumerate(videos[:24] + test[:8], 1):
        scene = f"train/{file.parent.name}" if file in videos else "val/official"
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


def link_packages(folder):
    """The packages of this environment but the two that the bundle brings."""
    folder.mkdir()
    for path in Path(distribution("torch").locate_file("")).iterdir():
        if not path.name.startswith(("depthkit", "accelerate", "__editable__", "__pycache__")):
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
    copy(folder / metadata["code_file"], working)
    gpus = "0,1" if metadata["enable_gpu"] else ""
    environment = {"PATH": os.environ["PATH"], "HOME": str(place), "LANG": "C.UTF-8", "DEPTHKIT_RECIPE": recipe}
    environment |= {"IPYTHONDIR": str(python.parent.parent / "ipython"), "KAGGLE_KERNEL_RUN_TYPE": "Batch"}
    environment |= {"CUDA_VISIBLE_DEVICES": gpus, "ACCELERATE_USE_CPU": "true"}
    command = f"cd /kaggle/working && '{python}' -m pytest -q -p no:cacheprovider --nbmake --overwrite "
    command += f"--nbmake-timeout=1800 {metadata['code_file']}"
    newer = name in ("02", "04-second", "05")
    arguments = [root, working, python, command, *inputs(metadata, attachable, newer)]
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
    if most > DISK:
        raise RehearsalError(f"{folder.name} had {most / 1e9:.1f} GB in /kaggle/working")
    return working


def inputs(metadata, attachable, newer):
    """NAME=FOLDER of all that is attached, in one of Kaggle's two layouts; weights go to whoever trains or scores."""
    for source in [*metadata["dataset_sources"], *[WEIGHTS] * metadata["enable_gpu"]]:
        yield f"{f'datasets/{source}' if newer else Path(source).name}={attachable[source]}"
    for source in metadata["kernel_sources"]:
        yield f"{f'notebooks/{source}' if newer else Path(source).name}={attachable[source]}"


def bytes_in(folder):
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # replaced meanwhile
                total += Path(parent, name).lstat().st_size
    return total


def check_run(working, epochs):
    """The one run there has come so far, by the recipe, as ViT-S on two processes from the attached weights.

    Raises: RehearsalError.
    """
    (run,) = (path for path in (working / "runs").iterdir() if (path / "last").is_dir())
    state, config = read_json(run / "last" / "state.json"), read_json(run / "config.json")
    found = (run.name, len(read_json(run / "history.json")), state["epoch"], state["batch"], state["num_processes"])
    if found != ("finetune-001", epochs, epochs, 0, 2):
        raise RehearsalError(f"the run stands elsewhere than after epoch {epochs}: {found}")
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

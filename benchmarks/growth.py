"""What an image costs; how cost grows with processes, size, encoder and batch; what that would mean for 2 × T4."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.measure import alternate, cores, peak_memory
from benchmarks.networks import article_batch, count_flops, forward_task, our_model, raw_batch, their_step
from benchmarks.pipelines import stage_times
from benchmarks.reference import authors_twin
from depthkit.data.transforms import normalise
from depthkit.run_folder import read_json

SIDES = ("ours", "reference")
ENCODERS = ("tiny", "vits", "vitb")
# What the projection assumes, and did not measure.
GPUS, VCPUS = 2, 4
PEAK = 65e12  # operations a second: a T4's nominal float16 rate (NVIDIA's data sheet)
UTILISATION = (0.15, 0.4)  # share of it that training reaches
USEFUL = (0.5, 1.0)  # share of a vCPU's time, in cores like this machine's: two share a core, and training needs some
NYU_IMAGES, EPOCHS = 47_584, 10


def tables(root, quick, rates):
    """All of it as lines of Markdown, one table after another as they are measured.

    `rates` are images a second of one loader worker, {"ours", "reference"}.
    """
    size, rounds = (126, 1) if quick else (518, 3)
    steps = stage_times(root, 1 if quick else 15, size)
    yield from table(f"A training image at {size} in one process and thread, without a loader", "step", steps)
    processes = {n: {"images/s": training_rate(root, n, quick)} for n in ((1,) if quick else (1, 2))}
    at = "56², one short epoch" if quick else "168²"
    yield from table(f"Training of tiny at {at}, a global batch of 8, images/s", "processes", processes)
    sizes = (126,) if quick else (252, 378, 518)
    times = {name: forward_times(name, sizes, rounds) for name in ENCODERS[: 1 if quick else 3]}
    yield from table("Forward pass, milliseconds an image", "encoder", times)
    if not quick:
        memory = {n: {side: peak_memory(side, "step", "vits", n, size, size) for side in SIDES} for n in (1, 2, 4)}
        yield from table(f"Peak memory of the vits training step at {size}², MB", "batch", memory)
    flops = count_flops(their_step(authors_twin(our_model("vits")), article_batch(raw_batch(1, size, size))))
    yield from projection(flops, rates)


def table(title, corner, rows):
    """{row: {column: number}} in Markdown."""
    columns = list(next(iter(rows.values())))
    yield from ("", f"**{title}**", "", f"| {corner} | " + " | ".join(map(str, columns)) + " |")
    yield "|---" * (len(columns) + 1) + "|"
    for name, values in rows.items():
        yield f"| {name} | " + " | ".join(_short(values[column]) for column in columns) + " |"


def training_rate(root, processes, quick) -> float:
    """Images a second of `depthkit.train` itself, in so many processes that share the cores, in its last epoch."""
    options = dict(data=root, encoder="tiny", size=56 if quick else 168, batch_size=8 // processes, workers=0)
    options |= dict(epochs=1 if quick else 2, lr=3e-4, warmup_epochs=0.5)
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": str(max(1, cores() // processes))}
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    with tempfile.TemporaryDirectory() as folder:
        run_training(environment, launcher, output=folder, **options)
        return read_json(Path(folder, "history.json"))[-1]["images_per_second"]


def run_training(environment, launcher=(), **options) -> str:
    """What `depthkit.train` printed, with these options; `launcher` stands before it on the command line."""
    command = [sys.executable, *launcher, "-m", "depthkit", "train"]
    command += [word for name, value in options.items() for word in (f"--{name}", str(value))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def forward_times(encoder, sizes, rounds):
    """{"size²": milliseconds} of one image."""
    model = our_model(encoder)
    batches = {f"{size}²": normalise(raw_batch(1, size, size)["image"]) for size in sizes}
    seconds = alternate({name: forward_task(model, batch) for name, batch in batches.items()}, rounds)
    return {name: 1000 * median(values) for name, values in seconds.items()}


def projection(flops, rates):
    """Lines that say what is likely on Kaggle's 2 × T4. Arithmetic from the rates above, not a measurement.

    Args:
        flops: floating point operations of a training step, an image.
        rates: images a second of one loader worker, {"ours", "reference"}.
    """
    gpu = [GPUS * share * PEAK / flops for share in UTILISATION]
    rows = {}
    for side in SIDES:
        loader = [VCPUS * share * rates[side] for share in USEFUL]
        slow, fast = (min(pair) for pair in zip(gpu, loader, strict=True))
        hours = [NYU_IMAGES * EPOCHS / rate / 3600 for rate in (fast, slow)]
        rows[side] = {"loader, images/s": loader, "GPUs, images/s": gpu, "hours": hours, "limit": limit(loader, gpu)}
    yield from table("Projection, not a measurement: ViT-S on 2 × T4 with 4 vCPUs", "pipeline", rows)
    yield ""
    yield (
        f"It takes {flops / 1e12:.3f} TFLOP an image for a training step, {UTILISATION[0]:.0%} to {UTILISATION[1]:.0%} "
        f"of a nominal {PEAK / 1e12:.0f} TFLOP/s on each GPU, and one worker's rate as measured above for "
        f"{VCPUS * USEFUL[0]:.0f} to {VCPUS * USEFUL[1]:.0f} of the 4 vCPUs; hours are for {EPOCHS} epochs of "
        f"{NYU_IMAGES:,} images, training alone. No T4 was used."
    )


def limit(loader, gpu) -> str:
    """Which of two ranges of rates holds the other up."""
    if min(loader) >= max(gpu):
        return "GPUs"
    return "loader" if max(loader) <= min(gpu) else "either"


def _short(value):
    if isinstance(value, list):
        return " to ".join(_short(each) for each in value)
    return value if isinstance(value, str) else f"{value:.3g}" if value < 1000 else f"{value:.0f}"

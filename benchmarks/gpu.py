"""What a GPU makes of it: python -m benchmarks.gpu [--quick] [--write]

A training step in float16 and float32 beside the authors' code, what each encoder takes, what the loader delivers, what
might make a step faster (`gpu_variants`), `depthkit.train` itself, and the tests that need a GPU. `--write` keeps the
tables in benchmarks/gpu.md, and in gpu.md.part while it runs.
"""

import itertools
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import torch

from benchmarks import command, pipelines
from benchmarks import gpu_variants as variants
from benchmarks.command import machine_lines
from benchmarks.growth import SIDES, run_training, table
from benchmarks.measure import alternate, cores, ratio_text, speed_row
from benchmarks.networks import article_batch, forward_task, our_model, our_step, raw_batch, their_step
from benchmarks.reference import authors_twin
from depthkit.course import sample
from depthkit.course.settings import SAMPLE_CACHE
from depthkit.data.transforms import normalise
from depthkit.run_folder import read_json
from depthkit.training.config import TrainConfig

STEPS = 5  # in each round: the GPU is waited for only then


def step_task(side, encoder, batch, half):
    """STEPS training steps of "ours" or "reference" as a task."""
    model = our_model(encoder)
    if side == "ours":
        return several(our_step(model.cuda(), batch, encoder, half=half))
    return several(their_step(authors_twin(model).cuda(), article_batch(batch), half))


def several(task):
    """`task` STEPS times, until the GPU has done it."""

    def run():
        for _ in range(STEPS):
            task()
        torch.cuda.synchronize()

    return run


def both_sides(row):
    """The columns of a table for a `speed_row`."""
    return {side: row[side] for side in SIDES} | {"ratio (smallest to largest)": ratio_text(row)}


def step_rows(batch, rounds):
    """{precision: {...}}: images/s of both sides."""
    rows = {}
    for name, half in {"float16": True, "float32": False}.items():
        seconds = alternate({side: step_task(side, "vits", batch, half) for side in SIDES}, rounds)
        rows[name] = both_sides(speed_row(name, seconds, images=STEPS * len(batch["image"])))
    return rows


def encoder_rows(encoders, batch, rounds):
    """{encoder: {...}}: what training and inference of each take in float16."""
    rows = {}
    for encoder in encoders:
        rate, gib = training_cost("ours", encoder, batch, rounds)
        _, reference = training_cost("reference", encoder, batch, rounds)
        with torch.autocast("cuda", torch.float16):
            forward = several(forward_task(our_model(encoder).cuda(), normalise(batch["image"][:1])))
            milliseconds = 1000 * median(alternate({"forward": forward}, rounds)["forward"]) / STEPS
        rows[encoder] = {"training, images/s": rate, "its peak, GiB": gib, "reference's peak, GiB": reference}
        rows[encoder]["prediction, ms an image"] = milliseconds
    return rows


def training_cost(side, encoder, batch, rounds):
    """Images/s, and the most memory that was ever in use, GiB, with nothing else on the GPU."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    steps = step_task(side, encoder, batch, half=True)
    seconds = median(alternate({"steps": steps}, rounds)["steps"])
    return STEPS * len(batch["image"]) / seconds, torch.cuda.max_memory_allocated() / variants.GIB


def loader_rows(root, quick):
    """{workers: {...}}: images/s of both training pipelines."""
    size, images, rounds = (126, 16, 1) if quick else (518, 96, 3)
    counts = [n for n in ((1,) if quick else (1, 2, 4, 8)) if n <= cores()]
    return {n: both_sides(pipelines.train_row(root, n, images, rounds, size)) for n in counts}


def recipe_row(root, copies, size, count):
    """{workers: {...}}: the recipe for ViT-S on files of NYU's size, many links to the sample's few.

    Raises: RuntimeError when it fails, or does not use the GPU.
    """
    environment = {name: value for name, value in os.environ.items() if name != "ACCELERATE_USE_CPU"}
    options = dict(encoder="vits", size=size, batch_size=count, epochs=1, workers=min(8, cores()), warmup_epochs=0.5)
    with tempfile.TemporaryDirectory() as folder:
        for split, number in (("train", copies), ("val", 1)):
            for file, copy in itertools.product((root / split).rglob("*.h5"), range(number)):
                link = Path(folder, "data", split, str(copy), file.relative_to(root / split))
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(file)
        printed = run_training(environment, data=Path(folder, "data"), output=Path(folder, "run"), **options)
        if "on cuda" not in printed:
            raise RuntimeError(f"training did not use the GPU:\n{printed}")
        (row,) = read_json(Path(folder, "run", "history.json"))
    return {f"{options['workers']} workers": {"images/s": row["images_per_second"]}}


def report(quick):
    if not torch.cuda.is_available():
        sys.exit("there is no CUDA device here")
    size, rounds, count = (126, 1, 2) if quick else (518, 5, TrainConfig().batch_size)
    root = sample.unpack_sample("rooms", SAMPLE_CACHE)
    batch = {name: values.cuda() for name, values in raw_batch(count, size, size).items()}
    yield from machine_lines()
    yield f"GPU: {torch.cuda.get_device_name()}, CUDA {torch.version.cuda}  "
    yield from table(f"ViT-S training step at {size}², batch {count}, images/s", "", step_rows(batch, rounds))
    encoders = encoder_rows(("vits",) if quick else ("vits", "vitb", "vitl"), batch, rounds)
    yield from table(f"float16 at {size}², training in batches of {count}", "encoder", encoders)
    yield from table(f"Training pipeline at {size}, images/s", "workers", loader_rows(root, quick))
    encoder, steps = ("tiny", 1) if quick else ("vits", 20)
    yield from table("Variants of the training step, float16", "", variants.step_table(encoder, size, count, steps))
    counts = (1,) if quick else (4, 11, 16, 32, 64)
    yield from table("Batch and memory", "batch", variants.batch_table(encoder, size, counts, steps))
    yield from table("How a batch reaches the GPU", "", variants.copy_table(encoder, size, count, steps))
    yield from table(
        "`evaluate`", "batch", variants.evaluation_table(root, encoder, size, (1, 4, 16), 8 if quick else 96)
    )
    yield from table("Processes on one card", "processes", variants.sharing_table(encoder, size, count, steps))
    whole = recipe_row(root, 1 if quick else 20, size, count)
    yield from table(f"`depthkit.train`, ViT-S at {size}, float16, batch {count}", "", whole)
    yield from ("", f"**`make test-gpu`**: {'left out' if quick else gpu_tests()}")


def gpu_tests():
    """The last line of the tests that need a GPU."""
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "tests"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip().split("\n")[-1]


if __name__ == "__main__":
    command.run("On a GPU", "gpu.md", __doc__, report)

"""What a GPU makes of it: python -m benchmarks.gpu [--quick] [--write]

A training step in float16 and float32 beside the authors' code, what each encoder takes, what the loader delivers, and
`depthkit.train` itself. `--write` keeps the tables in benchmarks/gpu.md.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import torch
from torch.optim import AdamW

from benchmarks import pipelines
from benchmarks.growth import table
from benchmarks.measure import alternate, cores, machine, speed_row
from benchmarks.networks import article_batch, forward_task, our_model, raw_batch
from benchmarks.reference import article_loss, article_optimizer, authors_twin
from depthkit import sample
from depthkit.config import TrainConfig
from depthkit.files import read_json
from depthkit.settings import SAMPLE_CACHE
from depthkit.train import objective_loss, parameter_groups
from depthkit.transforms import normalise

RESULTS = Path(__file__).with_name("gpu.md")
STEPS = 5  # in each round: the GPU is waited for only then
GIB = 2**30


def scaled_step(loss, optimizer, half):
    """A training step as a task, in float16 with a gradient scaler or in float32, as accelerate makes it."""
    scaler = torch.amp.GradScaler(enabled=half)

    def step():
        with torch.autocast("cuda", torch.float16, enabled=half):
            value = loss()
        scaler.scale(value).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()

    return step


def our_step(encoder, batch, half):
    model, config = our_model(encoder).cuda().train(), TrainConfig(encoder=encoder)
    optimizer = AdamW(parameter_groups(model, config), weight_decay=config.weight_decay)
    loss = objective_loss(config)
    return scaled_step(lambda: loss(model, batch), optimizer, half)


def their_step(encoder, batch, half):
    model, batch = authors_twin(our_model(encoder)).cuda().train(), article_batch(batch)
    return scaled_step(lambda: article_loss(model, batch), article_optimizer(model), half)


def on_gpu(batch):
    return {name: values.cuda() for name, values in batch.items()}


def several(task):
    """`task` STEPS times, until the GPU has done it."""

    def run():
        for _ in range(STEPS):
            task()
        torch.cuda.synchronize()

    return run


def step_rows(size, count, rounds):
    """{what: {...}}: images/s of both sides, whose ratio is formed round by round."""
    rows, batch = {}, on_gpu(raw_batch(count, size, size))
    for name, half in {"float16": True, "float32": False}.items():
        tasks = {"ours": our_step("vits", batch, half), "reference": their_step("vits", batch, half)}
        row = speed_row(name, alternate({side: several(task) for side, task in tasks.items()}, rounds), images=1)
        rows[name] = {side: count * STEPS * row[side] for side in tasks}
        rows[name]["ratio (smallest to largest)"] = "{:.1f} × ({:.1f} to {:.1f})".format(*row["ratio"])
    return rows


def encoder_rows(encoders, size, count, rounds):
    """{encoder: {...}}: what training and inference of each take in float16."""
    rows, batch = {}, on_gpu(raw_batch(count, size, size))
    pixels = normalise(batch["image"][:1])
    for encoder in encoders:
        rate, gib = training_cost(our_step, encoder, batch, rounds)
        _, reference = training_cost(their_step, encoder, batch, rounds)
        with torch.autocast("cuda", torch.float16):
            forward = several(forward_task(our_model(encoder).cuda(), pixels))
            milliseconds = 1000 * median(alternate({"forward": forward}, rounds)["forward"]) / STEPS
        rows[encoder] = {"training, images/s": rate, "its peak, GiB": gib, "reference's peak, GiB": reference}
        rows[encoder]["prediction, ms an image"] = milliseconds
    return rows


def training_cost(make_step, encoder, batch, rounds):
    """Images/s, and the most memory that was ever in use, GiB, with nothing else on the GPU."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    step = several(make_step(encoder, batch, half=True))
    seconds = median(alternate({"step": step}, rounds)["step"])
    return STEPS * len(batch["image"]) / seconds, torch.cuda.max_memory_allocated() / GIB


def loader_rows(root, quick):
    """{workers: {...}}: images/s of both training pipelines."""
    size, images, rounds = (126, 16, 1) if quick else (518, 96, 3)
    rows = {}
    for workers in (1,) if quick else (1, 2, 4, 8):
        if workers <= cores():
            row = pipelines.train_row(root, workers, images, rounds, size)
            rows[workers] = {side: row[side] for side in ("ours", "reference")}
            rows[workers]["ratio (smallest to largest)"] = "{:.1f} × ({:.1f} to {:.1f})".format(*row["ratio"])
    return rows


def train(root, folder, **options):
    """The history of a run of `depthkit.train` in one process on the GPU."""
    environment = {name: value for name, value in os.environ.items() if name != "ACCELERATE_USE_CPU"}
    command = [sys.executable, "-m", "depthkit.train", "--data", str(root), "--output", str(folder)]
    command += [word for name, value in options.items() for word in (f"--{name}", str(value))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode or "on cuda" not in done.stdout:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr[-2000:]}")
    return read_json(Path(folder, "history.json"))


def recipe_row(root, copies, size, count):
    """{what: {...}}: the recipe for ViT-S on files of NYU's size, many links to the sample's few."""
    with tempfile.TemporaryDirectory() as folder:
        for split, number in (("train", copies), ("val", 1)):
            for file in sorted((root / split).rglob("*.h5")):
                for copy in range(number):
                    link = Path(folder, "data", split, f"{file.parent.name}_{copy}", file.name)
                    link.parent.mkdir(parents=True, exist_ok=True)
                    link.symlink_to(file)
        options = dict(encoder="vits", size=size, batch_size=count, epochs=1, workers=min(8, cores()))
        (row,) = train(Path(folder, "data"), Path(folder, "run"), **options, warmup_epochs=0.5)
        return {f"{options['workers']} workers": {"images/s": row["images_per_second"]}}


def report(quick):
    size, rounds, count = (126, 1, 2) if quick else (518, 5, TrainConfig().batch_size)
    root = sample.unpack_sample("rooms", SAMPLE_CACHE)
    yield from (f"{name}: {text}  " for name, text in machine().items())
    yield f"GPU: {torch.cuda.get_device_name()}, CUDA {torch.version.cuda}  "
    yield from table(f"ViT-S training step at {size}², batch {count}, images/s", "", step_rows(size, count, rounds))
    encoders = encoder_rows(("vits",) if quick else ("vits", "vitb", "vitl"), size, count, rounds)
    yield from table(f"float16 at {size}², training in batches of {count}", "encoder", encoders)
    yield from table(f"Training pipeline at {size}, images/s", "workers", loader_rows(root, quick))
    whole = recipe_row(root, 1 if quick else 20, size, count)
    yield from table(f"`depthkit.train`, ViT-S at {size}, float16, batch {count}", "", whole)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only see that it works")
    parser.add_argument("--write", action="store_true", help=f"also write {RESULTS.name}")
    options = parser.parse_args()
    if options.quick and options.write:
        parser.error("--quick measures nothing worth keeping: leave out one of the two")
    if not torch.cuda.is_available():
        parser.error("there is no CUDA device here")
    written = ["# What `python -m benchmarks.gpu --write` printed", ""]
    for line in report(options.quick):
        print(line, flush=True)
        written.append(line)
    if options.write:
        RESULTS.write_text("\n".join(written) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

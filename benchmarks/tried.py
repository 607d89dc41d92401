"""What else was tried, beside things as they are: python -m benchmarks.tried [--quick] [--write]"""

import contextlib
import copy
import ctypes
import io
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import fmean

import cv2
import numpy as np
import torch
from torch import distributed, nn
from torch.ao.quantization import quantize_dynamic
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import default_collate

from benchmarks import command
from benchmarks.command import machine_lines
from benchmarks.growth import table
from benchmarks.measure import alternate, speed_row
from benchmarks.networks import forward_task, our_model, our_step, raw_batch
from benchmarks.pipelines import BATCH
from benchmarks.reference import authors_silog
from depthkit.course import sample
from depthkit.course.settings import SAMPLE_CACHE, TINY_WEIGHTS
from depthkit.data.datasets import NYUDepthV2
from depthkit.data.loader import keep_freed_memory, train_loader
from depthkit.data.transforms import normalise
from depthkit.models.build import load_model
from depthkit.models.predict import predict_disparity
from depthkit.models.predict_files import predict_files
from depthkit.scoring.metrics import depth_metrics
from depthkit.training.config import TrainConfig
from depthkit.training.splits import open_splits

ENCODER = "vits"
AS_IT_IS = "as it is"


def step_variants(size):
    """{name: training step at batch 1} with one thing changed in each."""
    first = our_model(ENCODER).to(memory_format=torch.contiguous_format)
    compiled = our_model(ENCODER)
    compiled.compile()
    plain, searching = (DistributedDataParallel(our_model(ENCODER), find_unused_parameters=on) for on in (False, True))
    batch = raw_batch(1, size, size)
    return {
        AS_IT_IS: our_step(our_model(ENCODER), batch, ENCODER),
        "filters with the channels first": our_step(first, batch, ENCODER),
        "fused AdamW": our_step(our_model(ENCODER), batch, ENCODER, fused=True),
        "`torch.compile`": our_step(compiled, batch, ENCODER),
        "a loss that picks valid pixels by index": indexing_step(our_model(ENCODER), batch),
        "data-parallel wrapper": our_step(plain, batch, ENCODER),
        "the wrapper searching for unused parameters": our_step(searching, batch, ENCODER),
    }


def indexing_step(model, batch):
    """Our step with the authors' loss, which has to know how many pixels are valid before it goes on."""

    def loss(model, batch):
        depth_metric = model(pixel_values=normalise(batch["image"])).predicted_depth
        return authors_silog(depth_metric, batch["depth"], batch["mask"])

    return our_step(model, batch, ENCODER, loss_function=loss)


def score_variants(count, height, width):
    """{name: scoring of a batch}: all together, or image by image with `.item()` for every number."""
    maps = raw_batch(count, height, width)
    depth, mask = maps["depth"], maps["mask"]

    @torch.inference_mode()
    def together():
        return {name: values.tolist() for name, values in depth_metrics(1.1 * depth, depth, mask).items()}

    @torch.inference_mode()
    def one_by_one():
        for i in range(count):
            one = slice(i, i + 1)
            for value in depth_metrics(1.1 * depth[one], depth[one], mask[one]).values():
                value.item()

    return {AS_IT_IS: together, "image by image, with `.item()`": one_by_one}


def handing_back(task):
    """A task under the rule that glibc comes to by itself: blocks of 32 MB, and 64 MB of free heap, go back."""

    def run():
        with contextlib.suppress(AttributeError, OSError, TypeError):
            libc = ctypes.CDLL(None)
            # M_MMAP_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD
            for name, value in ((-4, 65536), (-3, 2**25), (-1, 2**26)):
                libc.mallopt(name, value)
        task()
        keep_freed_memory()

    return run


def precision_variants(height, width):
    """{name: forward pass}: float32; bfloat16 by autocast; and the encoder's matmuls in 8-bit integers."""
    model = our_model(ENCODER).eval()
    pixels = normalise(raw_batch(1, height, width)["image"])

    @torch.inference_mode()
    def half():
        with torch.autocast("cpu", torch.bfloat16):
            model(pixels)

    plain = forward_task(model, pixels)
    return {
        AS_IT_IS: plain,
        "memory handed back after use": handing_back(plain),
        "bfloat16 by autocast": half,
        "8-bit matmuls in the encoder": forward_task(eight_bit(model), pixels),
    }


def eight_bit(model):
    """A copy whose linear layers multiply 8-bit integers: weights beforehand, activations by their range."""
    return quantize_dynamic(copy.deepcopy(model), {nn.Linear}, dtype=torch.qint8)


def precision_errors(count):
    """{name: {...}}: the bundled tiny model's disparities in fewer bits, mean difference as a share of their spread."""
    dataset = NYUDepthV2(sample.unpack_sample("rooms", SAMPLE_CACHE), "val")
    model = load_model(TINY_WEIGHTS)
    images = [dataset.read(index)[0] for index in range(count)]
    exact = [predict_disparity(model, image) for image in images]

    def error(network, half=False):
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            found = [predict_disparity(network, image) for image in images]
        return 100 * fmean(float(abs(a - b).mean() / a.std()) for a, b in zip(exact, found, strict=True))

    return {"bfloat16 by autocast": {"%": error(model, True)}, "8-bit": {"%": error(eight_bit(model))}}


def thread_pass(root, size, images):
    """One epoch of the training pipeline in one thread beside the consumer, without a process or shared memory."""
    dataset, _ = open_splits(TrainConfig(data=str(root), size=size))
    dataset.files = dataset.files[:images]
    batches = list(train_loader(dataset, BATCH, 1, 0).batch_sampler)

    def run():
        with ThreadPoolExecutor(1) as pool:
            for batch in pool.map(lambda keys: default_collate([dataset[key] for key in keys]), batches):
                normalise(batch["image"])

    return run


def process_pass(root, size, images, fresh=False):
    """The same in one worker process, as `depthkit.train` has it; `fresh`: with memory of its own for each batch."""
    dataset, _ = open_splits(TrainConfig(data=str(root), size=size))
    dataset.files = dataset.files[:images]
    loader = train_loader(dataset, BATCH, 1, 0, workers=1)
    if fresh:
        loader.collate_fn = default_collate

    def run():
        for batch in loader:
            normalise(batch["image"])

    return run


def video_variants(folder, frames, height, width):
    """{name: predicting a video}: from file to file with the bundled tiny model, or its frames from memory alone."""
    rng, clip = np.random.default_rng(0), Path(folder, "clip.mp4")
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter.fourcc(*"mp4v"), 25, (width, height))
    pictures = [cv2.resize(rng.integers(0, 256, (6, 8, 3), np.uint8), (width, height)) for _ in range(frames)]
    for picture in pictures:
        writer.write(picture)
    writer.release()
    model = load_model(TINY_WEIGHTS)

    def whole():
        with contextlib.redirect_stdout(io.StringIO()):
            predict_files(TINY_WEIGHTS, [clip], Path(folder, "out"))

    return {AS_IT_IS: whole, "the network alone": lambda: [predict_disparity(model, picture) for picture in pictures]}


def lines(title, tasks, rounds):
    """A table of what each variant costs, and how fast it is beside the first."""
    seconds = alternate(tasks, rounds)
    yield from ("", f"**{title}**", "", "| | seconds | speed beside it (smallest to largest) |", "|---|---|---|")
    for name, values in seconds.items():
        row = speed_row(name, {"ours": values, "reference": seconds[AS_IT_IS]})
        yield "| {what} | {ours:.3g} | {0:.2f} × ({1:.2f} to {2:.2f}) |".format(*row["ratio"], **row)


def report(quick):
    size, rounds = (70, 1) if quick else (518, 5)
    yield from machine_lines()
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    keep_freed_memory()
    variants = step_variants(size)
    variants["memory handed back after use"] = handing_back(variants[AS_IT_IS])
    yield from lines(f"Training step of {ENCODER} at {size}², batch 1", variants, rounds)
    yield from lines(f"Forward pass of {ENCODER} at {size}²", precision_variants(size, size), rounds)
    errors = precision_errors(1 if quick else 16)
    yield from table("Mean difference of the bundled model's prediction, of its spread", "", errors)
    root, images = sample.unpack_sample("rooms", SAMPLE_CACHE), 16 if quick else 96
    passes = {AS_IT_IS: process_pass(root, size, images), "one thread": thread_pass(root, size, images)}
    passes["fresh memory for each batch"] = process_pass(root, size, images, fresh=True)
    yield from lines(f"Training pipeline at {size}, one worker, {images} images", passes, rounds)
    yield from lines("Scores of 8 maps of 480 × 640", score_variants(8, 480, 640), rounds)
    with tempfile.TemporaryDirectory() as folder:
        frames = 8 if quick else 100
        tasks = video_variants(folder, frames, 480, 640)
        yield from lines(f"A video of {frames} frames of 480 × 640, the tiny model", tasks, rounds)
    distributed.destroy_process_group()


if __name__ == "__main__":
    command.run("What else was tried", "tried.md", __doc__, report)

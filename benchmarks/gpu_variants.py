"""What might make a GPU faster, each beside things as they are; `benchmarks.gpu` writes it down.

python -m benchmarks.gpu_variants ENCODER SIZE BATCH STEPS times that many training steps in a process of its own.
"""

import subprocess
import sys
import time
from pathlib import Path

import torch

from benchmarks.networks import our_model, our_step, raw_batch
from depthkit.data.datasets import NYUDepthV2
from depthkit.models.build import build_model, checkpoint_activations
from depthkit.scoring.evaluate import evaluate

GIB = 2**30


def device():
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def finish():
    """Wait until the GPU has done its work."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def measured(make, images, steps):
    """{"images/s", "peak, GiB"} of a task that `make()` gives, after two steps of warming up; or the error in words.

    Nothing else is on the GPU meanwhile; one variant that fails leaves the others their rows.
    """
    try:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        task = make()
        task(), task(), finish()
        start = time.perf_counter()
        for _ in range(steps):
            task()
        finish()
        rate = steps * images / (time.perf_counter() - start)
    except Exception as error:  # out of memory, or a compiler that is not there: an answer as well
        return {"images/s": f"{type(error).__name__}: {str(error).splitlines()[0][:80]}", "peak, GiB": "–"}
    return {
        "images/s": rate,
        "peak, GiB": torch.cuda.max_memory_allocated() / GIB if torch.cuda.is_available() else 0.0,
    }


def step_of(encoder, batch, half=True, compile_mode=None, checkpointing=False, first=False, **optimizer_options):
    """A training step with one thing changed, on the device."""
    model = our_model(encoder).to(device())
    if first:
        model = model.to(memory_format=torch.contiguous_format)
    if checkpointing:
        checkpoint_activations(model.backbone)
    if compile_mode:
        model.compile(mode=compile_mode, dynamic=False)
    return our_step(model, batch, encoder, half=torch.cuda.is_available() and half, **optimizer_options)


def on_device(batch):
    return {name: values.to(device()) for name, values in batch.items()}


def step_table(encoder, size, count, steps):
    """{variant: {...}} of the training step."""
    batch = on_device(raw_batch(count, size, size))
    variants = {
        "as it is (float16, filters with the channels last)": {},
        "bfloat16, without a scaler": {"half": torch.bfloat16},
        "filters with the channels first": {"first": True},
        "fused AdamW": {"fused": True},
        "`torch.compile`": {"compile_mode": "default"},
        "`torch.compile` with CUDA graphs (reduce-overhead)": {"compile_mode": "reduce-overhead"},
        "the two together: graphs and fused AdamW": {"compile_mode": "reduce-overhead", "fused": True},
    }
    return {
        name: measured(lambda options=options: step_of(encoder, batch, **options), count, steps)
        for name, options in variants.items()
    }


def batch_table(encoder, size, counts, steps):
    """{batch: {...}}: rate and memory, with checkpointed activations and without."""
    rows = {}
    for count in counts:
        batch, rows[count] = on_device(raw_batch(count, size, size)), {}
        for name, on in (("", False), (", checkpointed", True)):
            found = measured(lambda b=batch, on=on: step_of(encoder, b, checkpointing=on), count, steps)
            rows[count] |= {f"{what}{name}": value for what, value in found.items()}
    return rows


def copy_table(encoder, size, count, steps):
    """{way: {...}}: how the batch reaches the GPU before each step."""
    there = on_device(raw_batch(count, size, size))
    pinned = raw_batch(count, size, size)
    if torch.cuda.is_available():
        pinned = {name: values.pin_memory() for name, values in pinned.items()}

    def copied(non_blocking):
        step = step_of(encoder, there)

        def run():
            for name, values in pinned.items():
                there[name].copy_(values, non_blocking=non_blocking)
            step()

        return run

    def ahead():
        """The next batch comes in a stream of its own while the step before still runs."""
        if not torch.cuda.is_available():
            return copied(True)
        stream, places = torch.cuda.Stream(), [there, {name: values.clone() for name, values in there.items()}]
        used = dict(there)
        step = step_of(encoder, used)

        def run():
            torch.cuda.current_stream().wait_stream(stream)
            used.update(places[0])
            step()
            places.reverse()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for name, values in pinned.items():
                    places[0][name].copy_(values, non_blocking=True)

        return run

    ways = {
        "already there": lambda: step_of(encoder, there),
        "copied, waited for": lambda: copied(False),
        "copied, not waited for": lambda: copied(True),
        "copied ahead in a stream of its own": ahead,
    }
    return {name: measured(make, count, steps) for name, make in ways.items()}


def evaluation_table(root, encoder, size, batches, images):
    """{batch: {...}}: `evaluate` in float32."""
    dataset = NYUDepthV2(root, "train")
    dataset.files = dataset.files[:images]
    model = build_model(encoder, "metric", input_size=size).to(device())
    return {n: measured(lambda n=n: lambda: evaluate(model, dataset, batch_size=n), images, 1) for n in batches}


def sharing_table(encoder, size, count, steps):
    """{processes: {...}}: images/s of all together when processes that know nothing of each other share one card."""
    command = [sys.executable, "-m", "benchmarks.gpu_variants", encoder, str(size), str(count), str(steps)]
    rows = {}
    for number in (1, 2):
        started = [
            subprocess.Popen(command, cwd=Path(__file__).parent.parent, stdout=subprocess.PIPE, text=True)
            for _ in range(number)
        ]
        rates = [process.communicate()[0].split("\n")[-2] for process in started]
        rows[number] = {"images/s": sum(map(float, rates))}
    return rows


if __name__ == "__main__":
    encoder, size, count, steps = sys.argv[1], *map(int, sys.argv[2:])
    batch = on_device(raw_batch(count, size, size))
    print(measured(lambda: step_of(encoder, batch), count, steps)["images/s"])

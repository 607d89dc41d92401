"""What else was tried on the training step, beside the step as it is: python -m benchmarks.tried [--quick] [--write]"""

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from benchmarks import command
from benchmarks.command import machine_lines
from benchmarks.measure import alternate, speed_row
from benchmarks.networks import our_model, our_step, raw_batch
from benchmarks.reference import authors_silog
from depthkit.data.transforms import normalise
from depthkit.scoring.metrics import depth_metrics

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
    yield from lines(f"Training step of {ENCODER} at {size}², batch 1", step_variants(size), rounds)
    yield from lines("Scores of 8 maps of 480 × 640", score_variants(8, 480, 640), rounds)
    distributed.destroy_process_group()


if __name__ == "__main__":
    command.run("benchmarks.tried", "tried.md", __doc__, report)

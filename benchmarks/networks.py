"""The network on both sides from the same weights: a training step, a forward pass, and how much arithmetic they do."""

from statistics import median

import torch
from torch.optim import AdamW
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measure import alternate, matmul_task, speed_row
from benchmarks.reference import article_loss, article_optimizer, authors_twin
from depthkit.data.transforms import normalise
from depthkit.models.build import build_model
from depthkit.training.config import TrainConfig
from depthkit.training.losses import objective_loss
from depthkit.training.schedule import parameter_groups


def our_model(encoder):
    torch.manual_seed(0)
    return build_model(encoder, "metric")


def raw_batch(count, height, width):
    """A batch as our loader gives it: a picture of waves, depths of 1 to 9 m, a tenth of them missing."""
    rows, columns = torch.meshgrid(torch.linspace(0, 9, height), torch.linspace(0, 12, width), indexing="ij")
    depth = (5 + 4 * rows.sin() * columns.cos()).expand(count, -1, -1).contiguous()
    image = torch.stack([depth * 28, depth.flip(-1) * 28, depth.flip(-2) * 28], 1).to(torch.uint8)
    return {"image": image, "depth": depth, "mask": torch.rand(depth.shape) > 0.1}


def article_batch(batch):
    """The same batch as the article's loader gives it: normalised, and 0 where the depth is missing."""
    return {"image": normalise(batch["image"]), "depth": torch.where(batch["mask"], batch["depth"], 0.0)}


def our_step(model, batch, encoder, loss_function=None, half=False, **optimizer_options):
    """A training step of `depthkit.train` as a task; `model` may be in a data-parallel wrapper."""
    config = TrainConfig(encoder=encoder)
    groups = parameter_groups(getattr(model.train(), "module", model), config)
    optimizer = AdamW(groups, weight_decay=config.weight_decay, **optimizer_options)
    loss_function = loss_function or objective_loss(config)
    return _step(lambda: loss_function(model, batch), optimizer, half)


def their_step(model, batch, half=False):
    """The article's training step (step 9) as a task."""
    return _step(lambda: article_loss(model, batch), article_optimizer(model.train()), half)


def _step(loss, optimizer, half):
    """In float32; or on a GPU, as accelerate does it, in float16 (`half` is True) with a scaler, or in bfloat16."""
    scaler = torch.amp.GradScaler(enabled=half is True)
    dtype = torch.float16 if half is True else torch.bfloat16

    def step():
        with torch.autocast("cuda", dtype, enabled=bool(half)):
            value = loss()
        scaler.scale(value).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()

    return step


def forward_task(model, pixels):
    model.eval()

    @torch.inference_mode()
    def forward():
        model(pixels)

    return forward


def count_flops(task) -> int:
    """Floating point operations of the matmuls and convolutions in `task`."""
    with FlopCounterMode(display=False) as counter:
        task()
    return counter.get_total_flops()


@torch.inference_mode()
def agreement_row(encoder, size):
    """Largest difference of the two outputs, from the same weights and image, for a square the encoder was made for."""
    model = our_model(encoder).eval()
    pixels = normalise(raw_batch(1, size, size)["image"])
    value = float((model(pixels).predicted_depth - authors_twin(model).eval()(pixels)).abs().max())
    what = f"{encoder} output at {size}², largest difference to the reference's"
    return {"what": what, "unit": "m", "ours": value, "target": "≤ 1e-4 m", "met": value <= 1e-4}


def step_rows(encoder, size, rounds, matmul_side):
    """The training step, and its arithmetic beside this machine's matmul rate, measured between the steps."""
    batch = raw_batch(1, size, size)
    model = our_model(encoder)
    theirs = their_step(authors_twin(model), article_batch(batch))
    matmul, matmul_flops = matmul_task(matmul_side)
    flops = count_flops(theirs)  # their attention is made of plain matmuls, which the counter knows
    tasks = {"ours": our_step(model, batch, encoder), "matmul": matmul, "reference": theirs}
    seconds = alternate(tasks, rounds)
    middle = {name: median(values) for name, values in seconds.items()}
    ceiling = matmul_flops / middle["matmul"]
    share = flops / middle["ours"] / ceiling
    rates = {side: flops / middle[side] / 1e9 for side in ("ours", "reference")}
    what = f"{encoder} step: {flops / 1e12:.3f} TFLOP at"
    return [
        speed_row(f"{encoder} training step at {size}², batch 1", seconds, 2),
        {"what": what, "unit": "GFLOP/s", **rates},
        {"what": f"{matmul_side}³ matmul", "unit": "GFLOP/s", "ours": ceiling / 1e9, "reference": ceiling / 1e9},
        {"what": "step's share of the matmul rate", "unit": "%", "ours": 100 * share}
        | {"reference": 100 * flops / middle["reference"] / ceiling, "target": "≥ 70 %", "met": share >= 0.7},
    ]


def forward_row(encoder, height, width, rounds):
    model = our_model(encoder)
    pixels = normalise(raw_batch(1, height, width)["image"])
    tasks = {"ours": forward_task(model, pixels), "reference": forward_task(authors_twin(model), pixels)}
    return speed_row(f"{encoder} forward at {height} × {width}", alternate(tasks, rounds), 2.5)

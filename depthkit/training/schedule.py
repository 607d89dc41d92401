"""Learning rates: one for the encoder, one for the decoder, both a function of the progress in epochs."""

import math

from torch import nn
from torch.optim import Optimizer

from depthkit.models.build import decoder_parameters, encoder_parameters
from depthkit.training.checkpoints import Progress
from depthkit.training.config import TrainConfig


def parameter_groups(model: nn.Module, config: TrainConfig) -> list[dict]:
    """Give encoder and decoder learning rates of their own (Yang 2024, arXiv 2406.09414: decoder 10 ×)."""
    rates = {encoder_parameters: config.lr, decoder_parameters: config.lr * config.decoder_lr_factor}
    return [{"params": parameters(model), "lr": rate, "peak_lr": rate} for parameters, rate in rates.items()]


def learning_rate_factor(config: TrainConfig, done: float, step: float) -> float:
    """Return the factor of the peak learning rates for an optimiser step of `step` epochs after `done` epochs.

    It rises linearly until `warmup_epochs`, where it is 1, then falls towards 0 at the end: as a half cosine, or as
    (1 − progress)^0.9. Counted in epochs, a run that is resumed by another number of processes, or on more data,
    follows the same curve.
    """
    # Rounded, because a sum of thirds must not be a hair less than one.
    if round(done, 9) < config.warmup_epochs:
        return min(1.0, (done + step) / config.warmup_epochs)
    progress = min(1.0, (done - config.warmup_epochs) / (config.epochs - config.warmup_epochs))
    return (1 - progress) ** 0.9 if config.schedule == "poly" else 0.5 * (1 + math.cos(math.pi * progress))


def set_learning_rates(config: TrainConfig, progress: Progress, optimizer: Optimizer) -> None:
    """Give each parameter group the rate of the optimiser step that comes next."""
    done = progress.epoch + progress.batch / progress.batches
    factor = learning_rate_factor(config, done, min(config.accumulation / progress.batches, 1.0))
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * factor

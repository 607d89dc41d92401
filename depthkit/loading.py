"""Data for training: the two splits a config names, and batches in an order that only the seed decides."""

import os
import sys

import cv2
import torch
from torch.utils.data import DataLoader, Sampler
from tqdm import tqdm

from depthkit.data import NYUDepthV2, RGBDFolder
from depthkit.mixed import MixedDisparity
from depthkit.transforms import TrainTransform


def open_splits(config):
    """The training split, augmented, and the validation split, as it is on disk.

    Raises: `depthkit.data.DataError` when a folder is missing or empty, or pairs don't match.
    """
    transform = TrainTransform(config.size, config.seed)
    if config.layout == "folder":
        return (
            RGBDFolder(config.data, config.train_split, config.depth_scale, transform),
            RGBDFolder(config.data, config.val_split, config.depth_scale),
        )
    kind = MixedDisparity if config.layout == "mixed" else NYUDepthV2
    return kind(config.data, config.train_split, transform), NYUDepthV2(config.data, config.val_split)


class EpochSampler(Sampler):
    """Yields `(epoch, index)` over a permutation of (seed, epoch); `start_at` goes to any place in any epoch.

    The pair reaches the data set, whose transform draws the augmentation from it: workers need no state of their own.
    """

    def __init__(self, length, seed):
        self.length, self.seed = length, seed
        self.start_at(0)

    def start_at(self, epoch, first=0):
        """Make the next pass that of `epoch`, without its first `first` samples."""
        self.epoch, self.first = epoch, first

    def __len__(self):
        return self.length - self.first

    def __iter__(self):
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(self.length, generator=generator).tolist()
        return iter([(self.epoch, index) for index in order[self.first :]])


def train_loader(dataset, config, num_processes):
    """Batches of one process; `accelerator.prepare` deals them out, so a step sees the same images for any split of a
    global batch over processes. The incomplete last batch is dropped.

    Raises: ValueError when the split is smaller than one global batch.
    """
    needed = config.batch_size * num_processes
    if len(dataset) < needed:
        raise ValueError(
            f"{dataset.root}: {len(dataset)} training images are fewer than one step takes "
            f"({num_processes} processes × batch_size {config.batch_size}): lower batch_size"
        )
    return DataLoader(
        dataset,
        batch_size=config.batch_size,
        sampler=EpochSampler(len(dataset), config.seed),
        num_workers=config.workers,
        worker_init_fn=one_thread,
        persistent_workers=config.workers > 0,
        pin_memory=on_gpu(),
        drop_last=True,
    )


def on_gpu() -> bool:
    """Whether training uses a GPU. Where it must not, CUDA isn't asked either: in a process forked from one that has
    opened the GPU it fails."""
    return os.environ.get("ACCELERATE_USE_CPU", "").lower() not in ("1", "true") and torch.cuda.is_available()


def one_thread(_worker=None):
    """A loader worker is one process of many: threads of its own would only fight for the cores."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def progress_bar(loader, progress, batches, config, accelerator):
    """The loader behind a text bar of one epoch (only text works in forked processes), on the main process.

    Where output is no terminal, short epochs go without, and long ones report twice a minute.
    """
    terminal = sys.stderr.isatty()
    return tqdm(
        loader,
        desc=f"epoch {progress.epoch + 1}/{config.epochs}",
        initial=progress.batch,
        total=batches,
        leave=False,
        mininterval=0.5 if terminal else 30,
        disable=not accelerator.is_main_process or (not terminal and batches < 100),
    )

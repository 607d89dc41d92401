"""Batches for training, in an order that only the seed decides."""

import contextlib
import ctypes
import os
from collections.abc import Iterator

import cv2
import torch
from torch.utils.data import DataLoader, Sampler

from depthkit.data.datasets import DepthDataset
from depthkit.errors import InputError


class EpochSampler(Sampler):
    """Yields `(epoch, index)` over a permutation of (seed, epoch); `start_at` goes to any place in any epoch.

    The pair reaches the data set, whose transform draws the augmentation from it: workers need no state of their own.
    """

    def __init__(self, length: int, seed: int):
        self.length, self.seed = length, seed
        self.start_at(0)

    def start_at(self, epoch: int, first: int = 0) -> None:
        """Make the next pass that of `epoch`, without its first `first` samples."""
        self.epoch, self.first = epoch, first

    def __len__(self) -> int:
        return self.length - self.first

    def __iter__(self) -> Iterator[tuple[int, int]]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(self.length, generator=generator).tolist()
        return iter([(self.epoch, index) for index in order[self.first :]])


def train_loader(dataset: DepthDataset, batch_size: int, num_processes: int, seed: int, workers: int = 0) -> DataLoader:
    """Batches of one process; `accelerator.prepare` deals them out, so a step sees the same images for any split of a
    global batch over processes. The incomplete last batch is dropped.

    Raises: InputError when the split is smaller than one global batch.
    """
    needed = batch_size * num_processes
    if len(dataset) < needed:
        raise InputError(
            f"{dataset.root}: {len(dataset)} training images are fewer than one step takes "
            f"({num_processes} processes × batch_size {batch_size}): lower batch_size"
        )
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=EpochSampler(len(dataset), seed),
        num_workers=workers,
        worker_init_fn=one_thread,
        persistent_workers=workers > 0,
        pin_memory=on_gpu(),
        drop_last=True,
    )


def on_gpu() -> bool:
    """Whether training uses a GPU. Where it must not, CUDA isn't asked either: in a process forked from one that has
    opened the GPU it fails."""
    return os.environ.get("ACCELERATE_USE_CPU", "").lower() not in ("1", "true") and torch.cuda.is_available()


def one_thread(_worker: int | None = None) -> None:
    """A loader worker is one process of many: threads of its own would only fight for the cores."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    keep_freed_memory()


def keep_freed_memory() -> None:
    """Make glibc keep the large blocks that this process frees, for the next image or step; elsewhere do nothing.

    By default it hands them back, and the system fetches and clears them anew, page by page, each time.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another C library, or another system
        libc = ctypes.CDLL(None)
        libc.mallopt(-4, 0)  # M_MMAP_MAX: no block is mapped on its own
        libc.mallopt(-1, -1)  # M_TRIM_THRESHOLD: the heap never shrinks

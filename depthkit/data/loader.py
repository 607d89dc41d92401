"""Batches for training, in an order that only the seed decides."""

import contextlib
import ctypes
import os
from collections.abc import Iterator
from typing import Any

import cv2
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from depthkit.data.datasets import DepthDataset, Sample
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


class SharedBatches:
    """Collate samples of equal shapes into memory that a worker shares with its consumer, and uses again and again.

    By default each batch gets fresh memory, which the system clears, and both processes map, page by page: that takes
    longer than to make the pictures. Here a batch changes when the worker makes its fifth after it, and the loader lets
    it make two ahead: a batch holds until its consumer has taken two more; one more, behind `accelerator.prepare`,
    which takes one ahead.
    """

    def __init__(self) -> None:
        self.places: list[dict[str, Tensor]] = [{} for _ in range(5)]
        self.made = 0

    def __call__(self, samples: list[Sample]) -> dict[str, Any]:
        place = self.places[self.made % len(self.places)]
        self.made += 1
        batch: dict[str, Any] = {key: [sample[key] for sample in samples] for key in samples[0]}
        for key, values in batch.items():
            if isinstance(values[0], Tensor):
                if key not in place:
                    shape = len(values), *values[0].shape
                    place[key] = torch.empty(shape, dtype=values[0].dtype).share_memory_()
                batch[key] = torch.stack(values, out=place[key])
        return batch


def train_loader(dataset: DepthDataset, batch_size: int, num_processes: int, seed: int, workers: int = 0) -> DataLoader:
    """Batches of one process; `accelerator.prepare` deals them out, so a step sees the same images for any split of a
    global batch over processes. The incomplete last batch is dropped. With workers, a batch holds until two more
    were taken (`SharedBatches`).

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
        collate_fn=SharedBatches() if workers else None,
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

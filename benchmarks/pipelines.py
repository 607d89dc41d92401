"""From h5 files to tensors that a network takes: images a second, and whether both sides show the same picture."""

import itertools
import tempfile
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import h5py
import torch
from torch.utils.data import DataLoader

from benchmarks.measure import alternate, speed_row
from benchmarks.reference import ArticleNYU, article_loader
from depthkit.data.datasets import NYUDepthV2
from depthkit.data.loader import one_thread, train_loader
from depthkit.data.transforms import IMAGENET_STD, EvalTransform, normalise
from depthkit.training.config import TrainConfig
from depthkit.training.splits import open_splits

BATCH = 8


def train_row(root, workers, images, rounds, size, files="", target=6):
    """Training pipeline up to normalised batches; ours normalises in the consumer, as training does on its device.

    `files` says what is special about those below `root`.
    """
    config = TrainConfig(data=str(root), size=size, batch_size=BATCH, workers=workers)
    dataset, _ = open_splits(config)
    dataset.files = dataset.files[:images]
    ours = train_loader(dataset, config.batch_size, 1, config.seed, config.workers)
    reference = article_loader(ArticleNYU(dataset.files, "train", size), BATCH, workers)
    epochs = itertools.count()

    def our_pass():
        ours.sampler.start_at(next(epochs))
        for batch in ours:
            normalise(batch["image"])

    with _single_threaded():
        seconds = alternate({"ours": our_pass, "reference": lambda: _exhaust(reference)}, rounds)
    row = speed_row(_name("training", workers, size) + files, seconds, target, images=len(ours) * BATCH)
    return row if files else {"workers": workers} | row


def compressed_row(root, workers, images, rounds, size):
    """`train_row` of files that are compressed by gzip, as NYU's are, level 4, in h5py's own chunks."""
    with tempfile.TemporaryDirectory() as folder:
        for split, count in (("train", images), ("val", 1)):
            for path in NYUDepthV2(root, split).files[:count]:
                copy = Path(folder, path.relative_to(root))
                copy.parent.mkdir(parents=True, exist_ok=True)
                with h5py.File(path) as source, h5py.File(copy, "w") as target:
                    for key in ("rgb", "depth"):
                        target.create_dataset(key, data=source[key][()], compression="gzip")
        return train_row(folder, workers, images, rounds, size, ", gzip files", target=None)


def eval_row(root, workers, images, rounds, size):
    """Evaluation pipeline up to one normalised image; depth stays at its own resolution on both sides."""
    dataset = NYUDepthV2(root, "train", EvalTransform(size))
    dataset.files = dataset.files[:images]
    ours = DataLoader(
        dataset, 1, num_workers=workers, collate_fn=list, worker_init_fn=one_thread, persistent_workers=True
    )
    reference = article_loader(ArticleNYU(dataset.files, "val", size), 1, workers)

    def our_pass():
        for (sample,) in ours:
            normalise(sample["image"][None])

    with _single_threaded():
        seconds = alternate({"ours": our_pass, "reference": lambda: _exhaust(reference)}, rounds)
    return speed_row(_name("evaluation", workers, size), seconds, 3, images=len(dataset))


def stage_times(root, rounds, size):
    """{step: {"ms": milliseconds per image}} of the training pipelines in one process and one thread.

    No loader stands between: what the pipelines cost beyond this is handing over.
    """
    dataset, _ = open_splits(TrainConfig(data=str(root), size=size))
    reference = ArticleNYU(dataset.files, "train", size)
    arrays = [dict(zip(("image", "depth", "mask"), dataset.read(index), strict=True)) for index in range(BATCH)]
    batch = torch.stack([dataset[index]["image"] for index in range(BATCH)])
    steps = {
        "ours: file to arrays": dataset.read,
        "ours: resize, crop, mirror, jitter": lambda index: dataset.transform(arrays[index], index),
        "ours: whole item": dataset.__getitem__,
        "reference: whole item": reference.__getitem__,
    }
    tasks = {name: lambda step=step: [step(index) for index in range(BATCH)] for name, step in steps.items()}
    with _single_threaded():
        seconds = alternate(tasks | {"ours: normalised by the consumer": lambda: normalise(batch)}, rounds)
    return {name: {"ms": 1e3 * median(times) / BATCH} for name, times in seconds.items()}


def geometry_rows(root, images, size):
    """Mean absolute differences of the pictures that both sides make of the same files, in grey levels of 255."""
    cases = {"evaluation image": resized_difference, "training crop, augmentation off": crop_difference}
    rows = []
    for what, difference in cases.items():
        value = max(difference(root, index, size) for index in range(images))
        row = {"what": f"{what}, mean difference to the reference's, worst of {images}", "unit": "/255", "ours": value}
        rows.append(row | {"target": "≤ 1/255", "met": value <= 1})
    return rows


def resized_difference(root, index, size) -> float:
    """Of the resized, normalised image of evaluation, brought back to grey levels of 255."""
    dataset = NYUDepthV2(root, "train", EvalTransform(size))
    ours = dataset[index]["image"]
    return _grey_difference(normalise(ours[None])[0], ArticleNYU(dataset.files, "val", size)[index]["image"])


def crop_difference(root, index, size) -> float:
    """Of our training crop, without colour jitter, to the same window of the reference's resized image.

    Where the window lies, and whether it is mirrored, is found by the depth, which must be equal to the last bit where
    the reference has any: where a map shrinks, ours keeps points that the reference's nearest neighbours miss.

    Raises: ValueError when no window has that depth.
    """
    dataset, _ = open_splits(TrainConfig(data=str(root), size=size))
    dataset.transform.jitter_share = 0.0
    crop = dataset[index]
    reference = ArticleNYU(dataset.files, "train", size)
    reference.augment, reference.transform.transforms = _as_it_is, reference.transform.transforms[:-1]
    whole = reference[index]
    for mirrored in (False, True):
        image, depth = (crop[key].flip(-1) if mirrored else crop[key] for key in ("image", "depth"))
        for top, left in itertools.product(*(range(side - size + 1) for side in whole["depth"].shape)):
            window = (..., slice(top, top + size), slice(left, left + size))
            measured = whole["depth"][window]
            if torch.equal(torch.where(measured > 0, depth, 0), measured):
                return _grey_difference(normalise(image[None])[0], whole["image"][window])
    raise ValueError(f"{crop['name']}: no window of the reference's depth equals our crop of it")


def _as_it_is(image, mask):
    return {"image": image, "mask": mask}


def _grey_difference(a, b):
    if a.shape != b.shape:
        raise ValueError(f"the sides differ in shape: {tuple(a.shape)} and {tuple(b.shape)}")
    return float(((a - b).abs().mean((1, 2)) * torch.tensor(IMAGENET_STD)).mean() * 255)


@contextmanager
def _single_threaded():
    """The consumer stands in for a GPU: it must not wait for the cores that the workers have."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _exhaust(loader):
    for _ in loader:
        pass


def _name(pipeline, workers, size):
    return f"{pipeline} pipeline at {size}, {workers} worker{'s' * (workers > 1)}"

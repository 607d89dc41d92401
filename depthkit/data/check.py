"""Look at a whole data set before a long run: every header, and the values of a spread of its files."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median_low
from typing import Any, NamedTuple

import numpy as np
from PIL import ExifTags, Image
from tqdm.contrib.concurrent import thread_map

from depthkit.data.datasets import DepthDataset, RGBDFolder
from depthkit.data.files import spread
from depthkit.data.readers import H5, LISTED, DataError, marker_share, read_raw_depth
from depthkit.data.units import check_units
from depthkit.masked import MIN_VALID, measured

LOOKED_INTO = 64  # files of which `check` reads the values too
MOST_H5 = 4000  # h5 headers read of a larger set: its library opens one file at a time, in however many threads
HEADER_THREADS, DECODE_THREADS = 32, 4  # headers wait for the disk; a decoded picture needs memory and a core
BAR_AFTER = 2.0  # seconds


@dataclass(frozen=True)
class Summary:
    """What `check` found in a data set; disparity has neither percentiles nor medians."""

    folder: str
    pairs: int
    sizes: dict[str, int]  # "640 × 480": files looked into whose depth map is of this size
    measured: float  # share of the pixels looked into with a depth that the mask keeps
    percentiles: dict[int, float]  # 1, 10, 50, 90 and 99 % of measured depth, metres
    medians: dict[str, float]  # of each file looked into that has depth, metres
    notes: list[str]  # what is odd but possible, one sentence each, to be shown to the user

    def __str__(self) -> str:
        sizes = ", ".join(f"{size} ({count})" for size, count in self.sizes.items())
        lines = [f"{self.pairs} pairs; of the files looked into: {sizes} pixels, {self.measured:.0%} of them measured"]
        if self.percentiles:
            depths = ", ".join(f"{share} % {value:.2f}" for share, value in self.percentiles.items())
            lines.append(f"depth in metres, by percentile: {depths}")
        return "\n  ".join([*lines, *(f"note: {note}" for note in self.notes)])


def check(
    dataset: DepthDataset,
    min_depth: float = 1e-3,
    max_depth: float | None = 10.0,
    deep: bool = False,
    progress: bool = False,
) -> Summary:
    """Look at a whole data set before a long run: read every header, and the values of a spread of 64 files.

    Of more than 4000 h5 files, the headers of a spread of 4000 are read. `deep` decodes every file. `progress` shows a
    bar after two seconds. Without a `max_depth` data that are mostly beyond 100 m are doubted. `depthkit.data.units`
    says which wrong units are seen, and which can't be told.
    Raises: DataError that names every bad file (the first 20 of them, and how many more), what was found and the
    remedy; one if masks or depth maps leave no file enough pixels; one for depths that can't be metres.
    """
    if max_depth is not None and not min_depth < max_depth < np.inf:
        raise DataError(f"max_depth must be finite, and above min_depth, {min_depth:g} m; got {max_depth:g}")
    count, folder = len(dataset), str(dataset.folder)
    is_h5 = dataset.files[0].suffix.lower() in H5
    headers = spread(count, MOST_H5 if is_h5 and not deep else count)
    bad = _each(dataset.inspect, headers, HEADER_THREADS, progress, "headers")[1]
    chosen = [index for index in spread(count, count if deep else LOOKED_INTO) if index not in bad]
    looks, unreadable = _each(lambda i: _look(dataset, i), chosen, DECODE_THREADS, progress, "depth")
    if bad := bad | unreadable:
        more = f"\n... and {len(bad) - LISTED} more" if len(bad) > LISTED else ""
        raise DataError(f"{len(bad)} bad file(s):\n" + "\n".join(bad[i] for i in sorted(bad)[:LISTED]) + more)
    notes = _note_empty(folder, looks)
    if len(headers) < count:
        notes.append(f"headers of {len(headers)} of {count} h5 files were read, evenly spread")
    if dataset.left_out:
        notes.append(f"{len(dataset.left_out)} file(s) are not used, first {dataset.left_out[0]}")
    if turned := 0 if is_h5 else sum(map(_is_turned, (dataset.files[index] for index in chosen))):
        notes.append(f"EXIF turns {turned} of the photos looked into, and so do we: see that their depth is turned too")
    if dropped := np.mean([look.dropped for look in looks]):
        notes.append(f"{dropped:.2%} of pixels hold the largest value of an integer type: taken as not measured")
    sizes, share = dict(Counter(look.size for look in looks)), float(np.mean([look.measured for look in looks]))
    if dataset.target == "disparity":
        return Summary(folder, count, sizes, share, {}, {}, notes)
    samples = {look.name: look.depth for look in looks if not look.emptied_by}
    scale = dataset.depth_scale if isinstance(dataset, RGBDFolder) else None
    notes += check_units(folder, samples, scale, min_depth, max_depth)
    depth = np.concatenate(list(samples.values()))
    percentiles = {q: float(np.percentile(depth, q)) for q in (1, 10, 50, 90, 99)}
    medians = {name: float(np.median(values)) for name, values in samples.items()}
    return Summary(folder, count, sizes, share, percentiles, medians, notes)


def compare_splits(train: Summary, val: Summary) -> None:
    """Doubt splits whose 10th, 50th and 90th percentiles of depth are all about 5, 10, 100 or 1000 times apart.

    Units do that; scenes of two kinds differ more in some percentiles than in others, and pass. Raises: DataError that
    names a typical file of each split.
    """
    if not (train.percentiles and val.percentiles):
        return
    apart = np.log([val.percentiles[q] / train.percentiles[q] for q in (10, 50, 90)])
    for factor, tolerance in ((5, 1.35), (10, 1.35), (100, 3), (1000, 3)):
        if min(abs(apart - np.log(factor)).max(), abs(apart + np.log(factor)).max()) < np.log(tolerance):
            typical = [median_low((m, name) for name, m in split.medians.items()) for split in (train, val)]
            files = " and ".join(f"{median:.3g} m in {name}" for median, name in typical)
            raise DataError(f"{train.folder} and {val.folder}: depths are {factor} times apart ({files}): two units?")


class _Look(NamedTuple):
    name: str
    size: str
    depth: np.ndarray  # a sample of what the mask keeps, (N,)
    measured: float
    dropped: float
    emptied_by: str  # "mask" or "depth map", whichever leaves fewer than MIN_VALID pixels; or ""


def _look(dataset: DepthDataset, index: int) -> _Look:
    _, depth, mask = dataset.read(index)
    has_depth = measured(depth)
    kept = depth[has_depth & mask]
    emptied_by = "" if len(kept) >= MIN_VALID else "mask" if has_depth.sum() >= MIN_VALID else "depth map"
    name, size = dataset.files[index].relative_to(dataset.root).as_posix(), f"{depth.shape[1]} × {depth.shape[0]}"
    dropped = 0.0
    if isinstance(dataset, RGBDFolder) and dataset.depth_scale and dataset.target == "depth":
        dropped = marker_share(read_raw_depth(dataset.maps[dataset.files[index]]))
    return _Look(name, size, kept[:: max(1, len(kept) // 4096)], len(kept) / depth.size, dropped, emptied_by)


def _is_turned(photo: Path) -> bool:
    with Image.open(photo) as picture:
        return picture.getexif().get(ExifTags.Base.Orientation) in range(2, 9)


def _note_empty(folder: str, looks: list[_Look]) -> list[str]:
    """Say which files have fewer than MIN_VALID pixels left, in one sentence per cause; DataError if all have."""
    notes = []
    remedies = {"mask": "white marks what counts, are they inverted?", "depth map": "0 means not measured"}
    for cause, remedy in remedies.items():
        if names := [look.name for look in looks if look.emptied_by == cause]:
            share = f"{len(names)} of {len(looks)} files looked into"
            notes.append(f"the {cause} leaves under {MIN_VALID} pixels in {share}, first {names[0]}; {remedy}")
    if all(look.emptied_by for look in looks):
        raise DataError(f"{folder}: {'; '.join(notes)}")
    return notes


def _each(
    work: Callable[[int], Any], indices: list[int], threads: int, progress: bool, what: str
) -> tuple[list, dict[int, str]]:
    """Return what `work` does for the indices, in threads, and the messages of those that raise DataError."""

    def attempt(index: int) -> Any:
        try:
            return work(index)
        except DataError as error:
            return error

    bar = {"desc": f"check {what}", "leave": False, "delay": BAR_AFTER, "disable": not progress}
    results = dict(zip(indices, thread_map(attempt, indices, max_workers=threads, **bar), strict=True))
    bad = {index: str(result) for index, result in results.items() if isinstance(result, DataError)}
    return [result for index, result in results.items() if index not in bad], bad

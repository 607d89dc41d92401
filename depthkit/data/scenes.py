"""Scenes: pictures of one place, told by their folders, which a split must not tear apart."""

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest

from depthkit.data.datasets import DepthDataset
from depthkit.data.readers import DataError


def scenes_of(names: Sequence[str]) -> list[str]:
    """Name the scene of each picture, given its path: the first folder in which the names differ.

    NYU Depth V2 has recorded some places in parts, `bookstore_0001d` and `bookstore_0001e`: a letter after four digits
    is left out. One name for all means that the folders tell nothing.
    """
    folders = zip_longest(*(name.split("/")[:-1] for name in names), fillvalue=".")
    level = next((level for level in folders if len(set(level)) > 1), ["."] * len(names))
    return [re.sub(r"(?<=_\d{4})[a-z]$", "", name) for name in level]


def choose_scenes(sizes: Counter[str], wanted: float) -> set[str]:
    """Choose scenes with about the wanted number of pictures, at least one, but never the largest.

    They are drawn by a hash of their names: the choice has no seed, and hardly changes when scenes are added.
    """
    drawn = sorted(sizes, key=lambda scene: hashlib.sha1(scene.encode()).digest())
    drawn.remove(max(drawn, key=lambda scene: sizes[scene]))
    chosen: set[str] = set()
    for scene in drawn:
        if abs(wanted - sizes[scene]) < wanted:
            chosen.add(scene)
            wanted -= sizes[scene]
    return chosen or {min(drawn, key=lambda scene: sizes[scene])}


def hold_out(dataset: DepthDataset, share: float) -> tuple[DepthDataset, DepthDataset]:
    """Split a data set by scenes: what is left of it, and about `share` (0 to 1) of its pictures, held out.

    Where scenes are few or of very different sizes, the share can only be met roughly.

    Raises: DataError where the folders don't tell at least two scenes.
    """
    scenes = scenes_of([path.relative_to(dataset.folder).as_posix() for path in dataset.files])
    if len(set(scenes)) < 2:
        raise DataError(
            f"{dataset.folder}: no scenes to hold out, all pictures lie in one folder, where neighbours look alike; "
            "give each scene a folder, or set held_out to 0 and let another split pick the epoch"
        )
    held = choose_scenes(Counter(scenes), share * len(scenes))
    left, out = ([i for i, scene in enumerate(scenes) if (scene in held) is wanted] for wanted in (False, True))
    return dataset.subset(left), dataset.subset(out)

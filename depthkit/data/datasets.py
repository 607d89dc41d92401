"""Image and depth pairs from disk: NYU Depth V2's h5 files, and a folder of one's own.

Every sample is a dict: `image` uint8 (3, H, W) RGB, `depth` float32 (H, W), metres, 0 where it was not measured, `mask`
bool (H, W), `name`, the file's path in the root, and where asked for `intrinsics` float32 (4,): fx, fy, cx, cy, pixels.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, Self

import cv2
import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from depthkit.camera import Intrinsics
from depthkit.data import files, readers
from depthkit.data.files import check_pairs, files_by_stem, find_camera, imported_scale, same_proportions, usable_files
from depthkit.data.readers import DataError
from depthkit.masked import measured

Layout = Literal["nyu", "folder", "mixed"]
Sample = dict[str, Any]
Shape = tuple[int, ...]
Arrays = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.bool_]]  # image, target and mask
Transform = Callable[[Sample, int, int], Sample]  # (sample of NumPy arrays, index, epoch) → sample


class DepthDataset(Dataset, ABC):
    """What the data sets share: indices, transforms and tensors. A subclass fills `files` and `left_out`.

    An index is a number, or a pair (epoch, number) as the training sampler gives it. `transform(sample, index, epoch)`
    gets and returns the sample as NumPy arrays, the image (H, W, 3).
    """

    target = "depth"  # what the second array of `read` is, and its key in a sample
    files: list[Path]  # one for each sample, which is named after it
    with_intrinsics = False  # whether samples hold their camera, which must be known then

    def __init__(self, root: str | Path, split: str | None, transform: Transform | None) -> None:
        self.root = Path(root)
        self.transform = transform
        self.left_out: list[str] = []  # files that are not used, each with the reason
        self.folder = self.root / split if split else self.root
        if not self.root.is_dir():
            raise DataError(f"{self.root}: no such folder; name the one that holds the data set")
        if self.folder.is_symlink() and not self.folder.exists():
            raise DataError(f"{self.folder}: a broken link to {self.folder.readlink()}; mend it or remove it")
        if not self.folder.is_dir():
            there = ", ".join(sorted(p.name for p in self.root.iterdir() if p.is_dir())) or "no folders"
            raise DataError(f"{self.folder}: no such split; {self.root} holds {there}")

    @abstractmethod
    def read(self, index: int) -> Arrays:
        """Image (H, W, 3), target and mask (h, w) of one sample, as NumPy arrays. Raises: DataError."""

    def read_depth(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Target and mask alone; without decoding the photo where files allow that. Raises: DataError."""
        return self.read(index)[1:]

    @abstractmethod
    def inspect(self, index: int) -> None:
        """Check what headers show: kinds, types, sizes and proportions. Raises: DataError."""

    def intrinsics(self, index: int) -> Intrinsics | None:
        """The camera in pixels of the photo as `read` gives it, by the .json of its stem, else by `camera.json` in the
        split or at the root, else None. Raises: DataError."""
        return find_camera(self.files[index], (self.folder, self.root), readers.picture_shape(self.files[index]))

    def known_intrinsics(self, index: int) -> Intrinsics:
        """What `intrinsics` gives. Raises: DataError where that is None."""
        if (camera := self.intrinsics(index)) is None:
            remedy = f"write {self.root / 'camera.json'} (fx, fy, cx, cy or hfov_deg), or import with --hfov"
            raise DataError(f"{self.files[index]}: its camera is unknown, and camera canonical needs it: {remedy}")
        return camera

    def subset(self, indices: Iterable[int]) -> Self:
        """The same data set with these of its samples alone; names stay the same."""
        part = copy.copy(self)
        part.files = [self.files[index] for index in indices]
        return part

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, key: int | tuple[int, int]) -> Sample:
        epoch, index = key if isinstance(key, tuple) else (0, key)
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.folder} has {len(self)} samples; there is no number {index}")
        index %= len(self)
        image, target, mask = self.read(index)
        mask = mask & measured(target)
        known = cv2.copyTo(target.astype(np.float32, copy=False), mask.view(np.uint8))  # elsewhere 0
        sample: Sample = {"image": image, self.target: known, "mask": mask}
        sample["name"] = self.files[index].relative_to(self.root).as_posix()
        if self.with_intrinsics:
            sample["intrinsics"] = self.known_intrinsics(index)
        if self.transform is not None:
            sample = self.transform(sample, index, epoch)
        if self.with_intrinsics:
            sample["intrinsics"] = torch.tensor(tuple(sample["intrinsics"]), dtype=torch.float32)
        planes = np.empty((3, *sample["image"].shape[:2]), dtype=np.uint8)
        cv2.split(sample["image"], list(planes))  # NumPy's transpose takes many times as long
        maps = {key: torch.from_numpy(np.ascontiguousarray(sample[key])) for key in (self.target, "mask")}
        return sample | {"image": torch.from_numpy(planes)} | maps


class NYUDepthV2(DepthDataset):
    """`<root>/<split>/**/*.h5`, `rgb` uint8 (3, H, W) and `depth` (H, W), metres: fastdepth's NYU (Silberman 2012)."""

    def __init__(self, root: str | Path, split: str, transform: Transform | None = None) -> None:
        super().__init__(root, split, transform)
        self.files = usable_files(self.folder, readers.H5, self.left_out)

    def read(self, index: int) -> Arrays:
        with readers.open_h5(self.files[index]) as file:
            rgb, depth = _nyu_arrays(self.files[index], file)
            image = cv2.merge(list(rgb[()]))  # planes to pixels; NumPy's transpose takes many times as long
            depth = depth[()].astype(np.float32, copy=False)
        return image, depth, np.ones(depth.shape, dtype=bool)

    def read_depth(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        with readers.open_h5(self.files[index]) as file:
            depth = _nyu_arrays(self.files[index], file)[1][()].astype(np.float32, copy=False)
        return depth, np.ones(depth.shape, dtype=bool)

    def inspect(self, index: int) -> None:
        with readers.open_h5(self.files[index]) as file:
            _nyu_arrays(self.files[index], file)

    def intrinsics(self, index: int) -> Intrinsics | None:
        """The camera in pixels: the file's attribute `intrinsics` (fx, fy, cx, cy), else as for other data sets."""
        path = self.files[index]
        with readers.open_h5(path) as file:
            rgb, _ = _nyu_arrays(path, file)
            if (values := file.attrs.get("intrinsics")) is None:
                return find_camera(path, (self.folder, self.root), rgb.shape[1:])
            if np.shape(values) != (4,):
                raise DataError(f"{path}: intrinsics of shape {np.shape(values)}; store [fx, fy, cx, cy], pixels")
            return Intrinsics(*(float(value) for value in values))


def _nyu_arrays(path: Path, file: h5py.File) -> tuple[h5py.Dataset, h5py.Dataset]:
    """The h5 data sets `rgb` and `depth`, after checking that they are what they should be."""
    for key in ("rgb", "depth"):
        if key not in file:
            raise DataError(f"{path}: no key {key!r}, only {sorted(file)}; this is not the NYU layout")
    rgb, depth = file["rgb"], file["depth"]
    if rgb.ndim != 3 or rgb.shape[0] != 3 or rgb.dtype != np.uint8:
        raise DataError(f"{path}: rgb is {rgb.dtype} {rgb.shape}; it must be uint8 (3, H, W)")
    if depth.ndim != 2 or depth.dtype.kind != "f":
        raise DataError(f"{path}: depth is {depth.dtype} {depth.shape}; it must be float (H, W), in metres")
    if rgb.shape[1:] != depth.shape:
        raise DataError(f"{path}: rgb is {rgb.shape[1:]} but depth is {depth.shape}; they must be of one size")
    return rgb, depth


class RGBDFolder(DepthDataset):
    """Photos and depth maps of one's own: `<root>[/<split>]/rgb/**` beside `depth/**` and, where wanted, `mask/**`,
    paired by name.

    Args:
        depth_scale: units a metre has in the depth files: 1000 for millimetres, 5000 for TUM, 256 for KITTI. Needed for
            files of integers, and refused for files of floats, which are metres.

    Photos and masks are pictures (`readers.PHOTOS`), depth maps files of `readers.DEPTHS`, of the photo's shape or
    another of its proportions. Masks have the depth map's shape and are bright where a pixel counts.

    Raises: DataError at once when folders don't pair up, and on access when a file can't be read.
    """

    suffixes: tuple[str, ...] = readers.DEPTHS

    def __init__(
        self,
        root: str | Path,
        split: str | None = None,
        depth_scale: float | None = None,
        transform: Transform | None = None,
    ) -> None:
        super().__init__(root, split, transform)
        if depth_scale is not None and not depth_scale > 0:
            raise DataError(f"depth_scale must be positive, units a metre; got {depth_scale}")
        self.depth_scale = depth_scale
        photos = files_by_stem(self.folder / "rgb", readers.PHOTOS, self.left_out)
        self.files = [photos[stem] for stem in sorted(photos)]
        self.maps = self._partners(photos, self.target, self.suffixes)
        self.masks = self._partners(photos, "mask", readers.PHOTOS) if (self.folder / "mask").is_dir() else {}

    def _partners(self, photos: dict[str, Path], kind: str, suffixes: tuple[str, ...]) -> dict[Path, Path]:
        """{photo: its map of that kind}."""
        partners = files_by_stem(self.folder / kind, suffixes, self.left_out)
        check_pairs(photos, partners, kind, self.left_out)
        return {photos[stem]: path for stem, path in partners.items()}

    def read(self, index: int) -> Arrays:
        photo = self.files[index]
        image, values = readers.read_image(photo), self._read_map(self.maps[photo])
        mask = readers.read_mask(self.masks[photo]) if photo in self.masks else np.ones(values.shape, dtype=bool)
        self._check_shapes(photo, image.shape, values.shape, mask.shape)
        return image, values, mask

    def _read_map(self, path: Path) -> NDArray[np.float32]:
        return readers.read_depth(path, self.depth_scale)

    def inspect(self, index: int) -> None:
        photo = self.files[index]
        image, values = readers.picture_shape(photo), readers.inspect_depth(self.maps[photo], self.depth_scale)
        mask = readers.picture_shape(self.masks[photo]) if photo in self.masks else values
        self._check_shapes(photo, image, values, mask)

    def _check_shapes(self, photo: Path, image: Shape, values: Shape, mask: Shape) -> None:
        """The mask must have the map's shape, and the map the photo's proportions. Raises: DataError."""
        if mask != values:
            size = f"{mask[1]} × {mask[0]} pixels, but its {self.target} map {values[1]} × {values[0]}"
            raise DataError(f"{self.masks[photo]}: {size}; scale the mask to that (nearest neighbour), or remove it")
        if same_proportions(image, values):
            return
        remedy = "crop one to the other's proportions"
        if same_proportions(readers.picture_shape(photo, upright=False), values):
            remedy = (
                f"EXIF turns the photo, and the {self.target} map was stored unturned; turn it as well (np.rot90), or "
                f"remove the photo's orientation (exiftool -Orientation= {photo.name})"
            )
        raise DataError(
            f"{self.maps[photo]}: {values[1]} × {values[0]} pixels can't show the same view as {photo.name}, "
            f"{image[1]} × {image[0]}: {remedy}"
        )


def open_split(
    layout: Layout, root: str | Path, split: str, depth_scale: float | None = None, transform: Transform | None = None
) -> DepthDataset:
    """One split of a data set of some layout; the unit of an imported folder is known without being given."""
    if layout == "folder":
        return RGBDFolder(root, split, imported_scale(root) if depth_scale is None else depth_scale, transform)
    if layout == "mixed":
        from depthkit.data.mixed import MixedDisparity  # which builds on this module

        return MixedDisparity(root, split, transform)
    return NYUDepthV2(root, split, transform)


def thinned(dataset: NYUDepthV2, count: int) -> NYUDepthV2:
    """At most `count` samples of `dataset`, spread evenly over them."""
    return dataset.subset(files.spread(len(dataset), count))

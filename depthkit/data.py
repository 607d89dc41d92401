"""Image and depth pairs from disk: NYU Depth V2's h5 files, and a folder of one's own.

Every sample is a dict: `image` uint8 (3, H, W) RGB, `depth` float32 (H, W) in metres with 0 where it was not measured,
`mask` bool (H, W), True where it was, and `name`, the file's path relative to the root.
"""

from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from depthkit import depth_files
from depthkit.depth_files import DataError, read_image

__all__ = ["DataError", "NYUDepthV2", "RGBDFolder", "check", "read_image", "valid_mask"]

LOOKED_INTO = 16  # samples of which `check` reads the values too
LISTED = 20  # bad files that an error names before it only counts


class DepthDataset(Dataset):
    """What the data sets share: indices, transforms and tensors. A subclass has `files`, `read` and `inspect`.

    An index is a number, or a pair (epoch, number) as the training sampler gives it. `transform(sample, index, epoch)`
    gets and returns the sample as NumPy arrays, the image (H, W, 3).
    """

    target = "depth"  # what the second array of `read` is, and its key in a sample

    def __init__(self, root, split, transform):
        self.root = Path(root)
        self.transform = transform
        self.folder = self.root / split if split else self.root
        if not self.root.is_dir():
            raise DataError(f"{self.root}: no such folder; name the one that holds the data set")
        if not self.folder.is_dir():
            there = ", ".join(sorted(p.name for p in self.root.iterdir() if p.is_dir())) or "no folders"
            raise DataError(f"{self.folder}: no such split; {self.root} holds {there}")

    def __len__(self):
        return len(self.files)

    def __getitem__(self, key):
        epoch, index = key if isinstance(key, tuple) else (0, key)
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.folder} has {len(self)} samples; there is no number {index}")
        index %= len(self)
        image, target, mask = self.read(index)
        mask = mask & np.isfinite(target) & (target > 0)
        sample = {"image": image, self.target: np.where(mask, target, 0).astype(np.float32, copy=False), "mask": mask}
        sample["name"] = self.files[index].relative_to(self.root).as_posix()
        if self.transform is not None:
            sample = self.transform(sample, index, epoch)
        return sample | {
            "image": torch.from_numpy(np.ascontiguousarray(sample["image"].transpose(2, 0, 1))),
            self.target: torch.from_numpy(np.ascontiguousarray(sample[self.target])),
            "mask": torch.from_numpy(np.ascontiguousarray(sample["mask"])),
        }


class NYUDepthV2(DepthDataset):
    """`<root>/<split>/**/*.h5` with `rgb` uint8 (3, H, W) and `depth` (H, W) in metres, as fastdepth distributes NYU
    Depth V2 (Silberman 2012).

    Raises: DataError at once when a folder is missing or holds no h5 file, and on access when a file can't be read.
    """

    def __init__(self, root, split, transform=None):
        super().__init__(root, split, transform)
        self.files = sorted(self.folder.rglob("*.h5"))
        if not self.files:
            raise DataError(f"{self.folder}: no .h5 files in it or below; is it the right folder?")

    def read(self, index):
        """Image (H, W, 3), depth and mask (H, W) of one file, as NumPy arrays."""
        with depth_files.open_h5(self.files[index]) as file:
            rgb, depth = _nyu_arrays(self.files[index], file)
            image = cv2.merge(list(rgb[()]))  # planes to pixels; NumPy's transpose takes many times as long
            depth = depth[()].astype(np.float32, copy=False)
        return image, depth, np.ones(depth.shape, dtype=bool)

    def inspect(self, index):
        """Check what can be checked without reading pixels. Raises DataError."""
        with depth_files.open_h5(self.files[index]) as file:
            _nyu_arrays(self.files[index], file)

    def intrinsics(self, index):
        """(fx, fy, cx, cy) in pixels, if the file has them as its attribute `intrinsics`; else None."""
        with depth_files.open_h5(self.files[index]) as file:
            values = file.attrs.get("intrinsics")
        return None if values is None else tuple(float(value) for value in values)


class RGBDFolder(DepthDataset):
    """Photos and depth maps of one's own: `<root>[/<split>]/rgb/**` beside `depth/**` and, where wanted, `mask/**`,
    paired by name.

    Args:
        root, split: folders.
        depth_scale: units a metre has in the depth files: 1000 for millimetres, 5000 for TUM, 256 for KITTI. Needed for
            integer files (PNG, .npy); floats are taken as metres without it.
        transform: as for `DepthDataset`.

    Photos are JPEG or PNG; depth maps 16-bit PNG, .npy, .exr, or .h5 with the key `depth`, of the photo's shape or
    another of its proportions; masks are 8-bit pictures of the depth map's shape, 0 where a pixel does not count.

    Raises: DataError at once when folders are missing, empty, or don't pair up, and on access when a file can't be
    read.
    """

    def __init__(self, root, split=None, depth_scale=None, transform=None):
        super().__init__(root, split, transform)
        if depth_scale is not None and not depth_scale > 0:
            raise DataError(f"depth_scale must be positive, units a metre; got {depth_scale}")
        self.depth_scale = depth_scale
        photos = by_stem(self.folder / "rgb", depth_files.PHOTOS)
        depths = by_stem(self.folder / "depth", depth_files.DEPTHS)
        masks = by_stem(self.folder / "mask", depth_files.PHOTOS) if (self.folder / "mask").is_dir() else {}
        check_pairs({"photo": photos, "depth": depths})
        if masks and (lonely := sorted(photos.keys() - masks)):
            raise DataError(f"{self.folder / 'mask'}: {len(lonely)} photo(s) have no mask, first {photos[lonely[0]]}")
        self.stems = sorted(photos)
        self.files = [photos[stem] for stem in self.stems]
        self.depths = [depths[stem] for stem in self.stems]
        self.masks = [masks.get(stem) for stem in self.stems]

    def read(self, index):
        """Image (H, W, 3), depth and mask (h, w) of one pair, as NumPy arrays."""
        image = read_image(self.files[index])
        depth = depth_files.read_depth(self.depths[index], self.depth_scale)
        mask = np.ones(depth.shape, dtype=bool)
        if self.masks[index] is not None:
            mask = depth_files.read_mask(self.masks[index])
            if mask.shape != depth.shape:
                raise DataError(f"{self.masks[index]}: shape {mask.shape}, but its depth map has {depth.shape}")
        height, width = image.shape[:2]
        if abs(depth.shape[1] / depth.shape[0] * height / width - 1) > 0.02:
            raise DataError(
                f"{self.depths[index]}: {depth.shape[1]} × {depth.shape[0]} pixels can't show the same view as "
                f"{self.files[index].name}, {width} × {height}: crop one to the other's proportions"
            )
        return image, depth, mask

    def inspect(self, index):
        """Check what can be checked without decoding pixels. Raises DataError."""
        depth_files.inspect_photo(self.files[index])
        depth_files.inspect_depth(self.depths[index], self.depth_scale)


def valid_mask(depth, min_depth, max_depth):
    """Where `depth` (metres, array or tensor) is finite and within the closed range; bool of the same shape."""
    return (depth >= min_depth) & (depth <= max_depth)  # false for NaN


def check(dataset, min_depth=1e-3, max_depth=10.0):
    """Look at a whole data set before a long run: open every file, and read a spread of samples for their values.

    Raises: DataError that names every bad file (the first 20 of them, and how many more), what was found and the
    remedy; and one for depths that can't be metres.
    """
    spread = set(np.linspace(0, len(dataset) - 1, min(LOOKED_INTO, len(dataset))).astype(int).tolist())
    problems, depths = [], []
    for index in range(len(dataset)):
        try:
            dataset.inspect(index)
            if index in spread:
                depths.append(_positive(dataset.read(index)[1]))
        except DataError as error:
            problems.append(str(error))
    if problems:
        more = f"\n... and {len(problems) - LISTED} more" if len(problems) > LISTED else ""
        raise DataError(f"{len(problems)} bad file(s):\n" + "\n".join(problems[:LISTED]) + more)
    if dataset.target == "depth":
        _check_range(dataset, depths, min_depth, max_depth)


def _check_range(dataset, depths, min_depth, max_depth):
    """Depths in other units than metres are far outside of the range, in all files alike."""
    if not sum(len(depth) for depth in depths):
        raise DataError(f"{dataset.folder}: not one measured depth in the {len(depths)} samples looked into")
    everything = np.concatenate(depths)
    typical = float(np.median([np.median(depth) for depth in depths if len(depth)]))
    share = float(valid_mask(everything, min_depth, max_depth).mean())
    if min_depth <= typical <= max_depth and share >= 0.01:
        return
    hint = f"min_depth={min_depth:g} and max_depth={max_depth:g} may not fit this data"
    if typical > 200:
        hint = f"that looks like millimetres: pass depth_scale={(getattr(dataset, 'depth_scale', None) or 1) * 1000:g}"
    raise DataError(
        f"{dataset.folder}: depths are typically {typical:.4g} m, and {share:.0%} of them lie in {min_depth:g} to "
        f"{max_depth:g} m; {hint}"
    )


def _positive(depth):
    return depth[np.isfinite(depth) & (depth > 0)]


def _nyu_arrays(path, file):
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


def check_pairs(kinds):
    """Both of two kinds of file, {kind: {stem: path}}, must have the same stems."""
    (first, ours), (second, theirs) = kinds.items()
    for kind, there, others in ((second, ours, theirs), (first, theirs, ours)):
        if lonely := sorted(there.keys() - others):
            names = ", ".join(str(there[stem]) for stem in lonely[:LISTED])
            raise DataError(f"{len(lonely)} file(s) without a {kind} of the same name: {names}")


def by_stem(folder, suffixes, layout="rgb/ and depth/"):
    """{path without suffix, relative to `folder`: path} of the files of these kinds."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; expected {layout} in {folder.parent}")
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")):
        if path.suffix.lower() not in suffixes:
            raise DataError(f"{path}: {path.suffix or 'no suffix'} is not one of {', '.join(suffixes)}; move it away")
        stem = path.relative_to(folder).with_suffix("").as_posix()
        if stem in found:
            raise DataError(f"{path} and {found[stem].name} have the same name: which of them counts?")
        found[stem] = path
    if not found:
        raise DataError(f"{folder}: empty; put files of {', '.join(suffixes)} into it")
    return found


cv2.setNumThreads(0)  # loader workers are processes; and a pool of threads does not survive a fork

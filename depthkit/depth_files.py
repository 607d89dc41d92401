"""Reading one photo, depth map or mask of a kind that people have, with errors that say what to do."""

from contextlib import contextmanager

import h5py
import numpy as np
from PIL import Image

PHOTOS = (".jpg", ".jpeg", ".png")
DEPTHS = (".png", ".npy", ".h5", ".exr")


class DataError(ValueError):
    """Data that can't be used: the message names the file, what was found, and the remedy."""


def read_image(path):
    """A photo as uint8 (H, W, 3) RGB. Raises DataError for a file that is no picture, or not all of one."""
    return _decode(path, "RGB")


def inspect_photo(path):
    """Check a photo's header. Raises DataError."""
    with _picture(path):
        pass


def read_depth(path, depth_scale=None):
    """A depth map as float32 (H, W), metres; `depth_scale` is the number of units a metre has in the file."""
    raw = _READERS[path.suffix.lower()](path)
    _check_array(path, raw.dtype, raw.shape, depth_scale)
    return raw.astype(np.float32) / np.float32(depth_scale or 1)


def read_mask(path):
    """An 8-bit mask picture as bool (H, W): True where it is not 0."""
    mask = _decode(path)
    if mask.dtype not in (np.uint8, bool):
        raise DataError(f"{path}: a mask must be an 8-bit picture, this is {mask.dtype}; save it as one")
    return mask > 0 if mask.ndim == 2 else (mask[..., :3] > 0).any(-1)


def inspect_depth(path, depth_scale=None):
    """Check kind and shape of a depth map, from its header where the format has one. Raises DataError."""
    if path.suffix.lower() == ".h5":
        with open_h5(path) as file:
            depth = _h5_depth(path, file)
            _check_array(path, depth.dtype, depth.shape, depth_scale)
    elif path.suffix.lower() == ".npy":
        array = _read_npy(path, mmap_mode="r")
        _check_array(path, array.dtype, array.shape, depth_scale)
    elif path.suffix.lower() == ".png":
        with _picture(path) as picture:
            kind = np.dtype(np.uint16 if picture.mode.startswith("I") else np.uint8)
        _check_array(path, kind, picture.size[::-1], depth_scale)
    else:
        _read_exr(path)


@contextmanager
def _named(path, kind):
    """Whatever goes wrong inside becomes a DataError that names the file: from damaged bytes, the libraries raise
    errors of a dozen types."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{path}: can't be read as {kind} ({error}); copy it again or remove it") from error


@contextmanager
def _picture(path):
    with _named(path, "a picture"), Image.open(path) as picture:
        yield picture


def _decode(path, mode=None):
    """Pixels of a picture. PIL decodes to the end and says when there is none; cv2 fills the rest with grey."""
    with _picture(path) as picture:
        return np.array(picture.convert(mode) if mode else picture)


@contextmanager
def open_h5(path):
    """An open h5 file; a truncated, damaged or foreign one raises DataError."""
    with _named(path, "h5"), h5py.File(path, "r") as file:
        yield file


def _check_array(path, dtype, shape, depth_scale):
    if len(shape) != 2:
        raise DataError(f"{path}: shape {shape}; a depth map is (H, W), one value a pixel")
    if dtype == np.uint8:
        raise DataError(f"{path}: 8-bit; that is a picture of depth, not depth: save 16-bit PNG, .npy or .h5")
    if dtype.kind not in "fui":
        raise DataError(f"{path}: values of type {dtype}; depth is float metres, or integers with a depth_scale")
    if dtype.kind in "ui" and depth_scale is None:
        raise DataError(
            f"{path}: integer depth ({dtype}) without a unit; pass depth_scale, the units a metre has: 1000 for "
            "millimetres, 5000 for TUM, 256 for KITTI"
        )


def _read_png(path):
    return _decode(path)


def _read_npy(path, mmap_mode=None):
    with _named(path, ".npy"):
        array = np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
    if not isinstance(array, np.ndarray):
        raise DataError(f"{path}: an archive (.npz) under the name of one array; save the depth map alone")
    return array


def _h5_depth(path, file):
    if "depth" not in file:
        raise DataError(f"{path}: no key 'depth', only {sorted(file)}; store the depth map under that name")
    return file["depth"]


def _read_h5(path):
    with open_h5(path) as file:
        return _h5_depth(path, file)[()]


def _read_exr(path):
    try:
        import OpenEXR
    except ImportError as error:
        raise DataError(f"{path}: .exr files need the OpenEXR package: pip install OpenEXR") from error
    with _named(path, "EXR"), OpenEXR.File(str(path), separate_channels=True) as exr:
        channels = {name: channel.pixels for name, channel in exr.channels().items()}
    for name in ("Z", "Y", "R", "V"):
        if name in channels:
            return np.asarray(channels[name])
    raise DataError(f"{path}: no channel Z, Y, R or V, only {sorted(channels)}; store depth as Z")


_READERS = {".png": _read_png, ".npy": _read_npy, ".h5": _read_h5, ".exr": _read_exr}

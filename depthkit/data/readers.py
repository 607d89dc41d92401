"""Reading one photo, depth map or mask of a kind that people have, with errors that say what to do."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image
from PIL.Image import Transpose

from depthkit.data.file_errors import MAGICK, DataError, named_errors

PHOTOS = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
H5 = (".h5", ".hdf5")
DEPTHS = (".png", ".tif", ".tiff", ".pgm", ".pfm", ".npy", ".npz", ".exr", *H5)
LISTED = 20  # files that one error names before it only counts

_NAMES = "FLIP_LEFT_RIGHT ROTATE_180 FLIP_TOP_BOTTOM TRANSPOSE ROTATE_270 TRANSVERSE ROTATE_90"
_TURNS = {i: Transpose[name] for i, name in enumerate(_NAMES.split(), 2)}  # what makes a picture upright, by EXIF
_PNG_COLOURS = {0: "grey", 2: "colour", 3: "palette", 4: "grey-and-alpha", 6: "colour-and-alpha"}


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read a photo as uint8 (H, W, 3) RGB, upright as its EXIF orientation says; 16-bit grey is scaled to 8 bits.

    Raises: DataError for a file that is no picture, not all of one, or one of a kind that is not read.
    """
    with _picture(path) as picture:
        pixels = _pixels(path, picture, "RGB")
    if pixels.dtype == np.uint8:
        return pixels
    grey = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)  # 65535 becomes 255
    return np.repeat(grey[..., None], 3, axis=2)


def read_mask(path: Path) -> NDArray[np.bool_]:
    """Read a mask picture as bool (H, W), upright: True where its luminance is above half of the range.

    Where a picture has transparent pixels, alpha is the mask (a cut-out). A lossless picture of 0 and 1 counts as one
    of 0 and 255. Raises: DataError for no picture, an opaque colour cut-out, or one too dark for any pixel to count.
    """
    with _picture(path) as picture:
        lossless = picture.format != "JPEG"
        pixels = _pixels(path, picture, "RGBA" if picture.has_transparency_data else "L")
    if pixels.ndim == 3:
        colours, pixels = pixels[..., :3], pixels[..., 3]
        if pixels.min() == 255:
            if (colours != colours[..., :1]).any():
                raise DataError(f"{path}: colours without a transparent pixel are no mask; save 0 and 255 in grey")
            pixels = colours[..., 0]
    largest, half = int(pixels.max()), np.iinfo(pixels.dtype).max // 2
    if lossless and 1 < largest <= half:
        raise DataError(f"{path}: its brightest pixel is {largest}, so that none counts; save 0 and 255 in grey")
    return pixels == 1 if lossless and largest == 1 else pixels > half


def picture_shape(path: Path, upright: bool = True) -> tuple[int, int]:
    """Read height and width of a photo or mask from its header, upright or as stored. Raises: DataError."""
    with _picture(path) as picture:
        width, height = picture.size
        return (width, height) if upright and _orientation(picture) > 4 else (height, width)


def read_depth(path: Path, depth_scale: float | None = None) -> NDArray[np.float32]:
    """Read a depth map as float32 (H, W), metres; an integer type's largest value means "no depth" and becomes 0.

    `depth_scale` is the number of units a metre has in an integer file; float files are in metres and refuse it.
    Raises: DataError for a damaged file, a kind that is not read, integers without a unit, floats with one.
    """
    raw = read_raw_depth(path)
    _check_type(path, raw.dtype, depth_scale)
    metres = raw.astype(np.float32) / np.float32(depth_scale or 1)
    if raw.dtype.kind in "ui":
        metres[raw == np.iinfo(raw.dtype).max] = 0
    return metres


def read_raw_depth(path: Path) -> np.ndarray:
    """Read the values of a depth file as stored, (H, W), of the file's own type and unit. Raises: DataError."""
    values = _READERS[path.suffix.lower()](path)
    return values.reshape(_plane(path, values.shape))


def marker_share(raw: np.ndarray) -> float:
    """Return the share of stored values that are their integer type's largest: never a depth. 0 for floats."""
    return float((raw == np.iinfo(raw.dtype).max).mean()) if raw.dtype.kind in "ui" else 0.0


def inspect_depth(path: Path, depth_scale: float | None = None) -> tuple[int, int]:
    """Read height and width of a depth map, from its header alone but for .npz and .exr. Raises: as `read_depth`."""
    suffix = path.suffix.lower()
    if suffix in H5:
        with open_h5(path) as file:
            shape, dtype = (stored := _h5_depth(path, file)).shape, stored.dtype
    elif suffix in PHOTOS or suffix in (".pgm", ".pfm"):
        with _picture(path) as picture:
            dtype = _depth_type(path, picture)
        shape = picture_shape(path)
    else:
        values = _read_numpy(path, "r") if suffix == ".npy" else _READERS[suffix](path)
        shape, dtype = values.shape, values.dtype
    _check_type(path, dtype, depth_scale)
    return _plane(path, shape)


@contextmanager
def open_h5(path: Path) -> Iterator[h5py.File]:
    """Open an h5 file; a truncated, damaged or foreign one raises DataError."""
    with named_errors(path, "h5"), h5py.File(path, "r") as file:
        yield file


@contextmanager
def _picture(path: Path) -> Iterator[Image.Image]:
    # From an open file: given a path, PIL maps raw TIFFs into memory, and then mixes up the sides of a turned one.
    with named_errors(path, "a picture"), path.open("rb") as file, Image.open(file) as picture:
        yield picture


def _orientation(picture: Image.Image) -> int:
    """Read the EXIF orientation, 1 to 8; 1 (upright) without one, if damaged, and for a TIFF: PIL turns that itself."""
    if picture.format == "TIFF":
        return 1
    try:
        value = picture.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # of many types, from damaged bytes that no pixel depends on
        return 1
    return value if value in _TURNS else 1


def _upright(picture: Image.Image) -> Image.Image:
    return picture if _orientation(picture) == 1 else picture.transpose(_TURNS[_orientation(picture)])


def _pixels(path: Path, picture: Image.Image, mode: str) -> Any:
    """Decode a whole, upright picture: uint8, converted to `mode`, or uint16 (H, W) for 16-bit grey."""
    # PIL decodes to the end and says when there is none; cv2 fills the rest with grey.
    upright, name = _upright(picture), f"a {picture.format} of PIL's mode {picture.mode}"
    if upright.mode.startswith("I;16"):
        return np.array(upright, dtype=np.uint16)
    if "transparency" in upright.info:
        upright = upright.convert("RGBA")
    if upright.mode in ("I", "F", "LAB", "HSV", "RGBa", "La"):
        raise DataError(f"{path}: {name}, not 8-bit RGB or grey; {MAGICK.format(name=path.name, stem='PNG8')}")
    return np.array(upright.convert(mode))


def _depth_type(path: Path, picture: Any) -> np.dtype:
    """Find the type of the values of a depth picture from its header. Raises: DataError for what is not depth."""
    bits, name = 8, f"{picture.mode} {picture.format}"
    if picture.format == "PNG":
        with path.open("rb") as file:
            bits, colour = file.read(26)[24:]
        name = f"{_PNG_COLOURS.get(colour, 'odd')} PNG"
        if (bits, colour) == (16, 0):
            return np.dtype(np.uint16)
    elif picture.format == "PPM" and picture.mode in ("I", "F"):
        return np.dtype(np.uint16 if picture.mode == "I" else np.float32)
    elif picture.format == "TIFF":
        bits, sample = picture.tag_v2.get(258, (1,))[0], picture.tag_v2.get(339, (1,))[0]
        if picture.mode in ("I", "I;16", "I;16B", "F"):
            return np.dtype({1: "u", 2: "i", 3: "f"}[sample] + str(bits // 8))
    remedy = f'keep one channel: cv2.imwrite("{path.name}", cv2.imread("{path.name}", -1)[..., 0])'
    if bits == 8:
        remedy = "export it again as 16-bit PNG, .npy or .h5: 8 bits hold a picture of depth, not depth"
    raise DataError(f"{path}: {bits}-bit {name}, not one channel of 16 bits or more; {remedy}")


def _plane(path: Path, shape: tuple[int, ...]) -> tuple[int, int]:
    """Return height and width of a map of shape (H, W), (H, W, 1) or (1, H, W)."""
    sides = shape
    if len(shape) == 3 and 1 in (shape[0], shape[2]):
        sides = shape[1:] if shape[0] == 1 else shape[:2]
    if len(sides) != 2 or 0 in sides:
        raise DataError(f"{path}: shape {shape}; a depth map is (H, W), one value for each pixel: save one channel")
    return sides[0], sides[1]


def _check_type(path: Path, dtype: np.dtype, depth_scale: float | None) -> None:
    if dtype.kind not in "fui":
        raise DataError(f"{path}: values of type {dtype}; depth is float metres, or integers with a depth_scale")
    if dtype.itemsize == 1:
        raise DataError(f"{path}: 8-bit; that is a picture of depth, not depth: save 16-bit PNG, .npy or .h5")
    if dtype.kind == "f" and depth_scale is not None:
        given = f"depth_scale={depth_scale:g} is given"
        raise DataError(f"{path}: floats ({dtype}) are metres, but {given}; leave it out, or save this file in metres")
    if dtype.kind in "ui" and depth_scale is None:
        units = "the units a metre has: 1000 for millimetres, 5000 for TUM, 256 for KITTI"
        raise DataError(f"{path}: integer depth ({dtype}) without a unit; pass depth_scale, {units}")


def _read_picture(path: Path) -> np.ndarray:
    with _picture(path) as picture:
        dtype, format = _depth_type(path, picture), picture.format
        values = np.array(_upright(picture))
    if format == "PPM" and dtype == np.uint16:  # PIL stretches a PGM's values to 65535
        with path.open("rb") as file:
            largest = int(re.sub(rb"#.*", b"", file.read(1000)).split()[3])
        values = np.rint(values * (largest / 65535))
    return values.astype(dtype, copy=False)


def _read_numpy(path: Path, mmap_mode: Literal["r"] | None = None) -> np.ndarray:
    with named_errors(path, path.suffix):
        array = np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
        if isinstance(array, np.ndarray):
            return array
        with array as archive:
            if "depth" not in archive and len(archive.files) != 1:
                raise DataError(f"{path}: arrays {sorted(archive.files)}; store the depth map alone, or as 'depth'")
            return archive["depth" if "depth" in archive else archive.files[0]]


def _h5_depth(path: Path, file: h5py.File) -> h5py.Dataset:
    if "depth" not in file:
        raise DataError(f"{path}: no key 'depth', only {sorted(file)}; store the depth map under that name")
    return file["depth"]


def _read_h5(path: Path) -> np.ndarray:
    with open_h5(path) as file:
        return _h5_depth(path, file)[()]


def _read_exr(path: Path) -> np.ndarray:
    try:
        import OpenEXR
    except ImportError as error:
        raise DataError(f"{path}: .exr files need the OpenEXR package: pip install OpenEXR") from error
    with named_errors(path, "EXR"):
        path.open("rb").close()  # in OpenEXR's errors the system's words are lost
        with OpenEXR.File(str(path), separate_channels=True) as exr:
            channels = {name: np.asarray(channel.pixels) for name, channel in exr.channels().items()}
    name = next((name for name in ("Z", "Y", "R", "V") if name in channels), "")
    same = [channels[other] for other in ("G", "B") if name == "R" and other in channels]  # in a grey picture
    if not name or not all(np.array_equal(channels[name], other, equal_nan=True) for other in same):
        raise DataError(f"{path}: channels {sorted(channels)}, but no Z, Y, V or grey R; store depth as Z")
    return channels[name]


_ARRAYS = {".npy": _read_numpy, ".npz": _read_numpy, ".exr": _read_exr} | dict.fromkeys(H5, _read_h5)
_READERS = dict.fromkeys(DEPTHS, _read_picture) | _ARRAYS

"""What went wrong with a file, in words: damage, what the system refuses, or a file that is not what its name says."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from depthkit.errors import InputError

_COPY = "copy it again or remove it"
MAGICK = "convert it: magick {name} -auto-orient {stem}.png"
_RESAVE = 'save float32, of depth one channel: tifffile.imwrite("{name}", tifffile.imread("{name}").astype("float32"))'
_TIFF = rb"II\*\0|MM\0\*"
_KINDS: tuple[tuple[bytes, str, tuple[str, ...], str], ...] = (  # first bytes, the real name, its suffixes, the remedy
    (rb"\Z", "an empty file", (), _COPY),
    (rb".{4}ftyp(hei|hev|mif1|msf1)", "a HEIC picture", (), MAGICK),
    (rb".{4}ftypavi", "an AVIF picture", (), MAGICK),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "a JPEG XL picture", (), MAGICK),
    (_TIFF, "a TIFF of values that are not read, such as 64-bit floats, or of channels that are not", (), _RESAVE),
    (rb"PF\s", "a PFM of three channels", (), 'keep one: cv2.imwrite("{name}", cv2.imread("{name}", -1)[..., 0])'),
    (rb"\x89HDF", "an HDF5 file", (".h5", ".hdf5", ".mat"), "rename it to {stem}.h5"),
    (rb"PK\x03\x04", "a zip archive", (".npz",), "rename it to {stem}.npz if NumPy wrote it, else unpack it"),
    (rb"\x93NUMPY", "a NumPy array", (".npy",), "rename it to {stem}.npy"),
    (rb"\x76\x2f\x31\x01", "an OpenEXR picture", (".exr",), "rename it to {stem}.exr"),
    (rb"version https://git-lfs", "a Git LFS pointer, not the file itself", (), "fetch the files: git lfs pull"),
    (rb"\s*<(!DOCTYPE|html)", "a web page", (), "the download failed: download it again"),
)


class DataError(InputError):
    """Data that can't be used: the message names the file, what was found, and the remedy."""


@contextmanager
def named_errors(path: Path, kind: str) -> Iterator[None]:
    """Turn whatever goes wrong inside into a DataError that names the file; the system's refusals keep its words."""
    try:
        yield
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        remedy = "make it and its partner smaller: magick ... -resize 50% (for a depth map -sample 50%)"
        raise DataError(f"{path}: a picture of more pixels than PIL opens ({error}); {remedy}") from error
    except Exception as error:
        # These two numbers stand for offsets that make no sense, which damaged bytes lead to.
        by_system = getattr(error, "errno", None) not in (None, errno.EINVAL, errno.EOVERFLOW)
        if by_system or isinstance(error, MemoryError) or "already open" in str(error):
            raise DataError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
        unknown = isinstance(error, UnidentifiedImageError)
        if found := _real_kind(path, unknown):
            raise DataError(f"{path}: {found}") from error
        reason = "of no known kind" if unknown else error
        raise DataError(f"{path}: can't be read as {kind} ({reason}); {_COPY}") from error


def _real_kind(path: Path, unknown: bool) -> str | None:
    """Say what a file is that is not what its name says, with the remedy; None for a damaged one of its own kind."""
    with path.open("rb") as file:
        head = file.read(64)
    for start, name, suffixes, remedy in _KINDS:
        truncated = start == _TIFF and not unknown
        if re.match(start, head, re.DOTALL) and path.suffix.lower() not in suffixes and not truncated:
            return f"{name}; {remedy.format(name=path.name, stem=path.stem)}"
    return None

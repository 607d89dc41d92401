"""Photos, masks and depth maps of every kind that people have: read right, or refused by their real name."""

import errno
import fcntl
import re
import struct
import subprocess
import sys
import zlib

import cv2
import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image

from depthkit.data import readers
from depthkit.data.readers import DataError, read_depth, read_image, read_mask

WIDE = np.array([[0, 257, 25700], [65535, 514, 32896]], np.uint16)  # 16-bit grey of 0, 1, 100, 255, 2, 128
PIXELS = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
DEPTH = np.array([[0, 1000, 2500], [65534, 7, 1]], np.uint16)


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def png(path, depth, colour, rows, transparent=None):
    """A PNG of any bit depth and colour type, written by hand: PIL and cv2 write few of them."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    width = 16 * rows.shape[1] // (depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour])
    header = struct.pack(">IIBBBBB", width, rows.shape[0], depth, colour, 0, 0, 0)
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in rows)
    marks = chunk(b"tRNS", transparent) if transparent else b""
    body = chunk(b"IHDR", header) + marks + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


TURNED = {  # by EXIF orientation, what a viewer shows of an array
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_turned_as_exif_says(tmp_path, suffix, orientation):
    path = tmp_path / f"a.{suffix}"
    stored = np.kron(PIXELS, np.ones((16, 16, 1), np.uint8))  # blocks that JPEG keeps
    tags = {"tiffinfo": {274: orientation}} if suffix == "tiff" else {"exif": exif(orientation)}
    Image.fromarray(stored).save(path, **tags)
    image, expected = read_image(path), TURNED[orientation](stored)
    assert image.shape == expected.shape == (*readers.picture_shape(path), 3)
    assert np.abs(image[8::16, 8::16].astype(int) - expected[8::16, 8::16]).mean() < 12
    if suffix != "tiff":
        assert readers.picture_shape(path, upright=False) == stored.shape[:2]


@pytest.mark.parametrize("value", [0, 9, 300])
def test_an_exif_orientation_that_does_not_exist_is_ignored(tmp_path, value):
    Image.fromarray(PIXELS).save(tmp_path / "a.png", exif=exif(value))
    assert np.array_equal(read_image(tmp_path / "a.png"), PIXELS)


def test_damaged_exif_does_not_cost_the_photo(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert read_image(tmp_path / "a.jpg").shape == (4, 6, 3)


def test_16_bit_grey_photos_are_scaled(tmp_path):
    expected = np.repeat(np.array([[0, 1, 100], [255, 2, 128]])[..., None], 3, axis=2)
    for suffix in ("png", "tiff"):
        cv2.imwrite(str(tmp_path / f"a.{suffix}"), WIDE)
        assert np.array_equal(read_image(tmp_path / f"a.{suffix}"), expected)
    tifffile.imwrite(tmp_path / "big.tif", WIDE, byteorder=">")
    assert np.array_equal(read_image(tmp_path / "big.tif"), expected)


def test_16_bit_colour_and_low_bit_depths_are_scaled(tmp_path):
    png(tmp_path / "rgb.png", 16, 2, np.repeat(WIDE, 3, axis=1))
    png(tmp_path / "la.png", 16, 4, np.repeat(WIDE, 2, axis=1))
    for name in ("rgb.png", "la.png"):
        assert read_image(tmp_path / name)[..., 0].tolist() == [[0, 1, 100], [255, 2, 128]]
    png(tmp_path / "bits.png", 4, 0, np.array([[0x0F]], ">u2").view(">u2"))
    assert read_image(tmp_path / "bits.png")[0, :, 0].tolist() == [0, 0, 0, 255]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr"])
def test_pictures_of_every_mode_become_rgb(tmp_path, mode):
    picture = Image.fromarray(np.where(PIXELS > 127, 255, 0).astype(np.uint8)).convert(mode)
    path = tmp_path / ({"CMYK": "a.tiff", "YCbCr": "a.jpg"}.get(mode, "a.png"))
    picture.save(path)
    with Image.open(path) as stored:
        has_alpha = stored.mode in ("LA", "RGBA")
        expected = np.asarray((stored.convert("RGBA") if has_alpha else stored).convert("RGB"))
    image = read_image(path)
    assert image.shape == (4, 6, 3) and np.array_equal(image, expected)


def test_float_and_lab_photos_are_refused_by_their_mode(tmp_path):
    tifffile.imwrite(tmp_path / "f.tiff", np.ones((4, 6), np.float32))
    Image.new("LAB", (6, 4)).save(tmp_path / "lab.tiff")
    for name, mode in (("f.tiff", "F"), ("lab.tiff", "LAB")):
        with pytest.raises(
            DataError, match=rf"{name}: a TIFF of PIL's mode {mode}, not 8-bit RGB or grey; convert it: magick"
        ):
            read_image(tmp_path / name)


# --- masks


KEEP = np.array([[True, False, True], [False, False, True]])


def save_mask(path, picture, **options):
    picture.save(path, **options)
    return read_mask(path)


def test_masks_of_every_mode_say_the_same(tmp_path):
    grey = Image.fromarray(np.where(KEEP, 255, 0).astype(np.uint8))
    colours = Image.fromarray(np.full((2, 3, 3), 200, np.uint8))
    cut_out, white = colours.copy().convert("RGBA"), Image.new("LA", (3, 2), 255)
    cut_out.putalpha(grey)
    white.putalpha(grey)
    inverted = Image.fromarray((~KEEP).astype(np.uint8)).convert("P")  # the first colour of the palette is white
    inverted.putpalette([255, 255, 255, 0, 0, 0])
    clear = inverted.copy()
    clear.putpalette([9, 9, 9, 9, 9, 9])
    opaque = grey.convert("RGBA")
    cases = {"L": grey, "1": grey.convert("1"), "RGB": grey.convert("RGB"), "RGBA": cut_out, "LA": white}
    cases |= {"palette": inverted, "opaque RGBA": opaque, "0 and 1": Image.fromarray(KEEP.astype(np.uint8))}
    for name, picture in cases.items():
        assert np.array_equal(save_mask(tmp_path / "m.png", picture), KEEP), name
    assert np.array_equal(save_mask(tmp_path / "m.png", clear, transparency=b"\xff\x00"), KEEP)  # of a palette
    for values in (np.where(KEEP, 65535, 0), KEEP):
        cv2.imwrite(str(tmp_path / "m.png"), values.astype(np.uint16))
        assert np.array_equal(read_mask(tmp_path / "m.png"), KEEP)
    assert not save_mask(tmp_path / "m.png", Image.new("L", (3, 2))).any()
    assert save_mask(tmp_path / "m.png", Image.new("L", (3, 2), 128)).all()
    assert (
        save_mask(tmp_path / "t.tiff", grey.transpose(Image.Transpose.ROTATE_90), tiffinfo={274: 6}).tolist()
        == KEEP.tolist()
    )


def test_jpeg_masks_are_cut_at_half(tmp_path):
    mask = np.zeros((64, 64), np.uint8)
    mask[10:41, 13:50] = 255
    assert np.array_equal(save_mask(tmp_path / "m.jpg", Image.fromarray(mask), quality=60), mask > 0)
    assert not save_mask(tmp_path / "m.jpg", Image.fromarray(np.full((8, 8), 3, np.uint8))).any()


@pytest.mark.parametrize(
    "values, message", [([0, 7, 12], "brightest pixel is 12"), ([0, 0, 127], "brightest pixel is 127")]
)
def test_masks_of_class_numbers_are_refused(tmp_path, values, message):
    with pytest.raises(DataError, match=message):
        save_mask(tmp_path / "m.png", Image.fromarray(np.array([values], np.uint8)))


def test_an_opaque_cut_out_is_refused(tmp_path):
    with pytest.raises(DataError, match="colours without a transparent pixel are no mask"):
        save_mask(tmp_path / "m.png", Image.fromarray(PIXELS).convert("RGBA"))


# --- depth


def save_depth(path, values):
    suffix = path.suffix.lower()
    if suffix in (".h5", ".hdf5"):
        with h5py.File(path, "w") as file:
            file["depth"] = values
    elif suffix == ".npz":
        np.savez_compressed(path, depth=values, other=values * 0)
    elif suffix == ".npy":
        np.save(path, values)
    elif suffix in (".tif", ".tiff"):
        tifffile.imwrite(path, values)
    elif suffix == ".exr":
        OpenEXR = pytest.importorskip("OpenEXR")
        OpenEXR.File({"type": OpenEXR.scanlineimage}, {"Z": values}).write(str(path))
    else:
        cv2.imwrite(str(path), values)
    return path


METRES = DEPTH.astype(np.float32) / 1000


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".TIFF", ".pgm", ".npy", ".npz", ".h5", ".hdf5"])
def test_integer_depth_is_divided_and_loses_the_largest_value(tmp_path, suffix):
    values = DEPTH.copy()
    values[0, 1] = 65535
    path = save_depth(tmp_path / f"d{suffix}", values)
    depth = read_depth(path, 1000)
    assert depth.dtype == np.float32 and depth[0, 1] == 0 and np.array_equal(depth[1], METRES[1])
    assert readers.inspect_depth(path, 1000) == (2, 3)
    raw = readers.read_raw_depth(path)
    assert np.array_equal(raw, values) and readers.marker_share(raw) == pytest.approx(1 / 6)
    for call in (read_depth, readers.inspect_depth):
        with pytest.raises(DataError, match=r"integer depth \(uint16\) without a unit; pass depth_scale"):
            call(path)


@pytest.mark.parametrize("suffix", [".tif", ".pfm", ".npy", ".npz", ".h5", ".exr"])
def test_float_depth_is_metres_and_refuses_a_scale(tmp_path, suffix):
    path = save_depth(tmp_path / f"d{suffix}", METRES)
    assert np.array_equal(read_depth(path), METRES) and readers.inspect_depth(path) == (2, 3)
    assert readers.marker_share(readers.read_raw_depth(path)) == 0
    for call in (read_depth, readers.inspect_depth):
        with pytest.raises(DataError, match=r"floats \(float32\) are metres, but depth_scale=1000 is given"):
            call(path, 1000)


@pytest.mark.parametrize("kind", [np.int16, np.int32, np.uint32])
def test_markers_of_other_integer_types(tmp_path, kind):
    values = np.array([[1000, np.iinfo(kind).max], [0, 2000]], kind)
    for suffix in (".npy", ".tiff"):
        assert read_depth(save_depth(tmp_path / f"d{suffix}", values), 1000).tolist() == [[1, 0], [0, 2]], suffix


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".h5"])
def test_maps_of_one_channel_are_maps(tmp_path, suffix):
    for values in (METRES[..., None], METRES[None]):
        path = save_depth(tmp_path / f"d{suffix}", values)
        assert np.array_equal(read_depth(path), METRES) and readers.inspect_depth(path) == (2, 3)
    path = save_depth(tmp_path / f"e{suffix}", np.ones((2, 3, 4), np.float32))
    for call in (read_depth, readers.inspect_depth):
        with pytest.raises(DataError, match=r"shape \(2, 3, 4\); a depth map is \(H, W\)"):
            call(path)


@pytest.mark.parametrize("largest", [300, 4095, 10000, 60000, 65534, 65535])
def test_pgm_values_are_not_stretched(tmp_path, largest):
    values = np.unique(np.linspace(0, largest, 3000).astype(np.uint16))[None]
    header = f"P5\n# made by hand\n{values.shape[1]} 1\n{largest}\n".encode()
    (tmp_path / "d.pgm").write_bytes(header + values.astype(">u2").tobytes())
    (tmp_path / "a.pgm").write_bytes(header.replace(b"P5", b"P2") + " ".join(map(str, values[0])).encode())
    for name in ("d.pgm", "a.pgm"):
        assert np.array_equal(readers.read_raw_depth(tmp_path / name), values)


def test_an_archive_needs_one_array_or_depth(tmp_path):
    np.savez(tmp_path / "one.npz", METRES)
    assert np.array_equal(read_depth(tmp_path / "one.npz"), METRES)
    np.savez(tmp_path / "two.npz", a=METRES, b=METRES)
    with pytest.raises(DataError, match=r"two.npz: arrays \['a', 'b'\]; store the depth map alone, or as 'depth'"):
        read_depth(tmp_path / "two.npz")


def test_grey_exr_is_depth_and_coloured_exr_is_not(tmp_path):
    OpenEXR = pytest.importorskip("OpenEXR")
    header, other = {"type": OpenEXR.scanlineimage}, METRES + 1
    OpenEXR.File(header, {"R": METRES, "G": METRES, "B": METRES}).write(str(tmp_path / "grey.exr"))
    assert np.array_equal(read_depth(tmp_path / "grey.exr"), METRES)
    OpenEXR.File(header, {"R": METRES, "G": METRES, "B": other}).write(str(tmp_path / "colour.exr"))
    with pytest.raises(DataError, match=r"channels \['B', 'G', 'R'\], but no Z, Y, V or grey R"):
        read_depth(tmp_path / "colour.exr")


@pytest.mark.parametrize(
    "depth, colour, name",
    [
        (8, 0, "8-bit grey PNG"),
        (8, 3, "8-bit palette PNG"),
        (16, 2, "16-bit colour PNG"),
        (16, 4, "16-bit grey-and-alpha PNG"),
    ]
    + [(16, 6, "16-bit colour-and-alpha PNG"), (8, 6, "8-bit colour-and-alpha PNG"), (4, 0, "4-bit grey PNG")],
)
def test_pngs_that_hold_no_depth_are_called_by_their_name(tmp_path, depth, colour, name):
    png(tmp_path / "d.png", depth, colour, np.zeros((2, 12), np.uint16))
    for call in (read_depth, readers.inspect_depth):
        with pytest.raises(DataError, match=f"d.png: {name}, not one channel of 16 bits or more; (export|keep)"):
            call(tmp_path / "d.png", 1000)


def test_a_transparent_colour_does_not_make_a_depth_map_coloured(tmp_path):
    png(tmp_path / "d.png", 16, 0, DEPTH, transparent=b"\0\0")
    assert np.array_equal(readers.read_raw_depth(tmp_path / "d.png"), DEPTH)


def test_a_jpeg_under_png_is_no_depth(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "d.png", format="JPEG")
    with pytest.raises(DataError, match=r"d.png: 8-bit RGB JPEG, not one channel"):
        read_depth(tmp_path / "d.png", 1000)


# --- what a file is that is not what its name says


@pytest.mark.parametrize(
    "head, message",
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC picture; convert it: magick a.jpg -auto-orient a.png"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0", "a HEIC picture"),
        (b"\xff\x0a\xfa\x7f", "a JPEG XL picture; convert it: magick"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL picture"),
        (b"", "an empty file; copy it again or remove it"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer, not the file itself; .*git lfs pull"),
        (b"\n<!DOCTYPE html><title>404", "a web page; the download failed"),
        (b"\x93NUMPY\x01\0", "a NumPy array; rename it to a.npy"),
    ],
)
def test_files_under_a_wrong_name_are_called_by_their_own(tmp_path, head, message):
    (tmp_path / "a.jpg").write_bytes(head)
    with pytest.raises(DataError, match=f"a.jpg: {message}"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("kind", [np.float16, np.float64])
def test_tiffs_of_other_floats_are_told_what_to_do(tmp_path, kind):
    path = save_depth(tmp_path / "d.tiff", METRES.astype(kind))
    for call in (read_depth, readers.inspect_depth):
        with pytest.raises(
            DataError, match=r'a TIFF of values that are not read.*tifffile.imwrite\("d.tiff"'
        ) as raised:
            call(path)
    exec(re.search(r"tifffile\.imwrite.*", str(raised.value))[0].replace("d.tiff", str(path)))  # the line does it
    assert np.allclose(read_depth(path), METRES, rtol=1e-3)


def test_arrays_and_archives_under_each_others_name(tmp_path):
    save_depth(tmp_path / "a.npz", METRES).rename(tmp_path / "a.npy")
    assert np.array_equal(read_depth(tmp_path / "a.npy"), METRES)
    save_depth(tmp_path / "a.h5", METRES).rename(tmp_path / "b.npy")
    with pytest.raises(DataError, match=r"b.npy: an HDF5 file; rename it to b.h5"):
        read_depth(tmp_path / "b.npy")
    cv2.imwrite(str(tmp_path / "c.pfm"), np.ones((2, 3, 3), np.float32))
    with pytest.raises(DataError, match=r"c.pfm: a PFM of three channels; keep one: cv2.imwrite"):
        read_depth(tmp_path / "c.pfm")


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".pgm", ".pfm", ".npy", ".npz", ".h5", ".exr"])
def test_damaged_depth_is_to_be_copied_again(tmp_path, suffix):
    values = np.random.default_rng(0).integers(1, 60000, (60, 80)).astype(np.uint16)
    path = save_depth(tmp_path / f"d{suffix}", values if suffix not in (".pfm", ".exr") else values.astype(np.float32))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(DataError, match=rf"d\{suffix}: can't be read as .*; copy it again or remove it"):
        read_depth(path, 1000 if suffix not in (".pfm", ".exr") else None)


# --- what the system refuses


CASES = {
    "a.png": read_image,
    "m.png": read_mask,
    "d.npy": read_depth,
    "d.h5": read_depth,
    "d.exr": read_depth,
    "d.pfm": read_depth,
}


@pytest.mark.parametrize("name", CASES)
def test_a_missing_file_keeps_the_systems_words(tmp_path, name):
    if name == "d.exr":
        pytest.importorskip("OpenEXR")
    with pytest.raises(DataError, match="No such file or directory") as raised:
        CASES[name](tmp_path / name)
    assert name in str(raised.value) and "copy it again" not in str(raised.value)


def test_too_many_open_files_is_not_damage(tmp_path):
    pytest.importorskip("OpenEXR")
    for name in ("d.npy", "d.h5", "d.exr", "d.pfm"):
        save_depth(tmp_path / name, METRES)
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    script = f"""
import pathlib, resource, OpenEXR
from depthkit.data import readers
root = pathlib.Path({str(tmp_path)!r})
calls = [(readers.read_depth, "d" + suffix) for suffix in (".npy", ".h5", ".exr", ".pfm")]
calls.append((readers.read_image, "a.png"))
for call, name in calls:
    call(root / name)
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 100))
held = []
try:
    while True:
        held.append(open("/dev/null"))
except OSError:
    pass
for call, name in calls:
    try:
        call(root / name)
    except readers.DataError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100)
    lines = done.stdout.splitlines()
    assert len(lines) == 5, done.stderr
    assert all("Too many open files" in line and "copy it again" not in line for line in lines), lines


def test_locked_h5_files_are_not_damaged(tmp_path):
    path = save_depth(tmp_path / "d.h5", METRES)
    with path.open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(DataError, match=r"d.h5: .*unable to lock file.*Resource temporarily unavailable") as raised:
            read_depth(path)
    assert "copy it again" not in str(raised.value)


@pytest.mark.parametrize("number", [errno.EACCES, errno.ESTALE, errno.EIO, errno.EMFILE, errno.ETIMEDOUT])
def test_errors_with_a_system_number_keep_its_words(tmp_path, number):
    with pytest.raises(DataError) as raised, readers.named_errors(tmp_path / "a.png", "a picture"):
        raise OSError(number, "words of the system")
    assert str(raised.value) == f"{tmp_path / 'a.png'}: words of the system"


def test_a_panorama_is_told_to_shrink(tmp_path, monkeypatch):
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(DataError, match=r"a.png: a picture of more pixels than PIL opens \(.*24 pixels.*-resize 50%"):
        read_image(tmp_path / "a.png")

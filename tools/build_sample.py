"""Pack rendered frames into the bundled sample: JPEG or PNG images, 16-bit PNG depth, frames.json, README.md.

    python tools/build_sample.py --raw DIR [--out data/sample]

Frames of `rooms/train`, 360 of the renderer's set `more` among them, pass through the simulated sensor of kinect.py.
All others stay exact, 76 more of `more` among them. Depth is stored in millimetres (depth_scale 1000 units a metre),
that of the 1:10 model in tenths of a millimetre (10000). A set that is not in DIR stays as it is packed; the README it
writes states what it found.
"""

import argparse
import json
import zlib
from pathlib import Path

import cv2
import kinect
import numpy as np

LIMIT_BYTES = 250_000
FILTERS = (cv2.IMWRITE_PNG_FILTER_SUB, cv2.IMWRITE_PNG_FILTER_NONE)  # which is smaller depends on the sensor's noise
EXTRA = ("baseline_m", "doffs", "scale", "distance_m", "hfov_deg")
GROUPS = ("rooms/train", "rooms/val", "rooms/further", "halls/val", "teaching")
# Numbers of rooms of the renderer's set `more`: these are for training, and these for a second test.
MORE = {"rooms/train": range(80, 440), "rooms/further": range(440, 516)}
README = Path(__file__).with_name("sample_readme.md")


def frames(raw):
    """(path of a raw frame's JSON, its name in the sample) of all there are."""
    for group in GROUPS:
        for path in sorted((raw / group).rglob("*.json")):
            yield path, path.relative_to(raw).with_suffix("").as_posix()
    for path in sorted((raw / "more" / "train").rglob("*.json")):
        for group in (group for group, numbers in MORE.items() if int(path.parent.name[-4:]) in numbers):
            scene = path.parent.name.replace("room_0", "room_1")  # numbers from 100 on are those of `val`
            yield path, f"{group}/{scene}/{path.stem}"


def read_frame(path):
    """(RGB uint8, depth metres, record) of a raw frame, given its JSON."""
    image = cv2.cvtColor(cv2.imread(str(path.with_suffix(".png"))), cv2.COLOR_BGR2RGB)
    return image, np.load(path.with_suffix(".npy")), json.loads(path.read_text())


def encode(image, name, quality, lossless):
    """(suffix, bytes) of an image that keeps below the size limit, whatever it takes in quality."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    if lossless:
        return "_rgb.png", cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()
    while True:
        data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        if len(data) < LIMIT_BYTES or quality < 60:
            return ".jpg", data
        quality -= 4


def pack(out, path, name):
    """Write one frame; returns its entry for frames.json."""
    image, depth, record = read_frame(path)
    train, teaching = name.startswith("rooms/train/"), name.startswith("teaching/")
    if train:
        rng = np.random.default_rng([record["seed"][0], zlib.crc32(name.encode())])
        depth, image = kinect.measure(depth, image, record, rng), kinect.colour(image, rng)
    depth_scale = 10000 if record.get("scale") == 0.1 else 1000
    stored = np.round(depth * depth_scale)
    assert stored.max() < 65536, f"{name}: depth does not fit 16 bits"
    stored = stored.astype(np.uint16)
    suffix, data = encode(image, name, 85 if train else 92, name.startswith("teaching/twin"))
    target = out / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.with_name(target.name + suffix).write_bytes(data)
    entry = {"name": name, "image": name + suffix}
    if not name.endswith("stereo_right"):
        options = ([cv2.IMWRITE_PNG_COMPRESSION, 9, cv2.IMWRITE_PNG_FILTER, each] for each in FILTERS)
        smallest = min((cv2.imencode(".png", stored, each)[1].tobytes() for each in options), key=len)
        target.with_name(target.name + ".png").write_bytes(smallest)
        entry |= {"depth": name + ".png", "depth_scale": depth_scale}
    entry |= {key: record[key] for key in ("width", "height", "fx", "fy", "cx", "cy")}
    entry |= {key: round(record[key], 4) for key in ("camera_height_m", "tilt_deg")}
    entry |= {key: record[key] for key in EXTRA if teaching and key in record}
    return entry


def statistics(out, entries):
    """A row of the README's table for the depths of one group, in metres."""
    depths = [cv2.imread(str(out / e["depth"]), cv2.IMREAD_UNCHANGED) / e["depth_scale"] for e in entries]
    holes = [float((d == 0).mean()) for d in depths]
    values = np.concatenate([d[d > 0][::7] for d in depths])
    low, mid, high = np.percentile(values, [1, 50, 99])
    least, largest = min(d[d > 0].min() for d in depths), max(d.max() for d in depths)
    return (
        f"{len(depths)} | {least:.2f} | {low:.2f} | {mid:.2f} | {high:.2f} | {largest:.2f}"
        f" | {np.mean(holes):.1%} ({min(holes):.1%} to {max(holes):.1%})"
    )


def twin_difference(out):
    """Largest and mean difference, grey levels of 255, between the committed pictures of the room and its model."""
    room, model = (cv2.imread(str(out / f"teaching/twin_{part}_rgb.png")).astype(int) for part in ("room", "model"))
    return np.abs(room - model).max(), np.abs(room - model).mean()


def write_readme(out, entries):
    groups = {}
    for entry in entries:
        if "depth" in entry:
            group = next(group for group in GROUPS if entry["name"].startswith(group))
            groups.setdefault(f"{group}, {entry['width']} × {entry['height']}", []).append(entry)
    rows = "\n".join(f"| {group} | {statistics(out, frames)} |" for group, frames in groups.items())
    twin = "not rendered yet"
    if (out / "teaching/twin_model_rgb.png").exists():
        twin = "at most {} and on average {:.2f} of 255 levels".format(*twin_difference(out))
    size = sum(p.stat().st_size for p in out.rglob("*") if p.is_file()) / 1e6
    text = README.read_text().replace("{{TABLE}}", rows).replace("{{TWIN}}", twin).replace("{{SIZE}}", f"{size:.1f}")
    (out / "README.md").write_text(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raw", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "data" / "sample")
    args = parser.parse_args()
    listing = args.out / "frames.json"
    packed = {entry["name"]: entry for entry in json.loads(listing.read_text())} if listing.exists() else {}
    for path, name in frames(args.raw):
        packed[name] = pack(args.out, path, name)
    entries = sorted(packed.values(), key=lambda e: next(i for i, g in enumerate(GROUPS) if e["name"].startswith(g)))
    lines = ",\n".join(json.dumps(entry) for entry in entries)
    listing.write_text(f"[\n{lines}\n]\n")
    write_readme(args.out, entries)
    large = [str(p) for p in args.out.rglob("*") if p.stat().st_size > LIMIT_BYTES and p != listing]
    print(f"{len(entries)} frames; too large: {large}")
    print((args.out / "README.md").read_text())


if __name__ == "__main__":
    main()

"""Pack rendered frames of `mixed` for relative pre-training: the depth of the training frames is thrown away.

python tools/build_mixed.py --raw DIR --out DIR

`OUT/train/rgb` and `OUT/train/disparity` hold photos and 16-bit disparity under a random scale and shift of each image
(`depthkit.mixed.MixedDisparity`); `OUT/val` holds one frame of each of the first 90 validation scenes with its metric
depth, as h5, to score on.
"""

import argparse
import json
import zlib
from pathlib import Path

import cv2
import numpy as np

from depthkit.course.sample import write_h5

VAL_SCENES = 90  # enough to choose an epoch by, and quick to score after each


def frames(raw, split):
    """JSON records' paths of the complete frames of one split."""
    return sorted((raw / "mixed" / split).rglob("*.json"))


def shuffled_disparity(depth, name):
    """1 / depth under a scale and a shift drawn from the frame's name, as uint16 from 1 on."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    low, high = rng.uniform(1, 20000), rng.uniform(30000, 65535)
    disparity = 1 / depth.astype(np.float64)
    unit = (disparity - disparity.min()) / max(np.ptp(disparity), 1e-9)
    return np.round(low + (high - low) * unit).astype(np.uint16)


def pack_train(raw, out, path):
    name = path.relative_to(raw / "mixed" / "train").with_suffix("").as_posix()
    photo, disparity = out / "train" / "rgb" / f"{name}.jpg", out / "train" / "disparity" / f"{name}.png"
    for target in (photo, disparity):
        target.parent.mkdir(parents=True, exist_ok=True)
    image = cv2.imread(str(path.with_suffix(".png")))
    cv2.imwrite(str(photo), image, [cv2.IMWRITE_JPEG_QUALITY, 95])
    cv2.imwrite(str(disparity), shuffled_disparity(np.load(path.with_suffix(".npy")), name))


def pack_val(raw, out, path):
    target = (out / "val" / path.relative_to(raw / "mixed" / "val")).with_suffix(".h5")
    image = cv2.imread(str(path.with_suffix(".png")))[..., ::-1]
    write_h5(target, image, np.load(path.with_suffix(".npy")), json.loads(path.read_text()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raw", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    train, val = frames(args.raw, "train"), [path for path in frames(args.raw, "val") if path.stem == "00000"]
    val = sorted(val, key=lambda path: path.parent.name.split("_")[1])[:VAL_SCENES]  # room_00010, hall_00031: by number
    for path in train:
        pack_train(args.raw, args.out, path)
    for path in val:
        pack_val(args.raw, args.out, path)
    scenes = len({path.parent for path in train})
    print(f"{len(train)} training frames of {scenes} scenes, {len(val)} validation frames in {args.out}")


if __name__ == "__main__":
    main()

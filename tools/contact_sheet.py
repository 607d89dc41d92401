"""Contact sheets of rendered or packed frames: image beside depth, many on a page.

    python tools/contact_sheet.py OUT.png FRAME [FRAME ...] [--columns 6] [--width 240]

A FRAME is an image with its depth beside it under the same name (.npy metres, or 16-bit .png for a .jpg)."""

import argparse
from pathlib import Path

import cv2
import numpy as np


def read_depth(path):
    """Depth of an image in its own units, 0 = not measured; None if there is none."""
    if path.with_suffix(".npy").exists():
        return np.load(path.with_suffix(".npy"))
    twin = path.with_suffix(".png")
    return cv2.imread(str(twin), cv2.IMREAD_UNCHANGED).astype(np.float32) if twin != path and twin.exists() else None


def colour(depth):
    """Near is bright, holes are grey; limits are the image's own."""
    held = depth > 0
    inverse = np.where(held, 1 / np.maximum(depth, 1e-6), 0)
    low, high = np.percentile(inverse[held], [1, 99])
    level = (255 * np.clip((inverse - low) / (high - low + 1e-9), 0, 1)).astype(np.uint8)
    return np.where(held[..., None], cv2.applyColorMap(level, cv2.COLORMAP_MAGMA), 128).astype(np.uint8)


def tile(path, width):
    image = cv2.imread(str(path))
    height = round(width * image.shape[0] / image.shape[1])
    parts = [cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)]
    depth = read_depth(path)
    if depth is not None:
        parts.append(cv2.resize(colour(depth), (width, height), interpolation=cv2.INTER_NEAREST))
    joined = np.concatenate(parts, 1)
    cv2.putText(joined, path.parent.name + "/" + path.stem, (4, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.35, (0, 255, 255), 1)
    return joined


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("frames", type=Path, nargs="+")
    parser.add_argument("--columns", type=int, default=4)
    parser.add_argument("--width", type=int, default=240)
    args = parser.parse_args()
    tiles = [tile(p, args.width) for p in args.frames]
    h, w = max(t.shape[0] for t in tiles), max(t.shape[1] for t in tiles)
    rows = -(-len(tiles) // args.columns)
    sheet = np.full((rows * h, args.columns * w, 3), 255, np.uint8)
    for k, t in enumerate(tiles):
        y, x = k // args.columns * h, k % args.columns * w
        sheet[y : y + t.shape[0], x : x + t.shape[1]] = t
    cv2.imwrite(str(args.out), sheet)


if __name__ == "__main__":
    main()

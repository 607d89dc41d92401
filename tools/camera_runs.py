"""What knowing the focal length is worth: three recipes on rooms at several zooms, halls, and the Motorcycle.

    python tools/camera_runs.py pack --raw RAW --data LENSES    # rooms of `render.py more` and `render.py mixed`
    python tools/camera_runs.py run --data LENSES --zoom 3 --seeds 0 1

`pack` takes 400 rooms of one lens (57°) and the rooms of `mixed`, which many lenses see, all with exact depth; 50 and
the validation rooms of `mixed` pick epochs. Without --data the bundled rooms train.

Each variant is trained from the bundled relative model by the recipe of notebook 04 on the sample, its epoch
picked on whole pictures, and scored on the test rooms, enlarged from their centre by each of ZOOMS, on halls and
on the Motorcycle. A point that is in data/camera_runs.json already is skipped; one that was interrupted goes on.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from learning_curve import RECIPE as COURSE_RECIPE

from depthkit.camera import Intrinsics
from depthkit.course.evidence import bundled_weights
from depthkit.course.sample import unpack_sample, write_h5
from depthkit.course.scenes import unpack_motorcycle
from depthkit.course.settings import REPOSITORY, SAMPLE_CACHE, TINY_WEIGHTS
from depthkit.data.datasets import NYUDepthV2
from depthkit.data.readers import read_image
from depthkit.models.build import load_model
from depthkit.run_folder import read_json, write_json
from depthkit.scoring.evaluate import evaluate
from depthkit.scoring.protocol import Protocol
from depthkit.scoring.statistics import paired_difference

RECIPE = COURSE_RECIPE | dict(weights=str(TINY_WEIGHTS.relative_to(REPOSITORY)), init="neck", tracker="none")
VARIANTS = {"ignore": {}, "ignore, zoom": {"zoom": None}, "canonical, zoom": {"zoom": None, "camera": "canonical"}}
ZOOMS = (1.0, 1.4, 2.0)


def pack(raw: Path, data: Path) -> None:
    """Write the rooms of `render.py` as an h5 tree that holds each frame's camera."""
    more = sorted((raw / "more" / "train").rglob("*.json"))
    mixed = {split: sorted((raw / "mixed" / split).glob("room_*/*.json")) for split in ("train", "val")}
    for split, frames in {"train": more[:400] + mixed["train"], "val": more[-50:] + mixed["val"]}.items():
        for path in frames:
            record = json.loads(path.read_text())
            target = data / split / f"{path.parts[-4]}_{path.parent.name}" / f"{path.stem}.h5"
            depth = np.load(path.with_suffix(".npy")).astype(np.float32)
            write_h5(target, read_image(path.with_suffix(".png")), depth, record)
        print(f"{split}: {len(frames)} pictures in {data}")


class Enlarged(NYUDepthV2):
    """The middle of each picture, 1/zoom of its height and width; `evaluate` brings it to the network's input size."""

    def __init__(self, zoom: float):
        super().__init__(unpack_sample("rooms", SAMPLE_CACHE), "val")
        self.top, self.left = (round(side * (1 - 1 / zoom) / 2) for side in super().read(0)[1].shape)

    def read(self, index: int) -> tuple[np.ndarray, ...]:
        maps = super().read(index)
        return tuple(each[self.top : len(each) - self.top, self.left : each.shape[1] - self.left] for each in maps)

    def intrinsics(self, index: int) -> Intrinsics:
        return super().intrinsics(index).cropped(self.left, self.top)


def test_sets() -> dict[str, NYUDepthV2]:
    roots = {"halls": unpack_sample("halls", SAMPLE_CACHE), "motorcycle": unpack_motorcycle(SAMPLE_CACHE)}
    others = {name: NYUDepthV2(root, "val") for name, root in roots.items()}
    return {f"rooms at {zoom:g}": Enlarged(zoom) for zoom in ZOOMS} | others


def train_and_score(args: argparse.Namespace, variant: str, seed: int) -> dict:
    """One point, by training; its run folder stays in `work`, in a folder of these weights."""
    run = args.work / bundled_weights()["sha256"][:8] / f"{variant.replace(', ', '-')}-{seed}"
    options = RECIPE | {name: value or args.zoom for name, value in VARIANTS[variant].items()}
    options |= dict(seed=seed, output=run, data=args.data, val_split=args.val_split, resume=True)
    flags = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "depthkit", "train", *flags]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=REPOSITORY)
    picked = min(read_json(run / "history.json"), key=lambda row: row["abs_rel"])
    point = {"variant": variant, "seed": seed, "picked_epoch": picked["epoch"], "sets": {}}
    model = load_model(run / "best")
    for name, dataset in test_sets().items():
        records = [{key: each[key] for key in ("name", "abs_rel", "d1")} for each in evaluate(model, dataset)]
        shape = evaluate(model, dataset, Protocol(align="median"))  # what is left where the size is right
        means = {"abs_rel": records, "abs_rel_with_true_median": shape}
        means = {key: float(np.mean([each["abs_rel"] for each in rows])) for key, rows in means.items()}
        point["sets"][name] = means | {"records": records}
    return point


def differences(points: list[dict]) -> list[dict]:
    """AbsRel of each variant minus that of `ignore` with the same seed, paired by image, with its 95 % interval."""
    found, base = [], {point["seed"]: point["sets"] for point in points if point["variant"] == "ignore"}
    for point in points:
        if point["variant"] != "ignore" and point["seed"] in base:
            for name, scores in point["sets"].items():
                pair = paired_difference(scores["records"], base[point["seed"]][name]["records"])
                found.append({"variant": point["variant"], "seed": point["seed"], "set": name, **pair})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("pack", "run"))
    parser.add_argument("--raw", type=Path, help="raw folder of render.py")
    parser.add_argument("--data", type=Path, help="h5 tree with intrinsics; default: the sample's rooms")
    parser.add_argument("--val_split", default="val", help="split that picks the epoch")
    parser.add_argument("--work", type=Path, default=REPOSITORY / "runs" / "camera", help="folder of the runs")
    parser.add_argument("--zoom", type=float, default=4.0, help="largest zoom in training, well beyond what is scored")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--output", type=Path, default=REPOSITORY / "data" / "camera_runs.json")
    args = parser.parse_args()
    if args.action == "pack":
        return pack(args.raw, args.data)
    args.data, args.work = Path(args.data or unpack_sample("rooms", SAMPLE_CACHE)).resolve(), args.work.resolve()
    images = len(NYUDepthV2(args.data, "train"))
    recipe = RECIPE | dict(zoom=args.zoom, images=images, val_split=args.val_split)
    asked = {"recipe": recipe, "weights": bundled_weights()}
    result = read_json(args.output) if args.output.exists() else asked | {"points": []}
    if changed := {name: result.get(name) for name, value in asked.items() if result.get(name) != value}:
        sys.exit(f"{args.output} was measured with {changed}: name another --output and --work")
    for seed in args.seeds:
        for variant in VARIANTS:
            if any((point["variant"], point["seed"]) == (variant, seed) for point in result["points"]):
                continue
            result["points"].append(train_and_score(args, variant, seed))
            result["differences"] = differences(result["points"])
            write_json(args.output, result)
            scores = {name: round(each["abs_rel"], 4) for name, each in result["points"][-1]["sets"].items()}
            print(f"{variant}, seed {seed}: {scores}", flush=True)


if __name__ == "__main__":
    main()

"""How many images fine-tuning takes: AbsRel on the test rooms against the number of training images.

    python tools/learning_curve.py pack --raw RAW --work WORK     # frames of `render.py more` → h5 trees
    python tools/learning_curve.py run --work WORK [--images 12 25 ...] [--seeds 0]

`run` trains from the bundled relative model, one run after the other, and adds each point to data/learning_curve.json,
which notebook 05 draws; a point that is there already is skipped, so that it goes on where it was stopped. Rates, loss
and epochs are those of notebook 04 on the sample. The epoch of each run is picked on rooms held out for that, and the
sample's 24 test rooms and 76 further ones are scored once, at its end.
"""

import argparse
import json
import os
import subprocess
import sys
import zlib
from pathlib import Path

import build_sample
import cv2
import kinect
import numpy as np

from depthkit.course.evidence import bundled_weights
from depthkit.course.sample import unpack_sample, write_h5
from depthkit.course.settings import REPOSITORY, SAMPLE_CACHE, TINY_WEIGHTS, Settings
from depthkit.data.datasets import NYUDepthV2
from depthkit.models.build import build_model, load_model
from depthkit.run_folder import read_json, write_json
from depthkit.scoring.baselines import ScaledDisparity, fit_one_scale_shift
from depthkit.scoring.evaluate import evaluate
from depthkit.scoring.statistics import summarise

RESULT = REPOSITORY / "data" / "learning_curve.json"
HELD_OUT = range(880, 980)  # numbers of the rooms to pick epochs on
TEST = build_sample.MORE["rooms/further"]  # numbers of the rooms that are test rooms of the sample
LABELS = ("exact", "sensor")
IMAGES = (12, 25, 50, 100, 200, 400, 1000)
COURSE = Settings("sample", SAMPLE_CACHE, SAMPLE_CACHE, str(TINY_WEIGHTS), "tiny", 2)
FIELDS = ("encoder", "size", "lr", "decoder_lr_factor", "silog_lambda", "epochs", "warmup_epochs", "workers")
RECIPE = {name: getattr(COURSE.train_config(), name) for name in FIELDS}
# One process takes the batch that notebook 04 gives to two.
RECIPE |= dict(batch_size=COURSE.num_processes * COURSE.train_config().batch_size)
MODELS = {
    "full": dict(weights=str(TINY_WEIGHTS), init="neck"),
    "frozen": dict(weights=str(TINY_WEIGHTS), init="neck", freeze_encoder=True),
    "random": dict(init="all"),
}
LEAST_IMAGES = 96  # of an epoch: few images are seen more often in it, so that every run takes 144 steps or more


def pack(raw: Path, work: Path) -> None:
    """Write every room but test rooms: with exact depth and clean colour, and as the simulated sensor sees it."""
    paths = {int(path.parent.name[-4:]): path for path in sorted((raw / "more" / "train").rglob("*.json"))}
    if missing := set(HELD_OUT) - paths.keys():
        raise SystemExit(f"{raw}: no room {min(missing)} of those to pick epochs on; render the set `more` there")
    numbers = sorted(paths.keys() - TEST)
    for number in numbers:
        path = paths[number]
        split = "held_out" if number in HELD_OUT else "train"
        image = cv2.imread(str(path.with_suffix(".png")))[..., ::-1]
        depth, record = np.load(path.with_suffix(".npy")), json.loads(path.read_text())
        rng = np.random.default_rng(zlib.crc32(path.parent.name.encode()))
        sensor = kinect.colour(image, rng), kinect.measure(depth, image, record, rng)
        for labels, (colour, metres) in zip(LABELS, ((image, depth), sensor), strict=True):
            target = work / labels / split / path.parent.name / "00000.h5"
            write_h5(target, colour, metres, record)
    print(f"{len(numbers)} rooms in {work}")


def subset(work: Path, labels: str, images: int) -> str:
    """A split of the first `images` rooms, as links, several to a room where they are few; its name."""
    name = f"train_{images:04d}"
    rooms = sorted((work / labels / "train").iterdir())[:images]
    if len(rooms) < images:
        raise SystemExit(f"{work}: {len(rooms)} training rooms, and {images} are asked for; render and pack more")
    for number in range(max(images, LEAST_IMAGES)):
        room = rooms[number % images]
        target = work / labels / name / room.name
        target.mkdir(parents=True, exist_ok=True)
        frame = target / f"{number // images:05d}.h5"
        if not frame.exists():
            os.link(room / "00000.h5", frame)
    return name


def train_and_score(work: Path, labels: str, images: int, model: str, seed: int, test: list[NYUDepthV2]) -> dict:
    """One point of the curve by fine-tuning; its run folder stays in `work`, in a folder of these weights."""
    run = work / f"runs-{bundled_weights()['sha256'][:8]}" / f"{labels}-{images:04d}-{model}-{seed}"
    options = RECIPE | MODELS[model] | dict(seed=seed, output=run, data=work / labels, tracker="none")
    options |= dict(train_split=subset(work, labels, images), val_split="held_out", resume=True)
    flags = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    subprocess.run([sys.executable, "-m", "depthkit", "train", *flags], check=True, stdout=subprocess.DEVNULL)
    history = read_json(run / "history.json")
    picked = min(history, key=lambda row: row["abs_rel"])
    point = {"picked_epoch": picked["epoch"], "held_out_abs_rel": picked["abs_rel"]}
    return point | scores(load_model(run / "best"), test)


def two_numbers(work: Path, labels: str, images: int, test: list[NYUDepthV2]) -> dict:
    """One point of the curve by one scale and one shift, fitted to the bundled relative model, which sees pictures of
    the size that fine-tuning sees."""
    model = build_model("tiny", "relative", weights=str(TINY_WEIGHTS), init="all", input_size=RECIPE["size"]).eval()
    scale, shift = fit_one_scale_shift(model, NYUDepthV2(work / labels, subset(work, labels, images)))
    return {"scale": scale, "shift": shift} | scores(ScaledDisparity(model, scale, shift, 10.0), test)


def scores(model, test: list[NYUDepthV2]) -> dict:
    records = [record for rooms in test for record in evaluate(model, rooms)]
    return summarise(records)["abs_rel"] | {
        "by_image": {record["name"]: round(record["abs_rel"], 5) for record in records}
    }


def run(work: Path, images: list[int], labels: list[str], models: list[str], seeds: list[int]) -> None:
    rooms = unpack_sample("rooms", SAMPLE_CACHE)
    test = [NYUDepthV2(rooms, "val"), NYUDepthV2(rooms, "further")]
    asked = dict(recipe=RECIPE, weights=bundled_weights(), held_out_rooms=len(HELD_OUT), test_rooms=sum(map(len, test)))
    result = read_json(RESULT) if RESULT.exists() else asked | {"points": []}
    if changed := [name for name, value in asked.items() if result.get(name) != value]:
        raise SystemExit(f"{RESULT} was measured with another {' and '.join(changed)}: move it away to begin anew")
    for seed in seeds:
        for kind in labels:
            for count in images:
                for model in models:
                    key = {"labels": kind, "images": count, "model": model, "seed": seed}
                    if any(key.items() <= point.items() for point in result["points"]):
                        continue
                    if model == "two numbers":
                        point = two_numbers(work, kind, count, test)
                    else:
                        point = train_and_score(work, kind, count, model, seed, test)
                    result["points"].append(key | point)
                    write_json(RESULT, result)
                    print(f"{kind:7}{count:5}  {model:12} seed {seed}: AbsRel {point['mean']:.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("pack", "run"))
    parser.add_argument("--raw", type=Path, help="raw folder of render.py")
    parser.add_argument("--work", type=Path, required=True, help="folder for data and runs")
    parser.add_argument("--images", type=int, nargs="+", default=IMAGES)
    parser.add_argument("--labels", nargs="+", choices=LABELS, default=LABELS[:1])
    parser.add_argument("--models", nargs="+", choices=("two numbers", *MODELS), default=("two numbers", *MODELS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    args = parser.parse_args()
    if args.action == "run":
        run(args.work, args.images, args.labels, args.models, args.seeds)
    elif args.raw is None:
        parser.error("pack needs --raw")
    else:
        pack(args.raw, args.work)


if __name__ == "__main__":
    main()

"""Turn a finished pre-training run into the bundled weights: fp16 safetensors, scores, training curve, model card.

python tools/release_tiny.py --runs RUN [RUN ...] --mixed DIR [DIR ...] [--weights MODEL] [--out weights/tiny-relative]
python tools/release_tiny.py    # no new weights: score those that are there again, and put the table into their card

The runs are given in their order; released are the best weights of the last, or --weights: such as the mean of several
runs that `average_weights.py` makes. Runs and training pictures that OUT lists already stay listed, so that a run which
goes on from the weights in OUT is released alone. Scores are those of the rounded weights, as a reader loads them.
`frames.json` beside them holds the perceptual hash of every training picture, so that a test can see that none of them
is a test picture.
"""

import argparse
import re
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from depthkit.course.evidence import vertical_ramp
from depthkit.course.sample import unpack_sample
from depthkit.course.scenes import unpack_motorcycle
from depthkit.course.settings import REPOSITORY, SAMPLE_CACHE
from depthkit.data.datasets import NYUDepthV2
from depthkit.data.duplicates import difference_hash
from depthkit.data.readers import read_image
from depthkit.models.build import build_model, input_size, load_model, save_model
from depthkit.run_folder import read_json, write_json
from depthkit.scoring.evaluate import evaluate, evaluation_report
from depthkit.scoring.protocol import Protocol
from depthkit.training.config import TrainConfig

CARD = Path(__file__).with_name("tiny_card.md")
TABLE = re.compile(r"(<!-- scores -->\n(?:\|.*\n){2})(?:\|.*\n)*(<!-- end -->)")
COLUMNS = ("abs_rel", "rmse", "log10", "d1")


def test_sets():
    """{name: (data set, protocol)}: what the card reports, all aligned in disparity per image."""
    rooms, halls = unpack_sample("rooms", SAMPLE_CACHE), unpack_sample("halls", SAMPLE_CACHE)
    near, far = Protocol(align="disparity"), Protocol(align="disparity", max_depth=30.0)
    return {
        "rooms": (NYUDepthV2(rooms, "val"), near),
        "halls": (NYUDepthV2(halls, "val"), far),
        "motorcycle": (NYUDepthV2(unpack_motorcycle(SAMPLE_CACHE), "val"), near),
    }


def score(out):
    """Rows of the card's table: the model in `out`, a ramp, and the same architecture with random weights, which sees
    pictures of the same size, on each test set. Writes the model's records beside it."""
    torch.manual_seed(0)
    model = load_model(out)
    untrained = build_model("tiny", "relative", input_size=input_size(model.config)).eval()
    candidates = {"this model": model, "vertical ramp": vertical_ramp(), "random weights": untrained}
    lines = []
    for name, (dataset, protocol) in test_sets().items():
        for label, candidate in candidates.items():
            report = evaluation_report(evaluate(candidate, dataset, protocol), protocol, model=label, data=name)
            if candidate is model:
                write_json(out / "eval" / f"{name}.json", report)
            summary = report["summary"]
            cells = [f"{summary[key]['mean']:.3f}" for key in COLUMNS]
            if report["images"] > 1:
                cells[0] += f" ({summary['abs_rel']['low']:.3f} to {summary['abs_rel']['high']:.3f})"
            lines.append(f"| {name} ({report['images']}) | {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def training_frames(mixed):
    """{name: hash} of every picture trained on."""
    root = Path(mixed) / "train" / "rgb"
    paths = {path.relative_to(root).with_suffix("").as_posix(): path for path in root.rglob("*.jpg")}
    if not paths or not any(Path(mixed).glob("val/**/*.h5")):
        raise SystemExit(f"{mixed}: no training pictures or no validation pictures; name a folder of build_mixed.py")
    return {name: f"{int(difference_hash(read_image(path))):016x}" for name, path in paths.items()}


def listed(path, empty):
    """What a file of an earlier release holds."""
    return read_json(path) if path.exists() else empty


def release(args):
    """Write weights, frames, history and a card without its table."""
    names = [run.name for run in args.runs]
    rows = [row for row in listed(args.out / "history.json", []) if row["run"] not in names]
    rows += [{"run": run.name} | row for run in args.runs for row in read_json(run / "history.json")]
    for run in args.runs:
        TrainConfig(**(read_json(run / "config.json") | {"resume": False}))  # the card's commands would work with it
    history = [row for row in rows if row["run"] == names[-1]]
    frames = listed(args.out / "frames.json", {})
    for mixed in args.mixed:
        found = training_frames(mixed)
        if other := [name for name in found.keys() & frames if found[name] != frames[name]]:
            raise SystemExit(f"{mixed}: {min(other)} is listed with another picture; render scenes of other numbers")
        frames |= found
    with TemporaryDirectory() as folder:  # `save_model` takes no folder that holds more than a model, as OUT does
        save_model(load_model(args.weights or args.runs[-1] / "best").half(), Path(folder) / "model")
        shutil.copytree(Path(folder) / "model", args.out, dirs_exist_ok=True)
    write_json(args.out / "frames.json", dict(sorted(frames.items())))
    write_json(args.out / "history.json", rows)
    facts = {
        "FRAMES": len(frames),
        "SCENES": len({name.split("/")[0] for name in frames}),
        "VAL": len(list(args.mixed[-1].glob("val/**/*.h5"))),
        "EPOCHS": len(history),
        "SEEN": f"{sum(row['train_seconds'] * row['images_per_second'] for row in rows):,.0f}",
        "HOURS": f"{sum(row['train_seconds'] + row['eval_seconds'] for row in history) / 3600:.1f}",
        "SIZE": f"{(args.out / 'model.safetensors').stat().st_size / 1e6:.1f}",
        "PARAMETERS": f"{sum(p.numel() for p in load_model(args.out).parameters()) / 1e6:.2f}",
    }
    text = CARD.read_text()
    for key, value in facts.items():
        text = text.replace("{{" + key + "}}", str(value))
    (args.out / "README.md").write_text(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, nargs="+")
    parser.add_argument("--mixed", type=Path, nargs="+")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "weights" / "tiny-relative")
    args = parser.parse_args()
    if bool(args.runs) != bool(args.mixed):
        parser.error("--runs and --mixed go together")
    if args.weights and not args.runs:
        parser.error("--weights goes with the --runs that they were made of")
    if args.runs:
        release(args)
    table, card = score(args.out), args.out / "README.md"
    text, places = TABLE.subn(lambda found: f"{found[1]}{table}\n{found[2]}", card.read_text())
    if places != 1:
        parser.error(f"{card} has {places} tables of scores instead of one")
    card.write_text(text)
    print(table)


if __name__ == "__main__":
    main()

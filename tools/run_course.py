"""Run the notebooks in order on this machine's profile, and leave them as a site to read.

python tools/run_course.py              # notebooks, runs and site in build/course
python tools/run_course.py --in-place   # execute notebooks/*.ipynb as they are committed
"""

import argparse
import os
import sys
import time
from pathlib import Path

import nbformat
from build_site import build
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from depthkit.run_folder import read_json
from depthkit.scoring.statistics import paired_difference

REPOSITORY = Path(__file__).resolve().parent.parent
EXECUTED = REPOSITORY / "build" / "course"
CELL_SECONDS = 1800


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--in-place", action="store_true", help="write the executed notebooks back to notebooks/")
    parser.add_argument("only", nargs="*", help="beginnings of notebook names, such as 04 (default: all)")
    options = parser.parse_args()
    EXECUTED.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("DEPTHKIT_RUNS", str(EXECUTED / "runs"))
    started = time.monotonic()
    wanted = tuple(options.only or [""])
    paths = [path for path in sorted((REPOSITORY / "notebooks").glob("*.ipynb")) if path.name.startswith(wanted)]
    print(f"==> Running {len(paths)} notebook(s); each takes minutes on a CPU.")
    for path in paths:
        run_one(path, options.in_place)
    site = build(EXECUTED / "site", EXECUTED)
    print(f"==> All done in {(time.monotonic() - started) / 60:.1f} minutes.")
    print_result(Path(os.environ["DEPTHKIT_RUNS"]))
    print(f"{'site to read':32} {site}")


def run_one(path, in_place):
    """Execute one notebook from a fresh kernel, and write it for the site, and back when `in_place`."""
    print(f"==> {path.name} ...", flush=True)
    started = time.monotonic()
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        record_timing=False,
        extra_arguments=["--log-level=40"],  # errors only: kernels warn of their own transport
    )
    try:
        client.execute()
    except CellExecutionError as error:
        sys.exit(f"==> {path.name} stopped at a cell:\n{error}")
    tidy(notebook)
    nbformat.write(notebook, EXECUTED / path.name)
    if in_place:
        nbformat.write(notebook, path)
    print(f"    {time.monotonic() - started:.0f} s", flush=True)


def tidy(notebook):
    """Keep kernel and language alone as metadata, and merge neighbouring stream outputs, so that diffs stay small."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata = {key: value for key, value in cell.metadata.items() if key in ("tags",)}
        merged = []
        for output in cell.get("outputs", []):
            if merged and output.output_type == "stream" and merged[-1].get("name") == output.name:
                merged[-1].text += output.text
            else:
                merged.append(output)
        if cell.cell_type == "code":
            cell.outputs = merged


def print_result(runs):
    """The score, those of the baselines that the run keeps beside it, and where the model lies."""
    reports = sorted(runs.glob("finetune-*/eval/val.json"))
    if reports:
        run = reports[-1].parent.parent
        print_score("fine-tuned model", reports[-1])
        for baseline in sorted((run / "eval").glob("*.json")):
            if baseline != reports[-1]:
                print_score(f"to beat: {read_json(baseline)['model']}", baseline)
        print_gain(run / "eval")
        print(f"{'model':32} {run / 'best'}")


def print_gain(folder):
    """What fine-tuning brought over two fitted numbers on all test rooms, image by image; notebook 05 scores the second
    test split."""
    files = [[folder / part / f"{name}.json" for part in ("", "further")] for name in ("val", "two_numbers")]
    if not all(file.exists() for pair in files for file in pair):
        return
    ours, others = ([record for file in pair for record in read_json(file)["records"]] for pair in files)
    gap = paired_difference(ours, others)
    interval = f"95 % interval {gap['low']:+z.3f} to {gap['high']:+z.3f}"
    print(f"{'fine-tuned less two numbers':32} AbsRel {gap['mean']:+z.3f} ({interval}), {gap['images']} rooms, paired")


def print_score(label, report):
    score = read_json(report)["summary"]["abs_rel"]
    print(f"{label:32} AbsRel {score['mean']:.3f} (95 % interval {score['low']:.3f} to {score['high']:.3f})")


if __name__ == "__main__":
    main()

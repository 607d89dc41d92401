"""Measure all rows in one run and print them as tables: python -m benchmarks [--quick] [--write]

Some minutes on two cores, on a machine that does nothing else; `--quick` shows in seconds that every row works, with
numbers that mean nothing. `--write` keeps the tables in benchmarks/results.md.
"""

import argparse
import sys
from pathlib import Path

from benchmarks import evaluation, growth, networks, pipelines
from benchmarks.measure import cores, machine, peak_memory
from depthkit import sample
from depthkit.settings import SAMPLE_CACHE

ENCODER = "vits"
RESULTS = Path(__file__).with_name("results.md")


def rows(root, quick):
    """The rows of the table, one after another as they are measured."""
    size, images, rounds = (126, 8, 1) if quick else (518, 96, 3)
    yield from pipelines.geometry_rows(root, 1 if quick else 4, size)
    for workers in sorted({1, cores()}):
        yield pipelines.train_row(root, workers, images, rounds, size)
    yield pipelines.eval_row(root, 1, images, rounds, size)
    yield networks.agreement_row(ENCODER, 518)
    yield from networks.step_rows(ENCODER, size, rounds, 256 if quick else 2048)
    yield networks.forward_row(ENCODER, size, 168 if quick else 686, rounds)
    yield from memory_rows(size, ("step",) if quick else ("step", "forward"))
    yield from evaluation.scoring_rows(root, images, rounds, size)


def memory_rows(size, kinds):
    for kind in kinds:
        mine, theirs = (peak_memory(side, kind, ENCODER, 1, size, size) for side in ("ours", "reference"))
        row = {"what": f"peak memory, {ENCODER} {kind} at {size}²", "unit": "MB", "ours": mine, "reference": theirs}
        yield row | {"target": "no more", "met": mine <= theirs}


def line(row):
    """One row in Markdown."""
    values = [f"{row[side]:.3g}" if row.get(side, 1e4) < 1e3 else f"{row[side]:.0f}" if side in row else ""
              for side in ("ours", "reference")]  # fmt: skip
    ratio = "{:.1f} × ({:.1f} to {:.1f})".format(*row["ratio"]) if "ratio" in row else ""
    verdict = {True: "met", False: "**missed**", None: ""}[row.get("met")]
    return "| " + " | ".join([row["what"], row["unit"], *values, ratio, row.get("target", ""), verdict]) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only see that it works")
    parser.add_argument("--write", action="store_true", help=f"also write {RESULTS.name}")
    options = parser.parse_args()
    if options.quick and options.write:
        sys.exit("--quick measures nothing worth keeping: leave out one of the two")
    root = sample.unpack_sample("rooms", SAMPLE_CACHE)
    lines = [f"{name}: {text}  " for name, text in machine().items()]
    lines += [
        "",
        "| what | unit | ours | reference | ratio (smallest to largest) | target | |",
        "|---|---|---|---|---|---|---|",
    ]
    print(*lines, sep="\n", flush=True)
    rates = {}  # of one loader worker
    for row in rows(root, options.quick):
        if row.get("workers") == 1:
            rates = {side: row[side] for side in growth.SIDES}
        lines.append(line(row))
        print(lines[-1], flush=True)
    for text in growth.tables(root, options.quick, rates):
        lines.append(text)
        print(text, flush=True)
    if options.write:
        RESULTS.write_text(
            "# What `python -m benchmarks --write` printed\n\n" + "\n".join(lines) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()

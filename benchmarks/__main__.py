"""Measure all rows in one run and print them as tables: python -m benchmarks [--quick] [--write]

Some minutes on two cores, on a machine that does nothing else; `--quick` shows in seconds that every row works, with
numbers that mean nothing. `--write` keeps the tables in benchmarks/results.md.
"""

from benchmarks import command, evaluation, growth, networks, pipelines
from benchmarks.command import machine_lines
from benchmarks.measure import cores, peak_memory, ratio_text
from depthkit.course import sample
from depthkit.course.settings import SAMPLE_CACHE

ENCODER = "vits"


def rows(root, quick):
    """The rows of the table, one after another as they are measured."""
    size, images, rounds = (126, 8, 1) if quick else (518, 96, 3)
    yield from pipelines.geometry_rows(root, 1 if quick else 4, size)
    for workers in sorted({1, cores()}):
        yield pipelines.train_row(root, workers, images, rounds, size)
    yield pipelines.compressed_row(root, 1, images, rounds, size)
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
    ratio = ratio_text(row) if "ratio" in row else ""
    verdict = {True: "met", False: "**missed**", None: ""}[row.get("met")]
    return "| " + " | ".join([row["what"], row["unit"], *values, ratio, row.get("target", ""), verdict]) + " |"


def report(quick):
    root = sample.unpack_sample("rooms", SAMPLE_CACHE)
    yield from machine_lines()
    yield from ("", "| what | unit | ours | reference | ratio (smallest to largest) | target | |", "|---" * 7 + "|")
    rates = {}  # of one loader worker
    for row in rows(root, quick):
        if row.get("workers") == 1:
            rates = {side: row[side] for side in growth.SIDES}
        yield line(row)
    yield from growth.tables(root, quick, rates)


if __name__ == "__main__":
    command.run("Results", "results.md", __doc__, report)

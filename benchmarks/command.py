"""The command line of a benchmark: print tables as they are measured, and keep them with --write."""

import argparse
import itertools
from contextlib import nullcontext
from pathlib import Path

from benchmarks.measure import machine


def run(title, results, description, report):
    """`[--quick] [--write]`; `report(quick)` yields lines of Markdown, which go to the file `results` as they come."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only see that it works")
    parser.add_argument("--write", action="store_true", help=f"also write {results}")
    options = parser.parse_args()
    if options.quick and options.write:
        parser.error("--quick measures nothing worth keeping: leave out one of the two")
    draft = Path(__file__).with_name(f"{results}.part")  # what was measured before a failure stays readable there
    with draft.open("w", encoding="utf-8") if options.write else nullcontext() as file:
        for line in itertools.chain([f"# {title}", ""], report(options.quick)):
            print(line, flush=True)
            if file:
                print(line, file=file, flush=True)
    if options.write:
        draft.replace(draft.with_suffix(""))


def machine_lines():
    """What the numbers depend on, a line each."""
    return [f"{name}: {text}  " for name, text in machine().items()]

"""The command line of a benchmark: print tables as they are measured, and keep them with --write."""

import argparse
from pathlib import Path

from benchmarks.measure import machine


def run(module, results, description, report):
    """`python -m MODULE [--quick] [--write]`; `report(quick)` yields lines of Markdown, `results` is where they go."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only see that it works")
    parser.add_argument("--write", action="store_true", help=f"also write {results}")
    options = parser.parse_args()
    if options.quick and options.write:
        parser.error("--quick measures nothing worth keeping: leave out one of the two")
    written = [f"# What `python -m {module} --write` printed", ""]
    for line in report(options.quick):
        print(line, flush=True)
        written.append(line)
    if options.write:
        Path(__file__).with_name(results).write_text("\n".join(written) + "\n", encoding="utf-8")


def machine_lines():
    """What the numbers depend on, a line each."""
    return [f"{name}: {text}  " for name, text in machine().items()]

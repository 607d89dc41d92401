"""Take the figures and tables that README.md shows from where they were measured; or see that they still agree.

python tools/readme_results.py            # after `make notebooks` or `make bench`
python tools/readme_results.py --check    # exit status 1 where README or a figure differs from its source

A notebook cell's tag says what is taken: `readme-results` a table, put between the two comments of that name in
README.md; `readme-figure-NAME` a picture, written to docs/NAME.png. The first table of benchmarks/results.md, and what
it says of the machine, goes to `readme-benchmarks`, all of benchmarks/gpu.md to `readme-gpu`.
"""

import argparse
import base64
import json
import re
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
README = REPOSITORY / "README.md"
BENCHMARKS = REPOSITORY / "benchmarks"
FIGURES = REPOSITORY / "docs"


def tagged_outputs():
    """{tag: (its notebook, {MIME type: content})} of all tagged cells."""
    found = {}
    for path in sorted((REPOSITORY / "notebooks").glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            for tag in cell["metadata"].get("tags", []):
                for output in cell.get("outputs", []):
                    found.setdefault(tag, (path.name, {}))[1].update(output.get("data", {}))
    return found


def tables():
    """{mark in README.md: (its source, Markdown)}."""
    found = {}
    for tag, (name, content) in tagged_outputs().items():
        if tag.startswith("readme-") and not tag.startswith("readme-figure-"):
            found[tag] = (name, "".join(content["text/markdown"]))
    cpu, gpu = (printed(BENCHMARKS / name) for name in ("results.md", "gpu.md"))
    return found | {"readme-benchmarks": ("results.md", cpu.split("\n**")[0].strip()), "readme-gpu": ("gpu.md", gpu)}


def printed(path):
    """A file of the benchmarks without its title."""
    return path.read_text(encoding="utf-8").split("\n", 1)[1].strip()


def wanted_files():
    """{path: content in bytes} as the sources would have it."""
    readme, files = README.read_text(encoding="utf-8"), {}
    for tag, (_name, content) in tagged_outputs().items():
        if tag.startswith("readme-figure-"):
            picture = base64.b64decode("".join(content["image/png"]))
            files[FIGURES / f"{tag.removeprefix('readme-figure-')}.png"] = picture
    for mark, (name, table) in tables().items():
        place = re.compile(rf"(<!-- {mark} -->\n).*?(\n<!-- end -->)", re.DOTALL)
        readme, count = place.subn(lambda found, table=table: found[1] + table + found[2], readme)
        if count != 1:
            sys.exit(f"{name} has a table for {mark}, and README.md {count} places for it instead of one")
    return files | {README: readme.encode()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    stale = [path for path, content in wanted_files().items() if not path.exists() or path.read_bytes() != content]
    for path in stale:
        print(f"{path.relative_to(REPOSITORY)} {'is not what was measured' if options.check else 'written'}")
        if not options.check:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(wanted_files()[path])
    sys.exit(bool(stale) and options.check)


if __name__ == "__main__":
    main()

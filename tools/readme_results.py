"""Take the figures and the table that README.md shows from the executed notebooks; or see that they still agree.

python tools/readme_results.py            # after `make notebooks`
python tools/readme_results.py --check    # exit status 1 where README or a figure differs from the notebooks

A cell's tag says what is taken: `readme-results` a table, put between the two comments of that name in README.md;
`readme-figure-NAME` a picture, written to docs/NAME.png.
"""

import argparse
import base64
import json
import re
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
README = REPOSITORY / "README.md"
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


def wanted_files():
    """{path: content in bytes} as the notebooks would have it."""
    readme, files = README.read_text(encoding="utf-8"), {}
    for tag, (name, content) in tagged_outputs().items():
        if tag.startswith("readme-figure-"):
            picture = base64.b64decode("".join(content["image/png"]))
            files[FIGURES / f"{tag.removeprefix('readme-figure-')}.png"] = picture
        elif tag.startswith("readme-"):
            marks = re.compile(rf"(<!-- {tag} -->\n).*?(\n<!-- end -->)", re.DOTALL)
            table = "".join(content["text/markdown"])
            readme, count = marks.subn(lambda found, table=table: found[1] + table + found[2], readme)
            if count != 1:
                sys.exit(f"{name} has a cell tagged {tag}, and README.md {count} places for it instead of one")
    return files | {README: readme.encode()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    stale = [path for path, content in wanted_files().items() if not path.exists() or path.read_bytes() != content]
    for path in stale:
        print(f"{path.relative_to(REPOSITORY)} {'is not what the notebooks show' if options.check else 'written'}")
        if not options.check:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(wanted_files()[path])
    sys.exit(bool(stale) and options.check)


if __name__ == "__main__":
    main()

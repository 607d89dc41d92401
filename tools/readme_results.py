"""Take the figures and tables that README.md and docs/ show from the notebooks; or see that they still agree.

python tools/readme_results.py            # after `make notebooks`
python tools/readme_results.py --check    # exit status 1 where a document or a figure differs from its source

A notebook cell's tag says what is taken: `readme-NAME` a table, put between the two comments of that name, and
`readme-figure-NAME` a picture, written to docs/NAME.png.
"""

import argparse
import base64
import json
import re
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
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
    texts, files = {path: path.read_text(encoding="utf-8") for path in DOCUMENTS}, {}
    for tag, (name, content) in tagged_outputs().items():
        if tag.startswith("readme-figure-"):
            picture = base64.b64decode("".join(content["image/png"]))
            files[FIGURES / f"{tag.removeprefix('readme-figure-')}.png"] = picture
        elif tag.startswith("readme-"):
            table = "".join(content["text/markdown"])
            place = re.compile(rf"(<!-- {tag} -->\n).*?(<!-- end -->)", re.DOTALL)
            holders = [path for path, text in texts.items() for _ in place.findall(text)]
            if len(holders) != 1:
                sys.exit(f"{name} has a table for {tag}, and the documents {len(holders)} places for it instead of one")
            filled = place.sub(lambda found, table=table: f"{found[1]}{table}\n{found[2]}", texts[holders[0]])
            texts[holders[0]] = filled
    return files | {path: text.encode() for path, text in texts.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    orphans = sorted(set(FIGURES.glob("*.png")) - set(wanted_files()))
    for path in orphans:
        print(f"{path.relative_to(REPOSITORY)}: no cell of a notebook has the tag readme-figure-{path.stem}")
    stale = [path for path, content in wanted_files().items() if not path.exists() or path.read_bytes() != content]
    for path in stale:
        print(f"{path.relative_to(REPOSITORY)} {'is not what was measured' if options.check else 'written'}")
        if not options.check:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(wanted_files()[path])
    sys.exit(bool(orphans or (stale and options.check)))


if __name__ == "__main__":
    main()

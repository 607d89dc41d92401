"""What ruff can't see: large files, notebooks with errors or not executed in order, notebooks that begin differently or
that README does not open, broken links between documents.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

from build_site import REPOSITORY as ADDRESS
from build_site import badges

REPOSITORY = Path(__file__).resolve().parent.parent
FIRST_CELL = REPOSITORY / "tools" / "kaggle_first_cell.py"
MAX_BYTES = {".ipynb": 3_000_000, "": 5_000_000}


def main():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    files = [REPOSITORY / name for name in listed.stdout.split("\0") if name and (REPOSITORY / name).exists()]
    notebooks = [path for path in files if path.suffix == ".ipynb"]
    problems = [line for path in files for line in check_size(path)]
    problems += [line for path in notebooks for line in check_notebook(path)]
    problems += check_first_cells(notebooks)
    problems += check_badges(notebooks, (REPOSITORY / "README.md").read_text(encoding="utf-8"))
    problems += [line for path in files if path.suffix == ".md" for line in check_links(path)]
    for line in problems:
        print(line)
    sys.exit(bool(problems))


def check_size(path):
    limit = MAX_BYTES.get(path.suffix, MAX_BYTES[""])
    if path.stat().st_size > limit:
        yield f"{path.relative_to(REPOSITORY)}: {path.stat().st_size / 1e6:.1f} MB, more than {limit / 1e6:.1f}"


def check_notebook(path):
    """Executed from top to bottom, without errors or warnings shown to the reader."""
    name = path.relative_to(REPOSITORY)
    notebook = json.loads(path.read_text())
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code" and "".join(cell["source"]).strip()]
    if [cell["execution_count"] for cell in cells] != list(range(1, len(cells) + 1)):
        yield f"{name}: not executed from top to bottom (make notebooks)"
    for number, cell in enumerate(cells, 1):
        outputs = json.dumps(cell["outputs"])
        if '"output_type": "error"' in outputs:
            yield f"{name}: cell {number} shows an error"
        if "Warning:" in outputs:
            yield f"{name}: cell {number} shows a warning"
        if found := re.search(r"/(?:root|home|Users|tmp)/\w[^\s\"\\]*", outputs):
            yield f"{name}: cell {number} names a path of one machine, {found[0]}"


def check_first_cells(paths):
    """Once one notebook has the cell that installs the package on Kaggle, all begin with it, to the letter."""
    wanted = FIRST_CELL.read_text().strip()
    sources = {}
    for path in paths:
        cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
        sources[path] = ["".join(cell["source"]).strip() for cell in cells]
    if any("depthkit-*.whl" in source for found in sources.values() for source in found):
        for path, found in sources.items():
            if found[:1] != [wanted]:
                yield f"{path.name}: its first code cell is not that of tools/{FIRST_CELL.name}"


def check_badges(notebooks, readme):
    """README links every notebook, with badges that follow the repository's address in pyproject.toml; the notebooks'
    first cell installs from there.
    """
    if f'"{ADDRESS}"' not in FIRST_CELL.read_text():
        yield f"tools/{FIRST_CELL.name}: REPOSITORY should be {ADDRESS}, as in pyproject.toml"
    for path in notebooks:
        row = rf"\(notebooks/{re.escape(path.name)}\) \| [^|]+ \| {re.escape(badges(path.name, 'docs/_static'))} \|"
        if not re.search(row, readme):
            yield f"README.md: its row for {path.name} should end with {badges(path.name, 'docs/_static')}"


def check_links(path):
    """Relative links of a Markdown file lead to files that exist."""
    for target in re.findall(r"\]\(([^)#\s]+)", path.read_text()):
        if "://" not in target and not target.startswith("mailto:") and not (path.parent / target).exists():
            yield f"{path.relative_to(REPOSITORY)}: link to {target}, which does not exist"


if __name__ == "__main__":
    main()

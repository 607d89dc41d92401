"""Lay out what goes to Kaggle: one data set that carries the package, and one folder for each notebook.

python tools/kaggle_bundle.py --user NAME --nyu OWNER/SLUG [--out build/kaggle]

It ends with the `kaggle` commands that send them. The wheel of depthkit carries the bundled sample and the tiny
weights, since `kaggle datasets create` passes folders over, and Kaggle may unpack archives; a wheel arrives as it is.
The kernels' metadata are made from `kaggle-kernel-metadata.json`.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from depthkit.run_folder import draft_folder, replace_folder, write_json

REPOSITORY = Path(__file__).resolve().parent.parent
TEMPLATE = REPOSITORY / "kaggle-kernel-metadata.json"
FIRST_CELL = Path(__file__).with_name("kaggle_first_cell.py")
DATASET = "depthkit-course"  # Kaggle's slug; the template and the first cell name it too
# What each notebook needs besides that data set. 01 and 02 construct what they show from the bundled sample.
NEEDS = {"01": (), "02": (), "03": ("nyu",), "04": ("nyu", "gpu"), "05": ("nyu", "gpu", "run")}
MAKES_RUN = "04"
# The rules of the `kaggle` command for the owner and the slug of a reference.
OWNER, SLUG = r"[a-z0-9]+(?:[_-][a-z0-9]+)*", r"[a-z0-9]+(?:-[a-z0-9]+)*"


class BundleError(ValueError):
    """Something that Kaggle would refuse, or quietly take for something else."""


def build(out, user, nyu, notebooks=REPOSITORY / "notebooks", accelerate=None):
    """Write `<out>/dataset` and `<out>/kernels/<notebook>`; a bundle that was there is replaced.

    `nyu` is the owner/slug of NYU Depth V2 there; `accelerate` a wheel of it, which is downloaded where None.

    Raises: BundleError that says what to change.
    """
    if not re.fullmatch(OWNER, user):
        raise BundleError(f"--user {user!r}: a Kaggle user name is lower-case letters, digits, - and _ (as in its URL)")
    if not re.fullmatch(f"{OWNER}/{SLUG}", nyu):
        raise BundleError(f"--nyu {nyu!r}: name the data set as OWNER/SLUG, as in its URL")
    out = Path(out)
    if out.exists() and (not out.is_dir() or {path.name for path in out.iterdir()} - {"dataset", "kernels"}):
        raise BundleError(f"--out {out} holds something other than a bundle; name a folder of its own")
    paths = {number: find_notebook(Path(notebooks), number) for number in NEEDS}
    names = {number: title_and_slug(path) for number, path in paths.items()}
    draft = draft_folder(out)
    try:
        for number, path in paths.items():
            title, slug = names[number]
            values = dict(user=user, nyu=nyu, title=title, slug=slug, notebook=path.name)
            values["run"] = f"{user}/{names[MAKES_RUN][1]}"
            folder = draft / "kernels" / path.stem
            write_json(folder / "kernel-metadata.json", kernel_metadata(values, NEEDS[number]))
            shutil.copy(path, folder)
        write_dataset(draft / "dataset", user, accelerate)
        replace_folder(draft, out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def find_notebook(folder, number):
    found = sorted(folder.glob(f"{number}_*.ipynb"))
    if len(found) != 1:
        raise BundleError(f"{folder} has {len(found)} notebooks {number}_*.ipynb; there must be one")
    cells = json.loads(found[0].read_text(encoding="utf-8"))["cells"]
    code = next(("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"), "")
    if code.strip() != FIRST_CELL.read_text(encoding="utf-8").strip():
        raise BundleError(f"{found[0].name}: its first code cell is not that of tools/{FIRST_CELL.name}")
    return found[0]


def title_and_slug(path):
    """("depthkit 04 Fine-tuning", "depthkit-04-fine-tuning") for a notebook that opens with "# 04 · Fine-tuning".

    Kaggle makes the slug from the title, whatever the metadata say: a title that it might spell otherwise is refused.
    """
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    opening = "".join(cells[0]["source"]).splitlines()[0] if cells and cells[0]["source"] else ""
    number, heading = path.name[:2], re.fullmatch(r"# (\d\d) · (.+)", opening)
    if not heading or heading[1] != number:
        raise BundleError(f"{path.name} opens with {opening!r}; title and slug need a first line `# {number} · Title`")
    title = f"depthkit {number} {heading[2]}"
    slug = title.lower().replace(" ", "-")
    if not re.fullmatch(SLUG, slug) or len(title) > 50:
        raise BundleError(f"{path.name}: the title {title!r} needs plain letters, digits and hyphens, 50 at most")
    return title, slug


def kernel_metadata(values, needs):
    """The template with its {names} filled in, without what the notebook does not need."""
    metadata = json.loads(TEMPLATE.read_text(encoding="utf-8"))
    for key, without in (("dataset_sources", "nyu"), ("kernel_sources", "run")):
        metadata[key] = [source for source in metadata[key] if source != f"{{{without}}}" or without in needs]
    if "gpu" not in needs:  # a machine without one costs no weekly GPU hours
        metadata |= {"enable_gpu": False, "machine_shape": ""}
    return {key: _fill(value, values) for key, value in metadata.items()}


def _fill(value, values):
    if isinstance(value, list):
        return [_fill(item, values) for item in value]
    return value.format_map(values) if isinstance(value, str) else value


def write_dataset(folder, user, accelerate=None):
    """The two wheels and dataset-metadata.json, all at the top level, where `kaggle datasets create` takes them."""
    folder.mkdir(parents=True)
    build_wheel(folder)
    fetch_accelerate(folder, accelerate)
    about = "The depthkit course on monocular depth: its package with the bundled sample, and the accelerate it needs."
    metadata = {
        "id": f"{user}/{DATASET}",
        "title": DATASET.replace("-", " "),
        "subtitle": "Package and sample of a course on monocular depth",
        "description": f"{about} The first cell of each notebook installs both wheels; torch stays the machine's.",
        "licenses": [{"name": "apache-2.0"}],  # Kaggle's name for it
    }
    write_json(folder / "dataset-metadata.json", metadata)


def build_wheel(folder):
    """Depthkit's wheel; the build backend puts the sample and the weights into it."""
    # The build backend of this environment, so that no network is needed.
    _pip("wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder, REPOSITORY)


def fetch_accelerate(folder, given=None):
    """Put the wheel of accelerate that requirements.txt asks for into `folder`: `given`, else downloaded."""
    lines = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8").splitlines()
    wanted = next(Requirement(line) for line in lines if line.startswith("accelerate"))
    if given is None:
        _pip("download", "--no-deps", "--only-binary=:all:", "--dest", folder, str(wanted))
        return
    try:
        name, version, *_ = parse_wheel_filename(Path(given).name)
    except InvalidWheelFilename as error:
        raise BundleError(f"--accelerate {given}: {error}") from error
    if name != wanted.name or version not in wanted.specifier or not Path(given).is_file():
        raise BundleError(f"--accelerate {given}: name an existing wheel of {wanted}")
    shutil.copy(given, folder)


def _pip(*arguments):
    command = [sys.executable, "-m", "pip", "--quiet", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise BundleError(f"pip {arguments[0]} failed:\n{done.stdout}{done.stderr}".rstrip())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--user", required=True, help="your Kaggle user name, as in its URL")
    parser.add_argument("--nyu", required=True, help="OWNER/SLUG of a data set that holds nyudepthv2/train and val")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "build" / "kaggle")
    parser.add_argument("--accelerate", type=Path, help="a wheel of accelerate, where nothing can be downloaded")
    options = parser.parse_args()
    try:
        build(options.out, options.user, options.nyu, accelerate=options.accelerate)
    except BundleError as error:
        sys.exit(str(error))
    print(f"kaggle datasets create -p {options.out / 'dataset'}")
    for folder in sorted((options.out / "kernels").iterdir()):
        print(f"kaggle kernels push -p {folder}")


if __name__ == "__main__":
    main()

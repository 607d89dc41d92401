"""Lay out what goes to Kaggle: one data set that carries the package, and one folder for each notebook.

python tools/kaggle_bundle.py --user NAME [--nyu OWNER/SLUG] [--out build/kaggle]

It ends with the steps that send them. The wheel of depthkit carries the bundled sample and the tiny weights, since
`kaggle datasets create` passes folders over, and Kaggle may unpack archives; a wheel arrives as it is. The kernels'
metadata are made from `kaggle-kernel-metadata.json`, which is notebook 04's.
"""

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.requirements import Requirement

from depthkit.run_folder import replaced_folder, write_json

REPOSITORY = Path(__file__).resolve().parent.parent
TEMPLATE = REPOSITORY / "kaggle-kernel-metadata.json"
FIRST_CELL = Path(__file__).with_name("kaggle_first_cell.py")
DATASET = "depthkit-course"  # Kaggle's slug; the template and the first cell name it too
USER = "INSERT_USER_HERE"  # stands for the account in the template, as such names do after `kaggle kernels init`
# What an image of Kaggle may lack, or hold in a release too old; the first cell takes it from the data set then. The
# last two are what tyro needs, which builds the command line.
CARRIED = ("accelerate", "transformers", "huggingface-hub", "tyro", "docstring-parser", "typeguard")
IN_WHEEL = ("depthkit", "data", "weights", "pyproject.toml", "requirements.txt", "README.md", "LICENSE")
STEPS = """\
Before the first time: a phone number verified at kaggle.com/settings (GPUs and internet need it) and a login,
`kaggle auth login`, which may lapse after some hours. Then:
1. kaggle datasets create -p {out}/dataset
   (later, after a change: kaggle datasets version -p {out}/dataset -m "what changed")
2. kaggle datasets status {course}      until it says "ready": a kernel pushed earlier does not find it
3. kaggle kernels push -p {out}/kernels/{run}
   Read what it prints: a source that Kaggle refuses costs one line, and the command exits 0 all the same. At the first
   push the output of this notebook, from which a later session goes on, is such a source.
4. kaggle kernels status {slug}      until it says "complete"; two T4s cost hours of a weekly quota of about 30
5. In the same way the notebooks that read its output: {later}. At any time, without a GPU: {others}.
"""
# The rules of the `kaggle` command for the owner and the slug of a reference.
OWNER, SLUG = r"[a-z0-9]+(?:[_-][a-z0-9]+)*", r"[a-z0-9]+(?:-[a-z0-9]+)*"


class BundleError(ValueError):
    """Something that Kaggle would refuse, or quietly take for something else."""


def build(out, user, nyu=None, notebooks=REPOSITORY / "notebooks", wheels=None):
    """Write `<out>/dataset` and `<out>/kernels/<notebook>`; a bundle that was there is replaced.

    `nyu` is the owner/slug of NYU Depth V2 there, the template's where None; `wheels` a folder with what CARRIED names,
    which is downloaded where None.

    Raises: BundleError that says what to change.
    """
    if not re.fullmatch(OWNER, user):
        raise BundleError(f"--user {user!r}: a Kaggle user name is lower-case letters, digits, - and _ (as in its URL)")
    if nyu is not None and not re.fullmatch(f"{OWNER}/{SLUG}", nyu):
        raise BundleError(f"--nyu {nyu!r}: name the data set as OWNER/SLUG, as in its URL")
    out = Path(out)
    if out.exists() and (not out.is_dir() or {path.name for path in out.iterdir()} - {"dataset", "kernels"}):
        raise BundleError(f"--out {out} holds something other than a bundle; name a folder of its own")
    paths = find_notebooks(Path(notebooks))
    kernels = {path: kernel_metadata(path, user, nyu) for path in paths}
    with replaced_folder(out) as draft:
        for path, metadata in kernels.items():
            write_json(draft / "kernels" / path.stem / "kernel-metadata.json", metadata)
            shutil.copy(path, draft / "kernels" / path.stem)
        write_dataset(draft / "dataset", user, wheels)


def find_notebooks(folder):
    """The notebooks 01, 02 and so on; each begins with the cell that installs the package."""
    paths = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not paths or [path.name[:2] for path in paths] != [f"{number:02d}" for number in range(1, len(paths) + 1)]:
        raise BundleError(f"{folder} holds {[path.name for path in paths]}; there must be one each of 01, 02 and so on")
    for path in paths:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = next(("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"), "")
        if code.strip() != FIRST_CELL.read_text(encoding="utf-8").strip():
            raise BundleError(f"{path.name}: its first code cell is not that of tools/{FIRST_CELL.name}")
    return paths


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


def kernel_metadata(path, user, nyu=None):
    """The template, filled in for one notebook, without what it does not need.

    04 and the later ones have the newest output of 04 attached, 04 to go on from it.
    """
    metadata = json.loads(TEMPLATE.read_text(encoding="utf-8").replace(USER, user))
    title, slug = title_and_slug(path)
    metadata |= {"id": f"{user}/{slug}", "title": title, "code_file": path.name}
    course, known_nyu = metadata["dataset_sources"]
    # 01 and 02 construct what they show from the bundled sample.
    metadata["dataset_sources"] = [course, nyu or known_nyu] if path.name >= "03" else [course]
    if path.name < "04":  # a machine without a GPU costs no weekly hours
        metadata |= {"enable_gpu": False, "machine_shape": "", "kernel_sources": []}
    return metadata


def write_dataset(folder, user, wheels=None):
    """The wheels and dataset-metadata.json, all at the top level, where `kaggle datasets create` takes them."""
    folder.mkdir(parents=True)
    build_wheel(folder)
    fetch_wheels(folder, wheels)
    about = "The depthkit course on monocular depth: its package with the bundled sample, and what that needs."
    metadata = {
        "id": f"{user}/{DATASET}",
        "title": DATASET.replace("-", " "),
        "subtitle": "Package and sample of a course on monocular depth",
        "description": f"{about} The first cell of each notebook installs what is missing, never torch.",
        "licenses": [{"name": "apache-2.0"}],  # Kaggle's name for it
    }
    write_json(folder / "dataset-metadata.json", metadata)


def build_wheel(folder):
    """depthkit's wheel; the build backend puts the sample and the weights into it.

    Its version ends in a number made of its content: pip leaves an installed package alone where the version is equal.
    """
    with tempfile.TemporaryDirectory() as tree:
        for name in IN_WHEEL:
            if (REPOSITORY / name).is_dir():
                shutil.copytree(REPOSITORY / name, Path(tree, name), ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(REPOSITORY / name, tree)
        content = hashlib.sha256()
        for path in sorted(path for path in Path(tree).rglob("*") if path.is_file()):
            content.update(path.relative_to(tree).as_posix().encode() + path.read_bytes())
        version = Path(tree, "depthkit", "__init__.py")
        mark = rf"\g<0>.post{int(content.hexdigest()[:7], 16)}"
        version.write_text(re.sub(r'(?<=__version__ = ")[\d.]+', mark, version.read_text()))
        # The build backend of this environment, so that no network is needed.
        _pip("wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder, tree)


def fetch_wheels(folder, source=None):
    """Put the wheels that CARRIED names into `folder`: those in the folder `source`, else pip's.

    Of pip's the oldest that requirements.txt admits, whose own needs the image meets most surely.
    """
    if source is None:
        download(folder, requirements(CARRIED))
    else:
        wanted = map(str, requirements(CARRIED))
        _pip("download", "--no-deps", "--no-index", "--find-links", source, "--dest", folder, *wanted)


def download(folder, wanted):
    """The wheels of the oldest releases that these requirements admit."""
    _pip("download", "--no-deps", "--dest", folder, *(str(each).replace(">=", "==") for each in wanted))


def requirements(names):
    """What requirements.txt asks of these packages; of one that it does not list, any release."""
    lines = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8").splitlines()
    parsed = [Requirement(text) for line in lines if (text := line.partition("#")[0].strip())]
    listed = {requirement.name: requirement for requirement in parsed}
    return [listed.get(name, Requirement(name)) for name in names]


def _pip(*arguments):
    command = [sys.executable, "-m", "pip", "--quiet", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise BundleError(f"pip {arguments[0]} failed:\n{done.stdout}{done.stderr}".rstrip())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--user", required=True, help="your Kaggle user name, as in its URL")
    parser.add_argument("--nyu", help="OWNER/SLUG of NYU as .h5 files (default: that of the template)")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "build" / "kaggle")
    parser.add_argument("--wheels", type=Path, help=f"folder with wheels of {', '.join(CARRIED)}, to download nothing")
    options = parser.parse_args()
    try:
        build(options.out, options.user, options.nyu or None, wheels=options.wheels)
    except BundleError as error:
        sys.exit(str(error))
    print(steps(options.out, options.user), end="")


def steps(out, user):
    """STEPS for a bundle of `user` in the folder `out`."""
    names = sorted(folder.name for folder in (out / "kernels").iterdir())
    slug = json.loads((out / "kernels" / names[3] / "kernel-metadata.json").read_text(encoding="utf-8"))["id"]
    later, others = ", ".join(names[4:]), ", ".join(names[:3])
    return STEPS.format(out=out, course=f"{user}/{DATASET}", run=names[3], slug=slug, later=later, others=others)


if __name__ == "__main__":
    main()

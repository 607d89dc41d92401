"""What is attached to a Kaggle notebook: a copy of NYU Depth V2, weights, and the runs of earlier sessions.

Owners name their data sets as they like, so data and weights are found by what the folders hold, not by their names.
"""

import ast
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from IPython import get_ipython

from depthkit.errors import InputError
from depthkit.models.encoders import encoder_of_width
from depthkit.run_folder import read_json

INPUT, WORKING = Path("/kaggle/input"), Path("/kaggle/working")
# A newer machine mounts what is attached as <group>/<owner>/<name>, an older one directly in INPUT.
GROUPS = ("datasets", "models", "notebooks")
AUTHORS_WEIGHTS = "depth_anything_v2_vits.pth"  # the relative ViT-S as the authors publish it
NOT_WEIGHTS = {"train", "val", "test", "runs"}  # large folders of pictures, and models that were trained here


def mounts() -> list[Path]:
    """Return the folder of each thing that is attached, in the older and in the newer layout."""
    folders: list[Path] = []
    for folder in sorted(INPUT.glob("*")):
        folders += sorted(folder.glob("*/*")) if folder.name in GROUPS else [folder]
    return folders


def attached(pattern: str) -> list[Path]:
    """Return the paths that match `pattern` within the folders of what is attached."""
    return [path for mount in mounts() for path in sorted(mount.glob(pattern))]


def find_data() -> Path | None:
    """Return the first folder with train/ and val/ that hold .h5 files, at most two levels deep in a mount, or None."""
    for mount in mounts():
        for folder in (mount, *sorted(mount.glob("*/")), *sorted(mount.glob("*/*/"))):
            if all(any((folder / split).rglob("*.h5")) for split in ("train", "val")):
                return folder
    return None


def find_weights() -> Path | None:
    """Return the first relative ViT-S, the authors' .pth file or a folder in the Hub's format at any depth, or None."""
    for mount in mounts():
        for folder, names, files in os.walk(mount):
            names[:] = sorted(set(names) - NOT_WEIGHTS)  # changed in place: os.walk goes on with these
            if AUTHORS_WEIGHTS in files:
                return Path(folder, AUTHORS_WEIGHTS)
            if {"config.json", "model.safetensors"} <= set(files) and _is_relative_vits(Path(folder, "config.json")):
                return Path(folder)
    return None


def describe_attached() -> str:
    """Return one line with the folder of each thing that is attached and the first names in it."""
    parts = []
    for mount in mounts():
        names = [path.name for path in sorted(mount.glob("*"))]
        names[4:] = ["..."] if len(names) > 4 else []
        parts.append(f"{mount.relative_to(INPUT)} ({', '.join(names)})")
    return "; ".join(parts) or "nothing"


def keep_going() -> None:
    """Let no later cell of this notebook stop it: a cell that fails says so in one line, and the next one runs.

    On Kaggle a notebook that fails loses all that it wrote, a finished training too. Elsewhere a file that is missing
    or damaged is forgiven, with what follows from it; any other error is raised.
    """
    if shell := get_ipython():
        shell.user_ns["_failure_is_told"] = _failure_is_told
        shell.ast_transformers.append(_Forgiven())


class _Forgiven(ast.NodeTransformer):
    """Put a cell into a `with` block, and show its last expression after it, as IPython does."""

    def visit_Module(self, node: ast.Module) -> ast.Module:
        cell = ast.parse("_shown = None\nwith _failure_is_told():\n    pass\n_shown")
        if node.body and isinstance(last := node.body[-1], ast.Expr):
            node.body[-1] = ast.Assign([ast.Name("_shown", ast.Store())], last.value)
        cell.body[1].body += node.body  # type: ignore[attr-defined]
        return cell


_failures: list[Exception] = []


@contextmanager
def _failure_is_told() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if not (_failures or WORKING.is_dir() or isinstance(error, (OSError, InputError))):
            raise
        _failures.append(error)
        print(f"The rest of this cell is left out: {error}")


def _is_relative_vits(path: Path) -> bool:
    try:
        config = read_json(path)
    except InputError:  # a damaged file, or one of another tool
        return False
    kind = (config.get("model_type"), config.get("depth_estimation_type", "relative"))
    width = config.get("backbone_config", {}).get("hidden_size")
    return kind == ("depth_anything", "relative") and encoder_of_width(width) == "vits"

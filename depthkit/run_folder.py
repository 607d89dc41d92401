"""The folder of a run: where each thing in it lies, and how to write there so that a kill never leaves half a file."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from depthkit.errors import InputError


class RunFolder:
    """The paths of a run: its configuration, its history, the model to resume, the best model and the scores."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.name = self.path.name  # for messages
        self.config = self.path / "config.json"
        self.history = self.path / "history.json"
        self.last = self.path / "last"
        self.best = self.path / "best"
        self.eval = self.path / "eval"

    def report(self, name: str) -> Path:
        """Name the file with the scores of one evaluation, such as `val`."""
        return self.eval / f"{name}.json"

    def selection(self, held_out: float) -> Path:
        """Name the folder with the scores that picked the epoch: of what was held out, where anything was."""
        return self.eval / "held_out" if held_out else self.eval

    def is_used(self) -> bool:
        """Say whether a run has left its history or a checkpoint here."""
        return self.history.exists() or self.last.exists()


def write_json(path: str | Path, content: Any) -> None:
    """Write `content` as JSON; a reader sees the old file or the new one, never a part."""
    with replaced_file(path) as draft:
        draft.write_text(json.dumps(content, indent=1) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file. Raises InputError that names the file when it is damaged."""
    try:
        return json.loads(Path(path).read_text())
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}); remove it, or take it from a copy") from error


@contextmanager
def replaced_file(path: str | Path) -> Iterator[Path]:
    """Give a draft to write to, which takes the place of `path` when the block ends well and is removed otherwise."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.draft")
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def replaced_folder(folder: str | Path) -> Iterator[Path]:
    """Give an empty draft to write to, which takes the place of `folder` when the block ends well.

    At every moment one whole version is on disk. Raises: RuntimeError that says what to do when a disk is full.
    """
    draft = _beside(folder, "draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        yield draft
        settle(folder)
        draft.rename(_beside(folder, "fresh"))
    # RuntimeError and SafetensorError: how PyTorch and safetensors say that a disk is full
    except (OSError, RuntimeError, SafetensorError) as error:
        raise RuntimeError(
            f"could not write {folder} ({error}): free some disk space and resume; what was there before is whole"
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    settle(folder)


def settle(folder: str | Path) -> bool:
    """Finish a replacement that was interrupted; returns whether `folder` exists now."""
    fresh = _beside(folder, "fresh")
    if fresh.exists():  # it got this name when it was complete
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)
    return Path(folder).exists()


def _beside(folder: str | Path, suffix: str) -> Path:
    return Path(f"{Path(folder)}.{suffix}")

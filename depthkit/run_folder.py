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
        self.config = self.path / "config.json"
        self.history = self.path / "history.json"
        self.last = self.path / "last"
        self.best = self.path / "best"
        self.eval = self.path / "eval"

    @property
    def name(self) -> str:
        """The last part of the path, for messages."""
        return self.path.name

    @property
    def state(self) -> Path:
        """The file in `last/` that says where the run stands."""
        return self.last / "state.json"

    def report(self, name: str) -> Path:
        """The scores of one evaluation, such as `val`."""
        return self.eval / f"{name}.json"

    def is_used(self) -> bool:
        """Whether a run has left its history or a checkpoint here."""
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


def draft_folder(folder: str | Path) -> Path:
    """Make an empty folder beside `folder` to write into before `replace_folder`."""
    folder = Path(folder)
    draft = folder.with_name(folder.name + ".draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    return draft


@contextmanager
def writing(folder: str | Path) -> Iterator[None]:
    """Stand around all that writes the draft of `folder`.

    Raises: RuntimeError that says what to do when that fails (a full disk); the draft is gone then, and `folder` as it
    was.
    """
    try:
        yield
    # RuntimeError and SafetensorError: how PyTorch and safetensors say that a disk is full
    except (OSError, RuntimeError, SafetensorError) as error:
        shutil.rmtree(Path(folder).with_name(Path(folder).name + ".draft"), ignore_errors=True)
        raise RuntimeError(
            f"could not write {folder} ({error}): free some disk space and resume; what was there before is whole"
        ) from error


def replace_folder(draft: str | Path, folder: str | Path) -> None:
    """Put the finished `draft` in the place of `folder`; at every moment one whole version is on disk."""
    draft, folder = Path(draft), Path(folder)
    settle(folder)
    draft.rename(_fresh(folder))
    settle(folder)


def settle(folder: str | Path) -> bool:
    """Finish a replacement that was interrupted; returns whether `folder` exists now."""
    folder = Path(folder)
    if _fresh(folder).exists():  # it got this name when it was complete
        shutil.rmtree(folder, ignore_errors=True)
        _fresh(folder).rename(folder)
    return folder.exists()


def _fresh(folder: Path) -> Path:
    return folder.with_name(folder.name + ".fresh")

"""Writing to a run folder so that a kill, or a full disk, never leaves half a file where a whole one stood."""

import json
import shutil
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError


def write_json(path, content):
    """Write `content` as JSON; a reader sees the old file or the new one, never a part."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".draft")
    draft.write_text(json.dumps(content, indent=1) + "\n")
    draft.replace(path)


def read_json(path):
    """The content of a JSON file. Raises ValueError naming the file when it is damaged."""
    try:
        return json.loads(Path(path).read_text())
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); remove it, or take it from a copy") from error


def draft_folder(folder) -> Path:
    """An empty folder beside `folder` to write into before `replace_folder`."""
    folder = Path(folder)
    draft = folder.with_name(folder.name + ".draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    return draft


@contextmanager
def writing(folder):
    """Around all that writes the draft of `folder`.

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


def replace_folder(draft, folder):
    """Put the finished `draft` in the place of `folder`; at every moment one whole version is on disk."""
    draft, folder = Path(draft), Path(folder)
    settle(folder)
    draft.rename(_fresh(folder))
    settle(folder)


def settle(folder) -> bool:
    """Finish a replacement that was interrupted; returns whether `folder` exists now."""
    folder = Path(folder)
    if _fresh(folder).exists():  # it got this name when it was complete
        shutil.rmtree(folder, ignore_errors=True)
        _fresh(folder).rename(folder)
    return folder.exists()


def _fresh(folder):
    return folder.with_name(folder.name + ".fresh")

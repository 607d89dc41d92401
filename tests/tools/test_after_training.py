"""Notebook 04, cell by cell: after training none may raise on Kaggle, where the notebook would lose its output."""

import ast
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from IPython.core.history import HistoryManager
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from depthkit.course import kaggle
from depthkit.errors import InputError

(NOTEBOOK,) = (Path(__file__).resolve().parents[2] / "notebooks").glob("04_*.ipynb")
CELLS = [
    "".join(cell["source"])
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    if cell["cell_type"] == "code"
]


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """The shell that a notebook's kernel has, on a machine of Kaggle to which nothing is attached."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setattr(kaggle, "INPUT", tmp_path / "input")
    monkeypatch.setattr(kaggle, "WORKING", tmp_path / "working")
    monkeypatch.setattr(kaggle, "_failures", [])
    kaggle.WORKING.mkdir()
    InteractiveShell.clear_instance()
    monkeypatch.setattr(HistoryManager, "enabled", False)  # no file to close at exit, when its folder is gone
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()
    plt.close("all")


def run_cell(shell, cell):
    """What the cell printed, and what it raised."""
    with capture_output() as printed:
        result = shell.run_cell(cell)
    plt.close("all")
    return printed.stdout, result.error_before_exec or result.error_in_exec


@pytest.mark.parametrize("attached", ["nothing", "a/nyu_data/train/scene/1.png"])
def test_without_nyu_the_notebook_stops_at_once_with_what_it_found(attached, shell, monkeypatch):
    """On a machine with GPUs, where the bundled sample would be trained for a success that is none."""
    for name in ("DATA", "PROFILE", "RECIPE"):
        monkeypatch.delenv(f"DEPTHKIT_{name}", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    if attached != "nothing":
        (kaggle.INPUT / attached).parent.mkdir(parents=True)
        (kaggle.INPUT / attached).touch()
    looks = next(number for number, cell in enumerate(CELLS) if "Settings.detect()" in cell)
    errors = [run_cell(shell, cell)[1] for cell in CELLS[: looks + 1]]
    assert errors[:-1] == [None] * looks
    error = errors[-1]
    assert isinstance(error, InputError)
    assert ("nothing" if attached == "nothing" else "a (nyu_data)") in str(error)
    assert "train/ and val/" in str(error) and "DEPTHKIT_PROFILE=sample" in str(error)


@pytest.mark.slow
def test_no_cell_before_the_first_launch_opens_cuda(tmp_path):
    """A process that is forked after that could not use a GPU. AdamW's step opens it, in a notebook's own process."""
    launches = next(number for number, cell in enumerate(CELLS) if "launch(train_by_hand, job)" in cell)
    cells = "\n\n".join([*CELLS[:launches], "from depthkit.course.launch import _cuda_fails_in_a_fork as fails"])
    script = tmp_path / "cells.py"
    script.write_text(f"{cells}\nassert not fails(), 'CUDA was opened'\n", encoding="utf-8")
    environment = os.environ | {"DEPTHKIT_PROFILE": "sample", "DEPTHKIT_RUNS": str(tmp_path), "MPLBACKEND": "agg"}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]


def names(cell):
    """The names that a cell binds, and those that it uses."""
    nodes = list(ast.walk(ast.parse(cell)))
    bound = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    bound |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    bound |= {node.asname or node.name for node in nodes if isinstance(node, ast.alias)}
    return bound, {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def needed(before, after):
    """The cells of `before` that bind what those of `after` use, and what those use in turn: figures are left out."""
    kept, wanted = [], set()
    for number, cell in reversed(list(enumerate([*before, *after]))):
        bound, used = names(cell)
        if number < len(before) and not bound & wanted:
            continue
        wanted = wanted - bound | used - bound
        kept = [cell, *kept] if number < len(before) else kept
    return kept


@pytest.fixture
def trained(shell, nyu_root, tmp_path, monkeypatch):
    """The shell after the cell that trains, as on Kaggle; the launched function runs in this process, on small data."""
    monkeypatch.setenv("DEPTHKIT_PROFILE", "sample")
    monkeypatch.setenv("DEPTHKIT_DATA", str(nyu_root))
    monkeypatch.setenv("DEPTHKIT_RECIPE", "epochs=2,size=56")
    monkeypatch.setenv("DEPTHKIT_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")  # one: nothing is forked
    last = max(number for number, cell in enumerate(CELLS) if "keep_going()" in cell)
    for cell in [*needed(CELLS[:last], CELLS[last:]), CELLS[last]]:
        if "notebook_launcher" in shell.user_ns:
            shell.user_ns["notebook_launcher"] = lambda function, arguments, **_: function(*arguments)
        if "here" in shell.user_ns:  # a profile whose cells start no further runs
            shell.user_ns["here"] = replace(shell.user_ns["here"], profile="kaggle")
        _, error = run_cell(shell, cell)
        assert error is None, cell
    shell.after = CELLS[last + 1 :]
    return shell


def test_after_training_no_cell_raises_whatever_file_is_missing(trained, tmp_path):
    run = Path(trained.user_ns["config"].output)
    names, kept = dict(trained.user_ns), tmp_path / "kept"
    shutil.copytree(run, kept)

    def printed_without(files):
        shutil.rmtree(run)
        shutil.copytree(kept, run)
        for file in files:
            (run / file).unlink()
        trained.user_ns.clear()
        trained.user_ns.update(names)
        kaggle._failures.clear()
        outcomes = [run_cell(trained, cell) for cell in trained.after]
        assert [error for _, error in outcomes if error] == []
        return "".join(text for text, _ in outcomes)

    assert "left out" not in printed_without([])
    files = [path.relative_to(kept) for path in sorted(kept.rglob("*")) if path.is_file()]
    everything = printed_without(files)
    assert "left out" in everything and "history.json" in everything
    for file in (path for path in files if path.parts[0] != "last"):
        printed = printed_without([file])
        if file.as_posix() in ("history.json", "eval/val.json"):  # that cells need them is sure
            assert "left out" in printed and file.name in printed


def test_elsewhere_only_a_missing_or_damaged_file_is_forgiven(shell, tmp_path):
    kaggle.WORKING.rmdir()
    kaggle.keep_going()
    assert isinstance(run_cell(shell, "1 / 0")[1], ZeroDivisionError)
    printed, error = run_cell(shell, f"lines = open({str(tmp_path / 'none.json')!r}).read()")
    assert error is None and "left out" in printed and "none.json" in printed
    assert run_cell(shell, "lines") == ("The rest of this cell is left out: name 'lines' is not defined\n", None)
    assert "3" in run_cell(shell, "a = 1\na + 2")[0]  # the last expression is shown as ever

"""The course as Kaggle would run it, session by session; see tools/rehearse_kaggle.py."""

import json
import subprocess

import pytest
import rehearse_kaggle

from depthkit.run_folder import read_json

SESSIONS = ["01", "02", "03", "04-first", "04-second", "05"]


def may_unshare():
    try:
        return subprocess.run(["unshare", "--mount", "--net", "--map-root-user", "true"]).returncode == 0
    except FileNotFoundError:
        return False


def printed(working):
    """All that the cells of the one notebook in `working` printed."""
    (path,) = working.glob("*.ipynb")
    outputs = [output for cell in json.loads(path.read_text())["cells"] for output in cell.get("outputs", [])]
    return "".join("".join(output["text"]) for output in outputs if output["output_type"] == "stream")


@pytest.mark.slow
@pytest.mark.skipif(not may_unshare(), reason="needs Linux and the right to a root folder of its own")
def test_the_course_runs_in_the_sessions_of_kaggle(tmp_path):
    said = {working.name.removeprefix("working-"): printed(working) for working in rehearse_kaggle.rehearse(tmp_path)}
    assert list(said) == SESSIONS
    assert "profile kaggle: encoder vits, 2 process(es)" in said["04-first"]
    assert "max_hours reached" in said["04-first"] and "stopped after 1 of 3 epochs" in said["04-first"]
    assert "resumed from finetune-001" in said["04-second"] and "best epoch" in said["04-second"]
    config = read_json(tmp_path / "working-04-second" / "runs" / "finetune-001" / "config.json")
    assert config["resume_from"].startswith("/kaggle/input/notebooks/a-reader/depthkit-04-")
    assert "profile kaggle, run finetune-001: vits, 3 epochs" in said["05"]

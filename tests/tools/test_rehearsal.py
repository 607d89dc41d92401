"""The course as Kaggle would run it, session by session; see tools/rehearse_kaggle.py."""

import json
import re
import subprocess

import pytest
import rehearse_kaggle

from depthkit.run_folder import read_json

NUMBERS = sorted(path.name[:2] for path in (rehearse_kaggle.REPOSITORY / "notebooks").glob("*.ipynb"))
SESSIONS = [*NUMBERS[:3], *rehearse_kaggle.RUNS, *NUMBERS[4:]]


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
    output = {working.name.removeprefix("working-"): printed(working) for working in rehearse_kaggle.rehearse(tmp_path)}
    assert list(output) == SESSIONS
    assert "profile kaggle: encoder vits, 2 process(es)" in output["04-first"]
    for name, resumed in zip(list(rehearse_kaggle.RUNS), (False, True, True, True), strict=True):
        assert ("max_hours reached: saved in finetune-001" in output[name]) == (name != "04-fourth")
        assert ("resumed from finetune-001" in output[name]) == resumed
    assert "history.json" in output["04-first"]  # named by the cells that lack it
    assert re.search(r"best epoch \d", output["04-fourth"])  # the notebook prints the source of this line, too
    config = read_json(tmp_path / "working-04-fourth" / "runs" / "finetune-001" / "config.json")
    assert config["resume_from"].startswith("/kaggle/input/notebooks/a-reader/depthkit-04-")
    assert "run finetune-001" in output["05"]

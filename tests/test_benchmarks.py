"""The benchmarks compare like with like, and say so when they don't. (Speeds are no test.)"""

import pytest

from benchmarks import command, evaluation, gpu_variants, growth, networks, pipelines
from benchmarks.__main__ import line
from benchmarks.measure import alternate, speed_row
from depthkit.course import sample
from depthkit.course.settings import SAMPLE_CACHE


def test_both_sides_show_the_network_the_same_picture():
    root = sample.unpack_sample("rooms", SAMPLE_CACHE)
    for row in pipelines.geometry_rows(root, 1, 126):
        assert row["met"] and 0 < row["ours"] <= 1, row


def test_tasks_are_timed_in_turns_and_the_ratio_is_of_speeds():
    order = []
    seconds = alternate({name: lambda name=name: order.append(name) for name in ("ours", "reference")}, 2)
    assert order == ["ours", "reference", "ours", "reference", "reference", "ours"]
    assert [len(values) for values in seconds.values()] == [2, 2]
    row = speed_row("what", {"ours": [1.0, 2.0, 1.0], "reference": [4.0, 4.0, 6.0]}, target=5, images=8)
    assert row["ratio"] == (4.0, 2.0, 6.0) and (row["ours"], row["reference"]) == (8, 2) and not row["met"]
    assert "**missed**" in line(row) and "4.0 × (2.0 to 6.0)" in line(row)


def test_a_crop_that_is_of_another_place_is_not_compared(monkeypatch):
    root = sample.unpack_sample("rooms", SAMPLE_CACHE)
    monkeypatch.setattr(pipelines.torch, "equal", lambda a, b: False)
    with pytest.raises(ValueError, match="no window of the reference's depth"):
        pipelines.crop_difference(root, 0, 126)


def test_the_projection_names_the_slower_side_and_calls_itself_one():
    assert growth.limit(loader=[200, 400], gpu=[50, 150]) == "GPUs"
    assert growth.limit(loader=[20, 40], gpu=[50, 150]) == "loader"
    assert growth.limit(loader=[100, 400], gpu=[50, 150]) == "either"
    text = "\n".join(growth.projection(0.325e12, {"ours": 100.0, "reference": 10.0}))
    assert "not a measurement" in text and "No T4 was used" in text
    assert "| ours | 200 to 400 | 60 to 160 |" in text and "| reference | 20 to 40 | 60 to 160 |" in text


def test_both_evaluations_give_the_shared_scores():
    root = sample.unpack_sample("rooms", SAMPLE_CACHE)
    cost, agreement = evaluation.scoring_rows(root, images=2, rounds=1, size=126)
    assert agreement["met"] and cost["ours"] > 0


def test_a_step_of_each_side_runs_and_their_networks_agree():
    row = networks.agreement_row("vits", 518)
    assert row["met"], row
    rows = networks.step_rows("vits", size=70, rounds=1, matmul_side=64)
    assert all(row["ours"] > 0 for row in rows)


def test_what_is_asked_of_a_gpu_runs_on_a_cpu():
    root = sample.unpack_sample("rooms", SAMPLE_CACHE)
    batch = networks.raw_batch(2, 28, 28)
    for options in ({"first": True}, {"fused": True}, {"checkpointing": True}, {"half": gpu_variants.torch.bfloat16}):
        assert gpu_variants.measured(lambda o=options: gpu_variants.step_of("tiny", batch, **o), 2, 1)["images/s"] > 0
    tables = (
        gpu_variants.batch_table("tiny", 28, (1, 2), 1),
        gpu_variants.copy_table("tiny", 28, 1, 1),
        gpu_variants.evaluation_table(root, "tiny", 28, (1, 2), 2),
    )
    for rows in tables:
        assert all(isinstance(row["images/s"], float) for row in rows.values()), rows


def test_a_variant_that_fails_says_why_and_leaves_the_others():
    assert gpu_variants.measured(lambda: 1 / 0, 2, 1)["images/s"] == "ZeroDivisionError: division by zero"


def test_lines_are_kept_as_they_come(tmp_path, monkeypatch, capsys):
    """A run that breaks off leaves what it measured beside the results of the run before, which stay."""
    monkeypatch.setattr(command, "__file__", str(tmp_path / "command.py"))
    monkeypatch.setattr("sys.argv", ["benchmark", "--write"])
    command.run("Title", "results.md", "", lambda quick: ["first"])
    assert (tmp_path / "results.md").read_text() == "# Title\n\nfirst\n"

    def broken(quick):
        yield "second"
        raise RuntimeError

    with pytest.raises(RuntimeError):
        command.run("Title", "results.md", "", broken)
    assert (tmp_path / "results.md").read_text() == "# Title\n\nfirst\n"
    assert (tmp_path / "results.md.part").read_text() == "# Title\n\nsecond\n"
    capsys.readouterr()

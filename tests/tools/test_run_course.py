"""The last lines of `make run`: the newest run's score, what it must beat, and the paired gain over two numbers."""

import run_course

from depthkit.run_folder import write_json


def write_scores(file, names, abs_rels, model):
    score = dict(zip(("mean", "low", "high"), (abs_rels[0], 0.1, 0.9), strict=True))
    records = [{"name": name, "abs_rel": value} for name, value in zip(names, abs_rels, strict=True)]
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, {"model": model, "summary": {"abs_rel": score}, "records": records})


def write_run(run, ours, others):
    """A run whose two test splits hold two rooms each, of `ours` and `others` for two numbers."""
    for part in ("eval", "eval/further"):
        names = [f"{part}-{i}" for i in range(2)]
        write_scores(run / part / "val.json", names, ours, "fine-tuned")
        write_scores(run / part / "two_numbers.json", names, others, "relative + two fitted numbers")


def test_the_newest_run_and_its_gain_on_both_splits(tmp_path, capsys):
    write_run(tmp_path / "finetune-001", (0.5, 0.5), (0.6, 0.6))
    write_run(tmp_path / "finetune-002", (0.2, 0.3), (0.24, 0.34))
    run_course.print_result(tmp_path)
    shown = capsys.readouterr().out.splitlines()
    assert shown == [
        f"{'fine-tuned model':32} AbsRel 0.200 (95 % interval 0.100 to 0.900)",
        "to beat: relative + two fitted numbers AbsRel 0.240 (95 % interval 0.100 to 0.900)",
        f"{'fine-tuned less two numbers':32} AbsRel -0.040 (95 % interval -0.040 to -0.040), 4 rooms, paired",
        f"{'model':32} {tmp_path / 'finetune-002' / 'best'}",
    ]


def test_a_gain_of_nothing_has_no_minus(tmp_path, capsys):
    write_run(tmp_path / "finetune-001", (0.2, 0.3), (0.2001, 0.3001))
    run_course.print_gain(tmp_path / "finetune-001" / "eval")
    assert "AbsRel +0.000 (95 % interval +0.000 to +0.000), 4 rooms" in capsys.readouterr().out


def test_no_gain_where_the_second_split_was_not_scored(tmp_path, capsys):
    write_run(tmp_path / "finetune-001", (0.2, 0.3), (0.24, 0.34))
    (tmp_path / "finetune-001" / "eval" / "further" / "val.json").unlink()
    run_course.print_gain(tmp_path / "finetune-001" / "eval")
    assert capsys.readouterr().out == ""

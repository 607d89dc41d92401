"""The card's table is scored anew from the weights that are there, and nothing else of the card is touched."""

import re
import shutil
import sys

import pytest
import release_tiny

from depthkit.course.settings import TINY_WEIGHTS


@pytest.fixture
def weights(tmp_path, monkeypatch):
    shutil.copytree(TINY_WEIGHTS, tmp_path / "tiny")
    only_the_photo = {"motorcycle": release_tiny.test_sets()["motorcycle"]}  # the rooms take longer
    monkeypatch.setattr(release_tiny, "test_sets", lambda: only_the_photo)
    monkeypatch.setattr(sys, "argv", ["release_tiny.py", "--out", str(tmp_path / "tiny")])
    return tmp_path / "tiny"


def test_the_committed_weights_score_what_their_card_says_beside_a_ramp(weights):
    card = weights / "README.md"
    before = card.read_text()
    card.write_text(re.sub(r"\| 0\.\d+ .*", "| 9 |", before))
    release_tiny.main()
    rows = [line for line in before.splitlines() if line.startswith("| motorcycle")]
    assert [row.split(" | ")[1] for row in rows] == ["this model", "vertical ramp", "random weights"]
    assert card.read_text().split("<!-- scores -->")[1].split("<!-- end -->")[0].splitlines()[3:] == rows
    assert card.read_text().split("<!-- end -->")[1] == before.split("<!-- end -->")[1]


def test_a_card_without_its_table_is_refused(weights, capsys):
    (weights / "README.md").write_text("a card")
    with pytest.raises(SystemExit):
        release_tiny.main()
    assert "0 tables of scores instead of one" in capsys.readouterr().err

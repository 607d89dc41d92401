import pytest

from depthkit.run_folder import read_json, replaced_folder, settle, write_json


def folder_with(path, text):
    path.mkdir()
    (path / "content").write_text(text)


def test_an_interrupted_replacement_is_finished_later(tmp_path):
    """Killed after the finished draft got its name, before the old version went: the new one wins."""
    folder_with(tmp_path / "last", "old")
    folder_with(tmp_path / "last.fresh", "new")
    assert settle(tmp_path / "last")
    assert (tmp_path / "last" / "content").read_text() == "new"
    assert not (tmp_path / "last.fresh").exists()


def test_a_half_written_draft_is_never_taken(tmp_path):
    folder_with(tmp_path / "last", "old")
    folder_with(tmp_path / "last.draft", "hal")
    assert settle(tmp_path / "last")
    assert (tmp_path / "last" / "content").read_text() == "old"
    with replaced_folder(tmp_path / "last") as draft:  # the next attempt starts empty
        assert list(draft.iterdir()) == []
        (draft / "content").write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["last"]
    assert (tmp_path / "last" / "content").read_text() == "new"


def test_a_full_disk_leaves_what_was_there(tmp_path):
    folder_with(tmp_path / "last", "old")
    with pytest.raises(RuntimeError, match="free some disk space"), replaced_folder(tmp_path / "last"):
        raise OSError(28, "No space left on device")
    assert [path.name for path in tmp_path.iterdir()] == ["last"]


def test_json_is_replaced_whole_and_damage_is_named(tmp_path):
    write_json(tmp_path / "a" / "x.json", [1])
    with pytest.raises(TypeError):
        write_json(tmp_path / "a" / "x.json", {"bad": object()})
    assert read_json(tmp_path / "a" / "x.json") == [1]
    (tmp_path / "a" / "x.json").write_text("[1,")
    with pytest.raises(ValueError, match=r"x\.json is damaged"):
        read_json(tmp_path / "a" / "x.json")

"""A soup holds the mean of its models' weights, at the input size of the first, and refuses what can't be averaged."""

import average_weights
import pytest
import torch

from depthkit.models.build import build_model, load_model, save_model


@pytest.fixture
def folders(tmp_path):
    for seed, size in (0, 56), (1, 70):
        torch.manual_seed(seed)
        save_model(build_model("tiny", "relative", input_size=size), tmp_path / str(seed))
    return [tmp_path / "0", tmp_path / "1"]


def test_the_mean_of_two_models_at_the_first_ones_input_size(folders, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["average_weights.py", *map(str, folders), "--out", str(tmp_path / "soup")])
    average_weights.main()
    soup, first, second = (load_model(folder) for folder in (tmp_path / "soup", *folders))
    assert soup.config.input_size == 56
    for name, value in soup.state_dict().items():
        torch.testing.assert_close(value, (first.state_dict()[name] + second.state_dict()[name]) / 2)
    assert not torch.equal(soup.head.conv3.weight, first.head.conv3.weight)


def test_a_model_of_another_shape_is_named(folders, tmp_path):
    config = load_model(folders[0]).config
    config.fusion_hidden_size = 32
    save_model(type(load_model(folders[0]))(config), tmp_path / "other")
    with pytest.raises(SystemExit, match=r"other: its layers are not those of .*0; average models of one shape"):
        average_weights.average([*folders, tmp_path / "other"])


def test_relative_and_metric_are_not_averaged(folders, tmp_path, monkeypatch):
    save_model(build_model("tiny", "metric", max_depth=10.0, input_size=56), tmp_path / "metric")
    with pytest.raises(SystemExit, match=r"metric: metric, which .*0 is not"):
        average_weights.average([folders[0], tmp_path / "metric"])
    monkeypatch.setattr("sys.argv", ["average_weights.py", *map(str, folders), "--out", str(folders[1])])
    with pytest.raises(SystemExit):
        average_weights.main()
    assert load_model(folders[1]).config.input_size == 70

import pytest

from depthkit.training.config import TrainConfig


@pytest.mark.parametrize(
    "change, message",
    [
        ({"encoder": "resnet"}, "encoder must be one of tiny, vits.*got 'resnet'"),
        ({"size": 500}, "size must be a multiple of 14; got 500"),
        ({"epochs": 0}, "epochs must be at least 1; got 0"),
        ({"min_depth": 12.0}, "min_depth < max_depth must hold; got 12.0 and 10.0"),
        ({"warmup_epochs": 10}, r"warmup_epochs \(10\) must be less than epochs \(10\)"),
        ({"zoom": 0.5}, "zoom must be at least 1, which means no zoom; got 0.5"),
        ({"camera": "canonical", "objective": "relative"}, "camera canonical is for metres"),
        ({"lr": 0.0}, "learning rates must be positive"),
        ({"lr": float("nan")}, "learning rates must be positive"),
        ({"max_hours": -1.0}, "max_hours must be positive"),
        ({"max_hours": float("nan")}, "max_hours must be positive"),
        ({"weight_decay": -1.0}, "weight_decay must be at least 0; got -1.0"),
        ({"warmup_epochs": float("nan")}, "warmup_epochs must be at least 0; got nan"),
        ({"seed": -1}, "seed must be at least 0; got -1"),
        ({"seed": 2**32}, "seed must be below"),
        ({"output": ""}, "output must name a folder"),
        ({"max_depth": float("inf")}, "max_depth must be a whole number of metres, 1 to 10000"),
        ({"silog_lambda": 2.0}, "silog_lambda must lie in 0 to 1; got 2.0"),
        ({"resume_from": "."}, "needs resume=True"),
        ({"resume": True, "resume_from": "no/such/folder"}, "no/such/folder is no folder"),
    ],
)
def test_values_that_cannot_work_are_refused_at_once(change, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**change)


def test_differences_name_what_would_change_the_result():
    saved = {**TrainConfig().__dict__, "lr": 1e-3, "workers": 7, "output": "elsewhere"}
    assert TrainConfig().differences(saved) == {"lr": (1e-3, 5e-6)}
    del saved["camera"], saved["zoom"]  # a run from before they existed
    assert TrainConfig(lr=1e-3).differences(saved) == {}
    assert TrainConfig(lr=1e-3, zoom=2.0).differences(saved) == {"zoom": (1.0, 2.0)}

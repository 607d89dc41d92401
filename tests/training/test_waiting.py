"""A step and its scores never wait for the GPU, seen without one: on tensors that only pretend to be on it."""

import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from depthkit.models.build import build_model
from depthkit.models.predict import predict_maps
from depthkit.scoring.alignment import align
from depthkit.scoring.metrics import depth_metrics
from depthkit.training.config import TrainConfig
from depthkit.training.losses import objective_loss


class NoCopies(TorchDispatchMode):
    """Raises where a tensor goes from one device to another; a fake tensor itself raises where its value is asked."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, torch.Tensor)]
        devices = {tensor.device.type for tensor in tensors}
        assert len(devices) < 2 or "copy" not in str(func), f"{func} between {devices} waits for the GPU"
        return result


@pytest.fixture
def on_a_fake_gpu():
    with FakeTensorMode(allow_non_fake_inputs=True), NoCopies():  # a model moves into it from the meta device
        yield


@pytest.mark.parametrize("objective", ["metric", "relative"])
def test_loss_prediction_and_scores(objective, request):
    model = build_model("tiny", objective).to("meta")
    request.getfixturevalue("on_a_fake_gpu")
    model.to_empty(device="cuda")
    image = torch.empty(2, 3, 56, 56, dtype=torch.uint8, device="cuda")
    depth, mask = torch.empty(2, 56, 56, device="cuda"), torch.empty(2, 56, 56, dtype=torch.bool, device="cuda")
    loss = objective_loss(TrainConfig(encoder="tiny", objective=objective))
    assert loss(model, {"image": image, "depth": depth, "mask": mask}).device.type == "cuda"
    prediction = predict_maps(model, image, depth.shape[-2:], flip=True)
    for method in ("disparity", "depth", "median"):
        depth_metrics(align(prediction, depth, mask, method, 10.0)[0], depth, mask)


@pytest.mark.parametrize("wait", [lambda x: x.sum().item(), lambda x: x[x > 0], lambda x: x + x.new_tensor([1.0])])
def test_what_waits_is_found(wait, on_a_fake_gpu):
    values = torch.empty(3, device="cuda")
    with pytest.raises((AssertionError, RuntimeError)):
        wait(values)

import matplotlib.pyplot as plt
import pytest
import torch

from depthkit.course.architecture import count, encoder_features, principal_colours, stages
from depthkit.course.plots import networks
from depthkit.models.build import build_model


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_model("tiny")


def test_shapes_and_parameters_are_those_of_the_model(model):
    """56 × 84 pixels are 4 × 6 patches; reassembled at 4, 2, 1 and 1/2 times that, then fused."""
    picture, encoder, reassemble, fusion, head = stages(model, 56, 84)
    assert picture.shapes == ((3, 56, 84),)
    assert encoder.shapes == ((128, 4, 6),) * 4 and encoder.layers == (2, 4, 6, 8)
    assert [shape[1:] for shape in reassemble.shapes] == [(16, 24), (8, 12), (4, 6), (2, 3)]
    assert fusion.shapes[-1][1:] == (32, 48) and head.shapes == ((1, 56, 84),)
    assert sum(stage.parameters for stage in (encoder, reassemble, fusion, head)) == count(model)


def test_features_are_laid_out_as_the_patches_are(model):
    """A change in the picture's lower right patch changes that patch's features most."""
    image = torch.full((1, 3, 56, 84), 128, dtype=torch.uint8)
    other = image.clone()
    other[..., -14:, -14:] = 250
    change = (encoder_features(model, image) - encoder_features(model, other)).abs().sum(1)[0]
    assert change.shape == (4, 6) and change.argmax() == 4 * 6 - 1


def test_the_first_colour_follows_the_largest_spread():
    ramp = torch.arange(24.0).reshape(1, 1, 4, 6)
    features = torch.cat([0.01 * torch.randn(1, 1, 4, 6), 5 * ramp, 0.1 * torch.randn(1, 2, 4, 6)], dim=1)
    colours = principal_colours(features)
    assert colours.shape == (1, 4, 6, 3) and colours.min() == 0 and colours.max() == 1
    assert torch.corrcoef(torch.stack([colours[0, ..., 0].flatten(), ramp.flatten()]))[0, 1] > 0.99


def test_the_diagram_names_every_shape(model):
    fig = networks.architecture(stages(model, 56, 84))
    texts = [text.get_text() for text in fig.axes[0].texts]
    assert {"encoder", "fusion", "3 × 56 × 84", "1 × 56 × 84", "layer 8: 128 × 4 × 6"} <= set(texts)
    assert len([text for text in texts if "×" in text]) == 14
    plt.close(fig)

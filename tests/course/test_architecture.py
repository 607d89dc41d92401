import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from depthkit.course.architecture import count, encoder_features, stages
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


def test_the_diagram_names_every_shape(model):
    fig = networks.architecture(stages(model, 56, 84))
    texts = [text.get_text() for text in fig.axes[0].texts]
    assert {"encoder", "fusion", "3 × 56 × 84", "1 × 56 × 84", "layer 8: 128 × 4 × 6"} <= set(texts)
    assert len([text for text in texts if "×" in text]) == 14
    plt.close(fig)


def test_the_pipeline_shows_holes_in_grey_and_each_map_from_near_to_far():
    picture, depth = np.zeros((6, 8, 3), np.uint8), np.linspace(1, 5, 48).reshape(6, 8)
    holes = np.where(depth < 2, 0, depth)
    fig = networks.pipeline(picture, depth, picture, holes, 1 / depth)
    exact, sensor, label = (fig.axes[0].images[k].get_array() for k in (1, 2, 4))
    assert np.allclose(sensor[holes == 0][:, :3], 0.6) and not np.allclose(exact[0, 0, :3], 0.6)
    assert exact[0, 0].sum() > exact[-1, -1].sum() and label[0, 0].sum() > label[-1, -1].sum()
    assert {"teacher", "student", "a sensor's depth: not used"} <= {text.get_text() for text in fig.axes[0].texts}
    plt.close(fig)

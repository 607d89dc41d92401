"""Average the weights of models of one shape that began from one another: a model soup.

python tools/average_weights.py MODEL MODEL [MODEL ...] --out DIR

DIR becomes a model folder with the first one's configuration (its kind of depth and input size). Every model counts
alike (the uniform soup of Wortsman et al. 2022, arXiv 2203.05482, section 2).
"""

import argparse
from pathlib import Path

import torch

from depthkit.errors import InputError
from depthkit.models.build import load_model, save_model


def average(folders):
    """The first model with the mean of all weights, in float32.

    Raises: SystemExit, naming the folder, when a model is not of the first one's kind of depth, or its parameters have
    other names or shapes.
    """
    models = [load_model(folder).float() for folder in folders]
    model, states = models[0], [each.state_dict() for each in models]
    shapes = [{name: value.shape for name, value in state.items()} for state in states]
    for folder, each, found in zip(folders, models, shapes, strict=True):
        if each.config.depth_estimation_type != model.config.depth_estimation_type:
            raise SystemExit(f"{folder}: {each.config.depth_estimation_type}, which {folders[0]} is not")
        if found != shapes[0]:
            raise SystemExit(f"{folder}: its layers are not those of {folders[0]}; average models of one shape")
    model.load_state_dict({name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]})
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    if len(args.models) < 2 or args.out.exists():
        parser.error(f"name two models or more, and a folder that does not exist yet, instead of {args.out}")
    try:
        save_model(average(args.models), args.out)
    except InputError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()

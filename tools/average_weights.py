"""Average the weights of models of one shape that began from one another: a model soup.

python tools/average_weights.py MODEL MODEL [MODEL ...] --out DIR

DIR becomes a model folder with the first one's configuration (its kind of depth and input size). Every model counts
alike (the uniform soup of Wortsman et al. 2022, arXiv 2203.05482, section 2).
"""

import argparse
from pathlib import Path

import torch

from depthkit.models.build import load_model, save_model


def average(folders):
    """The first model with the mean of all weights, in float32.

    Raises: SystemExit, naming the folder, when a model's parameters have other names or shapes than the first one's.
    """
    model = load_model(folders[0]).float()
    states = [load_model(folder).float().state_dict() for folder in folders]
    shapes = [{name: value.shape for name, value in state.items()} for state in states]
    for folder, found in zip(folders, shapes, strict=True):
        if found != shapes[0]:
            raise SystemExit(f"{folder}: its layers are not those of {folders[0]}; average models of one shape")
    model.load_state_dict({name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]})
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    save_model(average(args.models), args.out)


if __name__ == "__main__":
    main()

"""Give the decoder of one relative model features as large as another's; what it predicts stays, up to one factor.

python tools/rescale_decoder.py MODEL --like MODEL --pictures DIR --out DIR

A loss that fits scale and shift leaves the scale of a relative model's features free, and training may let it grow
until float16 overflows and until the learning rates of fine-tuning no longer suit it. As a ReLU lets a positive factor
through, weights before it can take a factor that weights behind it give back, as in the equalisation of layers of Nagel
et al. 2019 (arXiv 1906.04721). Each factor is a quotient of root mean squares of features over ten or so of the
validation pictures of DIR, a folder of `build_mixed.py`. What a skip connection joins has one factor, so that of the
fusion layers only the output before the projection, the first convolution of each unit and the last projection take the
other's size.
"""

import argparse
from pathlib import Path

import torch

from depthkit.data.datasets import NYUDepthV2
from depthkit.models.build import load_model, save_model
from depthkit.models.predict import predict_disparity

PICTURES = 10


def feature_sizes(model, pictures):
    """{module: root mean square of its output} over RGB pictures (H, W, 3)."""
    squares = {}

    def add(name):
        def hook(_, inputs, output):
            if torch.is_tensor(output):
                squares.setdefault(name, []).append(output.double().square().mean())

        return hook

    hooks = [module.register_forward_hook(add(name)) for name, module in model.named_modules()]
    for picture in pictures:
        predict_disparity(model, picture)
    for hook in hooks:
        hook.remove()
    return {name: torch.stack(values).mean().sqrt().item() for name, values in squares.items()}


@torch.no_grad()
def scale(layer, before, after):
    """Let a convolution take inputs of `before` times their size and give outputs of `after` times theirs."""
    layer.weight.mul_(after / before)
    if layer.bias is not None:
        layer.bias.mul_(after)


def rescale(model, like, pictures):
    """Scale features of `model` in place to the sizes that those of `like` have on the same pictures."""
    mine, wanted = feature_sizes(model, pictures), feature_sizes(like, pictures)
    factor = {name: wanted[name] / mine[name] for name in mine if mine[name]}
    fusion = "neck.fusion_stage.layers"
    layers, convolutions = model.neck.fusion_stage.layers, model.neck.convs
    streams = [factor[f"{fusion}.{index}.residual_layer2"] for index in range(len(layers))]
    streams.append(factor[f"{fusion}.{len(layers) - 1}.projection"])
    for index, (layer, here, following) in enumerate(zip(layers, streams, streams[1:], strict=False)):
        scale(convolutions[len(layers) - 1 - index], 1, here)  # the first fusion layer takes the deepest features
        for name in ("residual_layer1", "residual_layer2"):
            unit, within = getattr(layer, name), factor.get(f"{fusion}.{index}.{name}.convolution1", here)
            scale(unit.convolution1, here, within)
            scale(unit.convolution2, within, here)
        scale(layer.projection, here, following)
    before = streams[-1]
    for name in ("conv1", "conv2", "conv3"):
        scale(getattr(model.head, name), before, factor[f"head.{name}"])
        before = factor[f"head.{name}"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--like", type=Path, required=True)
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    if args.out.exists():
        parser.error(f"{args.out} exists already: name a new folder")
    try:
        model, like = load_model(args.model).float(), load_model(args.like).float()
        dataset = NYUDepthV2(args.pictures, "val")
        step = max(1, len(dataset) // PICTURES)
        pictures = [dataset[index]["image"].permute(1, 2, 0).numpy() for index in range(0, len(dataset), step)]
        rescale(model, like, pictures)
        save_model(model, args.out)
    except ValueError as error:  # also a model that is no relative one
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()

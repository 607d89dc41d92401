"""What happens inside a Depth Anything, read off the real modules: shapes by stage, and the encoder's features."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn
from transformers import DepthAnythingForDepthEstimation

from depthkit.data.transforms import PATCH, normalise


@dataclass(frozen=True)
class Stage:
    """One step from picture to depth: what it is, what comes out (C, H, W) of each of its parts, its parameters.

    `layers` are the numbers of the encoder's layers whose tokens are tapped; empty elsewhere.
    """

    name: str
    shapes: tuple[tuple[int, ...], ...]
    parameters: int
    layers: tuple[int, ...] = ()


@torch.inference_mode()
def stages(model: DepthAnythingForDepthEstimation, height: int, width: int) -> list[Stage]:
    """Measure the stages of `model` for one picture of `height` × `width` pixels (multiples of 14) by running it.

    Returns: picture, encoder, reassemble, fusion, head. The encoder's maps are its tokens laid out
    on the patch grid, without the class token.
    """
    rows, columns = height // PATCH, width // PATCH
    tokens = model.backbone(torch.zeros(1, 3, height, width, device=model.device)).feature_maps
    maps = model.neck.reassemble_stage(tokens, rows, columns)
    fused = model.neck.fusion_stage([conv(each) for conv, each in zip(model.neck.convs, maps, strict=True)])
    depth = model.head(fused, rows, columns)
    layers = tuple(int(name.removeprefix("stage")) for name in model.backbone.out_features)
    return [
        Stage("picture", ((3, height, width),), 0),
        Stage("encoder", tuple((t.shape[-1], rows, columns) for t in tokens), count(model.backbone), layers),
        Stage("reassemble", _shapes(maps), count(model.neck.reassemble_stage) + count(model.neck.convs)),
        Stage("fusion", _shapes(fused), count(model.neck.fusion_stage)),
        Stage("head", ((1, *depth.shape[-2:]),), count(model.head)),
    ]


def count(module: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


@torch.inference_mode()
def encoder_features(model: DepthAnythingForDepthEstimation, images: torch.Tensor) -> torch.Tensor:
    """Return the features of the encoder's last tapped layer.

    Args:
        images: uint8 (B, 3, H, W), sides multiples of 14.

    Returns: float32 (B, C, H / 14, W / 14) on the CPU.
    """
    model.eval()
    tokens = model.backbone(normalise(images.to(model.device))).feature_maps[-1][:, 1:]  # without the class token
    rows, columns = images.shape[-2] // PATCH, images.shape[-1] // PATCH
    return tokens.transpose(1, 2).reshape(len(images), -1, rows, columns).float().cpu()


def _shapes(maps: Iterable[torch.Tensor]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(m.shape[1:]) for m in maps)

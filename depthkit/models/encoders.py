"""The encoders and their decoders in numbers, and the `transformers` configuration of each."""

from typing import TYPE_CHECKING, Any, Literal, get_args

from depthkit.data.transforms import PATCH
from depthkit.errors import InputError

if TYPE_CHECKING:
    from transformers import DepthAnythingConfig

Encoder = Literal["tiny", "vits", "vitb", "vitl", "vitg"]
Objective = Literal["metric", "relative"]
Init = Literal["encoder", "neck", "all"]
LARGEST_MAX_DEPTH = 10_000  # metres; beyond, a unit is wrong

# The paper's four encoders follow the authors' `model_configs` and `intermediate_layer_idx`; `tiny` is ours.
ENCODERS: dict[Encoder, dict[str, Any]] = {
    "tiny": dict(hidden=128, layers=8, heads=4, stages=(2, 4, 6, 8), neck=(32, 64, 96, 128), fusion=48),
    "vits": dict(hidden=384, layers=12, heads=6, stages=(3, 6, 9, 12), neck=(48, 96, 192, 384), fusion=64),
    "vitb": dict(hidden=768, layers=12, heads=12, stages=(3, 6, 9, 12), neck=(96, 192, 384, 768), fusion=128),
    "vitl": dict(hidden=1024, layers=24, heads=16, stages=(5, 12, 18, 24), neck=(256, 512, 1024, 1024), fusion=256),
    "vitg": dict(hidden=1536, layers=40, heads=24, stages=(10, 20, 30, 40), neck=(1536,) * 4, fusion=384),
}


def encoder_of_width(width: int) -> Encoder | None:
    """Return the name of the encoder whose tokens are `width` numbers long, or None if there is none."""
    return next((name for name, shape in ENCODERS.items() if shape["hidden"] == width), None)


def model_config(
    encoder: Encoder, objective: Objective = "metric", max_depth: float = 10, input_size: int | None = None
) -> "DepthAnythingConfig":
    """Return the `transformers` configuration of one encoder with one kind of output.

    `max_depth` is in metres and whole (`transformers` stores it as an integer); a relative model ignores it.
    `input_size` is the shorter side, in pixels, of the images it will be trained on.
    Raises: InputError for an unknown encoder or objective, or a `max_depth` that is no whole number of metres.
    """
    from transformers import DepthAnythingConfig, Dinov2Config

    if encoder not in ENCODERS:
        raise InputError(f"unknown encoder {encoder!r}; choose one of {', '.join(ENCODERS)}")
    if objective not in get_args(Objective):
        raise InputError(f"unknown objective {objective!r}; choose one of {', '.join(get_args(Objective))}")
    if objective == "metric":
        check_max_depth(max_depth)
    shape = ENCODERS[encoder]
    grid_size = 168 if encoder == "tiny" else 518
    backbone: dict[str, Any] = dict(
        hidden_size=shape["hidden"],
        num_hidden_layers=shape["layers"],
        num_attention_heads=shape["heads"],
        image_size=grid_size,  # of the position embeddings; other sizes interpolate them
        patch_size=PATCH,
        out_features=[f"stage{stage}" for stage in shape["stages"]],
        reshape_hidden_states=False,
        apply_layernorm=True,
        use_swiglu_ffn=encoder == "vitg",
    )
    model: dict[str, Any] = dict(
        patch_size=PATCH,
        reassemble_hidden_size=shape["hidden"],
        neck_hidden_sizes=list(shape["neck"]),
        fusion_hidden_size=shape["fusion"],
        depth_estimation_type=objective,
        max_depth=int(max_depth) if objective == "metric" else 1,
        input_size=input_size or grid_size,
    )
    return DepthAnythingConfig(backbone_config=Dinov2Config(**backbone), **model)


def check_max_depth(max_depth: float) -> None:
    """Raise InputError unless a metric head can end at `max_depth` metres: `transformers` stores a whole number."""
    if not 1 <= max_depth <= LARGEST_MAX_DEPTH or max_depth != int(max_depth):
        wanted = f"a whole number of metres, 1 to {LARGEST_MAX_DEPTH}, for a metric model"
        raise InputError(f"max_depth must be {wanted}; got {max_depth}")

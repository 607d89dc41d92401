"""What a model folder holds for those who use it without this package: the image processor and the model card."""

from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined, Template
from transformers import DPTImageProcessor

from depthkit.data.transforms import IMAGENET_MEAN, IMAGENET_STD, PATCH

CARD = Path(__file__).with_name("card.md.jinja")


def image_processor(size: int) -> DPTImageProcessor:
    """Return the `transformers` image processor that does what `EvalTransform(size)` does, for `pipeline`.

    It scales "as little as possible", which is the authors' "shorter side to `size`" whenever both sides of the image
    are at least `size` pixels; smaller images it enlarges too little. All processors that a depth `pipeline` takes do
    that, or keep no aspect ratio, so the card says to enlarge small photos first.
    """
    return DPTImageProcessor(
        size={"height": size, "width": size},
        keep_aspect_ratio=True,
        ensure_multiple_of=PATCH,
        resample=3,  # bicubic
        image_mean=list(IMAGENET_MEAN),
        image_std=list(IMAGENET_STD),
    )


def model_card(config: Any, size: int) -> str:
    """Return the card, in Markdown, of a model of this `transformers` config with `size` pixels as its input size."""
    relative = config.depth_estimation_type == "relative"
    template = Template(CARD.read_text(encoding="utf-8"), undefined=StrictUndefined, keep_trailing_newline=True)
    return template.render(
        relative=relative,
        canonical=not relative and getattr(config, "canonical_focal", None),
        max_depth=config.max_depth,
        size=size,
        patch=PATCH,
    )

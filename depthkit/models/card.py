"""What a model folder holds for those who use it without this package: the image processor and the model card."""

from typing import Any

from transformers import DPTImageProcessor

from depthkit.data.transforms import IMAGENET_MEAN, IMAGENET_STD, PATCH

_CARD = """---
library_name: transformers
pipeline_tag: depth-estimation
tags:
- depth-anything
---

# {title}

A Depth Anything V2 network, saved by depthkit. It predicts {output}.

- **Input:** RGB photos, upright. The network was trained on images whose shorter side is {size} pixels.
- **Smaller photos:** the image processor of `transformers` enlarges a photo whose shorter side is below {size} pixels
  too little, and the predictions get worse. Enlarge it first, as below; the map has the size of the enlarged photo.

```python
from transformers import pipeline
from transformers.image_utils import load_image

photo = load_image("photo.jpg")
if min(photo.size) < {size}:
    scale = {size} / min(photo.size)
    photo = photo.resize([round(side * scale / {patch}) * {patch} for side in photo.size])
depth = pipeline("depth-estimation", model="path/to/this/folder")(photo)["predicted_depth"]  # {unit}
```

{canonical}With depthkit, `predict_{function}(load_model("path/to/this/folder"), image{focal})` does all this, for
photos of any size, and returns a map of the photo's own height and width.
"""


_CANONICAL = """**Canonical metres** are those of a camera whose focal length is the shorter side of the photo (53°
along it). For others give theirs, in pixels of `photo` as it is after it was enlarged; right to about 1 %, because the
network's input is rounded to whole patches:

```python
metres = depth * focal_px / min(photo.size)
```

"""


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
    disparity = "disparity (near is large) of unknown scale and shift, which differ from photo to photo"
    canonical = not relative and getattr(config, "canonical_focal", None)
    unit = "canonical metres" if canonical else "metres"
    depth = f"planar depth (along the optical axis) in {unit}, up to {config.max_depth} m"
    return _CARD.format(
        title="Relative depth" if relative else "Metric depth",
        output=disparity if relative else depth,
        unit="disparity, no unit" if relative else unit,
        canonical=_CANONICAL if canonical else "",
        focal=", focal_px" if canonical else "",
        function="disparity" if relative else "depth",
        size=size,
        patch=PATCH,
    )

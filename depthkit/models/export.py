"""Write a model as an ONNX file that takes pixels and gives metres, and check it against PyTorch."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np
import torch
from jinja2 import StrictUndefined, Template
from torch import Tensor, nn
from transformers import PreTrainedModel

from depthkit.data.readers import read_image
from depthkit.data.transforms import PATCH, normalise, resized_shape
from depthkit.errors import InputError
from depthkit.models.build import canonical_focal, input_size, load_model
from depthkit.models.calibration import Calibration, apply_calibration, load_calibration
from depthkit.models.predict import predict_maps
from depthkit.run_folder import replaced_file

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

TOLERANCE = 1e-4  # of the range of what PyTorch predicts
HOW_TO_CALL = Path(__file__).with_name("export.txt.jinja")


def export_onnx(
    folder: str | Path,
    path: str | Path,
    size: int | tuple[int, int] | None = None,
    batch: int | Literal["dynamic"] = "dynamic",
    verify: bool = True,
    photos: Sequence[str | Path] = (),
) -> float | None:
    """Write `path`, an ONNX file with normalisation and calibration inside, and a .txt beside it: how to call it.

    Args:
        size: (height, width) of the pictures it takes, multiples of 14 pixels, or the side of a square; the model's
            own input size if None.
        verify: compare onnxruntime with PyTorch, in batches of 1 and of 3 where the batch is dynamic.
        photos: what to compare on, resized; smooth random pictures where there are none.

    Returns: the largest difference to PyTorch as a share of the range of its output, or None without `verify`.

    Raises: InputError for a size that is no multiple of 14, where the packages of the extra `onnx` are missing, and for
    a difference above 1e-4 (nothing is written then).
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401 (torch.onnx needs it)
    except ImportError as error:
        raise InputError(f"export needs the package {error.name}: pip install 'depthkit[onnx]'") from error
    model, calibration, path = load_model(folder), load_calibration(folder), Path(path)
    if path.suffix == ".txt" or (path.exists() and not path.is_file()):
        raise InputError(f"{path}: can't become an ONNX file; name one that ends in .onnx")
    output = "depth" if calibration or model.config.depth_estimation_type == "metric" else "disparity"
    height, width = _checked(size or input_size(model.config), input_size(model.config))
    difference = None
    with replaced_file(path) as draft:
        torch.onnx.export(
            _Graph(model, calibration),
            (torch.zeros(2 if batch == "dynamic" else batch, height, width, 3, dtype=torch.uint8),),
            draft,
            input_names=["image"],
            output_names=[output],
            dynamic_shapes={"image": {0: torch.export.Dim("batch")}} if batch == "dynamic" else None,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        if verify:
            session = onnxruntime.InferenceSession(draft, providers=["CPUExecutionProvider"])
            batches = (1, 3) if batch == "dynamic" else (batch,)
            images = _pictures(photos, max(batches), (height, width))
            difference = max(_difference(session, model, calibration, images, count) for count in batches)
            if not difference <= TOLERANCE:  # NaN too
                raise InputError(f"{path}: differs from PyTorch by {difference:.1e} of the range, so it is not written")
    with replaced_file(path.with_suffix(".txt")) as draft:
        template = Template(HOW_TO_CALL.read_text(encoding="utf-8"), undefined=StrictUndefined)
        text = template.render(
            **dict(name=path.name, folder=folder, kind=model.config.depth_estimation_type, output=output),
            **dict(batch=batch, height=height, width=width, calibration=calibration),
            focal=None if calibration else canonical_focal(model.config),
            difference=f"{difference:.1e}" if verify else "not compared",
        )
        draft.write_text(text, encoding="utf-8")
    return difference


class _Graph(nn.Module):
    """What the file holds: uint8 (B, H, W, 3) RGB → depth or disparity (B, H, W), as `predict_maps` gives it."""

    def __init__(self, model: PreTrainedModel, calibration: Calibration | None):
        super().__init__()
        self.model, self.calibration = model, calibration
        self.eval()

    def forward(self, image: Tensor) -> Tensor:
        pixels = normalise(image.permute(0, 3, 1, 2))
        return apply_calibration(self.model(pixel_values=pixels).predicted_depth, self.calibration)


def _checked(size: int | tuple[int, int], own: int) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) <= 0 or height % PATCH or width % PATCH:
        near = resized_shape(height, width, own) if min(height, width) > 0 else (own, own)
        raise InputError(f"size must be multiples of {PATCH} pixels; got {height} × {width}: use {near[0]} × {near[1]}")
    return height, width


def _pictures(photos: Sequence[str | Path], count: int, shape: tuple[int, int]) -> np.ndarray:
    """At least `count` pictures, uint8 (N, H, W, 3): the photos, over and over, or smooth random ones."""
    noise = np.random.default_rng(0).integers(0, 256, (count, 6, 8, 3), dtype=np.uint8)
    pictures = [read_image(Path(photo)) for photo in photos] or list(noise)
    resized = [cv2.resize(picture, shape[::-1], interpolation=cv2.INTER_CUBIC) for picture in pictures]
    return np.stack([resized[i % len(resized)] for i in range(max(count, len(resized)))])


@torch.inference_mode()
def _difference(
    session: "InferenceSession", model: PreTrainedModel, calibration: Calibration | None, images: np.ndarray, count: int
) -> float:
    """Largest difference of the file to PyTorch, as a share of the range, over all images in batches of `count`."""
    from_onnx, from_torch = [], []
    for start in range(0, len(images) - count + 1, count):
        batch = images[start : start + count]
        from_onnx.append(session.run(None, {"image": batch})[0])
        maps = predict_maps(model, torch.from_numpy(batch).permute(0, 3, 1, 2), batch.shape[1:3])
        from_torch.append(apply_calibration(maps, calibration).numpy())
    largest = np.abs(np.concatenate(from_onnx) - np.concatenate(from_torch)).max()
    return float(largest / max(np.ptp(np.concatenate(from_torch)), 1e-12))

"""Calibrate a model to its camera with a few measured distances: a scale, or a scale and a shift, kept if it helps.

A metric model that ignores the camera errs by a factor when its lens is another than in training, and by a shift when
distances are measured from elsewhere than the camera's centre: both are fitted to depth. A relative model gives
disparity up to scale and shift (Ranftl 2020, arXiv 1907.01341), so that they are fitted to 1 / metres, and the
calibrated model predicts metres.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from transformers import PreTrainedModel

from depthkit.data.datasets import DepthDataset
from depthkit.errors import InputError
from depthkit.masked import Map
from depthkit.models.build import CALIBRATION_FILE, load_model
from depthkit.models.points import FARTHEST, NEAREST, csv_values, dataset_values
from depthkit.models.predict import predict_depth, predict_output
from depthkit.run_folder import read_json, replaced_file, write_json

Space = Literal["depth", "disparity"]
SECTION = "\n\n## Calibration\n\n"
SHIFT_PARTS = 10  # a shift that fewer points give a metric model can ruin all other distances
CAUTION = 6  # the number in `Calibration.kept`


@dataclass(frozen=True)
class Calibration:
    """Scale and shift for a model's output, and how much they help with points that took no part in the fit.

    Metres = scale · depth + shift, or 1 / metres = scale · disparity + shift, as `space` says. `parts` (points, photos
    or folds) were held out in turn. The errors are mean |log(predicted / measured)| without calibration, and with one
    fitted to the other parts. Before, a relative model counts as predicting the median of the other points.
    """

    scale: float
    shift: float
    space: Space
    points: int
    parts: int
    error_before: float
    error_after: float

    @property
    def kept(self) -> bool:
        """Whether the held-out error fell by more than chance explains, so that it helps with other points too.

        With n parts and k numbers fitted, and f = n − k, it must fall to f / (f + 6) of what it was. Where points only
        scatter about a good model, by 15 %, 2 % of draws of 3 points pass that in a simulation, and 1 % of 5 or more.
        """
        return _is_better(self.error_after, self.error_before, self.parts - 1 - (self.shift != 0))

    def __str__(self) -> str:
        left = "metres" if self.space == "depth" else "1 / metres"
        verdict = "" if self.kept else "; NOT kept, as that may be chance: measure more points, in more photos"
        if self.space == "depth" and not 1 / 30 < self.scale < 30:
            verdict += "; are the distances in metres?"
        return (
            f"{left} = {self.scale:.4g} · {self.space} {self.shift:+.4g}, from {self.points} points; error held out "
            f"({self.parts} parts in turn) {self.error_before:.1%} before, {self.error_after:.1%} after{verdict}"
        )


def calibrate(folder: str | Path, source: str | Path | DepthDataset) -> Calibration:
    """Fit a calibration to measured points and, if it is `kept`, save it as `calibration.json` beside the weights.

    The fit minimises the mean relative error, which one bad point hardly moves. It is a scale alone, unless a shift
    lowers the held-out error once more by as much as `kept` asks. Held out are photos in turn where there are three or
    more, and points otherwise; of a data set, ten blocks of neighbouring pictures.

    Args:
        folder: a model folder; its weights are not changed, and an earlier calibration takes no part.
        source: a CSV file with the header file,u,v,metres: a photo (relative to the CSV's folder), column and row of a
            pixel of it (whole numbers are pixel centres), and the planar depth there; or a data set with depth.

    Returns: the calibration, whether it is kept or not; if not, the folder stays as it is.

    Raises: InputError for bad rows (with their lines), fewer than 2 points, or a folder that is not a local model.
    """
    if not Path(folder, "config.json").is_file():
        raise InputError(f"{folder}: no config.json in it; calibration is saved in a local model folder, so name one")
    model = load_model(folder)
    values = dataset_values(model, source) if isinstance(source, DepthDataset) else csv_values(model, Path(source))
    calibration = fit_calibration(*values, "depth" if model.config.depth_estimation_type == "metric" else "disparity")
    if calibration.kept:
        write_json(Path(folder, CALIBRATION_FILE), asdict(calibration))
        _show_in_card(Path(folder, "README.md"), calibration)
    return calibration


def _show_in_card(card: Path, calibration: Calibration) -> None:
    text = card.read_text(encoding="utf-8").partition(SECTION)[0] if card.is_file() else ""
    with replaced_file(card) as draft:
        draft.write_text(
            f"{text.rstrip()}{SECTION}{calibration}. depthkit applies it; `pipeline` does not. It holds "
            "for the camera that took these photos: no focal length is asked for any more.\n",
            "utf-8",
        )


def load_calibration(folder: str | Path) -> Calibration | None:
    """The calibration of a model folder, or None. Raises: InputError if it is damaged."""
    path = Path(folder, CALIBRATION_FILE)
    if not path.is_file():
        return None
    try:
        found = Calibration(**read_json(path))
        if found.space not in get_args(Space) or not (math.isfinite(found.shift) and 0 < found.scale < math.inf):
            raise TypeError(f"scale {found.scale}, shift {found.shift}, space {found.space}")
        return found
    except TypeError as error:
        raise InputError(f"{path} holds no calibration ({error}); remove it, and calibrate again") from error


def apply_calibration(prediction: Map, calibration: Calibration | None) -> Map:
    """A model's output, array or tensor of any shape → metres; without a calibration the output as it is.

    Depth is at least 1 mm, and disparity at least 1 / 1000 m, beyond which nothing is told apart. NaN stays NaN.
    """
    if calibration is None:
        return prediction
    return _metres(prediction, calibration.scale, calibration.shift, calibration.space)


def predict_calibrated(
    model: PreTrainedModel, image: np.ndarray, calibration: Calibration | None, focal_px: float | None = None
) -> np.ndarray:
    """The model's depth or disparity of one uint8 RGB photo (H, W, 3), calibrated; float32 (H, W).

    `focal_px` is for `predict_depth`: a calibration belongs to one camera, and holds its focal length.
    """
    if calibration is None and model.config.depth_estimation_type == "metric":
        return predict_depth(model, image, focal_px)
    return apply_calibration(predict_output(model, image), calibration)


def fit_calibration(
    predicted: Sequence[float], metres: Sequence[float], parts: Sequence[int], space: Space
) -> Calibration:
    """The calibration of points, each of a part that is held out. Raises: InputError for fewer than two parts."""
    p, t, part = np.asarray(predicted, np.float64), np.asarray(metres, np.float64), np.asarray(parts)
    count = len(np.unique(part))
    if count < 2:
        words = "measure 3 or more or, of a data set, take a split of at least 2 pictures"
        raise InputError(f"the {len(t)} measured point(s) can't be checked against others: {words}")
    target = t if space == "depth" else 1 / t

    def error(with_shift: bool | None) -> float:
        """Mean error over the parts, each predicted by a fit to the others; None means without calibration."""
        errors = []
        for out in (part == each for each in np.unique(part)):
            if with_shift is None:
                guess = p[out].clip(min=NEAREST) if space == "depth" else np.median(t[~out])
            else:
                guess = _metres(p[out], *_fit(p[~out], target[~out], with_shift), space)
            errors.append(np.abs(np.log(guess / t[out])).mean())
        return float(np.mean(errors))

    before, scaled, shifted = error(None), error(False), error(True)
    enough = space == "disparity" or count >= SHIFT_PARTS
    with_shift = enough and _is_better(shifted, min(before, scaled), count - 2)
    scale, shift = _fit(p, target, with_shift)
    return Calibration(scale, shift, space, len(t), count, before, shifted if with_shift else scaled)


def _metres(prediction: Map, scale: float, shift: float, space: Space) -> Map:
    value = prediction * scale + shift
    return value.clip(min=NEAREST) if space == "depth" else 1 / value.clip(min=1 / FARTHEST)


def _is_better(after: float, before: float, freedom: int) -> bool:
    return freedom > 0 and after < before * freedom / (freedom + CAUTION)


def _fit(x: np.ndarray, y: np.ndarray, with_shift: bool) -> tuple[float, float]:
    """Solve min Σ |scale · x + shift − y| / y by reweighted least squares; scale alone where no rising line fits."""
    alone = float(np.median(y / x.clip(min=1e-6)))
    if not with_shift or np.ptp(x) <= 1e-6 * np.abs(x).max():
        return alone, 0.0
    rows, weight = np.column_stack([x, np.ones_like(x)]) / y[:, None], np.ones_like(y)
    for _ in range(20):
        scale, shift = np.linalg.lstsq(rows * weight[:, None], weight, rcond=None)[0]
        weight = np.abs(rows @ (scale, shift) - 1).clip(1e-6) ** -0.5
    return (float(scale), float(shift)) if scale > 0 else (alone, 0.0)

"""In which unit are depth files? What their numbers tell before training, and what they can't tell.

These are signs of a wrong `depth_scale`:

- depth is typically below 0.1 m, or more than half of it is beyond `max_depth`;
- integers are all multiples of 4, 5 or 8: whole millimetres stored in 1/4000 m (Matterport3D), 1/5000 m (TUM RGB-D,
  Sturm 2012) or 1/8000 m (SUN RGB-D, Song 2015), while `depth_scale` is coarser;
- depth ends far below `max_depth`, which another usual unit would fill (`_doubt_integers`);
- single files are 40 times nearer or farther than the rest and implausible.

Numbers can't tell a room in centimetres (285) from a table top in millimetres (285), a near scene in millimetres from a
farther one in 1/256 m, or a factor of 10 in float files, as long as all lies between 0.1 m and `max_depth`.
"""

from collections.abc import Mapping

import numpy as np

from depthkit.data.readers import DataError
from depthkit.masked import measured

UNITS = {  # units per metre
    0.001: "km",
    1: "m",
    100: "cm",
    256: "1/256 m (KITTI)",
    1000: "mm",
    4000: "1/4000 m (Matterport3D)",
    5000: "1/5000 m (TUM)",
    8000: "1/8000 m (SUN RGB-D)",
    10000: "0.1 mm",
}
Samples = Mapping[str, np.ndarray]  # depths (N,) above 0 of each file looked into, by name
FARTHEST = 100.0  # metres; without a max_depth, data that are mostly beyond are doubted


def check_units(
    folder: str, samples: Samples, scale: float | None, min_depth: float, max_depth: float | None
) -> list[str]:
    """Doubt depths that can't be metres. `scale` is the units per metre of integer files, None for float files.

    Returns: what is odd but possible, one sentence each. Raises: DataError that lists every unit that would fit, with
    the median metres of each; or that names a file in another unit than the rest.
    """
    is_given, max_depth = max_depth is not None, max_depth or FARTHEST
    depth = np.concatenate(list(samples.values()))
    medians = {name: float(np.median(values)) for name, values in samples.items()}
    typical, beyond = float(np.median(list(medians.values()))), float((depth > max_depth).mean())
    notes = [f"{beyond:.0%} of depth is beyond max_depth={max_depth:g}: not used"] if beyond > 0.1 else []
    if not _plausible(depth, min_depth, max_depth):
        doubt = f"depths are typically {typical:.4g} m, {beyond:.0%} of them beyond max_depth={max_depth:g}"
        remedy = ". If they are metres, pass a larger max_depth" if beyond > 0.5 and typical < 200 else ""
        if typical < 0.1 and _plausible(depth, min_depth, 1):
            remedy = ". If they are metres, pass max_depth 1"
        raise DataError(f"{folder}: {doubt}; {_options(depth, scale, min_depth, max_depth)}{remedy}")
    for name, median in medians.items():
        apart = f"{name} has a median of {median:.4g} m, files typically {typical:.4g} m"
        if not (1 / 40 < median / typical < 40 or _plausible(samples[name], min_depth, max_depth)):
            raise DataError(f"{folder}: {apart}: it is in another unit; convert or remove it")
        if not 1 / 5 < median / typical < 5 and len(notes) < 3:
            notes.append(f"{apart}: are they in one unit?")
    if scale and (reason := _doubt_integers(samples, scale, max_depth if is_given else 0)):
        raise DataError(f"{folder}: {reason}; {_options(depth, scale, min_depth, max_depth)}")
    return notes


def doubts_of_units(folder: str, maps: Mapping[str, np.ndarray], scale: float | None) -> list[str]:
    """Say what is odd about depth maps (H, W) where a largest depth is not known yet, and nothing is refused."""
    samples = {name: depth[measured(depth)] for name, depth in maps.items() if measured(depth).any()}
    try:
        return [f"note: {note}" for note in check_units(folder, samples, scale, 0, None)] if samples else []
    except DataError as error:
        return [f"doubt: {error}"]


def _plausible(depth: np.ndarray, min_depth: float, max_depth: float) -> bool:
    lowest = max(min_depth, min(0.1, max_depth / 100))  # an endoscope's depths are below 0.1 m, and so is its max_depth
    return float(np.median(depth)) >= lowest and float((depth > max_depth).mean()) <= 0.5


def _options(depth: np.ndarray, scale: float | None, min_depth: float, max_depth: float) -> str:
    """List every other unit that would make `depth` plausible. None is preferred: the numbers alone can't tell."""
    fits = []
    for unit, name in UNITS.items():
        metres = depth * ((scale or 1) / unit)
        if unit != scale and _plausible(metres, min_depth, max_depth):
            fits.append(f"{np.median(metres):.3g} m if the files hold {name}")
    remedy = "pass depth_scale, its units per metre" if scale else "float files must be in metres: convert them"
    return f"it would be {', '.join(fits)}: {remedy}" if fits else "no usual unit would fit"


def _doubt_integers(samples: Samples, scale: float, max_depth: float) -> str | None:
    """Say what the integers of the files tell against `scale`, if anything.

    With 5000, integers that are no multiples of 5 may be millimetres, if those lie within `max_depth` too. With 1000
    and a `max_depth` beyond the 65.5 m of 16 bits they may be KITTI's 1/256 m, if depth would then fill the range.
    """
    steps = []
    for name, depth in samples.items():
        integers = np.unique(np.rint(depth.astype(np.float64) * scale).astype(np.int64))
        if len(integers) >= 32:  # fewer values may have a common divisor by chance
            steps.append(int(np.gcd.reduce(integers)))
            if steps[-1] in (4, 5, 8) and scale < 1000 * steps[-1]:
                kind = UNITS[1000 * steps[-1]]
                return f"{name} holds multiples of {steps[-1]} alone, as {kind} does, but depth_scale is {scale:g}"
    farthest = float(np.percentile(np.concatenate(list(samples.values())), 99))
    as_millimetres = scale == 5000 and max_depth > 1 and any(step % 5 for step in steps) and farthest * 5 <= max_depth
    as_kitti = scale == 1000 and max_depth > 65.535 and max_depth / 2 < farthest * 1000 / 256 <= max_depth
    if as_millimetres or as_kitti:
        right = f"if that is right, pass max_depth={max(1, np.ceil(farthest)):g}"
        return f"with depth_scale={scale:g} depth ends at {farthest:.3g} m, far below max_depth={max_depth:g} ({right})"
    return None

"""Predict for a video: its frames beside their depth, read ahead and written behind the network."""

import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from depthkit.data.overview import coloured
from depthkit.data.readers import DataError


def predict_video(
    predict: Callable[[np.ndarray], np.ndarray], file: Path, target: Path, near_is_large: bool
) -> tuple[int, int]:
    """Write the .mp4 `target`: each frame of `file` beside what `predict` makes of it, uint8 RGB (H, W, 3) → (H, W).

    Returns: how many frames it has, and how many `file` says it has. Raises: DataError when no frame can be decoded, or
    not all can be written; what `target` held before is whole then.
    """
    capture, written = cv2.VideoCapture(str(file)), None
    total = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=target.parent) as folder,
        tqdm(total=total, leave=False, disable=None) as bar,
        ThreadPoolExecutor(1) as reader,
        ThreadPoolExecutor(1) as scribe,
    ):
        video = SideBySide(Path(folder, "draft.mp4"), capture.get(cv2.CAP_PROP_FPS), near_is_large)
        ahead = reader.submit(capture.read)
        while (frame := ahead.result()[1]) is not None:
            ahead = reader.submit(capture.read)
            prediction = predict(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
            if written:
                written.result()  # one frame behind at most; raises what went wrong there
            written = scribe.submit(video.write, frame, prediction)
            bar.update()
        if written is None:
            raise DataError(f"{file}: no frame of it can be decoded; convert it to an .mp4 with H.264")
        written.result()
        if (kept := video.close()) != video.frames:
            why = "is the disk full, or do its frames change their size?"
            raise DataError(f"{file}: {kept} of {video.frames} frames could be written to {target}: {why}")
        video.path.replace(target)
    return video.frames, total


class SideBySide:
    """An .mp4 of frames beside their predictions, in colours whose limits follow slowly."""

    def __init__(self, path: Path, rate: float, near_is_large: bool) -> None:
        self.path, self.near_is_large = path, near_is_large
        self.rate = rate if 1 <= rate <= 240 else 25  # frames a second; some files say 0, or 90,000
        self.frames = 0
        self.limits: np.ndarray | None = None
        self.writer: Any = None

    def write(self, frame: np.ndarray, prediction: np.ndarray) -> None:
        """Append a frame, uint8 BGR (H, W, 3), and its prediction (H, W)."""
        now = np.percentile(prediction, [1, 99])
        self.limits = now if self.limits is None else 0.9 * self.limits + 0.1 * now
        colours = coloured(prediction, np.isfinite(prediction), self.limits, self.near_is_large)
        picture = cv2.hconcat([frame, colours])
        if self.writer is None:
            code = cv2.VideoWriter.fourcc(*"mp4v")
            self.writer = cv2.VideoWriter(str(self.path), code, self.rate, picture.shape[1::-1])
        self.writer.write(picture)
        self.frames += 1

    def close(self) -> int:
        """End the file, and count the frames in it: OpenCV says nothing of those that it could not write."""
        self.writer.release()
        return int(cv2.VideoCapture(str(self.path)).get(cv2.CAP_PROP_FRAME_COUNT))

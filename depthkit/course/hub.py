"""Models of the Hugging Face Hub where they can be had: from the local cache, else from the Hub, else not at all."""

import functools
import logging
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np
from huggingface_hub import constants, get_session, snapshot_download
from huggingface_hub.utils import logging as hub_logging
from PIL import Image
from transformers import Pipeline, pipeline

from depthkit.models.load import quiet_transformers

WAIT_SECONDS = 4.0  # for the Hub's first answer
log = logging.getLogger(__name__)


def open_pipeline(model_id: str, download: bool = True) -> Pipeline | None:
    """Return a depth-estimation pipeline of `transformers` for a Hub id; None, silently, where it can't be had.

    The local cache is asked first; then, if `download`, the Hub, which may send gigabytes. An offline machine waits
    WAIT_SECONDS once, not for each model. The reason for a None goes to this module's logger, at level INFO.
    """
    with _quiet():
        try:
            return pipeline("depth-estimation", model=snapshot_download(model_id, local_files_only=True))
        except Exception as error:  # absent, or half of it: whatever these libraries raise, the Hub may still have it
            log.info("%s is not in the cache: %s", model_id, error)
        if download and hub_answers():
            try:
                return pipeline("depth-estimation", model=model_id)
            except Exception as error:  # no such model, a broken download, a full disk
                log.info("%s could not be had from the Hub: %s", model_id, error)
    return None


def predict(pipe: Pipeline, image: np.ndarray) -> np.ndarray:
    """Predict the map of one image, uint8 (H, W, 3): float32 (H, W), in the unit that the model's card tells."""
    with _quiet():
        return pipe(Image.fromarray(image))["predicted_depth"].float().cpu().numpy()


@functools.cache
def hub_answers() -> bool:
    """Say whether the Hub answers; each process asks once, in a thread, since looking up a name knows no time limit."""
    codes: list[int] = []

    def ask() -> None:
        with suppress(Exception):  # offline by choice, no route, a proxy that refuses: all mean no
            codes.append(get_session().head(constants.ENDPOINT, timeout=WAIT_SECONDS).status_code)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(WAIT_SECONDS)
    return bool(codes) and codes[0] < 400


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back bars, reports and warnings of `transformers` and of the Hub's library; afterwards all is as before."""
    level = hub_logging.get_verbosity()
    hub_logging.set_verbosity_error()
    os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")  # else a thread asks the Hub to convert old weights
    try:
        with quiet_transformers(), warnings.catch_warnings(action="ignore"):
            yield
    finally:
        hub_logging.set_verbosity(level)

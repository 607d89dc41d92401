"""What all figures share: short names for types, a figure with axes, its grid and legend, and its alternative text."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

__all__ = ["Array", "Axes", "AxesImage", "Box", "Figure", "Kind", "Limits", "Named", "Sample", "Scale", "Texts"]
T = TypeVar("T")
Array = np.ndarray
Named = Mapping[str, T]  # what is drawn, by the name that labels it
Texts = Sequence[str]
Limits = tuple[float, float]  # low and high
Box = tuple[int, int, int, int]  # top, left, height and width in pixels
Sample = Mapping[str, Any]  # as a data set of depthkit.data gives it
Kind = Literal["depth", "disparity", "error"]
Scale = Literal["linear", "log"]


def new_axes(rows: int, columns: int, width: float, height: float, **options: Any) -> tuple[Figure, Any]:
    """Return a figure of `width` × `height` inches and its axes as an array (rows, columns)."""
    options.setdefault("layout", "constrained")
    return plt.subplots(rows, columns, figsize=(width, height), squeeze=False, **options)


def new_charts(rows: int, columns: int, width: float, height: float, **options: Any) -> tuple[Figure, Any]:
    """Return what `new_axes` does, with faint grid lines in all axes."""
    fig, axes = new_axes(rows, columns, width, height, **options)
    for ax in axes.flat:
        ax.grid(alpha=0.3)
    return fig, axes


def describe(fig: Figure, text: str) -> Figure:
    """Give a figure the alternative text that its picture in a notebook carries, and return it.

    The text says what the picture shows to somebody who can't see it; line breaks count as spaces. It becomes `alt` in
    the metadata of the output's image/png, for pages made of the notebook, and the output's plain text, for viewers
    without pictures.
    """
    text = " ".join(text.split())
    # IPython asks each object that it shows for this method, and adds the picture itself.
    fig._repr_mimebundle_ = lambda **_: ({"text/plain": text}, {"image/png": {"alt": text}})  # type: ignore[attr-defined]
    return fig

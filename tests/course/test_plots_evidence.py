"""Figures of stored measurements draw the scores they are given, where they belong."""

import matplotlib

matplotlib.use("Agg")

import pytest
from matplotlib import pyplot as plt

from depthkit.course import plots


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def score(mean, spread=0.1):
    return {"mean": mean, "low": mean - spread, "high": mean + 2 * spread}


def test_learning_curve_has_a_line_for_each_model_and_the_live_points():
    curves = {"full": {12: score(0.5), 100: score(0.3)}, "two numbers": {12: score(0.4), 100: score(0.4)}}
    crosses = {12: score(0.6), 96: score(0.7)}
    other, ax = plots.learning_curve({"exact depth": curves, "sensor depth": curves}, {"sensor depth": crosses}).axes
    assert len(other.lines) == 2
    panels = {"exact depth": {"random": curves["full"], **curves}, "sensor depth": curves}
    for left, right in zip(*(ax.lines[-2:] for ax in plots.learning_curve(panels).axes), strict=True):
        assert left.get_label() == right.get_label() and left.get_color() == right.get_color()
        assert left.get_marker() == right.get_marker() and left.get_linestyle() == right.get_linestyle()
    full, two_numbers, live = ax.lines
    assert list(full.get_xdata()) == [12, 100] and list(full.get_ydata()) == [0.5, 0.3]
    assert list(two_numbers.get_ydata()) == [0.4, 0.4]
    assert list(live.get_xdata()) == [12, 96] and list(live.get_ydata()) == [0.6, 0.7]
    band = ax.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == pytest.approx(0.2) and band[:, 1].max() == pytest.approx(0.7)
    assert ax.get_xscale() == "log" and ax.get_title() == "sensor depth"
    assert [text.get_text() for text in ax.get_xticklabels()] == ["12", "96"]  # 100 would stand on 96


def test_grouped_scores_keep_recipes_apart_and_in_one_colour():
    groups = {"rooms": {"ignore": score(0.2), "canonical": score(0.3)}, "halls": {"canonical": score(0.4)}}
    ax = plots.grouped_scores(groups).axes[0]
    ignore, canonical = (container.lines for container in ax.containers)
    assert list(ignore[0].get_ydata()) == [0.2] and list(canonical[0].get_ydata()) == [0.3, 0.4]
    assert list(ignore[0].get_xdata()) == pytest.approx([-0.1])
    assert list(canonical[0].get_xdata()) == pytest.approx([0.1, 1.1])
    assert canonical[2][0].get_segments()[1][:, 1] == pytest.approx([0.3, 0.6])
    assert [text.get_text() for text in ax.get_xticklabels()] == ["rooms", "halls"]

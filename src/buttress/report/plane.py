"""Figures of the rate-distortion plane.

A model stands at (rate, distortion), and −ELBO = distortion + rate is the same along each diagonal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from buttress.report.drawing import HALO, LINE, MAIN, SOFT, as_svg, new_axes, styles
from buttress.report.labels import place_labels
from buttress.report.numbers import nats
from buttress.report.results import Arm, Curve, Metrics, Run

__all__ = ["arm_plane", "draw_arms", "run_plane"]


def run_plane(run: Run) -> Markup | None:
    """The way of one run through the rate-distortion plane on held-out data, to where it ended."""
    end = _place(run)
    path = _path(run.metrics)
    if end is None and path is None:
        return None
    figure, ax = new_axes(4.3)
    points = [] if path is None else list(zip(*path, strict=True))
    end = end or points[-1]
    reach = 1.5 * max(0.5, *(rate for rate, _ in [*points, end]))  # one scale for both, or diagonals would lie flat
    _plane(ax, [end, *(p for p in points if p[1] < end[1] + reach)])
    if path is not None:
        ax.plot(*path, color=MAIN, lw=1.3, alpha=0.6, marker="o", ms=2.5)
    ax.plot(*end, "o", color=MAIN, ms=9)
    place_labels(ax, [end], [f"−ELBO {nats(sum(end))}"], [MAIN], _diagonals(ax, _marks(ax, [*points, end])))
    return as_svg(figure, "plane")


def arm_plane(arms: Sequence[Arm]) -> Markup | None:
    """Every arm in the rate-distortion plane, for a page."""
    figure = draw_arms(arms)
    return None if figure is None else as_svg(figure, "plane")


def draw_arms(arms: Sequence[Arm]) -> Figure | None:
    """Every arm in the rate-distortion plane: a small point a seed, a large one for their mean, its name beside it."""
    found = {arm: [p for run in arm.runs if (p := _place(run)) is not None] for arm in arms}
    found = {arm: points for arm, points in found.items() if points}
    if not found:
        return None
    looks = styles(arm.name for arm in arms)
    figure, ax = new_axes(5.0)
    _plane(ax, [p for points in found.values() for p in points])
    means, small = [], []
    for arm, points in found.items():
        look = looks[arm.name]
        mean = (float(np.mean([p[0] for p in points])), float(np.mean([p[1] for p in points])))
        if len(points) > 1:
            ax.plot(*zip(*points, strict=True), look.marker, color=look.color, ms=look.size(4.5), alpha=0.55, mew=0)
        ax.plot(*mean, look.marker, color=look.color, ms=look.size(9.5), mec=HALO, mew=0.8)
        means.append(mean)
        small += points
    boxes = _diagonals(ax, _marks(ax, [*small, *means]))
    place_labels(ax, means, [a.name for a in found], [looks[a.name].color for a in found], boxes)
    return figure


def _place(run: Run) -> tuple[float, float] | None:
    rate, distortion = run.value("rate"), run.value("distortion")
    return None if rate is None or distortion is None else (rate, distortion)


def _path(metrics: Metrics | None) -> Curve | None:
    rate = metrics.curve("held_out", "rate") if metrics else None
    distortion = metrics.curve("held_out", "distortion") if metrics else None
    if rate is None or distortion is None:
        return None
    _, i, j = np.intersect1d(rate[0], distortion[0], return_indices=True)
    return (rate[1][i], distortion[1][j]) if len(i) else None


def _marks(ax: Axes, points: Sequence[tuple[float, float]]) -> list[Bbox]:
    """Boxes around marks, for labels to keep away from."""
    places = [ax.transData.transform(p) for p in points]
    return [Bbox.from_bounds(x - 4, y - 4, 8, 8) for x, y in places]


def _plane(ax: Axes, points: Sequence[tuple[float, float]]) -> None:
    """Axes of the plane around the points, rates from about 0."""
    x, y = np.array(points, dtype=float).T
    wide = max(float(x.max()), 0.5)
    tall = max(float(np.ptp(y)), 0.6 * wide)  # never so flat that the diagonals stand upright
    ax.set(xlim=(-0.06 * wide, 1.14 * wide), ylim=(float(y.min()) - 0.14 * tall, float(y.min()) + 1.14 * tall))
    ax.set(xlabel="rate, nats", ylabel="distortion, nats")
    ax.grid(False)
    _settle(ax)


def _settle(ax: Axes) -> None:
    """Lay the figure out, so that display coordinates mean something."""
    figure = ax.get_figure(root=True)
    assert isinstance(figure, Figure)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def _diagonals(ax: Axes, marks: Sequence[Bbox]) -> list[Bbox]:
    """Lines of equal ELBO, each with its value where there is room; gives all boxes that labels should leave free."""
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    taken = list(marks)
    for level in MaxNLocator(7).tick_values(left + low, right + high):
        if low < level - left and level - right < high:
            ax.axline((left, level - left), slope=-1, color=LINE, lw=1, zorder=0)
            taken += _along(ax, float(level), marks)
    return taken


def _along(ax: Axes, level: float, marks: Sequence[Bbox]) -> list[Bbox]:
    """The value of a diagonal, written along it where it leaves the axes, or as near to that as there is room."""
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    (x0, y0), (x1, y1) = ax.transData.transform([(0, 0), (1, -1)])
    text = ax.text(
        0, 0, f"−ELBO {level:g}", color=SOFT, fontsize=8.5, ha="right", va="bottom", zorder=0, in_layout=False,
        rotation=math.degrees(math.atan2(y1 - y0, x1 - x0)), rotation_mode="anchor",
    )  # fmt: skip
    start = right - 0.03 * (right - left) if right < level - low else level - low - 0.045 * (high - low)
    for x in np.arange(start, left, -0.04 * (right - left)):
        text.set_position((x, level - x))
        box = text.get_window_extent()
        inside = box.x0 > ax.bbox.x0 + 2 and box.y1 < ax.bbox.y1
        if inside and not box.count_overlaps(marks):
            return [box]
    text.remove()
    return []

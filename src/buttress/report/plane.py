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

from buttress.report.drawing import INK, LINE, MAIN, SOFT, as_svg, new_axes, styles
from buttress.report.labels import place_labels
from buttress.report.legend import columns_and_lines, number_below
from buttress.report.numbers import nats
from buttress.report.results import ArmResult, Curve, MetricsTable, RunResult

__all__ = ["arm_plane", "draw_arms", "run_plane"]

Point = tuple[float, float]
MARK = 9.5
"""Points: the size of an arm's mark."""
STEPS = (0.0, 4.5, 9.0)
"""Points by which marks that would cover each other differ in size, so that all outlines are seen."""
CROWD = 3
"""So many means in one place have their numbers in one list: each beside its own mark, they would cover the marks."""


def run_plane(run: RunResult) -> Markup | None:
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


def arm_plane(arms: Sequence[ArmResult]) -> Markup | None:
    """Every arm in the rate-distortion plane, for a page."""
    figure = draw_arms(arms)
    return None if figure is None else as_svg(figure, "plane")


def draw_arms(arms: Sequence[ArmResult]) -> Figure | None:
    """Every arm in the rate-distortion plane: a small mark a seed, an outline for their mean, numbered as below it.

    Names stand in a legend below the axes, where they can cover nothing; at the marks there are only numbers.
    """
    found = {arm: [p for run in arm.runs if (p := _place(run)) is not None] for arm in arms}
    found = {arm: points for arm, points in found.items() if points}
    if not found:
        return None
    looks = styles(arm.name for arm in arms)
    names, colors = [arm.name for arm in found], [looks[arm.name].color for arm in found]
    means = [(float(np.mean([p[0] for p in ps])), float(np.mean([p[1] for p in ps]))) for ps in found.values()]
    figure, ax = new_axes(4.4 + 0.2 * columns_and_lines(names)[1])
    number_below(figure, names, [looks[name] for name in names])
    _plane(ax, [p for points in found.values() for p in points], 0.3)
    sizes = _sizes(ax, means)
    for (arm, points), mean, size in zip(found.items(), means, sizes, strict=True):
        look = looks[arm.name]
        if len(points) > 1:
            ax.plot(*zip(*points, strict=True), look.marker, color=look.color, ms=look.size(4), alpha=0.5, mew=0)
        ax.plot(*mean, look.marker, mec=look.color, mfc="none", ms=look.size(size), mew=1.7, zorder=4)
    small = [p for points in found.values() for p in points]
    boxes = [
        *_marks(ax, small),
        *(box for p, size in zip(means, sizes, strict=True) for box in _marks(ax, [p], size + 4)),
    ]
    crowds = _crowds(ax, means)
    at = [means[max(crowd, key=lambda i: means[i][0])] for crowd in crowds]
    labels = [", ".join(str(i + 1) for i in crowd) for crowd in crowds]
    place_labels(ax, at, labels, [colors[c[0]] if len(c) == 1 else INK for c in crowds], _diagonals(ax, boxes))
    return figure


def _sizes(ax: Axes, means: Sequence[Point]) -> list[float]:
    """The size of each mark: those that would cover one before them are larger."""
    places = [ax.transData.transform(p) for p in means]
    before = [sum(math.dist(place, other) < MARK for other in places[:i]) for i, place in enumerate(places)]
    return [MARK + STEPS[n % len(STEPS)] for n in before]


def _crowds(ax: Axes, means: Sequence[Point]) -> list[list[int]]:
    """Means that lie in one place, where they are many; every other one alone."""
    places, crowds = [ax.transData.transform(p) for p in means], list[list[int]]()
    for i, place in enumerate(places):
        near = [crowd for crowd in crowds if any(math.dist(place, places[j]) < MARK for j in crowd)]
        crowds = [crowd for crowd in crowds if crowd not in near] + [[*(j for crowd in near for j in crowd), i]]
    return [c for crowd in crowds for c in ([sorted(crowd)] if len(crowd) >= CROWD else [[i] for i in crowd])]


def _place(run: RunResult) -> tuple[float, float] | None:
    rate, distortion = run.value("rate"), run.value("distortion")
    return None if rate is None or distortion is None else (rate, distortion)


def _path(metrics: MetricsTable | None) -> Curve | None:
    rate = metrics.curve("held_out", "rate") if metrics else None
    distortion = metrics.curve("held_out", "distortion") if metrics else None
    if rate is None or distortion is None:
        return None
    _, i, j = np.intersect1d(rate[0], distortion[0], return_indices=True)
    return (rate[1][i], distortion[1][j]) if len(i) else None


def _marks(ax: Axes, points: Sequence[Point], size: float = 8) -> list[Bbox]:
    """Boxes around marks, for labels to keep away from."""
    places = [ax.transData.transform(p) for p in points]
    return [Bbox.from_bounds(x - size / 2, y - size / 2, size, size) for x, y in places]


def _plane(ax: Axes, points: Sequence[Point], flat: float = 0.6) -> None:
    """Axes of the plane around the points, rates from about 0.

    Args:
        ax: The axes.
        points: What they must show.
        flat: The least height beside the width, both in nats, or diagonals would stand upright.
    """
    x, y = np.array(points, dtype=float).T
    wide = max(float(x.max()), 0.5)
    low, high = float(y.min()), float(y.max())
    tall = max(high - low, flat * wide)
    low -= (tall - (high - low)) / 2  # what is empty, half above the points and half below
    ax.set(xlim=(-0.06 * wide, 1.08 * wide), ylim=(low - 0.1 * tall, low + 1.1 * tall))
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

"""Figures of the rate-distortion plane.

A model is the point (rate, distortion), and −ELBO = distortion + rate is constant along each diagonal.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from buttress.report.drawing import LINE, MAIN, SOFT, as_svg, name_lines, new_axes, styles
from buttress.report.numbers import nats
from buttress.report.results import ArmResult, Curve, MetricsTable, RunResult

__all__ = ["arm_plane", "draw_arms", "run_plane"]

Point = tuple[float, float]
MARK = 9.5
"""Points: the size of an arm's mark."""
GRID = 50
"""Points each way of the lines of equal −ELBO."""
SHORT = 0.3
"""Of the width: a shorter line has no room for its label."""
LARGER = 3.0
"""Points by which each arm's outline is larger than that of the one before, so that none is hidden behind another."""


def run_plane(run: RunResult) -> Markup | None:
    """The path of one run through the rate-distortion plane on held-out data, to where it ended."""
    end, path = _place(run), _path(run.metrics)
    if end is None and path is None:
        return None
    figure, (ax,) = new_axes(4.3)
    points = [] if path is None else list(zip(*path, strict=True))
    end = end or points[-1]
    reach = 1.5 * max(0.5, *(rate for rate, _ in [*points, end]))  # one scale for both, or diagonals would lie flat
    if path is not None:
        ax.plot(*path, color=MAIN, lw=1.3, alpha=0.6, marker="o", ms=2.5)
    ax.plot(*end, "o", color=MAIN, ms=9)
    _plane(ax, [end, *(p for p in points if p[1] < end[1] + reach)])
    left = bool(end[0] > np.mean(ax.get_xlim()))
    ax.annotate(
        f"−ELBO {nats(sum(end))}", end, (-9 if left else 9, 7), textcoords="offset points",
        ha="right" if left else "left", color=MAIN, weight="bold",
    )  # fmt: skip
    return as_svg(figure, "plane")


def arm_plane(arms: Sequence[ArmResult]) -> Markup | None:
    """Every arm in the rate-distortion plane, for a page."""
    figure = draw_arms(arms)
    return None if figure is None else as_svg(figure, "plane")


def draw_arms(arms: Sequence[ArmResult]) -> Figure | None:
    """Every arm in the rate-distortion plane: a small mark for each seed, an outline for their mean."""
    every = {arm.name: [_place(run) for run in arm.runs] for arm in arms}
    found = {name: kept for name, places in every.items() if (kept := [p for p in places if p is not None])}
    if not found:
        return None
    looks = styles(arm.name for arm in arms)
    figure, (ax,) = new_axes(4.4)
    for i, (name, points) in enumerate(found.items()):
        look, size = looks[name], MARK + LARGER * (i % 4)
        if len(points) > 1:
            ax.plot(*zip(*points, strict=True), look.marker, color=look.color, ms=look.size(4), alpha=0.5, mew=0)
        mean = np.mean(points, axis=0)
        ax.plot(*mean, look.marker, mec=look.color, mfc="none", ms=look.size(size), mew=1.7, zorder=4)
    name_lines(figure, list(found), [looks[name] for name in found], line=False)
    _plane(ax, [p for points in found.values() for p in points], 0.3)
    return figure


def _place(run: RunResult) -> Point | None:
    rate, distortion = run.value("rate"), run.value("distortion")
    return None if rate is None or distortion is None else (rate, distortion)


def _path(metrics: MetricsTable | None) -> Curve | None:
    rate = metrics.curve("held_out", "rate") if metrics else None
    distortion = metrics.curve("held_out", "distortion") if metrics else None
    if rate is None or distortion is None:
        return None
    _, i, j = np.intersect1d(rate[0], distortion[0], return_indices=True)
    return (rate[1][i], distortion[1][j]) if len(i) else None


def _plane(ax: Axes, points: Sequence[Point], flat: float = 0.6) -> None:
    """Axes around the points, rates from about 0, with lines of equal −ELBO.

    Args:
        ax: The axes.
        points: What they must show.
        flat: The least height beside the width, both in nats, or diagonals would be upright.
    """
    x, y = np.array(points, dtype=float).T
    wide = max(float(x.max()), 0.5)
    tall = max(float(np.ptp(y)), flat * wide)
    low = float(y.min() + y.max() - tall) / 2  # what is empty: half above the points and half below
    ax.set(xlim=(-0.06 * wide, 1.08 * wide), ylim=(low - 0.1 * tall, low + 1.1 * tall))
    ax.set(xlabel="rate, nats", ylabel="distortion, nats")
    ax.grid(False)
    ax.get_figure(root=True).draw_without_rendering()  # type: ignore[union-attr]
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    rate, distortion = np.meshgrid(np.linspace(left, right, GRID), np.linspace(bottom, top, GRID))
    lines = ax.contour(rate, distortion, rate + distortion, 7, colors=LINE, linewidths=1, zorder=0)
    ends = [(level, max(left, level - top), min(right, level - bottom)) for level in lines.levels]
    middles = [((a + b) / 2, level - (a + b) / 2) for level, a, b in ends if b - a > SHORT * (right - left)]
    ax.clabel(lines, fmt="−ELBO %g", fontsize=8.5, colors=SOFT, zorder=1, manual=middles)

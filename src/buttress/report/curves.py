"""Figures of training: a quantity over the steps, of one run or of all arms of a comparison."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from buttress.report.drawing import (
    HALO,
    MAIN,
    PALETTE,
    SOFT,
    WIDTH,
    add_legend,
    as_svg,
    name_lines,
    new_axes,
    plot_steps,
    set_range,
    styles,
)
from buttress.report.results import ArmResult, Curve, MetricsTable

__all__ = ["arm_curves", "curve", "information"]

MARKS = 5
"""Of an arm along its line, beside its colour."""


def curve(metrics: MetricsTable, column: str, sign: int = 1, in_nats: bool = True) -> Markup | None:
    """A column of the metrics over training: held-out data in colour, training data behind them in grey."""
    found = {split: metrics.curve(split, column) for split in ("train", "held_out")}
    lines = {split: (x, sign * y) for split, (x, y) in ((s, c) for s, c in found.items() if c is not None)}
    if not lines:
        return None
    figure, (ax,) = new_axes(2.6, 0.74 * WIDTH)
    for split, line in lines.items():
        behind = split == "train" and len(lines) > 1
        plot_steps(ax, line, SOFT if behind else MAIN, 1.1 if behind else 1.9, split.replace("_", "-"))
    if in_nats:
        set_range(ax, list(lines.values()))
    else:
        ax.set(xlim=(0, None), ylim=(0, None))
    ax.set_ylabel("nats" if in_nats else "")
    if len(lines) > 1:
        add_legend(ax)
    return as_svg(figure, f"curve-{column}")


def information(metrics: MetricsTable) -> Markup | None:
    """Rate and mutual information over training on held-out data, on one axis."""
    wanted = {"rate": ("rate", MAIN), "mutual_information": ("mutual information", PALETTE["arm-3"][0])}
    lines = {key: line for key in wanted if (line := metrics.curve("held_out", key)) is not None}
    if not lines:
        return None
    figure, (ax,) = new_axes(4.3)
    for key, line in lines.items():
        plot_steps(ax, line, wanted[key][1], label=wanted[key][0])
    lowest, highest = (float(bound([bound(y) for _, y in lines.values()])) for bound in (np.min, np.max))
    ax.set(ylabel="nats", xlim=(0, None), ylim=(min(0.0, 1.08 * lowest), max(0.1, 1.08 * highest)))
    add_legend(ax)
    return as_svg(figure, "information")


def arm_curves(arms: Sequence[ArmResult], column: str, label: str, height: float = 3.9) -> Markup | None:
    """A held-out column over training for all arms: a thin line for each seed, a thick one for their mean."""
    every = {arm.name: [run.metrics.curve("held_out", column) for run in arm.runs if run.metrics] for arm in arms}
    found = {name: kept for name, curves in every.items() if (kept := [c for c in curves if c is not None])}
    if not found:
        return None
    looks = styles(arm.name for arm in arms)
    figure, (ax,) = new_axes(height)
    for i, (name, curves) in enumerate(found.items()):
        look, mean = looks[name], _mean_curve(curves)
        for line in curves if len(curves) > 1 else []:
            ax.plot(*line, color=look.color, lw=0.7, alpha=0.45)
        step = max(1, len(mean[0]) // MARKS)
        marks = (i * step // len(found), step)  # each arm at other steps, or marks would hide each other
        ax.plot(*mean, color=look.color, lw=2, marker=look.marker, ms=look.size(6), mec=HALO, mew=0.6, markevery=marks)
    ax.set(xlabel="training step", ylabel=label)
    set_range(ax, [line for curves in found.values() for line in curves])
    name_lines(figure, list(found), [looks[name] for name in found])
    return as_svg(figure, f"arms-{column}")


def _mean_curve(curves: Sequence[Curve]) -> Curve:
    """The mean of curves over the steps that all of them reached."""
    longest = max((x for x, _ in curves), key=len)
    steps = longest[(longest >= max(x[0] for x, _ in curves)) & (longest <= min(x[-1] for x, _ in curves))]
    return (steps, np.mean([np.interp(steps, x, y) for x, y in curves], axis=0)) if len(steps) else curves[0]

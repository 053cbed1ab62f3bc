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
    end_labels,
    new_axes,
    set_range,
    styles,
)
from buttress.report.legend import arm_axes, name_ends
from buttress.report.results import ArmResult, Curve, MetricsTable

__all__ = ["arm_curves", "curve", "information"]


MARKS = 5
"""Of an arm along its line, beside its colour."""


def curve(metrics: MetricsTable, column: str, sign: int = 1, in_nats: bool = True) -> Markup | None:
    """A column of the metrics over training, held-out data in colour and training data behind it in grey."""
    lines = [
        (split, (found[0], sign * found[1]), color, width)
        for split, color, width in (("train", SOFT, 0.9), ("held_out", MAIN, 1.9))
        if (found := metrics.curve(split, column)) is not None
    ]
    if not lines:
        return None
    if len(lines) == 1:  # such as β, which only training has
        lines = [(lines[0][0], lines[0][1], MAIN, 1.9)]
    figure, ax = new_axes(2.5, 0.74 * WIDTH)
    for split, (x, y), color, width in lines:
        ax.plot(x, y, color=color, lw=width, label=split.replace("_", "-"), marker="o" if len(x) == 1 else None)
    if in_nats:
        set_range(ax, [line for _, line, _, _ in lines])
    else:
        ax.set_ylim(0, None)
    ax.set(xlabel="training step", ylabel="nats" if in_nats else "")
    if len(lines) > 1:
        add_legend(ax)
    return as_svg(figure, f"curve-{column}")


def information(metrics: MetricsTable) -> Markup | None:
    """Rate and mutual information on held-out data over training, one axis."""
    names = {"rate": ("rate", MAIN), "mutual_information": ("information", PALETTE["arm-3"][0])}
    lines = {
        label: (found, color) for key, (label, color) in names.items() if (found := metrics.curve("held_out", key))
    }
    if not lines:
        return None
    figure, ax = new_axes(4.3)
    for (x, y), color in lines.values():
        ax.plot(x, y, color=color, lw=1.9, marker="o" if len(x) == 1 else None, clip_on=len(x) > 1)
    ax.set(
        xlabel="training step",
        ylabel="nats",
        ylim=(
            min(0.0, 1.08 * min(float(y.min()) for (_, y), _ in lines.values())),  # of no information, noise
            max(0.1, 1.08 * max(float(y.max()) for (_, y), _ in lines.values())),
        ),
    )
    ax.set_xlim(0, max(1.0, max(float(x[-1]) for (x, _), _ in lines.values())))
    end_labels(ax, {label: line for label, (line, _) in lines.items()}, [color for _, color in lines.values()])
    return as_svg(figure, "information")


def arm_curves(arms: Sequence[ArmResult], column: str, label: str, height: float = 3.9) -> Markup | None:
    """A held-out column over training for all arms: a thin line a seed, a thick one for their mean."""
    found = {
        arm.name: [c for run in arm.runs if run.metrics and (c := run.metrics.curve("held_out", column))]
        for arm in arms
    }
    found = {name: curves for name, curves in found.items() if curves}
    if not found:
        return None
    looks, means = styles(arm.name for arm in arms), {}
    figure, ax = arm_axes(height, list(found))
    for i, (name, curves) in enumerate(found.items()):
        look = looks[name]
        for x, y in curves[: len(curves) if len(curves) > 1 else 0]:
            ax.plot(x, y, color=look.color, lw=0.7, alpha=0.45)
        means[name] = _mean_curve(curves)
        every = max(1, len(means[name][0]) // MARKS)
        start = i * every // len(found)  # each arm at other steps, or marks would hide each other
        ax.plot(
            *means[name], color=look.color, lw=2, marker=look.marker, ms=look.size(6), mec=HALO, mew=0.6,
            markevery=(start, every),
        )  # fmt: skip
    ax.set(xlabel="training step", ylabel=label)
    set_range(ax, [line for curves in found.values() for line in curves])
    name_ends(ax, means, [looks[name] for name in means])
    return as_svg(figure, f"arms-{column}")


def _mean_curve(curves: Sequence[Curve]) -> Curve:
    """The mean of curves over the steps that all of them reached."""
    longest = max((x for x, _ in curves), key=len)
    steps = longest[(longest >= max(x[0] for x, _ in curves)) & (longest <= min(x[-1] for x, _ in curves))]
    return (steps, np.mean([np.interp(steps, x, y) for x, y in curves], axis=0)) if len(steps) else curves[0]

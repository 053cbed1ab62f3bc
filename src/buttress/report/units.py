"""Figures of latent groups: which of them carry information, during training and after it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import MaxNLocator

from buttress.diagnostics.evidence import Groups
from buttress.diagnostics.thresholds import ACTIVE_VARIANCE, COLLAPSED_EPSILON
from buttress.report.drawing import (
    INK,
    LINE,
    MAIN,
    PALETTE,
    SOFT,
    Style,
    as_svg,
    name_lines,
    new_axes,
    plot_steps,
    styles,
)
from buttress.report.results import ArmResult, MetricsTable, RunResult

__all__ = ["code_map", "collapse_curve", "collapse_curves", "heat_map", "unit_bars", "variance_curves"]

FLOOR = 1e-6
"""Variances below it are drawn there, or a single 0 would squeeze all others."""
EPSILONS = (1e-4, 1e2)
"""Nats between which the share of collapsed groups is drawn."""
MANY = 100
"""From so many groups on, bars become one outline: a page should not carry a thousand rectangles."""
LINES = 6
"""Up to so many groups are lines over training; more are the rows of a heat map."""
RISE = LinearSegmentedColormap.from_list(
    "rise", [(0.06, 0.45, 0.78, 0.0), (0.06, 0.45, 0.78, 0.55), (0.02, 0.5, 0.85, 1.0)]
)
"""From nothing to much, on light and on dark backgrounds."""


def heat_map(metrics: MetricsTable) -> Markup | None:
    """KL of every latent group on held-out data over training: lines where there are few groups or points."""
    rows = {name: found for name in metrics.groups if (found := metrics.curve("held_out", f"rate/{name}")) is not None}
    if not rows:
        return None
    figure, (ax,) = new_axes(4.3)
    if len(rows) <= LINES:
        looks = [Style(f"arm-{i}", "") for i in range(1, len(rows) + 1)]
        for line, look in zip(rows.values(), looks, strict=True):
            plot_steps(ax, line, look.color, 1.7)
        ax.set(ylabel="KL, nats", ylim=(0, max(0.1, 1.08 * max(y.max() for _, y in rows.values()))))
        name_lines(figure, list(rows), looks)
        return as_svg(figure, "heat")
    steps = np.unique(np.concatenate([x for x, _ in rows.values()]))
    middles = (steps[1:] + steps[:-1]) / 2
    first = max(0, 2 * steps[0] - middles[0]) if len(middles) else 0
    edges = np.concatenate([[first], middles, [max(1, steps[-1])]])
    _mesh(ax, edges, np.array([np.interp(steps, x, y) for x, y in rows.values()]), "KL, nats")
    ax.set(xlabel="training step", ylabel="latent group")
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    every = -(-len(rows) // 16)
    ax.set_yticks(np.arange(0, len(rows), every) + 0.5, list(rows)[::every], parse_math=False)
    return as_svg(figure, "heat")


def _mesh(
    ax: Axes, edges: Float[np.ndarray, " _"], table: Float[np.ndarray, "H W"], label: str, beside: str = "right"
) -> None:
    """A table in colours from 0 on, its first row on top, and a bar that explains them."""
    top = max(0.1, float(table.max()))  # a collapsed model looks empty instead of having its noise magnified
    rows = np.arange(len(table) + 1.0)
    mesh = ax.pcolormesh(edges, rows, table, vmin=0, vmax=top, cmap=RISE, rasterized=True, shading="flat")
    ax.grid(False)
    ax.invert_yaxis()
    bar = ax.figure.colorbar(mesh, ax=ax, pad=0.02, aspect=28, location=beside)
    bar.ax.patch.set_visible(False)
    bar.solids.set_rasterized(True)  # type: ignore[union-attr]
    bar.outline.set_edgecolor(LINE)
    bar.ax.tick_params(colors=SOFT, labelsize=9, length=0)
    bar.set_label(label, color=SOFT, size=10)


def unit_bars(groups: Groups) -> Markup | None:
    """Rate of every latent group with its error, and the variance of its posterior mean, both sorted by rate."""
    rate, error, variance = (_known(v) for v in (groups.rate, groups.rate_error, groups.variance_of_mean))
    shown = [values for values in (rate, variance) if values is not None]
    if not shown:
        return None
    order = np.argsort(-shown[0])
    figure, axes = new_axes(4.3 if len(shown) == 2 else 2.6, rows=len(shown))
    if rate is not None:
        _rates(axes[0], rate[order], None if error is None else error[order])
        if len(shown) == 2:
            axes[0].set_xticks([])
    if variance is not None:
        _variances(axes[-1], variance[order], codes=bool(groups.perplexity))
    axes[-1].set_xlabel(f"latent group, by {'rate' if rate is not None else 'variance'}")
    for ax in axes:
        ax.set_xlim(-0.8, len(order) - 0.2)
        ax.grid(False, axis="x")
    _names(axes[-1], [groups.names[i] for i in order])
    return as_svg(figure, "units")


def _known(values: Sequence[float | None]) -> Float[np.ndarray, " G"] | None:
    """The values as an array, or None where not all are known."""
    return np.array(values, dtype=float) if values and None not in values else None


def _rates(ax: Axes, rate: Float[np.ndarray, " G"], error: Float[np.ndarray, " G"] | None) -> None:
    """Bars, with two standard errors either way."""
    at = np.arange(len(rate))
    if len(rate) > MANY:
        ax.stairs(rate, np.arange(len(rate) + 1) - 0.5, fill=True, color=MAIN)
        if error is not None:
            ax.fill_between(at, rate - 2 * error, rate + 2 * error, color=INK, alpha=0.35, lw=0)
    else:
        bars = None if error is None else 2 * error
        ax.bar(at, rate, 0.72, color=MAIN, yerr=bars, error_kw={"ecolor": INK, "elinewidth": 0.9})
    ax.set(ylabel="rate, nats", ylim=(0, max(0.05, 1.12 * float(rate.max()))))


def code_map(groups: Groups) -> Markup | None:
    """Rate and perplexity of the codes of each place, drawn where the places lie; None if they are no map.

    Several slots of one place are taken together: their rates add up, their perplexities multiply.
    """
    if len(groups.shape) < 2 or min(groups.shape[:2]) < 2 or not groups.perplexity:
        return None
    place = (*groups.shape[:2], -1)
    rate, perplexity = (_known(v) for v in (groups.rate, groups.perplexity))
    shown = {} if rate is None else {"rate, nats": rate.reshape(place).sum(-1)}
    shown |= {} if perplexity is None else {"perplexity": perplexity.reshape(place).prod(-1)}
    if not shown:
        return None
    figure, axes = new_axes(3.2 if len(shown) == 2 else 4.3, columns=len(shown))
    for ax, (title, table) in zip(axes, shown.items(), strict=True):
        _mesh(ax, np.arange(table.shape[1] + 1.0), table, title, "bottom")
        ax.set_aspect("equal")
        ax.set(xticks=[], yticks=[])
    return as_svg(figure, "places")


def _variances(ax: Axes, variance: Float[np.ndarray, " G"], codes: bool) -> None:
    """Variances, those above the threshold filled: on a logarithmic axis, or from 0 to 1 for codes."""
    at, variance, color = np.arange(len(variance)), np.maximum(variance, FLOOR), PALETTE["arm-2"][0]
    for chosen, face in ((variance > ACTIVE_VARIANCE, MAIN), (variance <= ACTIVE_VARIANCE, "none")):
        ax.plot(at[chosen], variance[chosen], "o", ms=5, mfc=face, mec=MAIN, rasterized=len(at) > MANY)
    if codes:
        ax.set(ylabel="chance to differ", ylim=(-0.08, 1.08))
    else:
        low, high = min(float(variance.min()), ACTIVE_VARIANCE), max(float(variance.max()), ACTIVE_VARIANCE)
        ax.set(ylabel="variance of mean", yscale="log", ylim=(low / 3, high * 3))
    ax.axhline(ACTIVE_VARIANCE, color=color, lw=1.1, ls=(0, (4, 3)), label=f"{ACTIVE_VARIANCE:g}: active above")
    ax.legend(frameon=False, fontsize=9, labelcolor=color, handlelength=1.6, borderaxespad=0.1, loc="best")
    ax.minorticks_off()


def _names(ax: Axes, names: Sequence[str]) -> None:
    """A name below each group, or where there are many the rank of some."""
    every = max(1, -(-len(names) // 16))
    shown = names if every == 1 else [str(i) for i in range(len(names))]
    turned: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    crowded = every == 1 and max(map(len, names), default=0) * len(names) > 60
    ax.set_xticks(range(0, len(names), every), shown[::every], parse_math=False, **(turned if crowded else {}))


def variance_curves(arms: Sequence[ArmResult]) -> Markup | None:
    """The variance of the posterior mean of all latent groups, largest first, a line for each run."""
    every = {arm.name: [_variance_line(run) for run in arm.runs] for arm in arms}
    found = {name: kept for name, lines in every.items() if (kept := [line for line in lines if line is not None])}
    if not found:
        return None
    looks = styles(arm.name for arm in arms)
    figure, (ax,) = new_axes(3.9)
    for name, lines in found.items():
        look = looks[name]
        for line in lines:
            places = np.arange(1, len(line) + 1)
            ax.plot(places, line, color=look.color, lw=1, marker=look.marker, ms=look.size(4), mew=0)
    ax.axhline(ACTIVE_VARIANCE, color=SOFT, lw=1.1, ls=(0, (4, 3)))
    ax.set(xlabel="latent group, largest variance first", ylabel="variance of posterior mean", yscale="log")
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    ax.minorticks_off()
    name_lines(figure, list(found), [looks[name] for name in found])
    return as_svg(figure, "variances")


def collapse_curve(groups: Groups) -> Markup | None:
    """The share of latent groups that is collapsed, over epsilon; None where their critical rates are not known."""
    if (critical := _known(groups.critical_rate)) is None:
        return None
    figure, (ax,) = new_axes(2.9)
    _collapsed_share(ax, critical, MAIN)
    return as_svg(figure, "collapse")


def collapse_curves(arms: Sequence[ArmResult]) -> Markup | None:
    """The same for several runs, a line each."""
    every = {arm.name: [_known(run.evidence.groups.critical_rate) for run in arm.runs if run.evidence] for arm in arms}
    found = {name: kept for name, lines in every.items() if (kept := [line for line in lines if line is not None])}
    if not found:
        return None
    looks = styles(arm.name for arm in arms)
    figure, (ax,) = new_axes(3.9)
    for name, lines in found.items():
        for line in lines:
            _collapsed_share(ax, line, looks[name].color)
    name_lines(figure, list(found), [looks[name] for name in found])
    return as_svg(figure, "collapses")


def _collapsed_share(ax: Axes, critical: Float[np.ndarray, " G"], color: str) -> None:
    """A step at the critical rate of each group: for epsilon above it the group is collapsed."""
    at = np.sort(np.clip(critical, *EPSILONS))
    ax.stairs(
        np.arange(len(at) + 1) / len(at), np.array([EPSILONS[0], *at, EPSILONS[1]]), baseline=None, color=color, lw=1.7
    )
    ax.axvline(COLLAPSED_EPSILON, color=SOFT, lw=1.1, ls=(0, (4, 3)))
    ax.set(xlabel="epsilon, nats", ylabel="share collapsed", xscale="log", xlim=EPSILONS, ylim=(-0.03, 1.03))
    ax.minorticks_off()


def _variance_line(run: RunResult) -> Float[np.ndarray, " G"] | None:
    variance = _known(run.evidence.groups.variance_of_mean) if run.evidence else None
    return None if variance is None else np.maximum(np.sort(variance)[::-1], FLOOR)

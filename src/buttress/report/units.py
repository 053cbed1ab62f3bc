"""Figures of latent groups: which of them carry anything, during training and after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import QuadMesh
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from buttress.diagnostics.evidence import Groups
from buttress.diagnostics.thresholds import ACTIVE_VARIANCE
from buttress.report.drawing import INK, LINE, MAIN, PALETTE, SOFT, WIDTH, as_svg, dress, end_labels, new_axes, styles
from buttress.report.legend import arm_axes, name_ends
from buttress.report.results import ArmResult, Curve, MetricsTable, RunResult

__all__ = ["code_map", "heat_map", "unit_bars", "variance_curves"]

FLOOR = 1e-6
"""Variances below it are drawn there, or a single 0 would squeeze all others."""
MANY = 100
"""From so many groups on, bars become one outline: a page should not carry a thousand rectangles."""


RISE = LinearSegmentedColormap.from_list(
    "rise", [(0.06, 0.45, 0.78, 0.0), (0.06, 0.45, 0.78, 0.55), (0.02, 0.5, 0.85, 1.0)]
)
"""From nothing to much, on light and on dark ground."""


def heat_map(metrics: MetricsTable) -> Markup | None:
    """KL of every latent group on held-out data over training; lines instead of rows where there are six or fewer."""
    rows = {name: found for name in metrics.groups if (found := metrics.curve("held_out", f"rate/{name}")) is not None}
    if not rows:
        return None
    return _group_lines(rows) if len(rows) <= 6 or len(next(iter(rows.values()))[0]) < 2 else _group_rows(rows)


def _group_lines(rows: Mapping[str, Curve]) -> Markup:
    figure, ax = new_axes(4.3)
    colors = [PALETTE[f"arm-{i % 8}"][0] for i in range(1, len(rows) + 1)]
    for (x, y), color in zip(rows.values(), colors, strict=True):
        ax.plot(x, y, color=color, lw=1.7, marker="o" if len(x) == 1 else None)
    ax.set(xlabel="training step", ylabel="KL, nats", ylim=(0, max(0.1, 1.08 * max(y.max() for _, y in rows.values()))))
    end_labels(ax, rows, colors)
    return as_svg(figure, "heat")


def _group_rows(rows: Mapping[str, Curve]) -> Markup:
    steps = np.unique(np.concatenate([x for x, _ in rows.values()]))
    table = np.array([np.interp(steps, x, y) for x, y in rows.values()])
    figure, ax = new_axes(4.3)
    edges = np.concatenate([[steps[0]], (steps[1:] + steps[:-1]) / 2, [steps[-1]]])
    top = max(0.1, float(table.max()))  # a collapsed model looks empty instead of having its noise magnified
    mesh = ax.pcolormesh(
        edges, np.arange(len(rows) + 1), table, vmin=0, vmax=top, cmap=RISE, rasterized=True, shading="flat"
    )
    ax.set(xlabel="training step", ylabel="latent group")
    every = max(1, len(rows) // 16 + (len(rows) % 16 > 0))
    ax.set_yticks(np.arange(0, len(rows), every) + 0.5, list(rows)[::every])
    for text in ax.get_yticklabels():
        text.set_parse_math(False)
    ax.grid(False)
    ax.invert_yaxis()
    _bar(figure, mesh, ax, "KL, nats")
    return as_svg(figure, "heat")


def _bar(figure: Figure, mesh: QuadMesh, ax: Axes, label: str) -> None:
    """What the colours mean."""
    bar = figure.colorbar(mesh, ax=ax, pad=0.02, aspect=28)
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
    figure = Figure((WIDTH, 4.3 if len(shown) == 2 else 2.6), dpi=72, layout="constrained")
    axes = list(np.atleast_1d(np.array(figure.subplots(len(shown), 1, sharex=True))))
    for ax in axes:
        dress(ax)
        ax.grid(False, axis="x")
    if rate is not None:
        _rates(axes[0], rate[order], None if error is None else error[order])
    if variance is not None:
        _variances(axes[-1], variance[order], codes=bool(groups.perplexity))
    axes[-1].set_xlabel("latent group, by rate" if rate is not None else "latent group, by variance")
    _names(axes[-1], [groups.names[i] for i in order])
    return as_svg(figure, "units")


def _known(values: Sequence[float | None]) -> Float[np.ndarray, " G"] | None:
    """The values as an array, or None where not all are known."""
    return np.array(values, dtype=float) if values and None not in values else None


def _rates(ax: Axes, rate: Float[np.ndarray, " G"], error: Float[np.ndarray, " G"] | None) -> None:
    """Bars, with two standard errors either way."""
    if len(rate) > MANY:
        edges = np.arange(len(rate) + 1) - 0.5
        ax.stairs(rate, edges, fill=True, color=MAIN)
        if error is not None:
            ax.fill_between(np.arange(len(rate)), rate - 2 * error, rate + 2 * error, color=INK, alpha=0.35, lw=0)
        ax.set(ylabel="rate, nats", ylim=(0, max(0.05, 1.12 * float(rate.max()))))
        return
    ax.bar(np.arange(len(rate)), rate, 0.72, color=MAIN)
    if error is not None:
        ax.errorbar(np.arange(len(rate)), rate, 2 * error, fmt="none", ecolor=INK, elinewidth=0.9)
    ax.set(ylabel="rate, nats", ylim=(0, max(0.05, 1.12 * float(rate.max()))))


def code_map(groups: Groups) -> Markup | None:
    """What the codes of each place cost and how many are in use there, drawn where the places lie; None if they do not.

    Several slots of one place are taken together: their rates add up, their perplexities multiply.
    """
    if len(groups.shape) < 2 or min(groups.shape[:2]) < 2 or not groups.perplexity:
        return None
    rate, perplexity = (_known(v) for v in (groups.rate, groups.perplexity))
    rows, columns = groups.shape[:2]
    shown = []
    if rate is not None:
        shown.append(("rate, nats", rate.reshape(rows, columns, -1).sum(-1)))
    if perplexity is not None:
        shown.append(("perplexity", np.log(perplexity).reshape(rows, columns, -1).sum(-1)))
    if not shown:
        return None
    figure = Figure((WIDTH, 3.2 if len(shown) == 2 else 4.3), dpi=72, layout="constrained")
    FigureCanvasAgg(figure)
    for ax, (title, table) in zip(np.atleast_1d(np.array(figure.subplots(1, len(shown)))), shown, strict=True):
        _map(figure, ax, title, np.exp(table) if title == "perplexity" else table)
    return as_svg(figure, "places")


def _map(figure: Figure, ax: Axes, title: str, table: Float[np.ndarray, "H W"]) -> None:
    dress(ax)
    ax.grid(False)
    mesh = ax.pcolormesh(
        np.arange(table.shape[1] + 1), np.arange(table.shape[0] + 1), table, vmin=0, vmax=max(0.1, float(table.max())),
        cmap=RISE, rasterized=True, shading="flat",
    )  # fmt: skip
    ax.set_aspect("equal")
    ax.invert_yaxis()
    ax.set(xticks=[], yticks=[])
    _bar(figure, mesh, ax, title)


def _variances(ax: Axes, variance: Float[np.ndarray, " G"], codes: bool) -> None:
    """Variances, those above the customary line filled: on a logarithmic axis, or from 0 to 1 for codes."""
    at, variance = np.arange(len(variance)), np.maximum(variance, FLOOR)
    for chosen, face in ((variance > ACTIVE_VARIANCE, MAIN), (variance <= ACTIVE_VARIANCE, "none")):
        ax.plot(at[chosen], variance[chosen], "o", ms=5, mfc=face, mec=MAIN, rasterized=len(at) > MANY)
    if codes:
        ax.set(ylabel="chance to differ", ylim=(-0.08, 1.08))
    else:
        ax.set(ylabel="variance of mean", yscale="log")
        ax.set_ylim(min(float(variance.min()), ACTIVE_VARIANCE) / 3, max(float(variance.max()), ACTIVE_VARIANCE) * 3)
    ax.axhline(ACTIVE_VARIANCE, color=PALETTE["arm-2"][0], lw=1.1, ls=(0, (4, 3)))
    below = bool(variance[0] > ACTIVE_VARIANCE) and not codes  # where the dots are not: they are sorted by rate
    ax.annotate(
        f"{ACTIVE_VARIANCE:g}: active above", (0, ACTIVE_VARIANCE), (4, -4 if below else 3),
        xycoords=("axes fraction", "data"), textcoords="offset points", va="top" if below else "bottom",
        color=PALETTE["arm-2"][0], fontsize=9,
    )  # fmt: skip
    ax.minorticks_off()


def _names(ax: Axes, names: Sequence[str]) -> None:
    every = max(1, -(-len(names) // 16))
    ax.set_xticks(range(0, len(names), every), [n if every == 1 else str(i) for i, n in enumerate(names)][::every])
    longest = max(map(len, names), default=0)
    for text in ax.get_xticklabels():
        text.set_parse_math(False)
        if every == 1 and longest * len(names) > 60:
            text.set(rotation=45, ha="right", rotation_mode="anchor")


def variance_curves(arms: Sequence[ArmResult]) -> Markup | None:
    """The variance of the posterior mean of all latent groups, largest first, a line a run, with the 0.01 line."""
    found = {arm.name: [line for run in arm.runs if (line := _variance_line(run)) is not None] for arm in arms}
    found = {name: lines for name, lines in found.items() if lines}
    if not found:
        return None
    looks, ends = styles(arm.name for arm in arms), {}
    figure, ax = arm_axes(3.9, list(found))
    for name, lines in found.items():
        for line in lines:
            places, look = np.arange(1, len(line) + 1), looks[name]
            ax.plot(places, np.maximum(line, FLOOR), color=look.color, lw=1, marker=look.marker, ms=look.size(4), mew=0)
        ends[name] = (np.arange(1.0, len(lines[0]) + 1), np.maximum(np.array(lines[0], dtype=float), FLOOR))
    ax.set_yscale("log")
    ax.axhline(ACTIVE_VARIANCE, color=SOFT, lw=1.1, ls=(0, (4, 3)))
    ax.set(xlabel="latent group, largest variance first", ylabel="variance of posterior mean")
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    ax.minorticks_off()
    name_ends(ax, ends, [looks[name] for name in ends])
    return as_svg(figure, "variances")


def _variance_line(run: RunResult) -> Float[np.ndarray, " G"] | None:
    variance = _known(run.evidence.groups.variance_of_mean) if run.evidence else None
    return None if variance is None else np.maximum(np.sort(variance)[::-1], FLOOR)

"""Figures as SVG for a page, drawn without pyplot. Colours become CSS variables, so that they follow light and dark.

The rate-distortion plane: a model stands at (rate, distortion), and −ELBO = distortion + rate is the same along each
diagonal.
"""

from __future__ import annotations

import io
import math
import re
import warnings
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from jaxtyping import Float
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from buttress.diagnostics.evidence import Groups
from buttress.diagnostics.thresholds import ACTIVE_VARIANCE
from buttress.report.labels import place_labels, spread_out
from buttress.report.numbers import nats
from buttress.report.results import Arm, Curve, Metrics, Run

__all__ = [
    "PALETTE",
    "Style",
    "arm_curves",
    "arm_plane",
    "curve",
    "heat_map",
    "information",
    "run_plane",
    "styles",
    "unit_bars",
    "variance_curves",
]

PALETTE = {
    "ink": ("#1b2230", "#e6e9ef"),
    "soft": ("#667085", "#98a2b3"),
    "line": ("#d9dde5", "#363e4c"),
    "arm-0": ("#6f7887", "#a3acba"),
    "arm-1": ("#0072b2", "#4ba3e3"),
    "arm-2": ("#d55e00", "#f58442"),
    "arm-3": ("#00916b", "#2fbf93"),
    "arm-4": ("#b4548a", "#e08cbd"),
    "arm-5": ("#a67c00", "#e0b020"),
    "arm-6": ("#5446b8", "#a79bf0"),
    "arm-7": ("#2090c8", "#7fcdf5"),
}
"""CSS variable -> colour on light and on dark ground; arms differ for colour-blind eyes too (after Okabe and Ito)."""

INK, SOFT, LINE, MAIN = (PALETTE[name][0] for name in ("ink", "soft", "line", "arm-1"))
MARKERS = "osD^vPX*"
PREFERRED = {
    "none": 0, "kl_annealing": 1, "free_bits": 2, "word_dropout": 3,
    "local_decoder": 4, "aggressive": 5, "cyclical_annealing": 6,
}  # fmt: skip
WIDTH = 6.1  # inches; 440 units of the SVG, so that type of 10 stays readable on a phone
SETTLED = 0.2  # the first fifth of training is left out of an axis' range: it would flatten all the rest


@dataclass(frozen=True)
class Style:
    """How an arm looks everywhere: the CSS variable of its colour, and its marker."""

    variable: str
    marker: str

    @property
    def color(self) -> str:
        """Its colour on light ground."""
        return PALETTE[self.variable][0]


def styles(names: Iterable[str]) -> dict[str, Style]:
    """A style for each arm: well-known remedies keep theirs in every comparison, others take one by their name.

    Example:
        >>> styles(["none", "kl_annealing"])["none"]
        Style(variable='arm-0', marker='o')
    """
    names = list(dict.fromkeys(names))
    slots = {name: PREFERRED[name] for name in names if name in PREFERRED}
    for name in (n for n in names if n not in slots):
        start, size = zlib.crc32(name.encode()) % len(MARKERS), len(MARKERS)
        free = [s for i in range(size) if (s := (start + i) % size) not in slots.values() and s]
        slots[name] = free[0] if free else start
    return {name: Style(f"arm-{slots[name]}", MARKERS[slots[name]]) for name in names}


def curve(metrics: Metrics, column: str, sign: int = 1, in_nats: bool = True) -> Markup | None:
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
    figure, ax = _axes(2.5, 0.74 * WIDTH)
    for split, (x, y), color, width in lines:
        ax.plot(x, y, color=color, lw=width, label=split.replace("_", "-"), marker="o" if len(x) == 1 else None)
    if in_nats:
        _range(ax, [line for _, line, _, _ in lines])
    else:
        ax.set_ylim(0, None)
    ax.set(xlabel="training step", ylabel="nats" if in_nats else "")
    if len(lines) > 1:
        _legend(ax)
    return _svg(figure, f"curve-{column}")


def information(metrics: Metrics) -> Markup | None:
    """Rate and mutual information on held-out data over training, one axis."""
    names = {"rate": ("rate", MAIN), "mutual_information": ("information", PALETTE["arm-3"][0])}
    lines = {
        label: (found, color) for key, (label, color) in names.items() if (found := metrics.curve("held_out", key))
    }
    if not lines:
        return None
    figure, ax = _axes(4.3)
    for (x, y), color in lines.values():
        ax.plot(x, y, color=color, lw=1.9, marker="o" if len(x) == 1 else None)
    ax.set(
        xlabel="training step",
        ylabel="nats",
        ylim=(0, max(0.1, 1.08 * max(float(y.max()) for (_, y), _ in lines.values()))),
    )
    ax.set_xlim(0, max(1.0, max(float(x[-1]) for (x, _), _ in lines.values())))
    _end_labels(ax, {label: line for label, (line, _) in lines.items()}, [color for _, color in lines.values()])
    return _svg(figure, "information")


def heat_map(metrics: Metrics) -> Markup | None:
    """KL of every latent group on held-out data over training; lines instead of rows where there are six or fewer."""
    rows = {name: found for name in metrics.groups if (found := metrics.curve("held_out", f"rate/{name}")) is not None}
    if not rows:
        return None
    return _group_lines(rows) if len(rows) <= 6 or len(next(iter(rows.values()))[0]) < 2 else _group_rows(rows)


def _group_lines(rows: Mapping[str, Curve]) -> Markup:
    figure, ax = _axes(4.3)
    colors = [PALETTE[f"arm-{i % 8}"][0] for i in range(1, len(rows) + 1)]
    for (x, y), color in zip(rows.values(), colors, strict=True):
        ax.plot(x, y, color=color, lw=1.7, marker="o" if len(x) == 1 else None)
    ax.set(xlabel="training step", ylabel="KL, nats", ylim=(0, max(0.1, 1.08 * max(y.max() for _, y in rows.values()))))
    _end_labels(ax, rows, colors)
    return _svg(figure, "heat")


def _group_rows(rows: Mapping[str, Curve]) -> Markup:
    steps = np.unique(np.concatenate([x for x, _ in rows.values()]))
    table = np.array([np.interp(steps, x, y) for x, y in rows.values()])
    figure, ax = _axes(4.3)
    edges = np.concatenate([[steps[0]], (steps[1:] + steps[:-1]) / 2, [steps[-1]]])
    top = max(0.1, float(table.max()))  # a collapsed model looks empty instead of having its noise magnified
    colors = LinearSegmentedColormap.from_list(
        "rise", [(0.06, 0.45, 0.78, 0.0), (0.06, 0.45, 0.78, 0.55), (0.02, 0.5, 0.85, 1.0)]
    )
    mesh = ax.pcolormesh(
        edges, np.arange(len(rows) + 1), table, vmin=0, vmax=top, cmap=colors, rasterized=True, shading="flat"
    )
    ax.set(xlabel="training step", ylabel="latent group")
    every = max(1, len(rows) // 16 + (len(rows) % 16 > 0))
    ax.set_yticks(np.arange(0, len(rows), every) + 0.5, list(rows)[::every])
    for text in ax.get_yticklabels():
        text.set_parse_math(False)
    ax.grid(False)
    ax.invert_yaxis()
    bar = figure.colorbar(mesh, ax=ax, pad=0.02, aspect=28)
    bar.ax.patch.set_visible(False)
    bar.solids.set_rasterized(True)  # type: ignore[union-attr]
    bar.outline.set_edgecolor(LINE)
    bar.ax.tick_params(colors=SOFT, labelsize=9, length=0)
    bar.set_label("KL, nats", color=SOFT, size=10)
    return _svg(figure, "heat")


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
        _dress(ax)
        ax.grid(False, axis="x")
    if rate is not None:
        _rates(axes[0], rate[order], None if error is None else error[order])
    if variance is not None:
        _variances(axes[-1], np.maximum(variance[order], 1e-12))
    axes[-1].set_xlabel("latent group, by rate" if rate is not None else "latent group, by variance")
    _names(axes[-1], [groups.names[i] for i in order])
    return _svg(figure, "units")


def _known(values: Sequence[float | None]) -> Float[np.ndarray, " G"] | None:
    """The values as an array, or None where not all are known."""
    return np.array(values, dtype=float) if values and None not in values else None


def _rates(ax: Axes, rate: Float[np.ndarray, " G"], error: Float[np.ndarray, " G"] | None) -> None:
    """Bars, with two standard errors either way."""
    ax.bar(np.arange(len(rate)), rate, 0.72, color=MAIN)
    if error is not None:
        ax.errorbar(np.arange(len(rate)), rate, 2 * error, fmt="none", ecolor=INK, elinewidth=0.9)
    ax.set(ylabel="rate, nats", ylim=(0, max(0.05, 1.12 * float(rate.max()))))


def _variances(ax: Axes, variance: Float[np.ndarray, " G"]) -> None:
    """Variances on a logarithmic axis, those above the customary line filled."""
    at = np.arange(len(variance))
    for chosen, face in ((variance > ACTIVE_VARIANCE, MAIN), (variance <= ACTIVE_VARIANCE, "none")):
        ax.plot(at[chosen], variance[chosen], "o", ms=5, mfc=face, mec=MAIN)
    ax.set_yscale("log")
    ax.set_ylim(min(float(variance.min()), ACTIVE_VARIANCE) / 3, max(float(variance.max()), ACTIVE_VARIANCE) * 3)
    ax.axhline(ACTIVE_VARIANCE, color=PALETTE["arm-2"][0], lw=1.1, ls=(0, (4, 3)))
    below = bool(variance[0] > ACTIVE_VARIANCE)  # where the dots are not: they are sorted by rate
    ax.annotate(
        f"{ACTIVE_VARIANCE:g}: active above", (0, ACTIVE_VARIANCE), (4, -4 if below else 3),
        xycoords=("axes fraction", "data"), textcoords="offset points", va="top" if below else "bottom",
        color=PALETTE["arm-2"][0], fontsize=9,
    )  # fmt: skip
    ax.set_ylabel("variance of mean")
    ax.minorticks_off()


def _names(ax: Axes, names: Sequence[str]) -> None:
    every = max(1, -(-len(names) // 16))
    ax.set_xticks(range(0, len(names), every), [n if every == 1 else str(i) for i, n in enumerate(names)][::every])
    longest = max(map(len, names), default=0)
    for text in ax.get_xticklabels():
        text.set_parse_math(False)
        if every == 1 and longest * len(names) > 60:
            text.set(rotation=45, ha="right", rotation_mode="anchor")


def run_plane(run: Run) -> Markup | None:
    """The way of one run through the rate-distortion plane on held-out data, to where it ended."""
    end = _place(run)
    path = _path(run.metrics)
    if end is None and path is None:
        return None
    figure, ax = _axes(4.3)
    points = [] if path is None else list(zip(*path, strict=True))
    end = end or points[-1]
    reach = 1.5 * max(0.5, *(rate for rate, _ in [*points, end]))  # one scale for both, or diagonals would lie flat
    _plane(ax, [end, *(p for p in points if p[1] < end[1] + reach)])
    if path is not None:
        ax.plot(*path, color=MAIN, lw=1.3, alpha=0.6, marker="o", ms=2.5)
    ax.plot(*end, "o", color=MAIN, ms=9)
    place_labels(ax, [end], [f"−ELBO {nats(sum(end))}"], [MAIN], _diagonals(ax, _marks(ax, [*points, end])))
    return _svg(figure, "plane")


def arm_plane(arms: Sequence[Arm]) -> Markup | None:
    """Every arm in the rate-distortion plane: a small point a seed, a large one for their mean, its name beside it."""
    found = {arm: [p for run in arm.runs if (p := _place(run)) is not None] for arm in arms}
    found = {arm: points for arm, points in found.items() if points}
    if not found:
        return None
    looks = styles(arm.name for arm in arms)
    figure, ax = _axes(5.0)
    _plane(ax, [p for points in found.values() for p in points])
    means, small = [], []
    for arm, points in found.items():
        look = looks[arm.name]
        mean = (float(np.mean([p[0] for p in points])), float(np.mean([p[1] for p in points])))
        if len(points) > 1:
            ax.plot(*zip(*points, strict=True), look.marker, color=look.color, ms=4.5, alpha=0.55, mew=0)
        ax.plot(*mean, look.marker, color=look.color, ms=9)
        means.append(mean)
        small += points
    boxes = _diagonals(ax, _marks(ax, [*small, *means]))
    place_labels(ax, means, [a.name for a in found], [looks[a.name].color for a in found], boxes)
    return _svg(figure, "plane")


def arm_curves(arms: Sequence[Arm], column: str, label: str, height: float = 3.9) -> Markup | None:
    """A held-out column over training for all arms: a thin line a seed, a thick one for their mean."""
    found = {
        arm.name: [c for run in arm.runs if run.metrics and (c := run.metrics.curve("held_out", column))]
        for arm in arms
    }
    found = {name: curves for name, curves in found.items() if curves}
    if not found:
        return None
    looks, means = styles(arm.name for arm in arms), {}
    figure, ax = _axes(height)
    for name, curves in found.items():
        for x, y in curves[: len(curves) if len(curves) > 1 else 0]:
            ax.plot(x, y, color=looks[name].color, lw=0.7, alpha=0.45)
        means[name] = _mean_curve(curves)
        ax.plot(*means[name], color=looks[name].color, lw=2, marker="o" if len(means[name][0]) == 1 else None)
    ax.set(xlabel="training step", ylabel=label)
    _range(ax, [line for curves in found.values() for line in curves])
    _end_labels(ax, means, [looks[name].color for name in means])
    return _svg(figure, f"arms-{column}")


def variance_curves(arms: Sequence[Arm]) -> Markup | None:
    """The variance of the posterior mean of all latent groups, largest first, a line a run, with the 0.01 line."""
    found = {arm.name: [line for run in arm.runs if (line := _variance_line(run)) is not None] for arm in arms}
    found = {name: lines for name, lines in found.items() if lines}
    if not found:
        return None
    looks, ends = styles(arm.name for arm in arms), {}
    figure, ax = _axes(3.9)
    for name, lines in found.items():
        for line in lines:
            ax.plot(np.arange(1, len(line) + 1), np.maximum(line, 1e-12), "-o", ms=2.5, lw=1.2, color=looks[name].color)
        ends[name] = (np.arange(1.0, len(lines[0]) + 1), np.maximum(np.array(lines[0], dtype=float), 1e-12))
    ax.set_yscale("log")
    ax.axhline(ACTIVE_VARIANCE, color=SOFT, lw=1.1, ls=(0, (4, 3)))
    ax.set(xlabel="latent group, largest variance first", ylabel="variance of posterior mean")
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    ax.minorticks_off()
    _end_labels(ax, ends, [looks[name].color for name in ends])
    return _svg(figure, "variances")


def _variance_line(run: Run) -> Float[np.ndarray, " G"] | None:
    variance = _known(run.evidence.groups.variance_of_mean) if run.evidence else None
    return None if variance is None else np.maximum(np.sort(variance)[::-1], 1e-12)


def _mean_curve(curves: Sequence[Curve]) -> Curve:
    """The mean of curves over the steps that all of them reached."""
    longest = max((x for x, _ in curves), key=len)
    steps = longest[(longest >= max(x[0] for x, _ in curves)) & (longest <= min(x[-1] for x, _ in curves))]
    return (steps, np.mean([np.interp(steps, x, y) for x, y in curves], axis=0)) if len(steps) else curves[0]


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
            text = _along(ax, float(level))
            box = text.get_window_extent()
            inside = box.x0 > ax.bbox.x0 + 2 and box.y1 < ax.bbox.y1
            if inside and not box.count_overlaps(marks):
                taken.append(box)
            else:
                text.remove()
    return taken


def _along(ax: Axes, level: float) -> Text:
    """The value of a diagonal, written along it where it leaves the axes at the right or at the bottom."""
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    (x0, y0), (x1, y1) = ax.transData.transform([(0, 0), (1, -1)])
    x = right - 0.03 * (right - left) if right < level - low else level - low - 0.045 * (high - low)
    return ax.text(
        x, level - x, f"−ELBO {level:g}", color=SOFT, fontsize=8.5, ha="right", va="bottom", zorder=0, in_layout=False,
        rotation=math.degrees(math.atan2(y1 - y0, x1 - x0)), rotation_mode="anchor",
    )  # fmt: skip


def _end_labels(ax: Axes, lines: Mapping[str, Curve], colors: Sequence[str]) -> None:
    """The name of every line at its right end, pushed apart where they would cover each other."""
    ax.autoscale_view()
    ends = [ax.transAxes.inverted().transform(ax.transData.transform((x[-1], y[-1])))[1] for x, y in lines.values()]
    height = 12.5 / ax.get_window_extent().height
    for name, end, color in zip(
        lines, spread_out([float(min(1, max(0, e))) for e in ends], height, 0.0), colors, strict=True
    ):
        ax.annotate(
            name, (1, end), (5, 0), xycoords="axes fraction", textcoords="offset points", va="center", color=color,
            fontsize=10, fontweight="bold", annotation_clip=False, parse_math=False,
        )  # fmt: skip


def _range(ax: Axes, lines: Sequence[Curve]) -> None:
    """Limits that ignore the first fifth of training."""
    last = max(float(x[-1]) for x, _ in lines)
    late = np.concatenate([y[x >= SETTLED * last] for x, y in lines])
    pad = max(0.07 * float(np.ptp(late)), 0.02 * abs(float(late.max())), 1e-3)
    lowest, highest = float(late.min()), float(late.max())
    ax.set_ylim(0 if 0 <= lowest < 0.3 * highest else lowest - pad, highest + pad)
    ax.set_xlim(0, last * 1.01 if last else 1)


def _legend(ax: Axes) -> None:
    legend = ax.legend(
        frameon=False, fontsize=9, labelcolor=SOFT, handlelength=1.4, borderaxespad=0.2, loc="upper right"
    )
    legend.set_in_layout(False)


def _axes(height: float, width: float = WIDTH) -> tuple[Figure, Axes]:
    figure = Figure((width, height), dpi=72, layout="constrained")
    FigureCanvasAgg(figure)
    ax = figure.subplots()
    _dress(ax)
    return figure, ax


def _dress(ax: Axes) -> None:
    ax.patch.set_visible(False)
    ax.get_figure(root=True).patch.set_visible(False)  # type: ignore[union-attr]
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(LINE)
    ax.tick_params(colors=SOFT, labelsize=9, length=0, pad=4)
    ax.grid(True, color=LINE, lw=0.6)
    ax.set_axisbelow(True)
    ax.xaxis.label.set(color=SOFT, size=10)
    ax.yaxis.label.set(color=SOFT, size=10)


def _svg(figure: Figure, name: str) -> Markup:
    """The figure as an element for a page; identifiers start with ``name``, so that those of two figures differ."""
    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "buttress"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the reader's browser has more letters than we
        FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{re.sub('[^a-z0-9]', '-', name.lower())}-", text)
    for variable, (light, _) in PALETTE.items():
        text = text.replace(light, f"var(--{variable})")
    return Markup(text)

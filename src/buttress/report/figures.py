"""Figures as SVG for a page, drawn without pyplot. Colours become CSS variables, so that they follow light and dark.

The rate-distortion plane: a model stands at (rate, distortion); −ELBO = distortion + rate is the same along each diagonal.
"""

from __future__ import annotations

import io
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
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from buttress.report.labels import place_labels, spread_out
from buttress.report.numbers import nats
from buttress.report.results import Arm, Curve, Groups, Metrics, Run

__all__ = ["PALETTE", "Style", "arm_curves", "arm_plane", "curve", "heat_map", "run_plane", "styles", "unit_bars", "variance_curves"]

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
"""CSS variable -> colour on light and on dark ground; those of arms differ for colour-blind eyes (after Okabe and Ito)."""

INK, SOFT, LINE, MAIN = (PALETTE[name][0] for name in ("ink", "soft", "line", "arm-1"))
MARKERS = "osD^vPX*"
PREFERRED = {
    "none": 0, "kl_annealing": 1, "free_bits": 2, "word_dropout": 3,
    "local_decoder": 4, "aggressive": 5, "cyclical_annealing": 6,
}  # fmt: skip
WIDTH = 6.1  # inches; 440 units of the SVG, so that type of 10 stays readable on a phone
ACTIVE = 0.01  # the customary line on the variance of the posterior mean (Burda et al., 2016)
SETTLED = 0.1  # the first tenth of training is left out of an axis' range: it would flatten all the rest


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


def curve(metrics: Metrics, column: str, label: str, sign: int = 1) -> Markup | None:
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
    figure, ax = _axes(2.9)
    for split, (x, y), color, width in lines:
        ax.plot(x, y, color=color, lw=width, label=split.replace("_", "-"), marker="o" if len(x) == 1 else None)
    _range(ax, [line for _, line, _, _ in lines])
    ax.set(xlabel="training step", ylabel=label)
    if len(lines) > 1:
        _legend(ax)
    return _svg(figure, f"curve-{column}")


def heat_map(metrics: Metrics) -> Markup | None:
    """KL of every latent group on held-out data over training; lines instead of rows where there are six or fewer."""
    rows = {name: found for name in metrics.groups if (found := metrics.curve("held_out", f"rate/{name}")) is not None}
    if not rows:
        return None
    return _group_lines(rows) if len(rows) <= 6 or len(next(iter(rows.values()))[0]) < 2 else _group_rows(rows)


def _group_lines(rows: Mapping[str, Curve]) -> Markup:
    figure, ax = _axes(3.3)
    colors = [PALETTE[f"arm-{i % 8}"][0] for i in range(1, len(rows) + 1)]
    for (x, y), color in zip(rows.values(), colors, strict=True):
        ax.plot(x, y, color=color, lw=1.7, marker="o" if len(x) == 1 else None)
    ax.set(xlabel="training step", ylabel="KL, nats", ylim=(0, max(0.1, 1.08 * max(y.max() for _, y in rows.values()))))
    _end_labels(ax, rows, colors)
    return _svg(figure, "heat")


def _group_rows(rows: Mapping[str, Curve]) -> Markup:
    steps = np.unique(np.concatenate([x for x, _ in rows.values()]))
    table = np.array([np.interp(steps, x, y) for x, y in rows.values()])
    figure, ax = _axes(3.3)
    edges = np.concatenate([[steps[0]], (steps[1:] + steps[:-1]) / 2, [steps[-1]]])
    top = max(0.1, float(table.max()))  # a collapsed model looks empty instead of having its noise magnified
    colors = LinearSegmentedColormap.from_list("rise", [(0.06, 0.45, 0.78, 0.0), (0.06, 0.45, 0.78, 0.55), (0.02, 0.5, 0.85, 1.0)])
    mesh = ax.pcolormesh(edges, np.arange(len(rows) + 1), table, vmin=0, vmax=top, cmap=colors, rasterized=True, shading="flat")
    ax.set(xlabel="training step", ylabel="latent group")
    every = max(1, len(rows) // 16 + (len(rows) % 16 > 0))
    ax.set_yticks(np.arange(0, len(rows), every) + 0.5, list(rows)[::every])
    for text in ax.get_yticklabels():
        text.set_parse_math(False)
    ax.grid(False)
    ax.invert_yaxis()
    bar = figure.colorbar(mesh, ax=ax, pad=0.02, aspect=28)
    bar.solids.set_rasterized(True)  # type: ignore[union-attr]
    bar.outline.set_edgecolor(LINE)  # type: ignore[operator]
    bar.ax.tick_params(colors=SOFT, labelsize=9, length=0)
    bar.set_label("KL, nats", color=SOFT, size=10)
    return _svg(figure, "heat")


def unit_bars(groups: Groups) -> Markup | None:
    """Rate of every latent group with its error, and the variance of its posterior mean, both sorted by rate."""
    if not groups.rate:
        return None
    order = np.argsort(groups.rate)[::-1]
    rate = np.array(groups.rate)[order]
    variance = np.array(groups.variance_of_mean)[order] if len(groups.variance_of_mean) == len(rate) else None
    figure = Figure((WIDTH, 4.3 if variance is not None else 2.6), dpi=72, layout="constrained")
    axes = np.atleast_1d(np.array(figure.subplots(1 + (variance is not None), 1, sharex=True)))
    for ax in axes:
        _dress(ax)
        ax.grid(False, axis="x")
    at = np.arange(len(rate))
    axes[0].bar(at, rate, 0.72, color=MAIN)
    if len(groups.rate_error) == len(rate):
        axes[0].errorbar(at, rate, 2 * np.array(groups.rate_error)[order], fmt="none", ecolor=INK, elinewidth=0.9)
    axes[0].set(ylabel="rate, nats", ylim=(0, max(0.05, 1.12 * float(rate.max()))))
    if variance is not None:
        _variances(axes[1], at, np.maximum(variance, 1e-12))
    axes[-1].set_xlabel("latent group, by rate")
    _names(axes[-1], [groups.names[i] if i < len(groups.names) else str(i) for i in order])
    return _svg(figure, "units")


def _variances(ax: Axes, at: Float[np.ndarray, " G"], variance: Float[np.ndarray, " G"]) -> None:
    """Variances on a logarithmic axis, those above the customary line filled."""
    for chosen, face in ((variance > ACTIVE, MAIN), (variance <= ACTIVE, "none")):
        ax.plot(at[chosen], variance[chosen], "o", ms=5, mfc=face, mec=MAIN)
    ax.set_yscale("log")
    ax.set_ylim(min(float(variance.min()), ACTIVE) / 3, max(float(variance.max()), ACTIVE) * 3)
    ax.axhline(ACTIVE, color=PALETTE["arm-2"][0], lw=1.1, ls=(0, (4, 3)))
    ax.annotate(
        "0.01: active above", (1, ACTIVE), (-2, 3), xycoords=("axes fraction", "data"), textcoords="offset points",
        ha="right", color=PALETTE["arm-2"][0], fontsize=9,
    )  # fmt: skip
    ax.set_ylabel("variance of mean")
    ax.minorticks_off()


def _names(ax: Axes, names: Sequence[str]) -> None:
    every = max(1, -(-len(names) // 16))
    ax.set_xticks(range(0, len(names), every), names[::every] if every == 1 else range(0, len(names), every))
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
    _plane(ax, [*_late(points), end])
    if path is not None:
        ax.plot(*path, color=MAIN, lw=1.3, alpha=0.6, marker="o", ms=2.5)
    ax.plot(*end, "o", color=MAIN, ms=9)
    place_labels(ax, [end], [f"−ELBO {nats(sum(end))}"], [MAIN], _diagonals(ax))
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
    boxes = _diagonals(ax)
    boxes += [Bbox.from_bounds(*(ax.transData.transform(p) - 3), 6, 6) for p in small]
    place_labels(ax, means, [a.name for a in found], [looks[a.name].color for a in found], boxes)
    return _svg(figure, "plane")


def arm_curves(arms: Sequence[Arm], column: str = "rate", label: str = "rate (KL), nats") -> Markup | None:
    """A held-out column over training for all arms: a thin line a seed, a thick one for their mean."""
    found = {arm.name: [c for run in arm.runs if run.metrics and (c := run.metrics.curve("held_out", column))] for arm in arms}
    found = {name: curves for name, curves in found.items() if curves}
    if not found:
        return None
    looks, means = styles(arm.name for arm in arms), {}
    figure, ax = _axes(3.9)
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
    found = {
        arm.name: [sorted(r.evidence.groups.variance_of_mean, reverse=True) for r in arm.runs if r.evidence and r.evidence.groups]
        for arm in arms
    }
    found = {name: [v for v in lines if v] for name, lines in found.items()}
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
    ax.axhline(ACTIVE, color=SOFT, lw=1.1, ls=(0, (4, 3)))
    ax.set(xlabel="latent group, largest variance first", ylabel="variance of posterior mean")
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    ax.minorticks_off()
    _end_labels(ax, ends, [looks[name].color for name in ends])
    return _svg(figure, "variances")


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


def _late(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    return points[int(np.ceil(SETTLED * len(points))) :]


def _plane(ax: Axes, points: Sequence[tuple[float, float]]) -> None:
    """Axes of the plane around the points, rates from about 0."""
    x, y = np.array(points, dtype=float).T
    wide, tall = max(float(x.max()), 0.5), max(float(np.ptp(y)), 0.5)
    ax.set(xlim=(-0.06 * wide, 1.14 * wide), ylim=(float(y.min()) - 0.14 * tall, float(y.max()) + 0.14 * tall))
    ax.set(xlabel="rate, nats", ylabel="distortion, nats")
    ax.grid(False)
    _settle(ax)


def _settle(ax: Axes) -> None:
    """Lay the figure out, so that display coordinates mean something."""
    figure = ax.get_figure(root=True)
    assert isinstance(figure, Figure)
    figure.draw_without_rendering()


def _diagonals(ax: Axes) -> list[Bbox]:
    """Lines of equal ELBO, each with its value where it leaves the axes; gives the boxes of these texts."""
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    texts = []
    for level in MaxNLocator(7).tick_values(left + low, right + high):
        y_left, y_right = level - left, level - right
        if y_left <= low or y_right >= high:
            continue
        ax.axline((left, y_left), slope=-1, color=LINE, lw=1, zorder=0)
        x = min(right, level - low)  # where the line leaves, at the right or at the bottom
        x -= 0.03 * (right - left) if x == right else 0.045 * (high - low)
        slant = ax.transData.transform([(0, 0), (1, -1)])
        angle = float(np.degrees(np.arctan2(*(slant[1] - slant[0])[::-1])))
        text = ax.text(
            x, level - x, f"−ELBO {level:g}", color=SOFT, fontsize=8.5, ha="right", va="bottom", rotation=angle,
            rotation_mode="anchor", zorder=0, in_layout=False,
        )  # fmt: skip
        if not ax.bbox.padded(-2).fully_containsx(text.get_window_extent().x0) or ax.bbox.y1 < text.get_window_extent().y1:
            text.remove()
        else:
            texts.append(text)
    return [text.get_window_extent() for text in texts]


def _end_labels(ax: Axes, lines: Mapping[str, Curve], colors: Sequence[str]) -> None:
    """The name of every line at its right end, pushed apart where they would cover each other."""
    _settle(ax)
    ends = [ax.transAxes.inverted().transform(ax.transData.transform((x[-1], y[-1])))[1] for x, y in lines.values()]
    height = 12.5 / ax.get_window_extent().height
    for name, end, color in zip(lines, spread_out([float(min(1, max(0, e))) for e in ends], height), colors, strict=True):
        ax.annotate(
            name, (1, end), (5, 0), xycoords="axes fraction", textcoords="offset points", va="center", color=color,
            fontsize=10, fontweight="bold", annotation_clip=False, parse_math=False,
        )  # fmt: skip


def _range(ax: Axes, lines: Sequence[Curve]) -> None:
    """Limits that ignore the first tenth of training."""
    last = max(float(x[-1]) for x, _ in lines)
    late = np.concatenate([y[x >= SETTLED * last] for x, y in lines])
    pad = max(0.07 * float(np.ptp(late)), 0.02 * abs(float(late.max())), 1e-3)
    low = float(late.min()) - pad
    ax.set_ylim(low if float(late.min()) < 0 or float(late.min()) > 3 * pad else min(0.0, float(late.min())), float(late.max()) + pad)
    ax.set_xlim(0, last * 1.01 if last else 1)


def _legend(ax: Axes) -> None:
    legend = ax.legend(frameon=False, fontsize=9, labelcolor=SOFT, handlelength=1.4, borderaxespad=0.2, loc="best")
    legend.set_in_layout(False)


def _axes(height: float) -> tuple[Figure, Axes]:
    figure = Figure((WIDTH, height), dpi=72, layout="constrained")
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
    """The figure as an element for a page: colours are CSS variables, identifiers start with ``name``, text stays text."""
    file = io.StringIO()
    settings = {"svg.fonttype": "none", "svg.hashsalt": "buttress", "axes.unicode_minus": True}
    with matplotlib.rc_context(settings), warnings.catch_warnings():
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

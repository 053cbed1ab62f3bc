"""Figures of z over held-out data: a map of it, how often each code is taken, and what moving it does to a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from matplotlib import colormaps

from buttress.report.drawing import MAIN, SOFT, WIDTH, as_svg, new_axes
from buttress.report.examples import ReportExamples
from buttress.report.latent import LatentView

__all__ = ["code_use", "moved_columns", "z_map"]

LEGEND = 10
"""Labels with a colour of their own; rarer ones are grey."""
PANELS = 5
"""Dimensions of z that are moved in one figure."""
LEAST = 1.0
"""Width of the map in units of z, at least: a collapsed z is a dot, not magnified noise."""


def z_map(view: LatentView, height: float = 4.3, name: str = "") -> Markup | None:
    """Held-out examples by two coordinates of z, coloured by label where there are labels."""
    if not view.points:
        return None
    figure, (ax,) = new_axes(height)
    points = np.array(view.points, dtype=float)
    labels = np.array([str(label) for label in view.labels]) if len(view.labels) == len(points) else None
    for label, color in _colors(view.labels if labels is not None else ()):
        chosen = ... if labels is None else labels == label
        ax.plot(*points[chosen].T, "o", color=color, ms=3.2, mew=0, alpha=0.75, label=label or None)
    reach = max(LEAST, *np.ptp(points, axis=0)) / 2 * 1.06
    low, high = (points.min(0) + points.max(0)) / 2 - reach, (points.min(0) + points.max(0)) / 2 + reach
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xlabel=view.axes[0], ylabel=view.axes[1], aspect="equal")
    if labels is not None:
        legend = figure.legend(loc="outside right center", frameon=False, fontsize=9, markerscale=2, handletextpad=0.1)
        for text in legend.get_texts():
            text.set(color=SOFT, parse_math=False)
    return as_svg(figure, f"map-{name}")


def _colors(labels: Sequence[str]) -> list[tuple[str, str | tuple[float, ...]]]:
    """A colour for each label, in their order; before them, and so below them, the rare ones."""
    if not labels:
        return [("", MAIN)]
    counted = [label for label, _ in Counter(map(str, labels)).most_common()]
    common = sorted(counted[:LEGEND], key=lambda label: (len(label), label))
    others = [(label, SOFT) for label in counted[LEGEND:]]
    return [*others, *zip(common, colormaps["tab10"].colors, strict=False)]  # type: ignore[attr-defined]


def code_use(view: LatentView) -> Markup | None:
    """How often each code is taken on held-out data, the commonest first, an outline for each slot."""
    if not view.codes or not any(map(sum, view.codes)):
        return None
    figure, (ax,) = new_axes(3.2)
    for slot, counts in enumerate(view.codes):
        share = np.sort(np.array(counts, dtype=float) / max(1, sum(counts)))[::-1]
        single = len(view.codes) == 1
        ax.stairs(share, fill=single, color=MAIN if single else f"C{slot % 10}", lw=1.4, alpha=0.9)
    size = len(view.codes[0])
    ax.axhline(1 / size, color=SOFT, lw=1.1, ls=(0, (4, 3)), label=f"all {size} equally often")
    ax.set(xlabel="code, most frequent first", ylabel="share", xlim=(0, size), ylim=(0, None))
    ax.legend(frameon=False, fontsize=9, labelcolor=SOFT, loc="upper right")
    return as_svg(figure, "codes")


def _spreads(examples: ReportExamples) -> np.ndarray:
    """The standard deviation of each column; infinite where nothing varies, or where values have no order."""
    there = ~np.isnan(examples.originals)
    spread = np.std(examples.originals, axis=0, where=there) if there.any(0).all() else np.ones(there.shape[1])
    words = [bool(words) for words in examples.words] or [False] * len(spread)
    return np.where((spread > 0) & ~np.array(words), spread, np.inf)


def moved_columns(examples: ReportExamples) -> Markup | None:
    """What moving each dimension of z does to the columns of a table, in standard deviations of the column."""
    if examples.kind != "table" or examples.traversals is None or examples.originals is None:
        return None
    rows, scale = examples.traversals[:PANELS], _spreads(examples)
    moves = (rows - rows.mean(axis=1, keepdims=True)) / scale
    if not moves.any():
        return None
    names = list(examples.columns) or [f"x{i}" for i in range(rows.shape[2])]
    shown = np.sort(np.abs(moves).max(axis=(0, 1)).argsort()[::-1][:LEGEND])
    figure, axes = new_axes(3.2, 2 * WIDTH, columns=len(rows))
    for ax, title, move in zip(axes, examples.traversed, moves, strict=False):
        for column, color in zip(shown, colormaps["tab10"].colors, strict=False):  # type: ignore[attr-defined]
            ax.plot(np.linspace(-1, 1, len(move)), move[:, column], color=color, lw=1.7, label=names[column])
        ax.set_title(title, size=10, color=SOFT, parse_math=False)
        ax.set(xticks=[], xlabel="low to high", ylim=1.08 * np.abs(moves).max() * np.array([-1, 1]))
    axes[0].set_ylabel("change, sd of column")
    handles, labels = axes[0].get_legend_handles_labels()
    legend = figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=9, labelcolor=SOFT)
    for text in legend.get_texts():
        text.set_parse_math(False)
    return as_svg(figure, "moved")

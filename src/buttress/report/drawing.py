"""What all figures share: colours, the look of an arm, axes, legends, and SVG for a page.

Figures are drawn without pyplot. Colours become CSS variables, so that they follow light and dark.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from buttress.report.results import Curve
from buttress.report.tables import folded
from buttress.runtime.atomic_write import replace_file

__all__ = [
    "HALO", "INK", "LINE", "MAIN", "MARKERS", "PALETTE", "SOFT", "WIDTH", "Style", "add_legend", "as_svg", "dress",
    "name_lines", "new_axes", "plot_steps", "set_range", "styles", "write_png",
]  # fmt: skip

PALETTE = {
    "ink": ("#1b2230", "#e6e9ef"),
    "soft": ("#667085", "#98a2b3"),
    "line": ("#d9dde5", "#363e4c"),
    "halo": ("#ffffff", "#1a2029"),
    "arm-0": ("#576470", "#a3acba"),
    "arm-1": ("#0072b2", "#4ba3e3"),
    "arm-2": ("#aa3d00", "#f28241"),
    "arm-3": ("#00916b", "#2fbf93"),
    "arm-4": ("#c6619b", "#b470ae"),
    "arm-5": ("#ac8104", "#e0b020"),
    "arm-6": ("#5446b8", "#7f90ff"),
    "arm-7": ("#6b1d1d", "#a66363"),
}
"""CSS variable -> colour on a light and on a dark background; distinguishable by colour-blind readers (after Okabe and
Ito)."""

INK, SOFT, LINE, HALO, MAIN = (PALETTE[name][0] for name in ("ink", "soft", "line", "halo", "arm-1"))
MARKERS = "osD^vPX*"
SIZES = {"*": 1.5, "P": 1.15, "X": 1.15, "D": 0.9, "s": 0.95}
WIDTH = 6.1
"""Inches; 440 units of the SVG, so that type of 10 points stays readable on a phone."""
FEW = 12
"""Curves of no more points than this get a mark at each, and are shown from the first point on."""
EARLY = 0.2
"""The first fifth of longer training curves does not set the range of an axis: it would flatten the rest."""
BESIDE = 24
"""Longer names go below a figure instead of beside it."""
NAME = 68
"""Characters in a line of the list below a figure."""


@dataclass(frozen=True)
class Style:
    """How an arm looks in every figure: the CSS variable of its colour, and its marker."""

    variable: str
    marker: str

    @property
    def color(self) -> str:
        """Its colour on a light background."""
        return PALETTE[self.variable][0]

    def size(self, points: float) -> float:
        """The marker size that looks as large as a circle of ``points``."""
        return SIZES.get(self.marker, 1.0) * points


STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "buttress", "text.parse_math": False}
"""How matplotlib writes: letters as letters, equal figures as equal text, and a name with $ as it is."""


def styles(names: Iterable[str]) -> dict[str, Style]:
    """A style for each arm, in order: grey is the baseline's (``none``); arms of one colour differ by their marker.

    Example:
        >>> styles(["none", "free_bits:per_group=0.5"])["free_bits:per_group=0.5"]
        Style(variable='arm-1', marker='s')
    """
    others, size = [name for name in dict.fromkeys(names) if name != "none"], len(MARKERS)
    turns = [divmod(i, size - 1) for i in range(len(others))]
    looks = [Style(f"arm-{1 + i}", MARKERS[(1 + i + turn) % size]) for turn, i in turns]
    return {"none": Style("arm-0", "o"), **dict(zip(others, looks, strict=True))}


def new_axes(height: float, width: float = WIDTH, rows: int = 1, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure of some axes in a grid; sizes are in inches."""
    figure = Figure((width, height), dpi=72, layout="constrained")
    FigureCanvasAgg(figure)
    figure.patch.set_visible(False)
    axes = list(np.ravel(figure.subplots(rows, columns, squeeze=False)))
    for ax in axes:
        dress(ax)
    return figure, axes


def dress(ax: Axes) -> None:
    """Make axes quiet: no frame, pale grid, small grey type, no background."""
    ax.patch.set_visible(False)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(LINE)
    ax.tick_params(colors=SOFT, labelsize=9, length=0, pad=4)
    ax.grid(True, color=LINE, lw=0.6)
    ax.set_axisbelow(True)
    ax.xaxis.label.set(color=SOFT, size=10)
    ax.yaxis.label.set(color=SOFT, size=10)


def plot_steps(ax: Axes, line: Curve, color: str, width: float = 1.9, label: str = "") -> None:
    """A curve over training steps; with a mark at each point where there are few."""
    ax.plot(*line, color=color, lw=width, label=label, marker="o" if len(line[0]) <= FEW else None, ms=4)
    ax.set_xlabel("training step")
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def set_range(ax: Axes, lines: Sequence[Curve]) -> None:
    """Limits that leave out the first fifth of training, where curves are long."""
    last = max(float(x[-1]) for x, _ in lines)
    start = EARLY * last if max(len(x) for x, _ in lines) > FEW else 0.0
    late = np.concatenate([y[x >= start] for x, y in lines])
    pad = max(0.07 * float(np.ptp(late)), 0.02 * abs(float(late.max())), 1e-3)
    lowest, highest = float(late.min()), float(late.max())
    ax.set_ylim(0 if 0 <= lowest < 0.3 * highest else lowest - pad, highest + pad)
    ax.set_xlim(0, last * 1.02 if last else 1)


def add_legend(ax: Axes) -> None:
    """A legend inside the axes, where there is most room."""
    ax.legend(frameon=False, fontsize=9, labelcolor=SOFT, handlelength=1.4, borderaxespad=0.2, loc="best")


def name_lines(figure: Figure, names: Sequence[str], looks: Sequence[Style], line: bool = True) -> None:
    """The legend of a figure: beside it where all names are short, else below it, which makes the figure taller.

    Args:
        figure: With a constrained layout.
        names: In the order of the legend.
        looks: A style for each.
        line: Draw a line through each mark.
    """
    marks = [
        Line2D([], [], ls="-" if line else "", color=s.color, marker=s.marker, ms=s.size(5.5 if line else 7))
        for s in looks
    ]
    below, texts = max(map(len, names), default=0) > BESIDE or not line, [folded(name, NAME) for name in names]
    columns = 2 if below and len(names) > 2 and max(map(len, names)) <= 0.42 * NAME else 1
    if below:
        lines = sum(text.count("\n") + 1 for text in texts)
        figure.set_figheight(figure.get_figheight() + 0.22 * (lines if columns == 1 else -(-len(texts) // 2)))
    legend = figure.legend(
        marks, texts, loc="outside lower left" if below else "outside right center", ncols=columns, frameon=False,
        fontsize=9.5, labelcolor="linecolor" if line else INK, handlelength=1.3, handletextpad=0.5, borderaxespad=0.3,
        labelspacing=0.45, columnspacing=2.0,
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)


def write_png(figure: Figure, path: Path) -> None:
    """The figure as a picture on a white background, at twice the resolution of the page."""
    figure.set_dpi(2 * figure.dpi)
    figure.patch.set(visible=True, facecolor="white")
    replace_file(path, lambda scratch: FigureCanvasAgg(figure).print_png(scratch))


def as_svg(figure: Figure, name: str) -> Markup:
    """The figure as an element of a page; its identifiers start with ``name``, so that two figures share none."""
    file = io.StringIO()
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the reader's browser has more letters than we
        FigureCanvasSVG(figure).print_svg(file, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = file.getvalue().partition("<svg")[2]
    text = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{re.sub('[^a-z0-9]', '-', name.lower())}-", text)
    for variable, (light, _) in PALETTE.items():
        text = text.replace(light, f"var(--{variable})")
    return Markup(f"<svg{text}")

"""What all figures share: colours, an arm's look, axes, labels at the ends of lines, and SVG for a page.

Figures are drawn without pyplot. Colours become CSS variables, so that they follow light and dark.
"""

from __future__ import annotations

import io
import re
import warnings
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.transforms import offset_copy

from buttress.report.labels import spread_out
from buttress.report.results import Curve

__all__ = [
    "HALO", "INK", "LINE", "MAIN", "MARKERS", "PALETTE", "SOFT", "WIDTH", "Style",
    "add_legend", "as_svg", "dress", "end_labels", "new_axes", "set_range", "styles", "write_png",
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
"""CSS variable -> colour on light and on dark ground; arms differ for colour-blind eyes too (after Okabe and Ito)."""

INK, SOFT, LINE, HALO, MAIN = (PALETTE[name][0] for name in ("ink", "soft", "line", "halo", "arm-1"))
MARKERS = "osD^vPX*"
SIZES = {"*": 1.5, "P": 1.15, "X": 1.15, "D": 0.9, "s": 0.95}
PREFERRED = {
    "none": 0, "kl_annealing": 1, "free_bits": 2, "word_dropout": 3,
    "local_decoder": 4, "aggressive": 5, "cyclical_annealing": 6,
}  # fmt: skip
WIDTH = 6.1  # inches; 440 units of the SVG, so that type of 10 stays readable on a phone
LEADER = 0.4  # of a line of type: from where on names that gave way get leaders
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

    def size(self, points: float) -> float:
        """The size to ask for, that its marker may look as large as a circle of ``points``."""
        return SIZES.get(self.marker, 1.0) * points


def styles(names: Iterable[str]) -> dict[str, Style]:
    """A style for each arm: well-known remedies keep theirs in every comparison, others take one by their name.

    Where there are more arms than colours, those of one colour differ by their markers.

    Example:
        >>> styles(["none", "free_bits:per_group=0.5"])["free_bits:per_group=0.5"]
        Style(variable='arm-2', marker='D')
    """
    names, slots = list(dict.fromkeys(names)), dict[str, int]()
    for name in sorted(names, key=lambda n: (n not in PREFERRED, n.partition(":")[0] not in PREFERRED)):
        known = PREFERRED.get(name.partition(":")[0])
        slots[name] = known if known is not None and known not in slots.values() else _free(name, set(slots.values()))
    return {name: _style(slots[name]) for name in names}


def _free(name: str, taken: set[int]) -> int:
    """A slot for a name, from one that its letters say on; the grey of the baseline is nobody else's."""
    start, size = zlib.crc32(name.encode()) % len(MARKERS), len(MARKERS)
    every = [turn * size + (start + i) % size for turn in range(size) for i in range(size)]
    return next((slot for slot in every if slot % size and slot not in taken), start or 1)


def _style(slot: int) -> Style:
    size = len(MARKERS)
    return Style(f"arm-{slot % size}", MARKERS[(slot + slot // size) % size])


def new_axes(height: float, width: float = WIDTH) -> tuple[Figure, Axes]:
    """A figure of one set of axes; sizes are in inches."""
    figure = Figure((width, height), dpi=72, layout="constrained")
    FigureCanvasAgg(figure)
    ax = figure.subplots()
    dress(ax)
    return figure, ax


def dress(ax: Axes) -> None:
    """Make axes quiet: no frame, pale grid, soft type, no ground of their own."""
    ax.patch.set_visible(False)
    ax.get_figure(root=True).patch.set_visible(False)  # type: ignore[union-attr]
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(LINE)
    ax.tick_params(colors=SOFT, labelsize=9, length=0, pad=4)
    ax.grid(True, color=LINE, lw=0.6)
    ax.set_axisbelow(True)
    ax.xaxis.label.set(color=SOFT, size=10)
    ax.yaxis.label.set(color=SOFT, size=10)


def set_range(ax: Axes, lines: Sequence[Curve]) -> None:
    """Limits that ignore the first fifth of training."""
    last = max(float(x[-1]) for x, _ in lines)
    late = np.concatenate([y[x >= SETTLED * last] for x, y in lines])
    pad = max(0.07 * float(np.ptp(late)), 0.02 * abs(float(late.max())), 1e-3)
    lowest, highest = float(late.min()), float(late.max())
    ax.set_ylim(0 if 0 <= lowest < 0.3 * highest else lowest - pad, highest + pad)
    ax.set_xlim(0, last * 1.01 if last else 1)


def add_legend(ax: Axes) -> None:
    """A legend inside the axes that takes no room from them."""
    legend = ax.legend(
        frameon=False, fontsize=9, labelcolor=SOFT, handlelength=1.4, borderaxespad=0.2, loc="upper right"
    )
    legend.set_in_layout(False)


def end_labels(ax: Axes, lines: Mapping[str, Curve], colors: Sequence[str]) -> None:
    """The name of every line at its right end; names that would cover each other stand apart, with leaders to them."""
    ax.autoscale_view()
    ends = [ax.transAxes.inverted().transform(ax.transData.transform((x[-1], y[-1])))[1] for x, y in lines.values()]
    ends = [float(min(1, max(0, end))) for end in ends]
    line = 12.5 / ax.get_window_extent().height
    places = spread_out(ends, line, 0.0)
    apart = any(abs(place - end) > LEADER * line for place, end in zip(places, ends, strict=True))
    gap = 20 if apart else 5
    for name, end, place, color in zip(lines, ends, places, colors, strict=True):
        ax.annotate(
            name, (1, place), (gap, 0), xycoords="axes fraction", textcoords="offset points", va="center", color=color,
            fontsize=10, fontweight="bold", annotation_clip=False, parse_math=False,
        )  # fmt: skip
        if apart:
            _lead(ax, end, place, gap - 2, color)


def _lead(ax: Axes, end: float, place: float, gap: float, color: str) -> None:
    """A thin line from the end of a line to its name."""
    beside = offset_copy(ax.transAxes, ax.get_figure(root=True), gap, 0, "points")
    ax.annotate(
        "", (1, end), (1, place), xycoords="axes fraction", textcoords=beside, annotation_clip=False,
        arrowprops={"arrowstyle": "-", "color": color, "lw": 0.7, "shrinkA": 0, "shrinkB": 3},
    ).set_in_layout(False)  # fmt: skip


def write_png(figure: Figure, path: Path) -> None:
    """The figure as a picture on light ground, twice as fine as the page draws it."""
    figure.set_dpi(2 * figure.dpi)
    FigureCanvasAgg(figure).print_png(path)


def as_svg(figure: Figure, name: str) -> Markup:
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

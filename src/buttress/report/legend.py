"""A numbered list of arms below a figure, for names that would take the room of what is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from buttress.report.drawing import INK, Style, end_labels, new_axes
from buttress.report.results import Curve
from buttress.report.tables import folded

__all__ = ["arm_axes", "columns_and_lines", "name_ends", "number_below"]

NAME = 68
"""Characters of a name in a line of the list."""
BESIDE = 24
"""Characters of a name at the end of its line; more would leave the lines no room."""


def arm_axes(height: float, names: Sequence[str]) -> tuple[Figure, Axes]:
    """A figure for a line an arm, taller where :func:`name_ends` will need a list below."""
    return new_axes(height + (0.2 * columns_and_lines(names)[1] if _long(names) else 0.0))


def name_ends(ax: Axes, lines: Mapping[str, Curve], looks: Sequence[Style]) -> None:
    """The name of each arm at the end of its line, or its number where a name is long, with a list below."""
    colors, figure = [look.color for look in looks], ax.get_figure(root=True)
    if not _long(lines) or not isinstance(figure, Figure):
        end_labels(ax, lines, colors)
        return
    number_below(figure, list(lines), looks, filled=True)
    end_labels(ax, {str(i + 1): line for i, line in enumerate(lines.values())}, colors)


def _long(names: Iterable[str]) -> bool:
    return max(map(len, names), default=0) > BESIDE


def columns_and_lines(names: Sequence[str]) -> tuple[int, int]:
    """Columns of the list, two where all names are short, and the lines of its longer one."""
    tall = [folded(name, NAME).count("\n") + 1 for name in names]
    if len(names) > 2 and max(map(len, names)) <= 0.42 * NAME:
        return 2, -(-len(names) // 2)
    return 1, sum(tall)


def number_below(figure: Figure, names: Sequence[str], looks: Sequence[Style], filled: bool = False) -> None:
    """Number, mark and name of each arm, below the axes."""
    handles = [
        Line2D([], [], ls="", marker=s.marker, mec=s.color, mfc=s.color if filled else "none", ms=s.size(7), mew=1.5)
        for s in looks
    ]
    texts = [f"{i + 1}  {folded(name, NAME)}" for i, name in enumerate(names)]
    legend = figure.legend(
        handles, texts, loc="outside lower left", ncols=columns_and_lines(names)[0], frameon=False, fontsize=9.5,
        labelcolor=INK, handletextpad=0.3, borderaxespad=0.6, labelspacing=0.45, columnspacing=2.0,
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)

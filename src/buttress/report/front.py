"""Likelihood against information: branches of which no other is better in both are the front."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from buttress.report.drawing import SOFT, name_lines, new_axes, styles, write_png
from buttress.report.ranking import NUMBERS, Ranked, Ranking

__all__ = ["front", "write_front"]

INFORMATION = "mutual_information"


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Which of some points (cost, information) no other is better than in both, by falling cost.

    Example:
        >>> front([(90.0, 0.0), (92.0, 3.0), (95.0, 2.0), (99.0, 5.0)])
        [0, 1, 3]
    """

    def behind(one: tuple[float, float]) -> bool:
        return any(c <= one[0] and i >= one[1] and (c, i) != one for c, i in points)

    kept = [k for k, one in enumerate(points) if not behind(one)]
    return sorted(kept, key=lambda k: points[k])


def write_front(ranking: Ranking, folder: Path) -> Path | None:
    """Draw ``front.png`` into a folder; None where nothing was measured that could be drawn."""
    figure = _drawn([row for row in ranking.rows if _place(row, ranking.measure) is not None], ranking.measure)
    if figure is None:
        return None
    write_png(figure, folder / "front.png")
    return folder / "front.png"


def _place(row: Ranked, measure: str) -> tuple[float, float] | None:
    cost, information = row.number(measure).value, row.number(INFORMATION).value
    return None if cost is None or information is None else (cost, information)


def _reading(early: bool) -> str:
    """What stands above the picture: how it is read.

    Example:
        >>> print(_reading(early=True))
        Better is further down and to the right. Dashed: recipes of which
        no other is better in both. Bars: one standard error. Hollow: stopped early.
    """
    told = "Better is further down and to the right. Dashed: recipes of which\nno other is better in both. "
    return f"{told}Bars: one standard error.{' Hollow: stopped early.' if early else ''}"


def _drawn(rows: Sequence[Ranked], measure: str) -> Figure | None:
    points = [place for row in rows if (place := _place(row, measure)) is not None]
    if not points:
        return None
    looks = styles(row.name for row in rows)
    figure, (ax,) = new_axes(4.4)
    best = [points[k] for k in front(points)]
    ax.plot([i for _, i in best], [c for c, _ in best], color=SOFT, lw=1.0, ls="--", zorder=1)
    for row, (cost, information) in zip(rows, points, strict=True):
        look, errors = looks[row.name], [row.number(name).error or 0.0 for name in (INFORMATION, measure)]
        full = look.color if not row.early else "none"
        ax.errorbar(
            information, cost, xerr=errors[0], yerr=errors[1], fmt=look.marker, color=look.color, mfc=full,
            ms=look.size(7), lw=0.8,
        )  # fmt: skip
    ax.set(
        xlabel="mutual information of x and z, nats: more is better",
        ylabel=f"{NUMBERS[measure]}, nats: lower is better",
    )
    ax.set_title(_reading(any(row.early for row in rows)), fontsize=9.5, color=SOFT, loc="left")
    name_lines(
        figure,
        [row.name if row.name != "none" else "none (no remedy)" for row in rows],
        [looks[row.name] for row in rows],
        line=False,
    )
    return figure

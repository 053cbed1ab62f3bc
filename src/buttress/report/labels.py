"""Direct labels beside points, placed so that none covers another, a point, or the frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

from matplotlib.axes import Axes
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox, BboxBase

__all__ = ["place_labels", "spread_out"]

Point = tuple[float, float]
RADII = (7, 12, 20, 32, 48, 70)  # in points; a label further than LEADER from its point gets a thin line to it
ANGLES = (0, 180, 90, 270, 30, 330, 150, 210, 60, 120, 240, 300)
LEADER = 14


def place_labels(
    ax: Axes,
    points: Sequence[Point],
    texts: Sequence[str],
    colors: Sequence[str],
    obstacles: Sequence[Bbox] = (),
    size: float = 10,
) -> list[Annotation]:
    """Write each text near its point, greedily at the first of many places that covers least.

    Args:
        ax: Axes whose limits and layout are final.
        points: Data coordinates.
        texts: A text for each point.
        colors: A colour for each text.
        obstacles: Boxes in display coordinates that should stay free, beside the points themselves.
        size: Of the type, in points.
    """
    taken = [*obstacles, *(_box(ax.transData.transform(p), (8, 8), (0.5, 0.5)) for p in points)]
    notes = []
    for point, text, color in zip(points, texts, colors, strict=True):
        note = ax.annotate(
            text,
            point,
            (0, 0),
            textcoords="offset points",
            color=color,
            fontsize=size,
            fontweight="bold",
            parse_math=False,
        )
        note.set_in_layout(False)
        notes.append(note)
        extent = note.get_window_extent()
        taken.append(_settle(note, ax, ax.transData.transform(point), (extent.width, extent.height), taken))
    return notes


def spread_out(heights: Sequence[float], gap: float, floor: float = -math.inf) -> list[float]:
    """Heights at least ``gap`` apart and none below ``floor``, in the same order; neighbours give way.

    Example:
        >>> spread_out([1.0, 1.0, 5.0], 1.0)
        [0.5, 1.5, 5.0]
        >>> spread_out([0.0, 0.0], 1.0, floor=0.0)
        [0.0, 1.0]
    """
    blocks: list[list[int]] = []  # neighbours that stand gap by gap
    for i in sorted(range(len(heights)), key=lambda i: heights[i]):
        blocks.append([i])
        while (
            len(blocks) > 1 and _bottom(blocks[-1], heights, gap, floor) < _top(blocks[-2], heights, gap, floor) + gap
        ):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    placed = {i: _bottom(block, heights, gap, floor) + rank * gap for block in blocks for rank, i in enumerate(block)}
    return [placed[i] for i in range(len(heights))]


def _bottom(block: Sequence[int], heights: Sequence[float], gap: float, floor: float) -> float:
    return max(floor, sum(heights[i] for i in block) / len(block) - (len(block) - 1) / 2 * gap)


def _top(block: Sequence[int], heights: Sequence[float], gap: float, floor: float) -> float:
    return _bottom(block, heights, gap, floor) + (len(block) - 1) * gap


def _settle(note: Annotation, ax: Axes, at: Any, size: Point, taken: Sequence[Bbox]) -> Bbox:
    """Move the note to its best place; gives the box it then fills."""
    scale = note.get_figure(root=True).dpi / 72  # type: ignore[union-attr]
    best: tuple[float, Bbox, Point, int] | None = None
    for radius, angle in product(RADII, ANGLES):
        dx, dy = radius * math.cos(math.radians(angle)), radius * math.sin(math.radians(angle))
        anchor = (_anchor(dx), _anchor(dy))
        box = _box((at[0] + dx * scale, at[1] + dy * scale), size, anchor)
        cost = sum(_overlap(box, other) for other in taken) + 10 * _outside(box, ax.bbox) + radius
        if best is None or cost < best[0]:
            best = (cost, box, (dx, dy), radius)
    assert best is not None
    _, box, (dx, dy), radius = best
    note.set_position((dx, dy))
    note.set_horizontalalignment(("left", "center", "right")[round(2 * _anchor(dx))])
    note.set_verticalalignment(("bottom", "center", "top")[round(2 * _anchor(dy))])
    if radius > LEADER:
        note.arrow_patch = None
        ax.annotate(
            "", note.xy, (dx, dy), textcoords="offset points",
            arrowprops={"arrowstyle": "-", "color": note.get_color(), "lw": 0.7, "shrinkA": 0, "shrinkB": 7},
        ).set_in_layout(False)  # fmt: skip
    return box


def _anchor(offset: float) -> float:
    """Which part of the text stands at its place: 0 its left or lower edge, 1/2 its middle, 1 the opposite edge."""
    return 0.5 if abs(offset) < 2 else (0.0 if offset > 0 else 1.0)


def _box(at: Any, size: Point, anchor: Point) -> Bbox:
    x, y = at[0] - size[0] * anchor[0], at[1] - size[1] * anchor[1]
    return Bbox.from_bounds(x, y, *size)


def _overlap(a: Bbox, b: Bbox) -> float:
    width, height = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
    return width * height if width > 0 and height > 0 else 0.0


def _outside(box: Bbox, frame: BboxBase) -> float:
    return (
        max(0.0, frame.x0 - box.x0)
        + max(0.0, box.x1 - frame.x1)
        + max(0.0, frame.y0 - box.y0)
        + max(0.0, box.y1 - frame.y1)
    )

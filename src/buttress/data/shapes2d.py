r"""Black-and-white shapes whose factors are known: shape, scale, orientation and place, drawn by code.

A pixel is white where its centre (u, v), in units of the shape's radius and turned back by its orientation, fulfils

$$ \max(|u|, |v|) \le \tfrac{1}{\sqrt 2}, \qquad u^2 + 4 v^2 \le 1, \qquad (a^2 + b^2 - 1)^3 \le a^2 b^3,
   \; (a, b) = 1.3 (u, v) $$

for the square, the ellipse and the heart. Places are whole pixels apart, so a shape is the same pixels at each of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from buttress.core import Data, Splits
from buttress.data.reading.arrays import Source, open_rows
from buttress.data.reading.drawn import DrawnRows, grid, refuse_count
from buttress.data.reading.memory import Array, row_name
from buttress.data.reading.split import Division

__all__ = ["Shapes2d"]

Shape = Literal["square", "ellipse", "heart"]
TURN = {"square": math.pi / 2, "ellipse": math.pi, "heart": 2 * math.pi}
"""The angle after which a shape looks the same again."""
SMALLEST = 0.55
"""Scale of the smallest shape; that of the largest is 1."""


@dataclass(frozen=True)
class Shapes2d(Data):
    """A white shape on black, uint8 of 0 and 255, shape (1, size, size), with its factors.

    All combinations of the factors are examples. Nothing is stored: a batch is cut from one picture of each shape at
    each scale and orientation. The factors of held-out examples come with them, and no training sees them.

    Source: after dSprites, Matthey, Higgins, Hassabis and Lerchner 2017. Deviations: an orientation is a share of the
    angle after which a shape looks the same again (a quarter turn of the square, half a turn of the ellipse), so that
    different factors make different images, if they are large enough; the drawing is our own.

    Args:
        size: Height and width in pixels: an even number; 64 in dSprites.
        shapes: Which ones.
        scales: Values of the scale, from 0.55 to 1 of a quarter of the size.
        orientations: Values of the orientation.
        positions: Values of x, and as many of y.
        count: So many combinations, drawn at random; None for all.
        held_out: Share of examples held out.
        split: By content ("hash") or by position ("seed").
        split_seed: Another seed gives another split, and another choice of ``count``.

    Errors:
        ValueError: A size that is odd or below 8, no shape or one named twice, positions less than a pixel apart, or a
            count of more than there are.

    Example:
        >>> splits = Shapes2d(size=16, scales=2, orientations=1, positions=4).open()
        >>> splits.spec.shape, len(splits.train) + len(splits.held_out), splits.factors.names
        ((1, 16, 16), 96, ('shape', 'scale', 'x', 'y'))

        On the command line; the second one is the size of dSprites::

            buttress train shapes2d --remedies factor_vae
            buttress train shapes2d --data.size 64 --data.scales 6 --data.orientations 40 --data.positions 32
    """

    size: int = 32
    shapes: tuple[Shape, ...] = ("square", "ellipse", "heart")
    scales: int = 4
    orientations: int = 6
    positions: int = 16
    count: int | None = None
    held_out: float = 0.1
    split: Literal["hash", "seed"] = "seed"
    split_seed: int = 0

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if self.size < 8 or self.size % 2:
            raise ValueError(f"shapes2d: size is {self.size}, wanted an even number of at least 8")
        if len(set(self.shapes) & set(TURN)) < max(1, len(self.shapes)):
            raise ValueError(f"shapes2d: shapes is {self.shapes}, wanted some of {', '.join(TURN)}, each once")
        refuse_count("shapes2d", self.sizes, self.count)
        if self.positions > self.span + 1:
            raise ValueError(
                f"shapes2d: {self.positions} positions do not fit into {self.span + 1} pixels, which leave room for "
                f"the largest shape in images of {self.size}; try fewer positions or a larger size"
            )

    @classmethod
    def tiny(cls) -> tuple[Shapes2d, ...]:
        """See :class:`buttress.core.Part`."""
        return (
            cls(size=8, scales=1, orientations=1, positions=3),
            cls(size=12, shapes=("heart",), positions=4, count=40),
        )

    @property
    def sizes(self) -> dict[str, int]:
        """How many values each factor takes."""
        place = {"x": self.positions, "y": self.positions}
        return {"shape": len(self.shapes), "scale": self.scales, "orientation": self.orientations, **place}

    @property
    def radius(self) -> int:
        """That of the largest shape, in pixels, and the smallest distance of a centre from an edge."""
        return self.size // 4

    @property
    def span(self) -> int:
        """Pixels between the first and the last place of a centre."""
        return self.size - 2 * self.radius

    def open(self) -> Splits:
        """See :class:`buttress.core.Data`."""
        combinations, factors = grid(self.sizes, self.count, self.split_seed)
        canvas = self._canvas()
        windows = np.lib.stride_tricks.sliding_window_view(canvas, (self.size, self.size), (3, 4))
        steps = np.linspace(0, self.span, self.positions).round().astype(int)

        def draw(at: Array) -> Array:
            shape, scale, turn, x, y = combinations[at].T
            return windows[shape, scale, turn, self.span - steps[y], self.span - steps[x]]

        rows = DrawnRows(draw, len(combinations), (self.size, self.size))
        source = Source(rows, "NHW", "shapes2d", partial(row_name, "shapes2d"), factors=factors)
        return open_rows(source, Division(self.split, self.held_out, self.split_seed))

    def _canvas(self) -> Array:
        """Every shape, scale and orientation, in the middle of a picture that a window of ``size`` is moved over."""
        side = self.size + self.span
        places = np.arange(side) + 0.5 - side / 2
        y, x = np.meshgrid(places, places, indexing="ij")
        radius = self.radius * np.linspace(1, SMALLEST, self.scales)[::-1, None, None, None]
        share = np.arange(self.orientations)[:, None, None] / self.orientations
        found = []
        for shape in self.shapes:
            angle = share * TURN[shape]
            u = (np.cos(angle) * x + np.sin(angle) * y) / radius
            v = (np.cos(angle) * y - np.sin(angle) * x) / radius
            found.append(_inside(shape, u, v))
        return np.stack(found).astype(np.uint8) * 255


def _inside(shape: Shape, u: Array, v: Array) -> Array:
    """Whether places are in a shape of radius 1."""
    if shape == "square":
        return np.maximum(np.abs(u), np.abs(v)) <= math.sqrt(0.5)
    if shape == "ellipse":
        return u**2 + 4 * v**2 <= 1
    a, b = 1.3 * u, -1.3 * v  # the second axis points down in a picture
    return (a**2 + b**2 - 1) ** 3 <= a**2 * b**3

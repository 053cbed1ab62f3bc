"""Pictures of a coloured solid in a coloured room whose factors are known: shape, size, azimuth and three hues.

Rays are followed once for each shape, size and azimuth, which gives how brightly a pixel shows the floor, the walls and
the solid; a picture is the sum of these, each times the colour of its hue.
"""

from __future__ import annotations

import colorsys
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
from buttress.nn.raycast import SOLIDS, Solid, room

__all__ = ["Scenes3d"]

SMALLEST, LARGEST = 0.55, 1.0
"""Scales of the solid; 1 is the radius of the sphere, a quarter of a wall's distance from the middle."""
SATURATION, VALUE = 0.85, 1.0


@dataclass(frozen=True)
class Scenes3d(Data):
    """A solid on the floor of a room, uint8 colour images, shape (3, size, size), with their factors.

    All combinations of the factors are examples. Nothing is stored: a batch is coloured from one picture of each shape
    at each scale and azimuth. The factors of held-out examples come with them, and no training sees them.

    Source: after 3D Shapes, Burgess and Kim 2018, which has 10 values of each hue, 8 scales and 15 azimuths; the scenes
    and the rendering are our own.

    Args:
        size: Height and width in pixels; 64 in 3D Shapes.
        shapes: Which ones.
        hues: Values of the hue of the floor, of the walls, and of the solid.
        scales: Values of the scale, from 0.55 to 1.
        azimuths: Values of the camera's angle about the middle.
        angle: The largest of these to either side, in degrees.
        count: So many combinations, drawn at random; None for all.
        held_out: Share of examples held out.
        split: By content ("hash") or by position ("seed").
        split_seed: Another seed gives another split, and another choice of ``count``.

    Errors:
        ValueError: A size below 8, no shape or one named twice, an angle out of range, or a count of more than there
            are.

    Example:
        >>> data = Scenes3d(size=8, shapes=("cube", "sphere"), hues=2, scales=1, azimuths=3)
        >>> splits = data.open()
        >>> splits.spec.shape, splits.factors.names
        ((3, 8, 8), ('shape', 'azimuth', 'floor_hue', 'wall_hue', 'object_hue'))

        On the command line; the second one takes 20,000 of the 480,000 images that 3D Shapes has::

            buttress train scenes3d --remedies factor_vae
            buttress train scenes3d --data.size 64 --data.hues 10 --data.scales 8 --data.azimuths 15 --data.count 20000
    """

    size: int = 32
    shapes: tuple[Solid, ...] = SOLIDS
    hues: int = 6
    scales: int = 4
    azimuths: int = 7
    angle: float = 30.0
    count: int | None = None
    held_out: float = 0.1
    split: Literal["hash", "seed"] = "seed"
    split_seed: int = 0

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if self.size < 8:
            raise ValueError(f"scenes3d: size is {self.size}, wanted at least 8")
        if len(set(self.shapes) & set(SOLIDS)) < max(1, len(self.shapes)):
            raise ValueError(f"scenes3d: shapes is {self.shapes}, wanted some of {', '.join(SOLIDS)}, each once")
        if not 0 < self.angle <= 40:
            raise ValueError(
                f"scenes3d: angle is {self.angle}, wanted above 0 and at most 40 degrees: the room is square"
            )
        refuse_count("scenes3d", self.sizes, self.count)

    @classmethod
    def tiny(cls) -> tuple[Scenes3d, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(size=8, shapes=("sphere",), hues=3, scales=1, azimuths=2),)

    @property
    def sizes(self) -> dict[str, int]:
        """How many values each factor takes."""
        hues = dict.fromkeys(("floor_hue", "wall_hue", "object_hue"), self.hues)
        return {"shape": len(self.shapes), "scale": self.scales, "azimuth": self.azimuths, **hues}

    def open(self) -> Splits:
        """See :class:`buttress.core.Data`."""
        combinations, factors = grid(self.sizes, self.count, self.split_seed)
        shown, colors = self._rooms(), _colors(self.hues)

        def draw(at: Array) -> Array:
            shape, scale, azimuth, *hues = combinations[at].T
            parts = shown[shape, scale, azimuth].astype(np.uint16)
            colored = sum(parts[..., i, None] * colors[hue][:, None, None] for i, hue in enumerate(hues))
            return (colored // np.uint16(255)).astype(np.uint8)

        rows = DrawnRows(draw, len(combinations), (self.size, self.size, 3))
        source = Source(rows, "NHWC", "scenes3d", partial(row_name, "scenes3d"), factors=factors)
        return open_rows(source, Division(self.split, self.held_out, self.split_seed))

    def _rooms(self) -> Array:
        """How brightly each part is seen: (shapes, scales, azimuths, size, size, 3 parts)."""
        scales = np.linspace(LARGEST, SMALLEST, self.scales)[::-1]
        angles = math.radians(self.angle) * (np.linspace(-1, 1, self.azimuths) if self.azimuths > 1 else np.zeros(1))
        return np.stack(
            [[[room(solid, s, a, self.size) for a in angles] for s in scales.tolist()] for solid in self.shapes]
        )


def _colors(hues: int) -> Array:
    """Hues at equal distances as red, green and blue: uint16 up to 255, shape (hues, 3)."""
    return np.array([[255 * c for c in colorsys.hsv_to_rgb(i / hues, SATURATION, VALUE)] for i in range(hues)]).astype(
        np.uint16
    )

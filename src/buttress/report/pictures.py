"""Images as one PNG in a page: a sheet of tiles with transparent gaps."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image

__all__ = ["Picture", "columns", "rows_sheet", "sheet", "tiles"]

GAP = 2  # pixels between tiles


@dataclass(frozen=True)
class Picture:
    """A PNG for a page.

    Args:
        uri: The data URI.
        width: How wide to show it at most, in CSS pixels.
        height: How tall it is at that width.
        alt: What it shows, for those who can't see it.
    """

    uri: str
    width: int
    height: int
    alt: str


def sheet(images: UInt8[np.ndarray, "N C H W"], across: int, alt: str, width: int = 520) -> Picture:
    """Tiles in rows of ``across``, magnified by a whole factor to at most ``width`` CSS pixels.

    Args:
        images: Grey (C = 1) or colour (C = 3) images; other numbers of channels show their first.
        across: Tiles in a row.
        alt: What the sheet shows.
        width: Largest width in CSS pixels; larger images are shown smaller.
    """
    return _picture(tiles(images, across), alt, width)


def rows_sheet(rows: UInt8[np.ndarray, "R T C H W"], alt: str, width: int = 520) -> Picture:
    """A sheet with a row of tiles for each of R, in which a wider gap sets the first tile apart from the others."""
    first, others = tiles(rows[:, 0], 1), tiles(rows[:, 1:].reshape(-1, *rows.shape[2:]), rows.shape[1] - 1)
    gap = np.zeros((len(first), 3 * GAP, 4), dtype=np.uint8)
    return _picture(np.concatenate([first, gap, others], 1), alt, width)


def _picture(canvas: UInt8[np.ndarray, "Y X 4"], alt: str, width: int) -> Picture:
    file = io.BytesIO()
    Image.fromarray(canvas, "RGBA").save(file, "PNG", optimize=True)
    shown = canvas.shape[1] * max(1, width // canvas.shape[1])
    shown = min(shown, width)
    height = round(shown * canvas.shape[0] / canvas.shape[1])
    return Picture("data:image/png;base64," + base64.b64encode(file.getvalue()).decode(), shown, height, alt)


def tiles(images: UInt8[np.ndarray, "N C H W"], across: int) -> UInt8[np.ndarray, "Y X 4"]:
    """The sheet itself: red, green, blue and opacity of every pixel."""
    n, _, h, w = images.shape
    across = max(1, min(across, n))
    canvas = np.zeros((math.ceil(n / across) * (h + GAP) - GAP, across * (w + GAP) - GAP, 4), dtype=np.uint8)
    for i, image in enumerate(images):
        top, left = i // across * (h + GAP), i % across * (w + GAP)
        canvas[top : top + h, left : left + w, :3] = np.moveaxis(
            image if len(image) == 3 else image[:1].repeat(3, 0), 0, -1
        )
        canvas[top : top + h, left : left + w, 3] = 255
    return canvas


def columns(
    left: UInt8[np.ndarray, "N C H W"], right: UInt8[np.ndarray, "N C H W"], across: int
) -> UInt8[np.ndarray, "M C H W"]:
    """Rows of ``across`` tiles from ``left``, each with the row of ``right`` beneath it; only full rows."""
    rows = max(1, len(left) // across)
    parts = [a[i * across : (i + 1) * across] for i in range(rows) for a in (left, right)]
    return np.concatenate(parts)

"""Pictures of examples as files: tiles magnified, with names beside them."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from buttress.runtime.atomic_write import write_bytes

__all__ = ["labelled", "magnified", "save_picture"]

WIDE = 600
"""Pixels across a picture, at least: what one sees without a magnifying glass."""


def save_picture(canvas: UInt8[np.ndarray, "Y X 4"], out: Path) -> None:
    """Write a picture and print where it is.

    Errors:
        ValueError: The ending is of no picture that can be written.
    """
    file: Any = io.BytesIO()
    file.name = str(out)  # whose ending says which kind of picture
    try:
        Image.fromarray(canvas, "RGBA").save(file)
    except (ValueError, KeyError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        png = out.with_suffix(".png")
        raise ValueError(f"{out}: no such picture can be written ({error}); try {png}") from error
    write_bytes(out, file.getvalue())
    print(out)


def labelled(
    canvas: UInt8[np.ndarray, "Y X 4"], rows: Sequence[str], columns: Sequence[str]
) -> UInt8[np.ndarray, "Y2 X2 4"]:
    """A sheet of tiles on white, with a name to the left of each row and above each column."""
    font = ImageFont.load_default(14)
    left, top = 12 + max(round(font.getlength(name)) for name in rows), 24
    height, width = canvas.shape[:2]
    picture = Image.new("RGBA", (left + width, top + height), "white")
    picture.paste(Image.fromarray(canvas, "RGBA"), (left, top), Image.fromarray(canvas, "RGBA"))
    pen = ImageDraw.Draw(picture)
    for i, name in enumerate(rows):
        pen.text((left - 6, top + (i + 0.5) * height / len(rows)), name, "black", font, anchor="rm")
    for i, name in enumerate(columns):
        pen.text((left + (i + 0.5) * width / len(columns), top - 6), name, "black", font, anchor="ms")
    return np.asarray(picture)


def magnified(canvas: UInt8[np.ndarray, "Y X 4"]) -> UInt8[np.ndarray, "Y2 X2 4"]:
    """A picture of at least :data:`WIDE` pixels, every pixel made a square."""
    factor = math.ceil(WIDE / canvas.shape[1])
    return canvas.repeat(factor, 0).repeat(factor, 1)

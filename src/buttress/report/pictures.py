"""Images as PNGs in a page: strips of tiles, small ones magnified by a whole factor."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from buttress.report.sounds import Sound

__all__ = ["Picture", "spectrograms", "strip", "tiles", "waveforms"]

GAP = 2
"""Pixels between tiles."""
TILE = 112
"""CSS pixels of a tile, at least, where the image is smaller: 28 pixels are magnified four times."""
MOST = 8
"""The largest factor."""


DEPTH = 14.0
"""Nats of power, 60 decibels: what a spectrogram shows below its loudest place."""


@dataclass(frozen=True)
class Picture:
    """A PNG for a page.

    Args:
        uri: The data URI.
        width: How wide to show it, in CSS pixels.
        height: How tall it is at that width.
        alt: What it shows, for screen readers.
        title: What stands beside it.
        sounds: What one can listen to below it.
    """

    uri: str
    width: int
    height: int
    alt: str
    title: str = ""
    sounds: Sequence[Sound] = ()


def strip(images: UInt8[np.ndarray, "T C H W"], alt: str, title: str = "", across: bool = False) -> Picture:
    """Tiles one below the other, or side by side.

    Args:
        images: Grey (C = 1) or colour (C = 3) images; other numbers of channels show their first.
        alt: What the strip shows.
        title: What stands beside it.
        across: Side by side.
    """
    canvas = tiles(images, len(images) if across else 1)
    factor = min(MOST, max(1, math.ceil(TILE / images.shape[-1])))
    file = io.BytesIO()
    Image.fromarray(canvas, "RGBA").save(file, "PNG", optimize=True)
    uri = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    return Picture(uri, canvas.shape[1] * factor, canvas.shape[0] * factor, alt, title)


def waveforms(waves: Float[np.ndarray, "N L"], height: int = 48, width: int = 240) -> UInt8[np.ndarray, "N 1 Y X"]:
    """Waves as images: at each moment a line from the smallest to the largest value, all to one scale.

    Example:
        >>> waveforms(np.array([[0.0, 1.0, 0.5]], dtype=np.float32), height=3)[0, 0].tolist()
        [[0, 255, 0], [0, 0, 255], [255, 0, 0]]
    """
    low, high = float(waves.min()), float(waves.max())
    places = ((high - waves) / max(high - low, 1e-12) * (height - 1)).round().astype(int)
    moments = np.array_split(places, min(width, waves.shape[1]), axis=1)
    top, bottom = (np.stack([bound(moment, axis=1) for moment in moments], 1) for bound in (np.min, np.max))
    rows = np.arange(height)[:, None]
    inside = (rows >= top[:, None]) & (rows <= bottom[:, None])
    return (255 * inside).astype(np.uint8)[:, None]


def spectrograms(frames: Float[np.ndarray, "N L D"]) -> UInt8[np.ndarray, "N 1 D L"]:
    """Sequences of vectors as grey images, time to the right, the first number at the bottom, all to one scale.

    White is the largest number but for a hundredth of them, black what lies :data:`DEPTH` below, or is not there (NaN).

    Example:
        >>> spectrograms(np.array([[[0.0, 1.0], [2.0, 4.0]]], dtype=np.float32))[0, 0].tolist()
        [[65, 255], [0, 129]]
    """
    low, high = float(np.nanmin(frames)), float(np.nanquantile(frames, 0.99))
    low = max(low, high - DEPTH)
    grey = np.nan_to_num((frames - low) / max(high - low, 1e-12)).clip(0, 1)
    return (grey * 255).round().astype(np.uint8).transpose(0, 2, 1)[:, None, ::-1]


def tiles(images: UInt8[np.ndarray, "N C H W"], across: int) -> UInt8[np.ndarray, "Y X 4"]:
    """Tiles in rows of ``across`` with transparent gaps: red, green, blue and opacity of every pixel."""
    n, _, h, w = images.shape
    across = max(1, min(across, n))
    canvas = np.zeros((math.ceil(n / across) * (h + GAP) - GAP, across * (w + GAP) - GAP, 4), dtype=np.uint8)
    for i, image in enumerate(images):
        top, left = i // across * (h + GAP), i % across * (w + GAP)
        color = image if len(image) == 3 else image[:1].repeat(3, 0)
        canvas[top : top + h, left : left + w, :3] = np.moveaxis(color, 0, -1)
        canvas[top : top + h, left : left + w, 3] = 255
    return canvas

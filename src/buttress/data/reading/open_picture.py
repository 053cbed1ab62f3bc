"""A picture's header, read within bounds and by the decoders of pictures alone."""

from __future__ import annotations

import warnings
from functools import cache
from io import BytesIO
from pathlib import Path

from PIL import Image

from buttress.runtime.safe_files import regular

__all__ = ["FORMATS", "MOST", "open_picture"]

FORMATS = ("PNG", "JPEG", "MPO", "BMP", "DIB", "GIF", "WEBP", "TIFF", "PPM")
"""What the endings stand for; among Pillow's others is PostScript, which is a program."""
MOST = 2**26
"""Most pixels of a picture: 8192 by 8192."""


@cache
def _known() -> list[str]:
    """Those of :data:`FORMATS` that this Pillow has."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def open_picture(source: Path | BytesIO) -> Image.Image:
    """Open a picture without decoding it.

    Args:
        source: A path, or a file of its bytes.

    Errors:
        ValueError: It is no regular file, or has more than ``MOST`` pixels.
        OSError: It is no picture.

    Example:
        >>> from io import BytesIO
        >>> file = BytesIO()
        >>> Image.new("L", (4, 2), color=200).save(file, "PNG")
        >>> open_picture(file).size
        (4, 2)
    """
    with warnings.catch_warnings(action="ignore"):  # of sizes that are refused below, and of odd tags
        image = Image.open(regular(source) if isinstance(source, Path) else source, formats=_known())
    width, height = image.size
    if width * height > MOST:
        image.close()
        raise ValueError(f"{width} x {height} pixels, wanted at most {MOST:,}")
    return image

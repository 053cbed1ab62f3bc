"""How much memory it takes to decode, roughly, so that what cannot fit is refused before it is tried."""

from __future__ import annotations

import math

from buttress.core import DataSpec

__all__ = ["decoding"]

PLACE = 32
"""Numbers that a decoder holds at each place of an example, roughly."""


def decoding(spec: DataSpec) -> int:
    """Bytes that decoding one example takes: a vector at each place, and a score for each possible token.

    Example:
        >>> from buttress.core import Layout
        >>> decoding(DataSpec(Layout.image(1, 28, 28)))
        100352
    """
    return 4 * (PLACE * math.prod(spec.shape) + spec.vocabulary)

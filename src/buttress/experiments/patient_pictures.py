"""Made pictures in which one code, or one map of codes, tells all that there is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from buttress.core import Data
from buttress.data.in_memory import as_data

__all__ = ["kinds_of_pictures", "tiles"]


def kinds_of_pictures(kinds: int, side: int) -> Data:
    """Black and white pictures of a few kinds, each pixel of a kind wrong once in twenty times.

    Example:
        >>> kinds_of_pictures(8, 6).open().spec.layout.places
        (6, 6)
    """
    random = np.random.default_rng(0)
    kind = random.random((kinds, 1, side, side)) < 0.5
    return _noisy(kind[random.integers(kinds, size=3000)], wrong=0.05)


def tiles(side: int) -> Data:
    """Black and white pictures of side x side tiles of 2 x 2 pixels, each one of four, whatever is beside it.

    Example:
        >>> tiles(4).open().spec.layout.places
        (8, 8)
    """
    random = np.random.default_rng(0)
    four = np.array([[[1, 1], [0, 0]], [[0, 0], [1, 1]], [[1, 0], [1, 0]], [[0, 1], [0, 1]]])
    laid = four[random.integers(4, size=(3000, side, side))].transpose(0, 1, 3, 2, 4)
    return _noisy(laid.reshape(3000, 1, 2 * side, 2 * side) > 0, wrong=0.03)


def _noisy(pixels: NDArray[np.bool_], wrong: float) -> Data:
    exchanged = np.random.default_rng(1).random(pixels.shape) < wrong
    return as_data((pixels != exchanged).astype("float32"))

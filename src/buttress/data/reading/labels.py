"""Class labels as numbers from 0, with the names of the classes where they have some."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from buttress.data.reading.memory import Array

__all__ = ["classes", "numbered"]


def numbered(labels: Sequence[str]) -> tuple[Array, list[str]]:
    """The number of each label, and the names in the order of their numbers: sorted, whole numbers as such.

    An empty label is none, and gets the number -1.

    Example:
        >>> numbered(["10", "9", "", "10"])
        (array([ 1,  0, -1,  1]), ['9', '10'])
    """
    names = sorted({label for label in labels if label.strip()})
    with suppress(ValueError):  # words
        names = sorted(names, key=int)
    number = {name: i for i, name in enumerate(names)}
    return np.array([number.get(label, -1) for label in labels], np.int64), names


def classes(values: Array) -> tuple[Array, tuple[str, ...]]:
    """Stored labels as numbers from 0, shape (N,), and their names; small whole numbers stay as they are.

    Example:
        >>> classes(np.array([2, 0, 1, 0]))
        (array([2, 0, 1, 0]), ())
        >>> classes(np.array(["dog", "cat"]))
        (array([1, 0]), ('cat', 'dog'))
        >>> classes(np.array([3.0, 7.0, 3.0]))
        (array([0, 1, 0]), ('3', '7'))
    """
    found, numbers = np.unique(values, return_inverse=True)
    if values.dtype.kind in "iub" and len(found) and found[0] >= 0 and found[-1] < max(10, 2 * len(found)):
        return values.astype(np.int64), ()
    return numbers, tuple(str(value).removesuffix(".0") for value in found.tolist())

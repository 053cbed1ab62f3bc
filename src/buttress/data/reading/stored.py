"""Rows of an array as examples: how stored values become those of x, and what people call them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from buttress.core import Examples, Factors
from buttress.data.reading.memory import Array, Rows

__all__ = ["ArrayExamples", "Axes", "Source"]

Axes = Literal["NHW", "NHWC", "NCHW", "ND"]


@dataclass(frozen=True)
class Source:
    """Rows of an array and how to speak about them.

    Args:
        rows: The stored values.
        layout: What the axes are: "NHW", "NHWC" or "NCHW" for images, "ND" for a table.
        where: Names the data in errors.
        row_name: Names a row in errors, from its number counted from 0.
        columns: Names of a table's columns, those that are ``kept``.
        labels: Class labels of the rows, shape (N,).
        notes: What a person should know.
        label_names: Names of the classes, in the order of their numbers.
        words: For each column the names of its categories, none for numbers; () where all columns hold numbers.
        kept: Positions of the stored columns that are used; None for all.
        held: True for the rows that the data themselves hold out, shape (N,); None where they do not say.
        wide: Whether whole numbers of images are kept as real numbers, because they do not fit into 8 bits.
        offset: Subtracted in float64 before rounding to float32, shape (D,) or (); None for nothing.
        factors: Known factors of the rows, N of them.

    Example:
        >>> from functools import partial
        >>> from buttress.data.reading.memory import row_name
        >>> grey = np.array([[[0, 1], [2, 3]], [[4, 5], [6, 7]]])  # two images of 2 x 2
        >>> source = Source(Rows(grey), "NHW", "grey.npy", partial(row_name, "grey.npy"))
        >>> source.arrange(grey).shape, grey[1, 0, 1].item(), source.row_name(1), source.site((0, 1))
        ((2, 1, 2, 2), 5, 'grey.npy, row 1 (from 0)', 'pixel row 0, column 1')
    """

    rows: Rows
    layout: Axes
    where: str
    row_name: Callable[[int], str]
    columns: tuple[str, ...] = ()
    labels: Array | None = None
    notes: tuple[str, ...] = ()
    label_names: tuple[str, ...] = ()
    words: tuple[tuple[str, ...], ...] = ()
    kept: Array | None = None
    held: Array | None = None
    wide: bool = False
    offset: Array | None = None
    factors: Factors | None = None

    @property
    def is_table(self) -> bool:
        """Whether examples are rows of a table, and not images."""
        return self.layout == "ND"

    @property
    def as_bytes(self) -> bool:
        """Whether examples are stored as whole numbers of 8 bits."""
        return not self.is_table and self.rows.dtype.kind in "iu" and not self.wide

    def select(self, rows: Array) -> Array:
        """The columns that are used."""
        return rows if self.kept is None else rows[:, self.kept]

    def convert(self, rows: Array) -> Array:
        """Stored rows as uint8 (images of 8 bits) or float32, their axes as stored."""
        if self.as_bytes:
            return rows.astype(np.uint8, copy=False)
        rows = self.select(rows)
        with np.errstate(over="ignore"):  # what becomes infinite is refused by name
            return (rows if self.offset is None else rows - self.offset).astype(np.float32, copy=False)

    def identity(self, rows: Array) -> Array:
        """What tells stored rows apart: their converted values, or all digits where an offset was needed."""
        return self.convert(rows) if self.offset is None else self.select(rows).astype(np.float64)

    def arrange(self, rows: Array) -> Array:
        """Stored axes as those of examples: (n, C, H, W) or (n, D)."""
        if self.layout == "NHW":
            return rows[:, None]
        return rows.transpose(0, 3, 1, 2) if self.layout == "NHWC" else rows

    def site(self, place: tuple[int, ...]) -> str:
        """How a person calls one value of a stored row."""
        if self.is_table:
            return f"column {self.columns[place[0]]!r}"
        row, column = place[1:] if self.layout == "NCHW" else place[:2]
        return f"pixel row {row}, column {column}"


class ArrayExamples(Examples):
    """Examples that are rows of an array.

    Args:
        source: The rows.
        index: Which of them, shape (N,).

    Example:
        >>> table = Source(Rows(np.array([[0.0, 0.5], [1.0, 1.5], [2.0, 2.5]])), "ND", "t.csv", "t.csv, row {}".format)
        >>> examples = ArrayExamples(table, index=np.array([2, 0]))  # the last row and the first
        >>> len(examples), examples.batch(torch.tensor([0])).tolist(), examples.where(0)
        (2, [[2.0, 2.5]], 't.csv, row 2')
    """

    def __init__(self, source: Source, index: Array) -> None:
        self.source = source
        self._index = index.astype(np.int32 if len(source.rows) < 2**31 else np.int64)
        if source.labels is not None:
            self.conditions = {"label": torch.from_numpy(source.labels[index].astype(np.int64))}

    def __len__(self) -> int:
        return len(self._index)

    def batch(self, index: Tensor, rows: slice = slice(None)) -> Tensor:
        """See :class:`buttress.core.Examples`."""
        taken = self.source.rows.take(self._index[index[rows].numpy()])
        return torch.from_numpy(np.ascontiguousarray(self.source.arrange(self.source.convert(taken))))

    @property
    def factors(self) -> Factors | None:
        """Known factors of the examples, where the source has some."""
        known = self.source.factors
        return None if known is None else known.take(torch.from_numpy(self._index))

    def where(self, position: int) -> str:
        """The file and row of an example, for errors."""
        return self.source.row_name(int(self._index[position]))

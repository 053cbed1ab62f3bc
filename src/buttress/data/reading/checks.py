"""Values that cannot be meant: refused by file, row and place, or told in a note where they do no harm."""

from __future__ import annotations

import numpy as np

from buttress.data.reading.memory import Array, few
from buttress.data.reading.moments import RunningMoments
from buttress.data.reading.stored import Source

__all__ = ["CheckedRows"]


class CheckedRows:
    """Converts the rows of a source chunk by chunk, and remembers what was met.

    Args:
        source: The rows.

    Errors:
        ValueError: The stored values are no real numbers.

    Example:
        >>> from buttress.data.reading.memory import Rows
        >>> table = Source(Rows(np.array([[0.5, np.nan]])), "ND", "t.csv", "t.csv, row {}".format, columns=("a", "b"))
        >>> met = CheckedRows(table)
        >>> met.convert(0, table.rows.take(np.array([0]))).tolist(), met.missing.tolist()
        ([[0.5, nan]], [0, 1])
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.low, self.high = np.inf, -np.inf
        self.whole = True
        self.missing = np.zeros(len(source.columns), np.int64)
        if source.rows.dtype.kind not in "buif":
            raise ValueError(
                f"{source.where}: values of type {source.rows.dtype}, wanted real numbers; try converting them, "
                "complex ones to two columns, words to numbers"
            )

    def convert(self, start: int, chunk: Array) -> Array:
        """The chunk as examples hold it; ``start`` is the number of its first row.

        Errors:
            ValueError: A value is infinite, or NaN in an image.
        """
        values = self.source.convert(chunk)
        if values.dtype.kind == "f":
            self._refuse_not_finite(start, values)
        if len(values) and not self.source.is_table:
            self.low, self.high = min(self.low, values.min()), max(self.high, values.max())
            self.whole = self.whole and (values.dtype == np.uint8 or bool((values == np.rint(values)).all()))
        return values

    def _refuse_not_finite(self, start: int, values: Array) -> None:
        finite = np.isfinite(values)
        if finite.all():
            return
        if self.source.is_table:
            absent = np.isnan(values)
            self.missing += absent.sum(0)
            finite |= absent
        if not finite.all():
            row, *place = (int(i) for i in np.argwhere(~finite)[0])
            raise ValueError(
                f"{self.source.row_name(start + row)}, {self.source.site(tuple(place))}: the value is "
                f"{values[row][tuple(place)]}; wanted finite numbers within float32; try removing or repairing the row"
            )

    @property
    def eight_bits(self) -> bool:
        """Whether all values met are grey levels: whole numbers from 0 to 255, and not only 0 and 1."""
        return self.whole and bool(self.low >= 0 and 1 < self.high <= 255)

    def image_notes(self) -> tuple[str, ...]:
        """What to say of images.

        Errors:
            ValueError: They do not vary at all, or are masks of 0 and 1, which as grey levels are black.
        """
        if self.low == self.high:
            told = f" ({'; '.join(self.source.notes)})" if self.source.notes else ""
            raise ValueError(f"{self.source.where}: every value of every image is {self.low}{told}; try other images")
        self.refuse_nearly_black()
        return ()

    def refuse_nearly_black(self) -> None:
        """Refuse whole numbers that are all 0 or 1."""
        if self.source.as_bytes and self.high <= 1:
            raise ValueError(
                f"{self.source.where}: the largest value is 1, but whole numbers mean grey levels 0 to 255, of which 1 "
                "is all but black; if these are black and white, try saving them as bool, which are read as 0.0 and "
                "1.0, or multiplying them by 255"
            )

    def column_notes(self, moments: RunningMoments) -> tuple[str, ...]:
        """What to say of a table's constant columns and of its missing values.

        Errors:
            ValueError: All columns are constant.
        """
        where, columns = self.source.where, self.source.columns
        still = np.flatnonzero(~(moments.low < moments.high)).tolist()
        if len(still) == len(columns):
            raise ValueError(f"{where}: all columns are constant in all training rows; try other data")
        notes = []
        if still:
            notes.append(
                f"{where}: {len(still)} of {len(columns)} columns are constant in all training rows "
                f"({few(lambda i: repr(columns[i]), still)}); a density leaves them out, a mass takes them at no cost"
            )
        if (lacking := np.flatnonzero(self.missing)).size:
            named = few(lambda i: f"{columns[i]!r} lacks {self.missing[i]}", lacking.tolist())
            notes.append(
                f"{where}: missing values: {named} of {len(self.source.rows)}; they are read as missing and cost no "
                "nats; --data.missing set_aside leaves such rows out"
            )
        return tuple(notes)

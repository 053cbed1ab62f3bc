"""What 8 or 32 bits cannot hold: whole numbers beyond 255, and values far from zero beside their spread.

Examples are float32, which has seven digits. Times in milliseconds since 1970 have thirteen, so an offset is subtracted
from them in float64 first. It is rounded to a power of ten of their spread, so that a few rows more seldom change it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from buttress.data.reading.memory import Array, few
from buttress.data.reading.moments import RunningMoments
from buttress.data.reading.stored import Source

__all__ = ["fitted"]

FAR = 1000
"""Standard deviations between zero and the mean from which on an offset is subtracted: float32 still tells values apart
that differ by a ten-thousandth of one."""


def fitted(source: Source, held_out: Source | None = None) -> tuple[Source, Source | None]:
    """The same data, read so that no digits are lost, with notes on what that took.

    Args:
        source: The examples, or the training examples if others are held out.
        held_out: The held-out examples; they are read as the training examples are.

    Example:
        >>> from buttress.data.reading.memory import Rows
        >>> times = 1.7e12 + 10.0 * np.arange(100)[:, None]
        >>> source, _ = fitted(Source(Rows(times), "ND", "t.csv", "t.csv, line {}".format, columns=("ms",)))
        >>> source.offset.tolist(), source.convert(times)[1].tolist()
        ([1700000000000.0], [10.0])
    """
    parts = [part for part in (source, held_out) if part is not None]
    ranges = [_whole_range(part) for part in parts]
    wide = any(low < 0 or high > 255 for low, high in ranges)
    parts = [replace(part, wide=wide) for part in parts]
    offset = _offset(parts[0])
    notes = (*source.notes, *(_wide_note(source, *ranges[0]) if wide else ()), *_offset_note(source, offset))
    parts = [replace(part, offset=offset) for part in parts]
    return replace(parts[0], notes=notes), parts[1] if held_out is not None else None


def _whole_range(source: Source) -> tuple[int, int]:
    """The smallest and largest value of images of whole numbers; (0, 255) for all other data."""
    rows = source.rows
    if source.is_table or rows.dtype.kind not in "iu" or rows.dtype == np.uint8 or not len(rows):
        return 0, 255
    found = [(int(chunk.min()), int(chunk.max())) for _, chunk in rows.chunks()]
    return min(low for low, _ in found), max(high for _, high in found)


def _wide_note(source: Source, low: int, high: int) -> tuple[str, ...]:
    return (
        f"{source.where}: whole numbers from {low} to {high} ({source.rows.dtype}), more than the 256 levels of 8 "
        "bits; all levels are kept, as real numbers",
    )


def _offset(source: Source) -> Array | None:
    """What to subtract; None where float32 holds all that matters."""
    kind, size = source.rows.dtype.kind, source.rows.dtype.itemsize
    if source.as_bytes or not ((kind == "f" and size > 4) or (kind in "iu" and size > 2)):
        return None
    moments = RunningMoments()
    with np.errstate(invalid="ignore", over="ignore"):  # infinite values are refused by name later
        for _, chunk in source.rows.chunks():
            moments.add(source.select(chunk).astype(np.float64) if source.is_table else chunk)
        mean, std = (moments.mean, moments.std) if source.is_table else map(np.asarray, moments.overall)
        far = np.isfinite(std) & (std > 0) & (np.abs(mean) > FAR * std)
        step = 10.0 ** np.ceil(np.log10(np.where(far, FAR * std, 1)))
    offset = np.where(far, np.round(mean / step) * step, 0.0)
    return offset if offset.any() else None


def _offset_note(source: Source, offset: Array | None) -> tuple[str, ...]:
    if offset is None:
        return ()
    which = "values"
    if source.is_table:
        which = "column " + few(lambda i: repr(source.columns[i]), np.flatnonzero(offset).tolist())
    return (
        f"{source.where}: {which}: far from zero beside the spread, beyond the digits of 32 bits; an offset "
        f"({np.atleast_1d(offset)[np.flatnonzero(offset)[0]]:g}) is subtracted before rounding",
    )

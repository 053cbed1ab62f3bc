r"""Images and tables as rows of an array: one pass that checks, divides and measures them, then reading by the batch.

Mean and variance are merged chunk by chunk (Chan, Golub and LeVeque, 1979), with n values so far and m in a chunk:
$$ \delta = \bar x_m - \bar x_n, \quad \bar x \leftarrow \bar x_n + \delta \tfrac{m}{n+m}, \quad
   M \leftarrow M_n + M_m + \delta^2 \tfrac{nm}{n+m}, \qquad \mathrm{std} = \sqrt{M / n} $$
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from buttress.core import DataSpec, Examples, Layout, Splits
from buttress.data.reading.memory import Array, Rows
from buttress.data.reading.split import Division

__all__ = ["ArrayExamples", "Source", "open_rows"]

Axes = Literal["NHW", "NHWC", "NCHW", "ND"]


@dataclass(frozen=True)
class Source:
    """Rows of an array and how to speak about them.

    Args:
        rows: The stored values.
        layout: What the axes are: "NHW", "NHWC" or "NCHW" for images, "ND" for a table.
        where: Names the data in errors.
        row_name: Names a row in errors, from its number counted from 0.
        columns: Names of a table's columns.
        labels: Class labels of the rows, shape (N,).
        notes: What a person should know.

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

    def convert(self, rows: Array) -> Array:
        """Stored rows as uint8 (images of whole numbers) or float32, their axes as stored."""
        if self.layout == "ND" or rows.dtype.kind in "fb":
            with np.errstate(over="ignore"):  # what becomes infinite is refused by name
                return rows.astype(np.float32, copy=False)
        return rows.astype(np.uint8, copy=False)

    def arrange(self, rows: Array) -> Array:
        """Stored axes as those of examples: (n, C, H, W) or (n, D)."""
        if self.layout == "NHW":
            return rows[:, None]
        return rows.transpose(0, 3, 1, 2) if self.layout == "NHWC" else rows

    def site(self, place: tuple[int, ...]) -> str:
        """How a person calls one value of a stored row."""
        if self.layout == "ND":
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
        self._source = source
        self._index = index.astype(np.int32 if len(source.rows) < 2**31 else np.int64)

    def __len__(self) -> int:
        return len(self._index)

    def batch(self, index: Tensor, rows: slice = slice(None)) -> Tensor:
        """See :class:`buttress.core.Examples`."""
        taken = self._source.rows.take(self._index[index[rows].numpy()])
        return torch.from_numpy(np.ascontiguousarray(self._source.arrange(self._source.convert(taken))))

    def where(self, position: int) -> str:
        """The file and row of an example, for errors."""
        return self._source.row_name(int(self._index[position]))


@dataclass
class RunningMoments:
    """Mean and standard deviation per site, of values that come in chunks."""

    count: int = 0
    mean: Array = field(default_factory=lambda: np.zeros(()))
    squares: Array = field(default_factory=lambda: np.zeros(()))

    def add(self, values: Array) -> None:
        """Take in more values, shape (n, *sites)."""
        for start in range(0, len(values), _EXACT):
            block = values[start : start + _EXACT]
            n, (mean, squares) = len(block), _of_bytes(block) if block.dtype == np.uint8 else _of_floats(block)
            total, delta = self.count + n, mean - self.mean
            self.squares = self.squares + squares + delta**2 * (self.count * n / total)
            self.mean = self.mean + delta * (n / total)
            self.count = total

    @property
    def std(self) -> Array:
        """The (population) standard deviation."""
        return np.sqrt(self.squares / max(1, self.count))


COMPARED = 2 * 2**30
"""Bytes of training and held-out rows up to which they are compared: some five seconds."""
_EXACT = 256  # so many squares of bytes add up below 2^24, where float32 is still exact


def _of_bytes(block: Array) -> tuple[Array, Array]:
    """Mean and sum of squared deviations of at most ``_EXACT`` rows, in float32 and yet without error: fast."""
    values = block.reshape(len(block), -1).astype(np.float32)
    first = values.sum(0).astype(np.float64)
    second = np.einsum("ij,ij->j", values, values).astype(np.float64)
    mean = first / len(block)
    return mean.reshape(block.shape[1:]), (second - first * mean).clip(0).reshape(block.shape[1:])


def _of_floats(block: Array) -> tuple[Array, Array]:
    values = block.astype(np.float64)
    mean = values.mean(0)
    values -= mean
    return mean, np.einsum("i...,i...->...", values, values)


def open_rows(source: Source, division: Division, held_out: Source | None = None) -> Splits:
    """Check every row, divide them and measure the training part, in one pass over the stored data.

    Args:
        source: The examples, or the training examples if others are held out.
        division: How to divide them.
        held_out: The held-out examples, where the data comes with some.

    Errors:
        ValueError: A value is not finite or does not fit its type, a column is constant, or there are too few rows.

    Example:
        >>> table = np.arange(24.0).reshape(12, 2)
        >>> source = Source(Rows(table), "ND", "t.csv", "t.csv, row {}".format, columns=("a", "b"))
        >>> splits = open_rows(source, Division("seed", held_out=0.25))
        >>> len(splits.train), len(splits.held_out), splits.spec.columns
        (9, 3, ('a', 'b'))
        >>> table[3, 1] = np.nan
        >>> open_rows(source, Division("seed", held_out=0.25))
        Traceback (most recent call last):
        ValueError: t.csv, row 3, column 'b': the value is nan; wanted finite numbers within float32; try ...
    """
    if 0 in source.rows.shape[1:]:
        raise ValueError(
            f"{source.where}: rows of shape {source.rows.shape[1:]} hold no values; wanted at least one in each; try "
            "other data"
        )
    division.enough(len(source.rows), source.where)
    held = np.zeros(len(source.rows), bool)
    if held_out is None and division.method == "seed":
        held = division.drawn(len(held))
    moments, seen = RunningMoments(), _Range(source)
    for start, chunk in source.rows.chunks():
        part = slice(start, start + len(chunk))
        values = seen.checked(start, chunk)
        if held_out is None and division.method == "hash":
            held[part] = division.hashed_rows(values)
        moments.add(values if held_out else values[~held[part]])
    seen.finish(moments)
    spec = _spec(source, moments)
    train = ArrayExamples(source, np.flatnonzero(~held))
    if held_out is not None:
        given = _given(held_out, spec)
        notes = (*source.notes, *held_out.notes, *_copies(source, held_out, division))
        return Splits(train, given, spec, notes, _labels(held_out, slice(None)))
    division.both_sides(held, source.where)
    kept = np.flatnonzero(held)
    return Splits(train, ArrayExamples(source, kept), spec, (*source.notes, division.note(held)), _labels(source, kept))


def _spec(source: Source, moments: RunningMoments) -> DataSpec:
    mean, std = (_tensor(source.arrange(m[None])[0]) for m in (moments.mean, moments.std))
    layout = Layout.table(len(mean)) if source.layout == "ND" else Layout.image(*mean.shape)
    return DataSpec(layout, mean=mean, std=std, columns=source.columns)


def _tensor(values: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))


def _given(source: Source, spec: DataSpec) -> ArrayExamples:
    seen = _Range(source)
    for start, chunk in source.rows.chunks():
        shape = source.arrange(seen.checked(start, chunk)).shape[1:]
        if shape != spec.shape:
            raise ValueError(f"{source.where}: examples of shape {shape}, but training examples have {spec.shape}")
    if not len(source.rows):
        raise ValueError(f"{source.where}: there are no held-out examples; try leaving them out to split off some")
    seen.refuse_nearly_black()
    return ArrayExamples(source, np.arange(len(source.rows)))


def _copies(source: Source, held_out: Source, division: Division) -> tuple[str, ...]:
    """A note where held-out rows are copies of training rows, or where it would take long to tell."""
    size = sum(len(s.rows) * s.rows.row_bytes for s in (source, held_out))
    if size > COMPARED:
        return (
            f"whether held-out rows are copies of training rows was not looked at, the data being {size / 2**30:.1f} "
            f"GiB and so more than {COMPARED / 2**30:.0f}",
        )
    copied = np.isin(_digests(held_out, division), _digests(source, division)).sum()
    if not copied:
        return ()
    return (
        f"{copied} of {len(held_out.rows)} held-out rows are copies of training rows, and what is measured on them is "
        "no measure of the unseen; try leaving them out",
    )


def _digests(source: Source, division: Division) -> Array:
    """The hash of every example, 8 bytes each."""
    rows = (source.arrange(source.convert(chunk)) for _, chunk in source.rows.chunks())
    return np.concatenate([division.digest_rows(chunk) for chunk in rows])


def _labels(source: Source, index: Array | slice) -> Tensor | None:
    return None if source.labels is None else torch.from_numpy(source.labels[index].astype(np.int64))


class _Range:
    """What values were met, to refuse those that cannot be meant."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.low, self.high = np.inf, -np.inf
        if source.rows.dtype.kind not in "buif":
            raise ValueError(
                f"{source.where}: values of type {source.rows.dtype}, wanted real numbers; try converting them, "
                "complex ones to two columns, words to numbers"
            )

    def checked(self, start: int, chunk: Array) -> Array:
        """The chunk converted, or a refusal that names row and place."""
        if chunk.dtype.kind in "iu" and chunk.dtype != np.uint8 and self.source.layout != "ND":
            self._refuse((chunk < 0) | (chunk > 255), start, chunk, "wanted image values from 0 to 255 (or floats)")
        values = self.source.convert(chunk)
        if values.dtype.kind == "f":
            self._refuse(~np.isfinite(values), start, values, "wanted finite numbers within float32")
        if len(values):
            self.low, self.high = min(self.low, values.min()), max(self.high, values.max())
        return values

    def _refuse(self, bad: Array, start: int, values: Array, wanted: str) -> None:
        if bad.any():
            row, *place = (int(i) for i in np.argwhere(bad)[0])
            site = self.source.site(tuple(place)) if len(place) in (1, 2, 3) else f"place {place}"
            raise ValueError(
                f"{self.source.row_name(start + row)}, {site}: the value is {values[row][tuple(place)]}; {wanted}; "
                "try removing or repairing the row"
            )

    def finish(self, moments: RunningMoments) -> None:
        """Refuse what only shows at the end: columns and image sets without any variation."""
        if self.source.layout == "ND":
            self._constant_columns(moments)
        elif self.low == self.high:
            raise ValueError(f"{self.source.where}: every value of every image is {self.low}; try other images")
        else:
            self.refuse_nearly_black()

    def refuse_nearly_black(self) -> None:
        """Refuse whole numbers that are all 0 or 1: as grey levels they are black, and were hardly meant to be."""
        if self.source.layout != "ND" and self.source.rows.dtype.kind in "iu" and self.high <= 1:
            raise ValueError(
                f"{self.source.where}: the largest value is 1, but whole numbers mean grey levels 0 to 255, of which 1 "
                "is all but black; if these are black and white, try saving them as bool, which are read as 0.0 and "
                "1.0, or multiplying them by 255"
            )

    def _constant_columns(self, moments: RunningMoments) -> None:
        still = moments.std <= 1e-12 * np.abs(moments.mean)
        if still.any():
            named = ", ".join(f"{c!r}" for c, s in zip(self.source.columns, still, strict=True) if s)
            raise ValueError(
                f"{self.source.where}: constant in all training rows: column {named}; a density has no finite maximum "
                "there; try leaving them out with columns=..."
            )

"""Images and tables as rows of an array: one pass that checks, divides and measures them, then reading by the batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from buttress.core import Column, DataSpec, Layout, Splits
from buttress.data.reading.checks import CheckedRows
from buttress.data.reading.memory import Array
from buttress.data.reading.moments import RunningMoments
from buttress.data.reading.precision import fitted
from buttress.data.reading.split import Division
from buttress.data.reading.stored import ArrayExamples, Source

__all__ = ["ArrayExamples", "Source", "open_rows"]

COMPARED = 2 * 2**30
"""Bytes of training and held-out rows up to which they are compared: some five seconds."""


def open_rows(source: Source, division: Division, held_out: Source | None = None) -> Splits:
    """Check every row, divide them and measure the training part, in one pass over the stored data.

    Args:
        source: The examples, or the training examples if others are held out.
        division: How to divide them, where neither ``source.held`` nor ``held_out`` says.
        held_out: The held-out examples, where they are stored apart.

    Errors:
        ValueError: A value is infinite or does not fit its type, all is constant, or there are too few rows.

    Example:
        >>> from buttress.data.reading.memory import Rows
        >>> table = np.arange(24.0).reshape(12, 2)
        >>> source = Source(Rows(table), "ND", "t.csv", "t.csv, row {}".format, columns=("a", "b"))
        >>> splits = open_rows(source, Division("seed", held_out=0.25))
        >>> len(splits.train), len(splits.held_out), splits.spec.columns
        (9, 3, ('a', 'b'))
        >>> table[3, 1] = np.inf
        >>> open_rows(source, Division("seed", held_out=0.25))
        Traceback (most recent call last):
        ValueError: t.csv, row 3, column 'b': the value is inf; wanted finite numbers within float32; try ...
    """
    if 0 in source.rows.shape[1:]:
        raise ValueError(
            f"{source.where}: rows of shape {source.rows.shape[1:]} hold no values; wanted at least one in each; try "
            "other data"
        )
    division.enough(len(source.rows), source.where)
    source, held_out = fitted(source, held_out)
    met = CheckedRows(source)
    held, moments = _divided(met, division, apart=held_out is not None)
    notes = (*source.notes, *(met.column_notes(moments) if source.is_table else met.image_notes()))
    if held_out is None:
        division.both_sides(held, source.where)
    train = ArrayExamples(source, np.flatnonzero(~held))
    if held_out is not None:
        given, others = _given(held_out, source.arrange(moments.mean[None]).shape[1:])
        notes = (*notes, *held_out.notes, *_copied(_digests(source, division), _digests(held_out, division)))
        return _splits(train, given, _spec(train, given, moments, [met, others]), notes)
    rest = ArrayExamples(source, np.flatnonzero(held))
    notes = (*notes, *_held_notes(source, division, held))
    return _splits(train, rest, _spec(train, rest, moments, [met]), notes)


def _splits(train: ArrayExamples, held_out: ArrayExamples, spec: DataSpec, notes: tuple[str, ...]) -> Splits:
    train.missing = held_out.missing = spec.missing
    labels, names = held_out.conditions.get("label"), held_out.source.label_names
    return Splits(train, held_out, spec, notes, labels, names, held_out.factors)


def _divided(met: CheckedRows, division: Division, apart: bool) -> tuple[Array, RunningMoments]:
    """True for the rows held out, and the moments of the others."""
    source, moments = met.source, RunningMoments()
    held = np.zeros(len(source.rows), bool) if source.held is None else source.held
    by_hash = not apart and source.held is None and division.method == "hash"
    if not apart and source.held is None and division.method == "seed":
        held = division.drawn(len(held))
    digests = np.zeros(len(held) if by_hash else 0, np.uint64)
    for start, chunk in source.rows.chunks():
        part = slice(start, start + len(chunk))
        values = met.convert(start, chunk)
        if by_hash:
            digests[part] = division.digest_rows(values if source.offset is None else source.identity(chunk))
            held[part] = division.below(digests[part])
        moments.add(values[~held[part]])
    if by_hash and not np.array_equal(whole := division.hashed(digests), held):
        return whole, _moments(source, ~whole)
    return held, moments


def _moments(source: Source, wanted: Array) -> RunningMoments:
    """Of some rows, which have been checked."""
    moments = RunningMoments()
    for start, chunk in source.rows.chunks():
        moments.add(source.convert(chunk)[wanted[start : start + len(chunk)]])
    return moments


def _held_notes(source: Source, division: Division, held: Array) -> tuple[str, ...]:
    if source.held is None:
        return (division.note(held),)
    digests = _digests(source, division)
    return _copied(*((None, None) if digests is None else (digests[~held], digests[held])))


def _spec(train: ArrayExamples, held_out: ArrayExamples, moments: RunningMoments, met: list[CheckedRows]) -> DataSpec:
    source = train.source
    mean, std = (_tensor(source.arrange(m[None])[0]) for m in (moments.mean, moments.std))
    offset = () if source.offset is None else tuple(np.atleast_1d(source.offset).tolist())
    known = DataSpec(Layout.table(1), mean, std, offset=offset, given=_conditions(train, held_out))
    if source.is_table:
        words = source.words if any(source.words) else ()
        return replace(
            known,
            layout=Layout.table(len(mean)),
            columns=source.columns,
            categories=tuple(map(len, words)),
            words=words,
            missing=any(bool(m.missing.any()) for m in met),
        )
    levels = all(m.eight_bits for m in met)
    span = (0.0, 255.0) if levels else (float(moments.low.min()), float(moments.high.max()))
    return replace(known, layout=Layout.image(*mean.shape), levels=256 if levels else 0, span=span)


def _conditions(train: ArrayExamples, held_out: ArrayExamples) -> tuple[Column, ...]:
    """The label of every example, where training and held-out examples have one."""
    labels = [examples.conditions.get("label") for examples in (train, held_out)]
    if any(label is None or not len(label) for label in labels):
        return ()
    names = train.source.label_names
    classes = max(len(names), *(int(label.max()) + 1 for label in labels if label is not None))
    return (Column("label", classes, values=names),)


def _tensor(values: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))


def _given(source: Source, wanted: tuple[int, ...]) -> tuple[ArrayExamples, CheckedRows]:
    """Held-out examples that are stored apart, and what was met in them."""
    met = CheckedRows(source)
    for start, chunk in source.rows.chunks():
        shape = source.arrange(met.convert(start, chunk)).shape[1:]
        if shape != wanted:
            raise ValueError(f"{source.where}: examples of shape {shape}, but training examples have {wanted}")
    if not len(source.rows):
        raise ValueError(f"{source.where}: there are no held-out examples; try leaving them out to split off some")
    met.refuse_nearly_black()
    return ArrayExamples(source, np.arange(len(source.rows))), met


def _copied(train: Array | None, held_out: Array | None) -> tuple[str, ...]:
    """A note where held-out rows are copies of training rows, by their hashes, or where it would take long to tell."""
    if train is None or held_out is None:
        return (
            "whether held-out rows are copies of training rows was not looked at, the data being more than "
            f"{COMPARED / 2**30:.0f} GiB",
        )
    copied = np.isin(held_out, train).sum()
    if not copied:
        return ()
    return (
        f"{copied} of {len(held_out)} held-out rows are copies of training rows, and what is measured on them is "
        "no measure of the unseen; try leaving them out",
    )


def _digests(source: Source, division: Division) -> Array | None:
    """The hash of every example, 8 bytes each; None where that would take long."""
    if len(source.rows) * source.rows.row_bytes > COMPARED:
        return None
    return np.concatenate([division.digest_rows(rows) for rows in _arranged(source)])


def _arranged(source: Source) -> Iterator[Array]:
    for _, chunk in source.rows.chunks():
        yield source.arrange(source.identity(chunk))

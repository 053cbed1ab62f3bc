"""Text tables (.csv), read a row at a time into an array on disk, with errors that name line and column."""

from __future__ import annotations

import csv
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Literal

import numpy as np

from buttress.core.registry import suggest
from buttress.data.reading import lines
from buttress.data.reading.memory import NpyWriter, few, write_json

__all__ = ["FILL", "Asked", "choose", "convert", "save_labels", "text_rows"]

FILL = "try filling it in, or columns=... without the column that lacks it"
"""What to do about rows that were set aside."""
_MISSING = ("", "na", "n/a", "nan", "null", "none", "?")


@dataclass(frozen=True)
class Asked:
    """What was asked of a table.

    Args:
        columns: Those to use; () for all but ``label``.
        label: The column of class labels.
        missing: What to do with a row that lacks a value.
        delimiter: Between cells.
        header: Whether the first line names the columns; None for finding out.
        encoding: Of the file.

    Example:
        >>> Asked(columns=("a", "b"), label="kind").missing
        'refuse'
    """

    columns: tuple[str, ...] = ()
    label: str | None = None
    missing: Literal["refuse", "set_aside"] = "refuse"
    delimiter: str = ","
    header: bool | None = None
    encoding: str = "utf-8"


def text_rows(path: Path, asked: Asked) -> Iterator[tuple[int, list[str]]]:
    r"""The rows that are not blank, each with its last line's number from 1.

    Errors:
        ValueError: The file is empty, no text in this encoding, or no such table.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "t.csv"
        ...     _ = path.write_text('a,b\n\n1,"two\nlines"\n')  # a blank row, and a cell that goes on in the next line
        ...     list(text_rows(path, Asked()))
        [(1, ['a', 'b']), (4, ['1', 'two\nlines'])]
    """
    reader = csv.reader(_raw_lines(path, asked.encoding), delimiter=asked.delimiter, strict=True)
    try:
        for row in reader:
            if row:
                yield reader.line_num, [cell.strip() for cell in row]
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: not readable as a table ({error})") from error


def _raw_lines(path: Path, encoding: str) -> Iterator[str]:
    """Lines as they are, their ends kept, for cells may hold line breaks."""
    for number, text in lines.read(path, encoding, tidy=False):
        if text is None:
            raise ValueError(f"{path}, line {number}: longer than {lines.LONGEST} bytes; is this a table?")
        yield text


def convert(path: Path, asked: Asked, folder: Path) -> None:
    r"""Write ``rows.npy`` (N, D) float32, ``numbers.npy`` (their lines), maybe ``labels.npy``, and ``meta.json``.

    Errors:
        ValueError: A cell is missing or no number, a row has another number of cells, or a column is unknown.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "t.csv"
        ...     _ = path.write_text("a,kind\n1.5,x\n,y\n2.5,x\n")
        ...     convert(path, Asked(label="kind", missing="set_aside"), Path(folder))
        ...     np.load(f"{folder}/rows.npy").tolist(), np.load(f"{folder}/numbers.npy").tolist()  # lines 2 and 4
        ([[1.5], [2.5]], [2, 4])
    """
    rows = text_rows(path, asked)
    number, first = next(rows, (0, []))
    if not first:
        raise ValueError(f"{path}: the file has no rows; try another file")
    _right_delimiter(path, number, first, asked.delimiter)
    header = asked.header if asked.header is not None else not any(_is_number(c) for c in first)
    names = first if header else [f"column{i}" for i in range(len(first))]
    used = choose(path, names, asked)
    rest = rows if header else chain([(number, first)], rows)
    reader = _Reader(path, names, used, asked)
    values = (v for n, row in rest if (v := reader.values(n, row)) is not None)
    with NpyWriter(folder / "rows.npy", (len(used),), np.float32) as writer, np.errstate(over="ignore"):
        while block := list(islice(values, 4096)):
            writer.append(np.array(block, np.float64).astype(np.float32))  # an overflow is refused by name later
    reader.save(folder)


def choose(path: Path, names: list[str], asked: Asked) -> list[int]:
    """The positions of the columns to use.

    Errors:
        ValueError: A name is unknown or there twice, or nothing is left.

    Example:
        >>> choose(Path("t.csv"), ["a", "b", "kind"], Asked(label="kind"))
        [0, 1]
    """
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise ValueError(f"{path}: columns of the same name: {', '.join(map(repr, twice))}; try renaming one")
    for name in (*asked.columns, *([asked.label] if asked.label is not None else [])):
        if name not in names:
            raise ValueError(f"{path}: no column {name!r}; {suggest(name, names)}It has {', '.join(names)}")
    used = [names.index(n) for n in asked.columns] or [i for i, n in enumerate(names) if n != asked.label]
    if not used:
        raise ValueError(f"{path}: no column is left beside the label {asked.label!r}")
    return used


def _right_delimiter(path: Path, number: int, first: list[str], delimiter: str) -> None:
    for other in (";", "\t", "|", ","):
        if len(first) == 1 and other != delimiter and other in first[0]:
            raise ValueError(
                f"{path}, line {number}: one column {first[0]!r} with the delimiter {delimiter!r}; "
                f"try delimiter={other!r}"
            )


class _Reader:
    """Rows of cells to rows of numbers."""

    def __init__(self, path: Path, names: list[str], used: list[int], asked: Asked) -> None:
        self.path, self.names, self.used, self.asked = path, names, used, asked
        self.label = names.index(asked.label) if asked.label is not None else None
        self.numbers, self.dropped = array("q"), array("q")
        self.labels: list[str] = []

    def values(self, number: int, row: list[str]) -> list[float] | None:
        """The numbers of a row; None if it is set aside."""
        if len(row) != len(self.names):
            raise ValueError(
                f"{self.path}, line {number}: {len(row)} cells, wanted {len(self.names)} as in the first line; "
                "try another delimiter, or quotes around cells that contain it"
            )
        cells = [row[i] for i in self.used]
        if any(c.lower() in _MISSING for c in cells):
            self._missing(number, cells)
            return None
        try:
            numbers = [float(c) for c in cells]
        except ValueError as error:
            raise self._not_a_number(number, cells) from error
        self.numbers.append(number)
        if self.label is not None:
            self.labels.append(row[self.label])
        return numbers

    def _missing(self, number: int, cells: list[str]) -> None:
        if self.asked.missing == "refuse":
            at, cell = next((i, c) for i, c in zip(self.used, cells, strict=True) if c.lower() in _MISSING)
            raise ValueError(
                f"{self.path}, line {number}, column {self.names[at]!r}: a missing value ({cell!r}); "
                "try filling it, or missing='set_aside' to leave such rows out"
            )
        self.dropped.append(number)

    def _not_a_number(self, number: int, cells: list[str]) -> ValueError:
        at, cell = next((i, c) for i, c in zip(self.used, cells, strict=True) if not _is_number(c))
        name = self.names[at]
        if not self.numbers:  # so from the first row on
            hint = f"a column of words; try columns=... without {name!r}, label={name!r}, or a column for each word"
        else:
            hint = f"the rows before have numbers; try repairing it, or columns=... without {name!r}"
        return ValueError(f"{self.path}, line {number}, column {name!r}: {cell!r} is no number; {hint}")

    def save(self, folder: Path) -> None:
        """Write what goes beside the numbers."""
        np.save(folder / "numbers.npy", np.array(self.numbers, np.int64))
        save_labels(folder, self.labels if self.label is not None else None)
        lines = few(str, self.dropped)
        notes = [f"{self.path}: set aside {len(self.dropped)} rows that lack a value: lines {lines}; {FILL}"]
        columns = [self.names[i] for i in self.used]
        write_json(folder / "meta.json", {"columns": columns, "notes": notes if self.dropped else []})


def save_labels(folder: Path, labels: list[str] | None) -> None:
    """Write ``labels.npy``: the place of each label among the sorted ones.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_labels(Path(folder), ["dog", "cat", "dog"])
        ...     np.load(f"{folder}/labels.npy").tolist()
        [1, 0, 1]
    """
    if labels is not None:
        np.save(folder / "labels.npy", np.unique(np.array(labels, dtype=str), return_inverse=True)[1])


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell.lower() in _MISSING
    return True

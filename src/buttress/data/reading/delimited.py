"""Text tables (.csv), read a row at a time into an array on disk, with errors that name line and column."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

from buttress.data.reading import lines
from buttress.data.reading.columns import is_missing, is_number
from buttress.data.reading.conversion import Asked, Conversion

__all__ = ["convert", "is_header", "text_rows"]

FIRST, BLOCK = 4096, 256
"""Rows from which it is decided what the columns hold, and rows that are converted at a time."""
_YEAR = re.compile(r"(1[89]|2[01])\d\d$")


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
    r"""Write ``rows.npy`` (N, D) float64, ``numbers.npy`` (their lines), maybe ``labels.npy``, and ``meta.json``.

    A missing number is NaN; words are the codes of their categories.

    Errors:
        ValueError: A cell is no number where others are, a row has another number of cells, or a column is unknown.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "t.csv"
        ...     _ = path.write_text("a,kind\n1.5,x\n,y\n2.5,x\n")
        ...     convert(path, Asked(label="kind", missing="set_aside"), Path(folder))
        ...     np.load(f"{folder}/rows.npy").tolist(), np.load(f"{folder}/numbers.npy").tolist()  # lines 2 and 4
        ([[1.5], [2.5]], [2, 4])
    """
    rows = text_rows(path, asked)
    first = list(islice(rows, FIRST))
    if not first:
        raise ValueError(f"{path}: the file has no rows; try another file")
    _right_delimiter(path, *first[0], asked.delimiter)
    cells = first[0][1]
    header = asked.header if asked.header is not None else is_header(cells, [row for _, row in first[1:]])
    names = [name if header and name else f"column{i}" for i, name in enumerate(cells)]
    table = Conversion(path, names, asked, "line {}", unnamed=header and not cells[0])
    with table.into(folder):
        for block in chain([first[1:] if header else first], _blocks(rows)):
            _right_length(path, block, len(names))
            _append(table, block)


def _append(table: Conversion, block: list[tuple[int, list[str]]]) -> None:
    if block:
        numbers, rows = zip(*block, strict=True)
        cells = list(zip(*rows, strict=True))
        values = [c.read(cells[i], numbers, table.place) for i, c in zip(table.positions, table.columns, strict=True)]
        table.append(numbers, values, cells[table.label] if table.label is not None else ())


def _blocks(rows: Iterator[tuple[int, list[str]]]) -> Iterator[list[tuple[int, list[str]]]]:
    while block := list(islice(rows, BLOCK)):
        yield block


def _right_length(path: Path, block: list[tuple[int, list[str]]], wanted: int) -> None:
    for number, row in block:
        if len(row) != wanted:
            raise ValueError(
                f"{path}, line {number}: {len(row)} cells, wanted {wanted} as in the first line; "
                "try another delimiter, or quotes around cells that contain it"
            )


def is_header(first: list[str], below: list[list[str]]) -> bool:
    """Whether the first line names the columns.

    It does if none of its cells is a number; if a word stands above numbers; or if its numbers are different years and
    what stands below them is not.

    Example:
        >>> is_header(["region", "2019"], [["1.5", "2.5"]]), is_header(["1.5", "2.5"], [["0.5", "3"]])
        (True, False)
        >>> is_header(["2019", "2020"], [["1.5", "0.5"], ["2.5", "1"]])
        True
    """
    words = [not (is_number(cell) or is_missing(cell)) for cell in first]
    if any(words) and not any(map(is_number, first)):
        return True
    columns = [[row[i] for row in below if len(row) > i] for i in range(len(first))]
    over_numbers = [w and bool(c) and 2 * sum(map(is_number, c)) > len(c) for w, c in zip(words, columns, strict=True)]
    if any(over_numbers):
        return True
    numbers = [i for i, cell in enumerate(first) if is_number(cell)]
    years = {first[i] for i in numbers if _YEAR.match(first[i])}
    return len(years) == len(numbers) > 1 and not any(map(_YEAR.match, chain(*(columns[i] for i in numbers))))


def _right_delimiter(path: Path, number: int, first: list[str], delimiter: str) -> None:
    for other in (";", "\t", "|", ","):
        if len(first) == 1 and other != delimiter and other in first[0]:
            raise ValueError(
                f"{path}, line {number}: one column {first[0]!r} with the delimiter {delimiter!r}; "
                f"try delimiter={other!r}"
            )

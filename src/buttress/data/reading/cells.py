"""Files of named columns (.csv, .tsv, .jsonl, .parquet) as cells, a block of rows at a time."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from buttress.data.reading import lines
from buttress.data.reading.columnar import blocks, schema
from buttress.data.reading.endings import ending
from buttress.runtime.safe_files import reading

__all__ = ["MISSING", "PEEK", "Fields", "Rows", "is_number", "rows", "words"]

PEEK = 200
"""Rows that tell what the columns hold."""
BLOCK = 4096
"""Rows that are read at a time."""
MISSING = ("", "na", "n/a", "nan", "null")
"""What stands for a missing value, in lower case."""
Rows = Iterator[tuple[Sequence[int], Mapping[str, Sequence[Any]]]]
"""Blocks of rows: their numbers in the file, and their cells by column."""


@dataclass(frozen=True)
class Fields:
    """Where sentences and labels are in a file of named columns.

    Args:
        column: The column of sentences; None for the only one.
        label: The column of class labels; None for none.
        delimiter: Between the cells of a .csv file; None for finding out.
        header: Whether its first line names the columns; None for finding out.
        encoding: Of the file.

    Example:
        >>> Fields(label="stars").column is None
        True
    """

    column: str | None = None
    label: str | None = None
    delimiter: str | None = None
    header: bool | None = None
    encoding: str = "utf-8"


def rows(path: Path, fields: Fields, only: list[str] | None = None) -> Rows:
    r"""The rows of a file.

    Args:
        path: The file.
        fields: How a .csv file is written, and its encoding.
        only: The columns that are needed; None for all of them, in small blocks, to see what they hold.

    Errors:
        ValueError: The file is empty or broken; says in which line.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "a.jsonl"
        ...     _ = path.write_text('{"said": "so it is", "id": 7}\n\n{"said": "so be it"}\n')
        ...     list(rows(path, Fields(), ["said"]))
        [([1, 3], {'said': ['so it is', 'so be it']})]
    """
    kind = ending(path)
    if kind == ".parquet":
        return _parquet(path, only)
    return _delimited(path, fields) if kind in (".csv", ".tsv") else _objects(path, fields.encoding, only)


def _parquet(path: Path, only: list[str] | None) -> Rows:
    start = 0
    for block in blocks(path, schema(path).names if only is None else only, PEEK if only is None else BLOCK):
        with reading(path, "parquet", "writing it again"):  # its strings may be none
            columns = block.to_pydict()
        yield range(start, start + block.num_rows), columns
        start += block.num_rows


def _objects(path: Path, encoding: str, only: list[str] | None) -> Rows:
    read = lines.read(path, encoding, tidy=False)
    found = ((n, _object(text, path, n)) for n, text in read if text is None or text.strip())
    while block := list(islice(found, PEEK if only is None else BLOCK)):
        names = dict.fromkeys(name for _, row in block for name in row) if only is None else only
        yield [number for number, _ in block], {name: [row.get(name) for _, row in block] for name in names}


def _object(text: str | None, path: Path, number: int) -> dict[str, Any]:
    if text is None:
        raise ValueError(f"{path}, line {number}: longer than {lines.LONGEST} characters; wanted one object a line")
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        hint = "jq -c '.[]' on it" if text.startswith("[") else "jq -c . on it"
        raise ValueError(
            f"{path}, line {number}: not readable as JSON, one object a line ({error}); try {hint}"
        ) from error
    row = {"text": row} if isinstance(row, str) else row
    if not isinstance(row, dict):
        raise ValueError(
            f"{path}, line {number}: wanted an object such as {{\"text\": ...}}; try jq -c '.[]' on the file"
        )
    return row


def _delimited(path: Path, fields: Fields) -> Rows:
    found = _cells(path, fields)
    first = list(islice(found, PEEK + 1))
    if not first:
        raise ValueError(f"{path}: the file has no rows; try another file")
    header = _is_header([row for _, row in first]) if fields.header is None else fields.header
    names = [name if header and name else f"column{i}" for i, name in enumerate(first[0][1])]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(f"{path}: columns of the same name: {', '.join(map(repr, twice))}; try renaming one")
    for block in chain([first[1:] if header else first], iter(lambda: list(islice(found, BLOCK)), [])):
        columns = zip(*(_of_length(path, number, row, len(names)) for number, row in block), strict=True)
        yield [number for number, _ in block], dict(zip(names, columns if block else [()] * len(names), strict=True))


def _of_length(path: Path, number: int, row: list[str], wanted: int) -> list[str]:
    if len(row) != wanted:
        raise ValueError(
            f"{path}, line {number}: {len(row)} cells, wanted {wanted} as in the first line; "
            "try another delimiter, or quotes around cells that contain it"
        )
    return row


def _is_header(first: list[list[str]]) -> bool:
    """Whether the first of some rows names the columns.

    It does not if a cell of it is a number, is there again further down in its column, or is a sentence.
    """
    names = first[0]
    if any(is_number(name) for name in names[1:] + names[:1] * bool(names[0])):
        return False
    again = any(row[i] == name for row in first[1:] for i, name in enumerate(names) if name and len(row) > i)
    return not again and not any(words(name) > 3 and not name.endswith(("?", ":")) for name in names)


def _cells(path: Path, fields: Fields) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, each with its last line's number from 1."""
    start = list(islice(_raw(path, fields.encoding), PEEK))
    delimiter = fields.delimiter or _delimiter(path, next(filter(str.strip, start), ""))
    bare = delimiter == "\t" and _bare_quotes(start)
    csv.field_size_limit(lines.LONGEST)
    reader = csv.reader(
        _raw(path, fields.encoding),
        delimiter=delimiter,
        quoting=csv.QUOTE_NONE if bare else csv.QUOTE_MINIMAL,
        strict=True,
    )
    try:
        for row in reader:
            if row:
                yield reader.line_num, [cell.strip() for cell in row]
    except csv.Error as error:
        raise ValueError(
            f"{path}, line {reader.line_num}: not readable as a table ({error}); try doubling the quotes inside quoted "
            "cells, or a .txt file of one sentence a line"
        ) from error


def _delimiter(path: Path, first: str) -> str:
    return "\t" if ending(path) == ".tsv" else max(",;\t|", key=first.count)


def _bare_quotes(start: list[str]) -> bool:
    """Whether quotes at the beginning of cells are part of the text: some are not closed at the end of the cell."""
    cells = [cell.strip("\r\n") for line in start for cell in line.split("\t")]
    return any(cell.startswith('"') and (len(cell) < 2 or not cell.endswith('"')) for cell in cells)


def _raw(path: Path, encoding: str) -> Iterator[str]:
    for number, text in lines.read(path, encoding, tidy=False):
        if text is None:
            raise ValueError(f"{path}, line {number}: longer than {lines.LONGEST} characters; is this a table?")
        yield text


def words(text: str) -> int:
    """Number of words; in scripts without spaces about two letters make one. 0 where digits prevail.

    Example:
        >>> words("so it is"), words("2026-11-28 16:00 UTC"), words("今天天气很好")
        (3, 0, 3)
    """
    letters = sum(map(str.isalpha, text))
    if 2 * letters < len("".join(text.split())) and text.isascii():
        return 0
    return max(len(text.split()), sum(letter >= "\u0e00" for letter in text) // 2)


def is_number(cell: Any) -> bool:
    """Whether a cell is a number or missing.

    Example:
        >>> [is_number(cell) for cell in ("1e-3", "NaN", "", 7, "seven")]
        [True, True, True, True, False]
    """
    if not isinstance(cell, str):
        return True
    try:
        float(cell)
    except ValueError:
        return cell.strip().lower() in MISSING
    return True

"""Files of named columns (.csv, .tsv, .jsonl, .parquet) as sentences and their class labels, a block of rows at a time."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from buttress.core.registry import suggest
from buttress.data.reading import lines
from buttress.data.reading.columnar import schema
from buttress.data.reading.endings import ending
from buttress.data.reading.memory import Array

__all__ = ["Block", "Fields", "chosen", "has_sentences", "label_text", "sentence_columns", "sentences"]

PEEK = 200
"""Rows that tell which column has sentences."""
BLOCK = 4096
"""Rows that are read at a time."""
_MISSING = ("", "na", "n/a", "nan", "null")
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


@dataclass(frozen=True)
class Block:
    """Some sentences of a source, as they are written there.

    Args:
        numbers: Their places, shape (n,).
        texts: The sentences, "" for a missing one.
        labels: Their classes, "" for a missing one; None where none were wanted.

    Example:
        >>> Block(np.array([2, 3]), ["so it is", "so be it"], ["good", "bad"]).labels[1]
        'bad'
    """

    numbers: Array
    texts: list[str]
    labels: list[str] | None = None


def sentences(path: Path, fields: Fields) -> Iterator[Block]:
    r"""The sentences of a file.

    Errors:
        ValueError: The file is broken, a cell is no text, or it is unclear which column is meant.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "a.csv"
        ...     _ = path.write_text('text,stars\n"so, it is now",5\nso be it then,4\n')
        ...     [(block.numbers.tolist(), block.texts, block.labels) for block in sentences(path, Fields(label="stars"))]
        [([2, 3], ['so, it is now', 'so be it then'], ['5', '4'])]
    """
    column = chosen(path, fields)
    wanted = [column, *([fields.label] if fields.label is not None else [])]
    for numbers, columns in _rows(path, fields, wanted):
        texts = [_text(cell, path, column, number) for number, cell in zip(numbers, columns[column], strict=True)]
        labels = None if fields.label is None else [label_text(cell, path, fields.label) for cell in columns[wanted[1]]]
        yield Block(np.array(numbers, np.int64), texts, labels)


def _text(cell: Any, path: Path, column: str, number: int) -> str:
    if isinstance(cell, str):
        return cell
    if cell is None:
        return ""
    hint = "joining its words with spaces" if isinstance(cell, list) else "another column"
    raise ValueError(f"{path}, line {number}, column {column!r}: {str(cell)[:40]!r} is no text; try {hint}")


def label_text(cell: Any, path: object, column: str) -> str:
    """A class label as text: whole numbers without a decimal point, "" where it is missing.

    Errors:
        ValueError: It is neither text nor a number.

    Example:
        >>> [label_text(cell, "a.csv", "stars") for cell in (4.0, " good", True, None, "NaN")]
        ['4', 'good', 'true', '', '']
    """
    if isinstance(cell, dict | list | bytes):
        raise ValueError(f"{path}, column {column!r}: {str(cell)[:40]!r} is no class label; wanted a word or a number")
    text = "" if cell is None else str(cell).strip()
    if isinstance(cell, bool):
        return text.lower()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return "" if text.lower() in _MISSING else text


def has_sentences(path: Path) -> bool:
    """Whether a file of columns has one of sentences; False where it cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "a.tsv"
        ...     _ = path.write_text("height\\tkind\\n1.5\\ttall\\n1.25\\tnot so tall\\n")
        ...     has_sentences(path)
        False
    """
    try:
        return bool(sentence_columns(_peek(path, Fields())))
    except (ValueError, OSError):
        return False


def _peek(path: Path, fields: Fields) -> Mapping[str, Sequence[Any]]:
    return next(_rows(path, fields, None), ((), {}))[1]


def chosen(path: Path, fields: Fields) -> str:
    """The column of sentences: the one that was named, or the only one that can be meant.

    Errors:
        ValueError: There is no such column, or it is unclear which is meant.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "a.jsonl"
        ...     _ = path.write_text('{"id": 7, "said": "so it is", "title": "as it is now"}\\n')
        ...     chosen(path, Fields(column="said"))
        ...     chosen(path, Fields())
        Traceback (most recent call last):
        ValueError: ...a.jsonl: columns 'said', 'title' all have sentences; try --data.column said or --data.column title
    """
    columns = _peek(path, fields)
    for name in (fields.column, fields.label):
        if name is not None and name not in columns:
            raise ValueError(f"{path}: no column {name!r}; {suggest(name, columns)}It has {', '.join(columns)}")
    if fields.column is not None:
        if all(_is_number(cell) for cell in columns[fields.column]):
            raise ValueError(f"{path}: column {fields.column!r} holds numbers, wanted text; it has {', '.join(columns)}")
        return fields.column
    others = {name: cells for name, cells in columns.items() if name != fields.label}
    found = sentence_columns(others) or [name for name, cells in others.items() if not any(map(_is_number, cells))]
    if "text" in found or len(found) == 1:
        return "text" if "text" in found else found[0]
    if not found:
        raise ValueError(f"{path}: no column has sentences; it has {', '.join(columns)}; try --data.column NAME")
    options = " or ".join(f"--data.column {name}" for name in found)
    raise ValueError(f"{path}: columns {', '.join(map(repr, found))} all have sentences; try {options}")


def sentence_columns(columns: Mapping[str, Sequence[Any]]) -> list[str]:
    """The columns whose cells are sentences: mostly text of three words or more, and not the same few of them.

    Example:
        >>> said = ["so it is now", "so be it then", "nothing else was said"]
        >>> sentence_columns({"said": said, "stars": ["4", "5", "4"], "name": ["Ann", "Bo", "Cy"]})
        ['said']
    """
    return [name for name, cells in columns.items() if _are_sentences(cells)]


def _are_sentences(cells: Sequence[Any]) -> bool:
    texts = [cell for cell in cells if isinstance(cell, str) and cell.strip()]
    long = sum(_words(text) >= 3 for text in texts)
    return 2 * long > len(texts) and 2 * len(texts) > len(cells) and 10 * len(set(texts)) >= len(texts)


def _words(text: str) -> int:
    """Number of words; in scripts without spaces about two letters make one. None where digits prevail."""
    letters = sum(map(str.isalpha, text))
    if 2 * letters < len("".join(text.split())) and text.isascii():
        return 0
    return max(len(text.split()), sum(letter >= "\u0e00" for letter in text) // 2)


def _is_number(cell: Any) -> bool:
    """Whether a cell is a number or missing."""
    if not isinstance(cell, str):
        return True
    try:
        float(cell)
    except ValueError:
        return cell.strip().lower() in _MISSING
    return True


def _rows(path: Path, fields: Fields, only: list[str] | None) -> Rows:
    kind = ending(path)
    if kind == ".parquet":
        return _parquet(path, only)
    return _delimited(path, fields) if kind in (".csv", ".tsv") else _objects(path, fields.encoding, only)


def _parquet(path: Path, only: list[str] | None) -> Rows:
    schema(path)
    start = 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(PEEK if only is None else BLOCK, columns=only):
            yield range(start, start + batch.num_rows), batch.to_pydict()
            start += batch.num_rows


def _objects(path: Path, encoding: str, only: list[str] | None) -> Rows:
    rows = ((n, _object(text, path, n)) for n, text in lines.read(path, encoding, tidy=False) if text is None or text.strip())
    while block := list(islice(rows, PEEK if only is None else BLOCK)):
        names = dict.fromkeys(name for _, row in block for name in row) if only is None else only
        yield [number for number, _ in block], {name: [row.get(name) for _, row in block] for name in names}


def _object(text: str | None, path: Path, number: int) -> dict[str, Any]:
    if text is None:
        raise ValueError(f"{path}, line {number}: longer than {lines.LONGEST} characters; wanted one object a line")
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        hint = "jq -c '.[]' on it" if text.startswith("[") else "jq -c . on it"
        raise ValueError(f"{path}, line {number}: not readable as JSON, one object a line ({error}); try {hint}") from error
    row = {"text": row} if isinstance(row, str) else row
    if not isinstance(row, dict):
        raise ValueError(f"{path}, line {number}: wanted an object such as {{\"text\": ...}}; try jq -c '.[]' on the file")
    return row


def _delimited(path: Path, fields: Fields) -> Rows:
    rows = _cells(path, fields)
    first = list(islice(rows, PEEK + 1))
    if not first:
        raise ValueError(f"{path}: the file has no rows; try another file")
    cells = first[0][1]
    header = _is_header(cells) if fields.header is None else fields.header
    names = [name if header and name else f"column{i}" for i, name in enumerate(cells)]
    if len(twice := [name for name, count in Counter(names).items() if count > 1]):
        raise ValueError(f"{path}: columns of the same name: {', '.join(map(repr, twice))}; try renaming one")
    body = chain([first[1:] if header else first], iter(lambda: list(islice(rows, BLOCK)), []))
    for block in body:
        for number, row in block:
            if len(row) != len(names):
                raise ValueError(
                    f"{path}, line {number}: {len(row)} cells, wanted {len(names)} as in the first line; "
                    "try another delimiter, or quotes around cells that contain it"
                )
        yield [number for number, _ in block], dict(zip(names, zip(*(row for _, row in block)), strict=bool(block)))


def _is_header(cells: list[str]) -> bool:
    """Whether a first line names columns: all are there, none is a number or as long as a sentence."""
    return not any(_is_number(cell) for cell in cells[1:] + cells[:1] * bool(cells[0])) and max(map(_words, cells)) < 4


def _cells(path: Path, fields: Fields) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, each with its last line's number from 1."""
    start = list(islice(_raw(path, fields.encoding), PEEK))
    delimiter = fields.delimiter or _delimiter(path, start[0])
    quoting = csv.QUOTE_NONE if delimiter == "\t" and _bare_quotes(start) else csv.QUOTE_MINIMAL
    csv.field_size_limit(lines.LONGEST)
    reader = csv.reader(_raw(path, fields.encoding), delimiter=delimiter, quoting=quoting, strict=True)
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

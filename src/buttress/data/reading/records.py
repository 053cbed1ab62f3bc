"""The sentences and class labels in files of named columns, and which of the columns they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from buttress.core.registry import suggest
from buttress.data.reading.cells import MISSING, Fields, is_number, rows, words
from buttress.data.reading.memory import Array

__all__ = ["TextBlock", "chosen", "has_sentences", "label_text", "sentence_columns", "sentences"]


@dataclass(frozen=True)
class TextBlock:
    """Some sentences of a source, as they are written there.

    Args:
        numbers: Their places, shape (n,).
        texts: The sentences, "" for a missing one.
        labels: Their classes, "" for a missing one; None where none were wanted.

    Example:
        >>> TextBlock(np.array([2, 3]), ["so it is", "so be it"], ["good", "bad"]).labels[1]
        'bad'
    """

    numbers: Array
    texts: list[str]
    labels: list[str] | None = None


def sentences(path: Path, fields: Fields) -> Iterator[TextBlock]:
    r"""The sentences of a file.

    Errors:
        ValueError: The file is broken, a cell is no text, or it is unclear which column is meant.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "a.csv"
        ...     _ = path.write_text('text,stars\n"so, it is now",5\nso be it then,4\n')
        ...     [(b.numbers.tolist(), b.texts, b.labels) for b in sentences(path, Fields(label="stars"))]
        [([2, 3], ['so, it is now', 'so be it then'], ['5', '4'])]
    """
    column = chosen(path, fields)
    wanted = [column, *([fields.label] if fields.label is not None else [])]
    for numbers, columns in rows(path, fields, wanted):
        texts = [_text(cell, path, column, number) for number, cell in zip(numbers, columns[column], strict=True)]
        labels = None if fields.label is None else [label_text(cell, path, fields.label) for cell in columns[wanted[1]]]
        yield TextBlock(np.array(numbers, np.int64), texts, labels)


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
    return "" if text.lower() in MISSING else text


def has_sentences(path: Path) -> bool:
    r"""Whether a file of columns has one of sentences; False where it cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "a.tsv"
        ...     _ = path.write_text("height\tkind\n1.5\ttall\n1.25\tnot so tall\n")
        ...     has_sentences(path)
        False
    """
    try:
        return bool(sentence_columns(_peek(path, Fields())))
    except (ValueError, OSError):
        return False


def _peek(path: Path, fields: Fields) -> Mapping[str, Sequence[Any]]:
    return next(rows(path, fields), ((), {}))[1]


def chosen(path: Path, fields: Fields) -> str:
    r"""The column of sentences: the one that was named, or the only one that can be meant.

    Errors:
        ValueError: There is no such column, or it is unclear which is meant.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "a.jsonl"
        ...     _ = path.write_text('{"id": 7, "said": "so it is", "title": "as it is now"}\n')
        ...     chosen(path, Fields(column="said"))
        ...     chosen(path, Fields())
        Traceback (most recent call last):
        ValueError: ...a.jsonl: columns 'said', 'title' all have sentences; try ...
    """
    columns = _peek(path, fields)
    if not any(map(len, columns.values())):
        raise ValueError(f"{path}: the file has no rows; try another file")
    for name in (fields.column, fields.label):
        if name is not None and name not in columns:
            raise ValueError(f"{path}: no column {name!r}; {suggest(name, columns, 'It has')} {', '.join(columns)}")
    if fields.column is not None:
        if all(map(is_number, columns[fields.column])):
            raise ValueError(f"{path}: column {fields.column!r} has no text; it has {', '.join(columns)}")
        return fields.column
    others = {name: cells for name, cells in columns.items() if name != fields.label}
    found = _most_likely(others)
    if len(found) == 1:
        return found[0]
    if not found:
        raise ValueError(f"{path}: no column has sentences; it has {', '.join(columns)}; try --data.column NAME")
    options = " or ".join(f"--data.column {name}" for name in found)
    raise ValueError(f"{path}: columns {', '.join(map(repr, found))} all have sentences; try {options}")


def _most_likely(columns: Mapping[str, Sequence[Any]]) -> list[str]:
    """The columns that may be meant: "text", or those of sentences, or of long texts, or of words."""
    if not all(map(is_number, columns.get("text", ()))):
        return ["text"]
    long = [name for name, cells in columns.items() if _are_long(cells)]
    return sentence_columns(columns) or long or [n for n, cells in columns.items() if not any(map(is_number, cells))]


def sentence_columns(columns: Mapping[str, Sequence[Any]]) -> list[str]:
    """The columns whose cells are sentences: mostly text of three words or more, and not the same few of them.

    Example:
        >>> said = ["so it is now", "so be it then", "nothing else was said"]
        >>> sentence_columns({"said": said, "stars": ["4", "5", "4"], "name": ["Ann", "Bo", "Cy"]})
        ['said']
    """
    return [name for name, cells in columns.items() if _are_sentences(cells)]


def _are_sentences(cells: Sequence[Any]) -> bool:
    return _are_long(cells) and 10 * len(set(map(str, cells))) >= len(cells)


def _are_long(cells: Sequence[Any]) -> bool:
    return 2 * sum(isinstance(cell, str) and words(cell) >= 3 for cell in cells) > len(cells)

"""Columns of a table as they are read: plain numbers, or words that become the codes of categories.

What a column holds is decided by the first block of rows that has values: numbers if at least half of them are plain
numbers, else words. Codes are numbered in the order in which words first occur, so that rows appended to a file leave
those before them as they are. A missing number is NaN; a missing word is the category "".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from buttress.data.reading.memory import Array, few

__all__ = ["MISSING", "MOST", "TableColumn", "is_missing", "is_number", "notes_on", "used"]

MISSING = frozenset(("", "na", "n/a", "nan", "-nan", "null", "none", "?", "-", ".", "#n/a", "<na>", "missing"))
"""What represents a missing value, in small letters."""
MOST = 5000
"""Categories of a column beyond which it is set aside."""
_ODD = re.compile(r"[-+]?[$€£]?\s*[-+]?\d[\d.,'_  ]*\s*[%$€£]?$")
"""Numbers as people write them and programs do not read them: with separators, a decimal comma, a unit."""
_ROW_NUMBER = re.compile(r"(^|.*[^a-z])(id|idx|index|row|no|nr|number|unnamed: \d+|level_0__)$", re.IGNORECASE)
_SENTENCE = 3
"""Words in a cell, on average, from which on cells are sentences."""


def _apart(name: str) -> str:
    """The parts of a name in camel case apart: PassengerId is Passenger Id."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)


def is_missing(cell: str) -> bool:
    """Whether a cell stands for a missing value.

    Example:
        >>> is_missing("N/A"), is_missing("0")
        (True, False)
    """
    return cell.lower() in MISSING


def is_number(cell: str) -> bool:
    """Whether a cell is a plain number. Underscores between digits belong to a programming language, not to data.

    Example:
        >>> is_number("-1.5e3"), is_number("1_00"), is_number("1,234"), is_number("nan")
        (True, False, False, False)
    """
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell and not is_missing(cell)


class TableColumn:
    """One column while it is read.

    Args:
        path: The file, for errors.
        name: Its name.
        categories: Whether its cells are words although they may look like numbers; None for finding out.

    Example:
        >>> column = TableColumn(Path("t.csv"), "city")
        >>> column.read(["Rome", "Oslo", "NA", "Rome"], [2, 3, 4, 5]).tolist(), column.names
        ([0.0, 1.0, 2.0, 0.0], ('Rome', 'Oslo', ''))
        >>> TableColumn(Path("t.csv"), "age").read(["31", "4_0"], [2, 3])
        Traceback (most recent call last):
        ValueError: t.csv, line 3, column 'age': '4_0' is no plain number; wanted digits and at most one point, ...
    """

    def __init__(self, path: Path, name: str, categories: bool | None = None) -> None:
        self.path, self.name = path, name
        self.holds_words: bool | None = categories or None
        self.forced = bool(categories)
        self.codes: dict[str, int] = {}
        self.too_many = False
        self.rows = self.present = self.different = self.cell_words = 0
        self.counts_up = True
        self._next: float | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Of the categories, in the order of their codes; none where the column holds numbers."""
        return tuple(self.codes) if self.holds_words else ()

    @property
    def missing_code(self) -> float:
        """The value of a missing cell: its code, or NaN."""
        return self.codes.get("", np.nan)

    def read(self, cells: Sequence[str], lines: Sequence[int], place: str = "line {}") -> Array:
        """The values of some cells, float64.

        Args:
            cells: Without spaces around them.
            lines: Where they stand, for errors.
            place: What errors call such a place.

        Errors:
            ValueError: A cell of a column of numbers is none.
        """
        if self.holds_words is None:
            self.holds_words = self._guess(cells, lines, place)
        if self.holds_words:
            return self._words(cells)
        values = self._numbers(cells, lines, place)
        self.note(values)
        return values

    def note(self, values: Array) -> None:
        """Take in numbers, to know later whether all are missing and whether they count the rows."""
        self.rows += len(values)
        self.present += int((~np.isnan(values)).sum())
        if self.counts_up and len(values):
            first = values[0] if self._next is None else self._next
            self.counts_up = bool(first in (0, 1) or self._next is not None) and np.array_equal(
                values, first + np.arange(len(values))
            )
            self._next = float(values[-1]) + 1

    def _guess(self, cells: Sequence[str], lines: Sequence[int], place: str) -> bool | None:
        """Whether these are words; None where all are missing."""
        there = [(cell, line) for cell, line in zip(cells, lines, strict=True) if not is_missing(cell)]
        others = [(cell, line) for cell, line in there if not is_number(cell)]
        if not there or 2 * len(others) <= len(there):
            return False if there else None
        odd = [(cell, line) for cell, line in others if _ODD.match(cell)]
        if 2 * len(odd) > len(others):
            raise self._no_number(*odd[0], place)
        return True

    def _numbers(self, cells: Sequence[str], lines: Sequence[int], place: str) -> Array:
        if "_" not in "".join(cells):
            try:
                return np.array(list(map(float, cells)))
            except ValueError:
                pass
        return np.array([self._number(c, n, place) for c, n in zip(cells, lines, strict=True)], np.float64)

    def _number(self, cell: str, line: int, place: str) -> float:
        if is_missing(cell):
            return float("nan")
        if not is_number(cell):
            raise self._no_number(cell, line, place)
        return float(cell)

    def _no_number(self, cell: str, line: int, place: str) -> ValueError:
        wanted = "wanted digits and at most one point, as in 1234.5; " if _ODD.match(cell) else ""
        return ValueError(
            f"{self.path}, {place.format(line)}, column {self.name!r}: {cell!r} is no plain number; {wanted}try "
            f"repairing it, columns=... without {self.name!r}, or categories=({self.name!r},) to read it as words"
        )

    def _words(self, cells: Sequence[str]) -> Array:
        codes = self.codes
        self.rows += len(cells)
        kept = ["" if is_missing(cell) else cell for cell in cells]
        for cell in kept:
            if cell not in codes:
                codes[cell] = len(codes)
                self.different += 1
                self.cell_words += len(cell.split())
        self.present += len(kept) - kept.count("")
        values = np.array([codes[cell] for cell in kept], np.float64)
        if len(codes) > MOST:  # no more than a few blocks' words are ever held
            self.too_many = True
            codes.clear()
        return values

    @property
    def sentences(self) -> bool:
        """Whether its cells are sentences, most of which occur once."""
        return bool(self.holds_words) and self.cell_words >= _SENTENCE * max(1, self.different) and self.identifier

    @property
    def identifier(self) -> bool:
        """Whether it has so many words that most rows have one of their own."""
        return self.too_many or (bool(self.holds_words) and 2 * len(set(self.codes) - {""}) > self.present)

    @property
    def why_not(self) -> str:
        """Why it is set aside; empty where it is used."""
        if not self.present:
            return "no values" if self.rows else ""
        if not self.holds_words:
            return "row numbers" if self.counts_up and _ROW_NUMBER.match(_apart(self.name)) else ""
        if self.identifier and not self.forced:
            what = "sentences" if self.sentences else "identifiers"
            return f"{what}, {'over ' if self.too_many else ''}{MOST if self.too_many else len(self.codes)} different"
        return "one word in all rows" if len(self.codes) == 1 else ""


def used(path: Path, columns: Sequence[TableColumn], chosen: bool) -> list[int]:
    """The positions of the columns that a model can learn; those that users chose stay where they can.

    Errors:
        ValueError: None is left, or little is left beside a column of sentences.

    Example:
        >>> column = TableColumn(Path("t.csv"), "name")
        >>> _ = column.read(["Ann", "Bob", "Eve"], [2, 3, 4])
        >>> used(Path("t.csv"), [column], chosen=False)
        Traceback (most recent call last):
        ValueError: t.csv: no column is left to learn: 'name' (identifiers, 3 different); try columns=... or another ...
    """
    stay = [i for i, c in enumerate(columns) if not c.why_not or (chosen and c.present and not c.too_many)]
    texts = [c for c in columns if c.sentences]
    if texts and len(stay) < 3 and not chosen:
        raise ValueError(
            f"{path}, column {texts[0].name!r}: sentences, which are no categories; try data sentences with "
            f"column={texts[0].name!r}, one text a line in a .txt file, or columns=... without {texts[0].name!r}"
        )
    if not stay:
        raise ValueError(f"{path}: no column is left to learn: {_listed(columns)}; try columns=... or another file")
    return stay


def notes_on(path: Path, columns: Sequence[TableColumn], stay: Sequence[int]) -> list[str]:
    """What to say of columns of words, and of those set aside.

    Example:
        >>> column = TableColumn(Path("t.csv"), "city")
        >>> _ = column.read(["Rome", "Oslo", "Rome", "Rome"], [2, 3, 4, 5])
        >>> notes_on(Path("t.csv"), [column], [0])
        ["t.csv: read as categories: 'city' (2: Rome, Oslo)"]
    """
    words = [columns[i] for i in stay if columns[i].holds_words]
    learned = set(stay)
    aside = [c for i, c in enumerate(columns) if i not in learned]
    notes = []
    if words:
        notes.append(f"{path}: read as categories: {few(lambda i: _kinds(words[i]), range(len(words)), 3)}")
    if aside:
        notes.append(f"{path}: set aside, not learned: {_listed(aside)}; columns=... decides otherwise")
    return notes


def _kinds(column: TableColumn) -> str:
    shown = ", ".join(name or "missing" for name in column.names[:5])
    return f"{column.name!r} ({len(column.names)}: {shown}{', ...' if len(column.names) > 5 else ''})"


def _listed(columns: Sequence[TableColumn]) -> str:
    return few(lambda i: f"{columns[i].name!r} ({columns[i].why_not})", range(len(columns)), 3)

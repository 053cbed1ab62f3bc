"""A table of any file format on its way into an array on disk: which columns, which rows, and what is said of them."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from buttress.core.registry import suggest
from buttress.data.reading.columns import TableColumn, notes_on, used
from buttress.data.reading.labels import numbered
from buttress.data.reading.memory import Array, NpyWriter, few, write_json

__all__ = ["Asked", "Conversion", "choose"]

MOST = 100_000
"""Most columns of a table with names."""


@dataclass(frozen=True)
class Asked:
    """What was asked of a table.

    Args:
        columns: Those to use; () for all but ``label``.
        label: The column of class labels.
        categories: Columns whose numbers are names of categories.
        missing: What to do with a row that lacks a value.
        delimiter: Between cells.
        header: Whether the first line names the columns; None for finding out.
        encoding: Of the file.

    Example:
        >>> Asked(columns=("a", "b"), label="kind").missing
        'keep'
    """

    columns: tuple[str, ...] = ()
    label: str | None = None
    categories: tuple[str, ...] = ()
    missing: Literal["keep", "set_aside", "refuse"] = "keep"
    delimiter: str = ","
    header: bool | None = None
    encoding: str = "utf-8"


class Conversion:
    """Writes ``rows.npy`` (N, D) float64, ``numbers.npy`` (N,), maybe ``labels.npy`` (N,), and ``meta.json``.

    Rows hold every column that was chosen, also those that turn out to be set aside: ``meta.json`` says which are used.

    Args:
        path: The file, for errors.
        names: Of all its columns.
        asked: What is wanted of it.
        place: What errors call a row, such as "line {}".
        unnamed: Whether the first column is one of row numbers that the file does not name.

    Example:
        >>> import tempfile
        >>> table = Conversion(Path("t.csv"), ["a", "b"], Asked(missing="set_aside"), "line {}")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with table.into(Path(folder)):
        ...         table.append([2, 3], [np.array([1.5, 2.5]), np.array([0.5, np.nan])])
        ...     np.load(f"{folder}/rows.npy").tolist(), np.load(f"{folder}/numbers.npy").tolist()
        ([[1.5, 0.5]], [2])
    """

    def __init__(self, path: Path, names: list[str], asked: Asked, place: str, unnamed: bool = False) -> None:
        self.path, self.asked, self.place = path, asked, place
        unnamed = unnamed and not asked.columns and asked.label != names[0]
        chosen = choose(path, names, asked)
        self.positions = [i for i in chosen if not (unnamed and i == 0)] or chosen
        self.columns = [TableColumn(path, names[i], names[i] in asked.categories) for i in self.positions]
        self.label = None if asked.label is None else names.index(asked.label)
        self.numbers, self.dropped, self.labels = array("q"), array("q"), list[str]()
        self.notes: list[str] = []
        if len(self.positions) < len(chosen):
            self.notes.append(f"{path}: set aside, not learned: the first column, an index without a name")

    def into(self, folder: Path) -> Self:
        """Write into this folder while it is the context."""
        self.folder = folder
        return self

    def __enter__(self) -> Self:
        self._writer = NpyWriter(self.folder / "rows.npy", (len(self.columns),), np.float64)
        self._writer.__enter__()
        return self

    def __exit__(self, *failure: Any) -> None:
        self._writer.__exit__(*failure)
        if failure[0] is None:
            self._save()

    def append(self, numbers: Sequence[int], values: Sequence[Array], labels: Sequence[str] = ()) -> None:
        """Add rows.

        Args:
            numbers: Where they stand in the file.
            values: Of each column.
            labels: Their labels, where the table has some.

        Errors:
            ValueError: A value is missing and that is refused.
        """
        rows = np.stack(values, 1)
        self.labels += labels
        kept = np.asarray(numbers)
        if self.asked.missing != "keep":
            absent: Array = np.stack([_absent(c, v) for c, v in zip(self.columns, values, strict=True)], 1)
            lacking = np.logical_or.reduce(absent, 1)
            self._refuse(absent, kept)
            self.dropped.extend(kept[lacking].tolist())
            rows, kept = rows[~lacking], kept[~lacking]
            if labels:
                self.labels[-len(labels) :] = [label for label, out in zip(labels, lacking, strict=True) if not out]
        self.numbers.extend(kept.tolist())
        self._writer.append(rows)

    def _refuse(self, absent: Array, numbers: Array) -> None:
        if self.asked.missing == "refuse" and absent.any():
            row, column = np.argwhere(absent)[0]
            raise ValueError(
                f"{self.path}, {self.place.format(numbers[row])}, column {self.columns[column].name!r}: a missing "
                "value; try filling it, --data.missing set_aside to leave such rows out, or --data.missing keep to "
                "model the rest"
            )

    def _save(self) -> None:
        stay = used(self.path, self.columns, bool(self.asked.columns))
        notes = [*self.notes, *notes_on(self.path, self.columns, stay)]
        if self.dropped:
            which = few(self.place.format, self.dropped)
            notes.append(
                f"{self.path}: set aside {len(self.dropped)} rows that lack a value: {which}; try filling it in, or "
                "columns=... without the column that lacks it"
            )
        np.save(self.folder / "numbers.npy", np.array(self.numbers, np.int64))
        meta: dict[str, Any] = {"notes": notes, "stay": stay}
        meta |= {"columns": [self.columns[i].name for i in stay], "words": [self.columns[i].names for i in stay]}
        if self.label is not None:
            labels, meta["labels"] = numbered(self.labels)
            np.save(self.folder / "labels.npy", labels)
            if without := int((labels < 0).sum()):
                notes.append(
                    f"{self.path}: {without} of {len(labels)} rows have no label in column {self.asked.label!r}; they "
                    "are left out of what is reported of labels"
                )
        write_json(self.folder / "meta.json", meta)


def _absent(column: TableColumn, values: Array) -> Array:
    return np.isnan(values) | (values == column.missing_code)


def choose(path: Path, names: list[str], asked: Asked) -> list[int]:
    """The positions of the columns to use.

    Errors:
        ValueError: A name is unknown or there twice, or nothing is left.

    Example:
        >>> choose(Path("t.csv"), ["a", "b", "kind"], Asked(label="kind"))
        [0, 1]
    """
    if len(names) > MOST:
        raise ValueError(f"{path}: {len(names):,} columns, wanted at most {MOST:,}; try a .npy file of the numbers")
    twice = sorted(n for n, count in Counter(names).items() if count > 1)
    if twice:
        raise ValueError(f"{path}: columns of the same name: {_some([repr(n) for n in twice])}; try renaming one")
    for name in (*asked.columns, *asked.categories, *([asked.label] if asked.label is not None else [])):
        if name not in names:
            raise ValueError(f"{path}: no column {name!r}; {suggest(name, names, 'It has')} {_some(names)}")
    used = [names.index(n) for n in asked.columns] or [i for i, n in enumerate(names) if n != asked.label]
    if not used:
        raise ValueError(f"{path}: no column is left beside the label {asked.label!r}")
    return used


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")

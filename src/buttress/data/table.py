"""Tables of yours: numbers and words in a .csv, .parquet or .npy file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from buttress.core import Data, Splits
from buttress.data.reading import columnar, delimited, npz
from buttress.data.reading.arrays import Source, open_rows
from buttress.data.reading.conversion import Asked, choose
from buttress.data.reading.labels import classes
from buttress.data.reading.memory import Rows, cached, file_key, name_at, read_json, row_name
from buttress.data.reading.packed import arrays_of, named
from buttress.data.reading.split import Division
from buttress.runtime.safe_files import expanded

__all__ = ["Table"]

_VERSION = 3  # of what is in the cache
_TEXT = (".csv", ".tsv")


@dataclass(frozen=True)
class Table(Data):
    """Rows of numbers and words, read as float32: numbers, and the codes of categories that words name.

    A column is one of numbers if at least half of its first cells are numbers. A column of words that differ in most
    rows, such as names, is set aside with a note, and so are row numbers, and columns with one word or no value at all.

    Args:
        path: A .csv (or .tsv, .csv.gz), .parquet, .npy or .npz file.
        columns: Names of the columns to use; () for all but ``label``. Those of arrays are column0, column1 and so on.
        label: A column of class labels, or an array of a .npz file; None for none.
        categories: Columns of numbers that are names of categories, such as codes of places.
        missing: "keep" rows that lack a value and model the rest of them, leave them out ("set_aside") with a note, or
            "refuse" them.
        delimiter: Between the cells of a .csv file.
        header: Whether the first line of a .csv file names the columns; None for finding out.
        encoding: Of a .csv file.
        key: The array of a .npz file; None for the only or usual one.
        held_out: Share of rows held out.
        split: By content ("hash") or by position ("seed").
        split_seed: Another seed gives another split.

    Errors:
        ValueError: On anything that could only fail later; says which file, row and column, and what to try.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(Path(folder) / "rows.npy", np.arange(80.0).reshape(40, 2) ** 0.5)
        ...     splits = Table(f"{folder}/rows.npy", held_out=0.25, split="seed").open()
        >>> splits.spec.shape, len(splits.train), len(splits.held_out)
        ((2,), 30, 10)

        On the command line, a file whose column "kind" names classes::

            buttress train flowers.csv --data.label kind --data.missing set_aside
    """

    path: str
    columns: tuple[str, ...] = ()
    label: str | None = None
    categories: tuple[str, ...] = ()
    missing: Literal["keep", "set_aside", "refuse"] = "keep"
    delimiter: str = ","
    header: bool | None = None
    encoding: str = "utf-8"
    key: str | None = None
    held_out: float = 0.1
    split: Literal["hash", "seed"] = "hash"
    split_seed: int = 0

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if len(self.delimiter) != 1:
            raise ValueError(f"table: delimiter is {self.delimiter!r}, wanted one character, such as ';'")

    @classmethod
    def tiny(cls) -> tuple[Table, ...]:
        """None: tables of yours need files."""
        return ()

    def open(self) -> Splits:
        """See :class:`buttress.core.Data`."""
        path = expanded(self.path)
        if not path.is_file():
            raise ValueError(f"{path}: there is no such file (looked in {Path.cwd()}); try an absolute path")
        arrays = None if _ending(path) in (*_TEXT, ".parquet") else arrays_of(path)
        if arrays is None:
            source = self._converted(path)
        else:
            with named(path, arrays):
                source = self._array(path, arrays)
        return open_rows(source, Division(self.split, self.held_out, self.split_seed))

    def _converted(self, path: Path) -> Source:
        ending = _ending(path)
        if ending not in (*_TEXT, ".parquet"):
            raise ValueError(f"{path}: wanted a file ending in .csv, .tsv, .parquet, .npy or .npz; try renaming it")
        delimiter = "\t" if self.delimiter == "," and ending == ".tsv" else self.delimiter
        chosen = (self.columns, self.label, self.categories, self.missing)
        asked = Asked(*chosen, delimiter, self.header, self.encoding)
        convert = columnar.convert if ending == ".parquet" else delimited.convert
        folder = cached(("table", _VERSION, file_key(path), asked), partial(convert, path, asked))
        meta, numbers = read_json(folder / "meta.json"), np.load(folder / "numbers.npy")
        name = partial(row_name, str(path)) if ending == ".parquet" else partial(_line, str(path))
        rows = Rows(folder / "rows.npy")
        return Source(
            rows,
            "ND",
            str(path),
            partial(name_at, name, numbers),
            tuple(meta["columns"]),
            np.load(folder / "labels.npy") if self.label is not None else None,
            tuple(meta["notes"]),
            tuple(meta.get("labels", ())),
            tuple(map(tuple, meta["words"])),
            None if len(meta["stay"]) == rows.shape[1] else np.array(meta["stay"]),
        )

    def _array(self, path: Path, arrays: Path) -> Source:
        key = npz.pick(arrays, self.key, (2,)) if arrays.suffix.lower() == ".npz" else None
        where = str(path) if key is None else f"{path}, array {key!r}"
        rows = Rows(arrays) if key is None else npz.member(arrays, key)
        if len(rows.shape) != 2:
            hint = "as images (data name: images)" if len(rows.shape) in (3, 4) else "np.reshape to (N, 1)"
            raise ValueError(f"{where}: shape {rows.shape}, wanted (rows, columns); try {hint}")
        if self.categories:
            raise ValueError(f"{where}: categories applies to files with names of columns; try a .csv or .parquet file")
        names = [f"column{i}" for i in range(rows.shape[1])]
        beside = key is not None and self.label is not None and self.label not in names
        asked = Asked(self.columns, None if beside else self.label)
        kept = np.array(choose(path, names, asked))
        stored = None if asked.label is None else rows.column(names.index(asked.label))
        stored = npz.labels(arrays, self.label, len(rows)) if beside and self.label else stored
        labels, label_names = (None, ()) if stored is None else classes(stored)
        columns = tuple(names[i] for i in kept)
        source = Source(rows, "ND", where, partial(row_name, where), columns, labels, (), label_names)
        return source if len(kept) == len(names) else replace(source, kept=kept)


def _ending(path: Path) -> str:
    """Its ending in small letters; what it had before .gz where that is text."""
    inner = Path(path.stem).suffix.lower()
    ending = path.suffix.lower()
    return inner if ending == ".gz" and inner in _TEXT else ending


def _line(where: str, number: int) -> str:
    return f"{where}, line {number}"

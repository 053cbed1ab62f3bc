"""Tables of yours: numbers in a .csv, .parquet or .npy file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from buttress.core import Data, Splits
from buttress.data.reading import columnar, delimited, npz
from buttress.data.reading.arrays import Source, open_rows
from buttress.data.reading.delimited import Asked
from buttress.data.reading.memory import Rows, cached, file_key, name_at, read_json, row_name
from buttress.data.reading.split import Division

__all__ = ["Table"]

_VERSION = 2  # of what is in the cache
_TEXT = (".csv", ".tsv", ".gz")


@dataclass(frozen=True)
class Table(Data):
    """Rows of numbers, read as float32. Columns of words are refused by name.

    Args:
        path: A .csv (or .tsv, .csv.gz), .parquet, .npy or .npz file.
        columns: Names of the columns to use; () for all but ``label``.
        label: A column of class labels, kept for the held-out rows; None for none.
        missing: "refuse" a row that lacks a value, or leave it out ("set_aside") with a note.
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
    missing: Literal["refuse", "set_aside"] = "refuse"
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
        path = Path(self.path).expanduser()
        if not path.is_file():
            raise ValueError(f"{path}: there is no such file (looked in {Path.cwd()}); try an absolute path")
        source = self._array(path) if path.suffix in (".npy", ".npz") else self._converted(path)
        return open_rows(source, Division(self.split, self.held_out, self.split_seed))

    def _converted(self, path: Path) -> Source:
        if path.suffix not in (*_TEXT, ".parquet"):
            raise ValueError(f"{path}: wanted a file ending in .csv, .tsv, .parquet, .npy or .npz; try renaming it")
        tabs = self.delimiter == "," and ".tsv" in path.suffixes
        asked = Asked(
            self.columns, self.label, self.missing, "\t" if tabs else self.delimiter, self.header, self.encoding
        )
        convert = columnar.convert if path.suffix == ".parquet" else delimited.convert
        folder = cached(("table", _VERSION, file_key(path), asked), partial(convert, path, asked))
        meta, numbers = read_json(folder / "meta.json"), np.load(folder / "numbers.npy")
        name = partial(row_name, str(path)) if path.suffix == ".parquet" else partial(_line, str(path))
        return Source(
            Rows(folder / "rows.npy"),
            "ND",
            str(path),
            partial(name_at, name, numbers),
            tuple(meta["columns"]),
            np.load(folder / "labels.npy") if self.label is not None else None,
            tuple(meta["notes"]),
        )

    def _array(self, path: Path) -> Source:
        if self.columns or self.label is not None:
            raise ValueError(f"{path}: an array has no names of columns; try leaving out columns and label")
        if path.suffix == ".npz":
            key = npz.pick(path, self.key, (2,))
            rows, where = npz.member(path, key), f"{path}, array {key!r}"
        else:
            rows, where = Rows(path), str(path)
        if len(rows.shape) != 2:
            hint = "as images (data name: images)" if len(rows.shape) in (3, 4) else "np.reshape to (N, 1)"
            raise ValueError(f"{where}: shape {rows.shape}, wanted (rows, columns); try {hint}")
        names = tuple(f"column{i}" for i in range(rows.shape[1]))
        return Source(rows, "ND", where, partial(row_name, where), names)


def _line(where: str, number: int) -> str:
    return f"{where}, line {number}"

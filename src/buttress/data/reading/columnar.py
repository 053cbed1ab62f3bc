"""Parquet tables, read a block of rows at a time into an array on disk."""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from buttress.data.reading.delimited import FILL, Asked, choose, save_labels
from buttress.data.reading.memory import NpyWriter, few, write_json

__all__ = ["convert", "schema"]


def schema(path: Path) -> Any:
    """The ``pyarrow.Schema`` of a parquet file.

    Errors:
        ValueError: The file is no parquet file.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "t.parquet"
        ...     pq.write_table(pa.table({"height": [1.8], "kind": ["a"]}), path)
        ...     schema(path).names, [str(kind) for kind in schema(path).types]
        (['height', 'kind'], ['double', 'string'])
    """
    try:
        return pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        hint = "the file is empty" if path.stat().st_size == 0 else f"not readable as parquet ({error})"
        raise ValueError(f"{path}: {hint}; try writing it again") from error


def convert(path: Path, asked: Asked, folder: Path) -> None:
    """Write the same files as :func:`buttress.data.reading.delimited.convert`; rows are numbered from 0.

    Errors:
        ValueError: A value is missing, a column is unknown or not of numbers, or the file is broken.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "t.parquet"
        ...     pq.write_table(pa.table({"a": [1, 2, 3], "b": [0.5, None, 2.5]}), path)
        ...     convert(path, Asked(missing="set_aside"), Path(folder))
        ...     np.load(f"{folder}/rows.npy").tolist(), np.load(f"{folder}/numbers.npy").tolist()  # without row 1
        ([[1.0, 0.5], [3.0, 2.5]], [0, 2])
    """
    names = schema(path).names
    columns = [names[i] for i in choose(path, names, asked)]
    _numeric(path, columns)
    wanted = columns + [c for c in (asked.label,) if c is not None and c not in columns]
    numbers, labels, dropped, start = array("q"), [], array("q"), 0
    with NpyWriter(folder / "rows.npy", (len(columns),), np.float32) as writer, np.errstate(over="ignore"):
        for block in _blocks(path, wanted):
            whole = _whole(path, block, columns, asked, start)
            values = [np.asarray(pc.cast(block[c], pa.float64(), safe=False).fill_null(0)) for c in columns]
            writer.append(np.stack(values, 1)[whole].astype(np.float32))
            numbers.extend((start + np.flatnonzero(whole)).tolist())
            dropped.extend((start + np.flatnonzero(~whole)).tolist())
            if asked.label is not None:
                labels += [str(v) for v, w in zip(block[asked.label].to_pylist(), whole, strict=True) if w]
            start += block.num_rows
    np.save(folder / "numbers.npy", np.array(numbers, np.int64))
    save_labels(folder, labels if asked.label is not None else None)
    rows = few(str, dropped)
    notes = [f"{path}: set aside {len(dropped)} rows that lack a value: rows {rows} (from 0); {FILL}"]
    write_json(folder / "meta.json", {"columns": columns, "notes": notes if dropped else []})


def _blocks(path: Path, columns: list[str]) -> Any:
    try:
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(16_384, columns=columns)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path}: not readable as parquet ({error}); try writing it again") from error


def _numeric(path: Path, columns: list[str]) -> None:
    types = schema(path)
    for name in columns:
        kind = types.field(name).type
        if not (
            pa.types.is_integer(kind)
            or pa.types.is_floating(kind)
            or pa.types.is_boolean(kind)
            or pa.types.is_decimal(kind)
        ):
            raise ValueError(
                f"{path}, column {name!r}: of type {kind}, wanted numbers; "
                f"try columns=... without it, label={name!r}, or a column for each word"
            )


def _whole(path: Path, block: Any, columns: list[str], asked: Asked, start: int) -> Any:
    """True for the rows without a missing value."""
    absent = {c: np.asarray(pc.is_null(block[c], nan_is_null=True)) for c in columns}
    whole = ~np.logical_or.reduce(list(absent.values()))
    if asked.missing == "refuse" and not whole.all():
        row = int(np.flatnonzero(~whole)[0])
        name = next(c for c in columns if absent[c][row])
        raise ValueError(
            f"{path}, row {start + row} (from 0), column {name!r}: a missing value; "
            "try filling it, or missing='set_aside' to leave such rows out"
        )
    return whole

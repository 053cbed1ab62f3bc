"""Parquet tables, read a block of rows at a time into an array on disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from buttress.data.reading.columns import TableColumn
from buttress.data.reading.conversion import Asked, Conversion
from buttress.data.reading.memory import Array
from buttress.runtime.safe_files import check_unpacked, reading, regular

__all__ = ["blocks", "convert", "schema"]


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
    if regular(path).stat().st_size == 0:
        raise ValueError(f"{path}: the file is empty; try writing it again")
    with reading(path, "parquet", "writing it again"):
        return pq.read_schema(path)


def convert(path: Path, asked: Asked, folder: Path) -> None:
    """Write the same files as :class:`buttress.data.reading.conversion.Conversion`; rows are numbered from 0.

    Errors:
        ValueError: A column is unknown or neither of numbers nor of words, or the file is broken.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "t.parquet"
        ...     pq.write_table(pa.table({"a": [1, 2, 3], "b": [0.5, None, 2.5]}), path)
        ...     convert(path, Asked(missing="set_aside"), Path(folder))
        ...     np.load(f"{folder}/rows.npy").tolist(), np.load(f"{folder}/numbers.npy").tolist()  # without row 1
        ([[1.0, 0.5], [3.0, 2.5]], [0, 2])
    """
    types = schema(path)
    names = types.names
    table = Conversion(path, names, asked, "row {} (from 0)")
    readable = [_readable(path, types, column) for column in table.columns]
    wanted = list(dict.fromkeys([c.name for c in table.columns] + [names[i] for i in [table.label] if i is not None]))
    start = 0
    with table.into(folder):
        for block in blocks(path, wanted):
            numbers = range(start, start + block.num_rows)
            values = [
                _numbers(c, block[c.name]) if plain else c.read(_cells(block[c.name]), numbers, table.place)
                for c, plain in zip(table.columns, readable, strict=True)
            ]
            labels = () if table.label is None else _cells(block[names[table.label]])
            table.append(numbers, values, labels)
            start += block.num_rows


def _numbers(column: TableColumn, cells: Any) -> Array:
    values = np.asarray(pc.cast(cells, pa.float64(), safe=False), np.float64)  # null becomes NaN
    column.note(values)
    return values


def _cells(values: Any) -> list[str]:
    """Values as a .csv file has them."""
    return ["" if v is None else str(v).strip() for v in values.to_pylist()]


def blocks(path: Path, columns: list[str], size: int = 16_384) -> Iterator[Any]:
    """Some columns of a parquet file, ``size`` rows at a time, as ``pyarrow.RecordBatch``.

    Errors:
        ValueError: The file is broken, or unpacks to far more than it should.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "t.parquet"
        ...     pq.write_table(pa.table({"height": [1.8, 1.6], "kind": ["a", "b"]}), path)
        ...     [block.to_pydict() for block in blocks(path, ["kind"])]
        [{'kind': ['a', 'b']}]
    """
    with reading(path, "parquet", "writing it again"):
        file = pq.ParquetFile(path)
        blocks = file.iter_batches(size, columns=columns)
    check_unpacked(path, 4 * len(columns) * file.metadata.num_rows)
    with file:
        while True:
            with reading(path, "parquet", "writing it again"):
                block = next(blocks, None)
            if block is None:
                return
            yield block


def _readable(path: Path, types: Any, column: TableColumn) -> bool:
    """Whether a column holds numbers rather than words; what is neither is refused."""
    kind: Any = types.field(column.name).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if not (number or pa.types.is_boolean(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise ValueError(
            f"{path}, column {column.name!r}: of type {kind}, wanted numbers or words; "
            f"try columns=... without it, or converting it"
        )
    return number and not column.forced

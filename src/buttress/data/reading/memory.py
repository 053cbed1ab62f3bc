"""Arrays larger than memory: a cache of decoded files, and rows mapped from disk whose pages do not pile up.

Pages of a mapped file count as this process's memory once touched, and the kernel maps up to megabytes around them. So
whoever reads rows of a large file gives the pages back at once; the next read finds them in the kernel's cache.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from buttress.data.reading import npy
from buttress.runtime.atomic_write import FULL
from buttress.runtime.plain_data import load_json

__all__ = [
    "Array",
    "NpyWriter",
    "Rows",
    "cache_dir",
    "cached",
    "few",
    "file_key",
    "name_at",
    "read_json",
    "row_name",
    "write_json",
]

Array = NDArray[Any]
LARGE = 32 * 2**20
"""Bytes from which on a file's pages are given back after every read."""
CHUNK = 2**20
"""Bytes of stored rows that are worked on at a time."""
_FEWEST = 32  # rows read before pages are given back, however long the rows


def cache_dir() -> Path:
    """Where decoded data is kept: the variable BUTTRESS_CACHE, else ~/.cache/buttress.

    Example:
        >>> from unittest.mock import patch
        >>> with patch.dict(os.environ, BUTTRESS_CACHE="/large/disk"):
        ...     cache_dir().as_posix()
        '/large/disk'
    """
    return Path(os.environ.get("BUTTRESS_CACHE") or Path.home() / ".cache" / "buttress")


def file_key(path: Path) -> tuple[str, int, int]:
    """What changes when a file does: its place, size and time of change.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "a.txt"
        ...     _ = path.write_text("so it is")
        ...     before = file_key(path)
        ...     _ = path.write_text("so be it now")
        ...     before[1], file_key(path)[1], before == file_key(path)
        (8, 12, False)
    """
    stat = path.stat()
    return str(path.resolve()), stat.st_size, stat.st_mtime_ns


def cached(key: object, make: Callable[[Path], None]) -> Path:
    """The folder that ``make`` fills, made once for each key; it appears whole or not at all.

    Args:
        key: Anything whose ``repr`` changes when the content would.
        make: Writes files into the (temporary) folder it is given.

    Errors:
        ValueError: The cache cannot be written.

    Example:
        >>> from unittest.mock import patch
        >>> def make(folder: Path) -> None:
        ...     print("making")
        ...     _ = (folder / "answer.txt").write_text("42")
        >>> with tempfile.TemporaryDirectory() as scratch, patch.dict(os.environ, BUTTRESS_CACHE=scratch):
        ...     [(cached("the question", make) / "answer.txt").read_text() for _ in range(2)]  # made once
        making
        ['42', '42']
    """
    name = blake2b(repr(key).encode(), digest_size=16).hexdigest()
    folder = cache_dir() / name
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".", dir=folder.parent))
    except OSError as error:
        raise _unwritable(folder.parent, error) from error
    try:
        make(scratch)
        _publish(scratch, folder)
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise _unwritable(folder.parent, error) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder


def _unwritable(folder: Path, error: OSError) -> ValueError:
    return ValueError(
        f"cannot write to the cache {folder} ({error.strerror}); "
        "try setting the environment variable BUTTRESS_CACHE to a folder with space"
    )


def _publish(scratch: Path, folder: Path) -> None:
    try:
        scratch.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another process was faster, with the same content
            raise


def row_name(where: str, row: int) -> str:
    """What errors call a row that has no better name.

    Example:
        >>> row_name("a.npy", 3)
        'a.npy, row 3 (from 0)'
    """
    return f"{where}, row {row} (from 0)"


def name_at(name: Callable[[int], str], numbers: Array, position: int) -> str:
    """What errors call the row that ``numbers`` has at a position.

    Example:
        >>> name_at("t.csv, line {}".format, np.array([2, 5, 6]), position=1)  # line 2 was read first, then line 5
        't.csv, line 5'
    """
    return name(int(numbers[position]))


def few(name: Callable[[int], str], numbers: Sequence[int], show: int = 5) -> str:
    """The first few of some rows by name, and how many more there are.

    Example:
        >>> few(str, range(10, 17), show=2)
        '10; 11; and 5 more'
    """
    more = [f"and {len(numbers) - show} more"] if len(numbers) > show else []
    return "; ".join([*map(name, numbers[:show]), *more])


def write_json(path: Path, value: Any) -> None:
    """Write plain data.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_json(Path(folder) / "a.json", {"columns": ("a", "b"), "notes": []})
        ...     (Path(folder) / "a.json").read_text()
        '{"columns": ["a", "b"], "notes": []}'
    """
    path.write_text(json.dumps(value), encoding="utf-8")


def read_json(path: Path) -> Any:
    """The inverse of :func:`write_json`.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_json(Path(folder) / "a.json", {"columns": ("a", "b"), "notes": []})
        ...     read_json(Path(folder) / "a.json")  # what was a tuple comes back as a list
        {'columns': ['a', 'b'], 'notes': []}
    """
    return load_json(path)


class NpyWriter:
    """Write a .npy file row by row, the number of rows being known only at the end.

    Args:
        path: The file.
        row: Shape of one row.
        dtype: Of the values.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with NpyWriter(Path(folder) / "a.npy", row=(2,), dtype=np.uint8) as writer:
        ...         writer.append(np.array([[0, 1], [2, 3]]))
        ...         writer.append(np.array([[4, 5]]))
        ...     np.load(f"{folder}/a.npy").tolist()
        [[0, 1], [2, 3], [4, 5]]
    """

    def __init__(self, path: Path, row: tuple[int, ...], dtype: Any) -> None:
        self.path, self.row, self.dtype = path, row, np.dtype(dtype)
        self.rows = 0

    def __enter__(self) -> Self:
        self._file = self.path.open("wb")
        self._header()
        self._start = self._file.tell()
        return self

    def append(self, rows: Array) -> None:
        """Add rows of shape (n, *row)."""
        self._file.write(np.ascontiguousarray(rows, self.dtype).tobytes())
        self.rows += len(rows)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is None:
            self._file.seek(0)
            self._header()  # numpy leaves room for the first axis to grow, so the length stays
            if self._file.tell() != self._start:
                raise RuntimeError("the header of a .npy file changed its length")
        self._file.close()

    def _header(self) -> None:
        fields = {"descr": self.dtype.str, "fortran_order": False, "shape": (self.rows, *self.row)}
        np.lib.format.write_array_header_1_0(self._file, fields)


class Rows:
    """The rows of an array in memory, or of a .npy file that stays on disk.

    Args:
        source: An array or the path of a .npy file.

    Errors:
        ValueError: The file is no .npy file of plain values, or is cut short.

    Example:
        >>> rows = Rows(np.arange(6).reshape(3, 2))
        >>> len(rows), rows.take(np.array([2, 0])).tolist()
        (3, [[4, 5], [0, 1]])
    """

    def __init__(self, source: Array | Path) -> None:
        self.path = source if isinstance(source, Path) else None
        self._array: Array | None = None if isinstance(source, Path) else source
        self.shape, self.dtype = self._values().shape, self._values().dtype

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_array": None} if self.path else vars(self)  # a mapped file is opened again, not copied

    @property
    def row_bytes(self) -> int:
        """Bytes of one stored row."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    def take(self, index: Array) -> Array:
        """A copy of the rows at these positions."""
        step = max(_FEWEST, CHUNK // max(1, self.row_bytes))
        if len(index) <= step:
            taken = self._values().take(index, 0)
            self._give_back()
            return taken
        taken = np.empty((len(index), *self.shape[1:]), self.dtype)
        for start in range(0, len(index), step):
            taken[start : start + step] = self._values()[index[start : start + step]]
            self._give_back()
        return taken

    def span(self, start: int, count: int) -> Array:
        """A copy of rows that follow each other."""
        found = np.array(self._values()[start : start + count])
        self._give_back()
        return found

    def column(self, position: int) -> Array:
        """One column of a table, shape (N,)."""
        return np.concatenate([chunk[:, position] for _, chunk in self.chunks()])

    def chunks(self, size: int = CHUNK) -> Iterator[tuple[int, Array]]:
        """All rows in order, about ``size`` bytes at a time, each chunk with the number of its first row."""
        step = max(1, size // max(1, self.row_bytes))
        for start in range(0, len(self), step):
            chunk = np.array(self._values()[start : start + step])
            self._give_back()
            yield start, chunk

    def _values(self) -> Array:
        if self._array is None:
            assert self.path is not None
            self._array = _map(self.path)
        return self._array

    def _give_back(self) -> None:
        if self.path and len(self) * self.row_bytes > LARGE:
            if isinstance(mapping := self._values().base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
                mapping.madvise(mmap.MADV_DONTNEED)
            else:  # no such advice on this system: close the mapping and open it anew
                self._array = None


def _map(path: Path) -> Array:
    npy.check(path)
    return np.load(path, mmap_mode="r", allow_pickle=False)

r"""Array files by what they begin with, whatever they are called: .npy, .npz and IDX, plain or gzipped.

IDX is the format in which MNIST and its relatives are distributed: two zero bytes, a type, the number of axes, their
sizes as big-endian 32-bit integers, then the values (LeCun, Cortes and Burges, http://yann.lecun.com/exdb/mnist).
Gzipped files and IDX are written once into the cache as ordinary .npy and .npz files.
"""

from __future__ import annotations

import gzip
import math
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from io import BufferedIOBase
from pathlib import Path
from typing import Any, Literal

import numpy as np

from buttress.data.reading.memory import Rows, cached, file_key
from buttress.runtime.safe_files import RATIO, is_regular, open_gzip

__all__ = ["arrays_of", "named"]

Format = Literal["npy", "npz", "idx"]
_IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP, _ENDINGS = b"\x1f\x8b", (".npy", ".npz")


def arrays_of(path: Path) -> Path | None:
    """The .npy or .npz file with the arrays that ``path`` holds: itself or a copy in the cache; None if it holds none.

    Errors:
        ValueError: The file is cut short or damaged.

    Example:
        >>> import os, tempfile
        >>> from unittest.mock import patch
        >>> with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, BUTTRESS_CACHE=folder):
        ...     path = Path(folder) / "train-images-idx3-ubyte"
        ...     _ = path.write_bytes(bytes([0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 3]) + bytes([7, 8, 9]))
        ...     np.load(arrays_of(path)).tolist()
        [[7, 8, 9]]
    """
    if path.suffix.lower() in _ENDINGS:
        return path
    kind = _format(path)
    if kind is None:
        return None
    name = "array.npz" if kind == "npz" else "array.npy"
    folder = cached(("packed", 1, file_key(path)), partial(_unpack, path, kind, name))
    return folder / name


@contextmanager
def named(path: Path, arrays: Path) -> Iterator[None]:
    """While this lasts, errors about the copy ``arrays`` in the cache name the user's file ``path`` instead.

    Example:
        >>> with named(Path("a.npz.gz"), Path("cache/array.npz")):
        ...     raise ValueError("cache/array.npz: no array 'x'")
        Traceback (most recent call last):
        ValueError: a.npz.gz: no array 'x'
    """
    try:
        yield
    except ValueError as error:
        raise ValueError(str(error).replace(str(arrays), str(path))) from error


def _format(path: Path) -> Format | None:
    """What the file begins with; None for anything but arrays."""
    if not is_regular(path):
        return None
    try:
        with _open(path, gzip.open) as file:
            start = file.read(4)
    except (OSError, EOFError, zlib.error):
        return None
    if start == b"\x93NUM":
        return "npy"
    if start == b"PK\x03\x04":
        return "npz" if path.suffix.lower() == ".gz" else None  # offices write such files too
    return "idx" if len(start) == 4 and start[:2] == b"\0\0" and start[2] in _IDX_TYPES and start[3] else None


def _open(path: Path, unpack: Callable[..., Any] | None = None) -> BufferedIOBase:
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP
    if not packed:
        return path.open("rb")
    return open_gzip(path, ratio=RATIO) if unpack is None else unpack(path)


def _unpack(path: Path, kind: Format, name: str, folder: Path) -> None:
    target = folder / name
    try:
        with _open(path) as file, target.open("wb") as copy:
            if kind == "idx":
                _idx_header(file, copy)
            shutil.copyfileobj(file, copy, 2**20)
        if kind != "npz":
            Rows(target)
    except (OSError, EOFError, zlib.error, ValueError, struct.error) as error:
        reason = str(error).rpartition(f"{name}: ")[2]
        raise ValueError(f"{path}: not readable as {kind} ({reason}); try copying it again") from error


def _idx_header(file: Any, copy: Any) -> None:
    """Read the header of an IDX file and write that of a .npy file."""
    _, _, kind, axes = file.read(4)
    shape = struct.unpack(f">{axes}I", file.read(4 * axes))
    if math.prod(shape) > 2**48:
        raise ValueError(f"a header that says {shape}")
    fields = {"descr": np.dtype(_IDX_TYPES[kind]).str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(copy, fields)

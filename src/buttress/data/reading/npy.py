"""The header of a .npy file, read within bounds and believed only as far as there are bytes."""

from __future__ import annotations

import math
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from buttress.runtime.safe_files import open_regular

__all__ = ["check", "check_plain", "header"]

LONGEST = 10_000
"""Most bytes of a header, as in numpy; the usual ones have 118."""
_MAGIC = b"\x93NUMPY"
_READ = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}


def header(file: Any) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Shape and type that a .npy file states, and where its values begin.

    Args:
        file: Its bytes, from the first on.

    Errors:
        ValueError, and whatever numpy raises: There is no such header, or one that is too long.

    Example:
        >>> file = BytesIO()
        >>> np.save(file, np.zeros((3, 2), np.float32))
        >>> header(BytesIO(file.getvalue()))
        ((3, 2), dtype('float32'), 128)
    """
    magic = file.read(8)
    version = magic[6:]
    if magic[:6] != _MAGIC or version not in (b"\1\0", b"\2\0", b"\3\0"):
        raise ValueError("it does not begin as such files do")
    stated = file.read(2 if version[0] == 1 else 4)
    if (length := int.from_bytes(stated, "little")) > LONGEST:
        raise ValueError(f"a header of {length:,} bytes, wanted at most {LONGEST:,}")
    with warnings.catch_warnings(action="ignore"):  # of escapes in it, and of files that Python 2 wrote
        shape, _, dtype = _READ[min(2, version[0])](BytesIO(stated + file.read(length)))
    return shape, dtype, 8 + len(stated) + length


def check_plain(shape: tuple[int, ...], dtype: np.dtype[Any], held: int) -> None:
    """Refuse what is no array of plain values, or of more than there are bytes.

    Errors:
        ValueError: It is of objects, of values without size, or cut short.

    Example:
        >>> check_plain((10**12, 3), np.dtype(np.float32), held=720)
        Traceback (most recent call last):
        ValueError: shape (1000000000000, 3) of float32 takes 12,000,000,000,000 bytes, and there are 720
    """
    if dtype.hasobject:
        raise ValueError("Python objects")
    if any(isinstance(n, bool) or n < 0 for n in shape) or not dtype.itemsize:
        raise ValueError(f"shape {shape} of {dtype}, wanted plain values")
    if (needed := math.prod(shape) * dtype.itemsize) > held:
        raise ValueError(f"shape {shape} of {dtype} takes {needed:,} bytes, and there are {held:,}")


def check(path: Path) -> None:
    """Refuse a file that is no .npy file of plain values; no value is read.

    Errors:
        ValueError: It is none, or no regular file.
        FileNotFoundError: It is not there.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "a.npy").write_bytes(b"so it is")
        ...     check(Path(folder) / "a.npy")
        Traceback (most recent call last):
        ValueError: ...a.npy: not readable as a .npy file, perhaps not of numpy ...
    """
    with open_regular(path) as file:
        try:
            shape, dtype, start = header(file)
            check_plain(shape, dtype, path.stat().st_size - start)
        except Exception as error:  # numpy parses the header as Python, which has many ways to fail
            file.seek(0)
            raise ValueError(f"{path}: {_unreadable(file.read(6), error)}") from error


def _unreadable(magic: bytes, error: Exception) -> str:
    if not magic:
        return "the file is empty; try writing it again"
    said = " ".join(str(error).split())[:300] or type(error).__name__
    if said == "Python objects":
        return (
            "holds Python objects, which only running pickled code could read; "
            "try saving plain numbers, such as np.save(path, np.stack(list_of_arrays))"
        )
    state = "cut short" if magic == _MAGIC else "not of numpy"
    return f"not readable as a .npy file, perhaps {state} ({said}); try writing it again with np.save"

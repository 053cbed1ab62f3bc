"""Files that may be anything: opened only if they are regular files, and read within bounds.

Whoever reads a file that a user names goes through here, so that a pipe, a device, a lie in a header or a few kilobytes
that unpack to a terabyte end in one sentence.
"""

from __future__ import annotations

import gzip
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from io import BufferedIOBase
from pathlib import Path
from typing import Any

__all__ = ["check_unpacked", "expanded", "is_regular", "open_gzip", "open_regular", "read_text", "reading", "regular"]

ALLOWANCE = 2**28
"""Bytes that any file may unpack to."""
RATIO, TEXT_RATIO = 500, 100
"""How many times its own size a larger file may unpack to: masks pack to a two-hundredth, text to a fifth."""
TEXT = 2**26
"""Most bytes of a file that is read as one text."""
_DAMAGED = "perhaps damaged, go back to a copy of it"
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


def expanded(path: str | Path) -> Path:
    """The path with ``~`` replaced by the home folder; as it is where nobody is called so, for a file may be.

    Example:
        >>> expanded("~nobody-of-this-name/x").as_posix()
        '~nobody-of-this-name/x'
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def is_regular(path: Path) -> bool:
    """Whether something is a file with bytes in it, links followed; False for pipes, devices and what cannot be read.

    Example:
        >>> is_regular(Path("/dev/null")), is_regular(Path("/no/such/file"))
        (False, False)
    """
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def regular(path: Path) -> Path:
    """The path, if it is a regular file; nothing is opened.

    Errors:
        ValueError: It is a pipe, a socket, a device or a folder, or no path at all.
        OSError: It does not exist or cannot be reached.

    Example:
        >>> regular(Path("/dev/zero"))
        Traceback (most recent call last):
        ValueError: /dev/zero: a device, wanted a regular file; try a copy of its contents in a file
    """
    mode = stat.S_IFMT(path.stat().st_mode)
    if mode != stat.S_IFREG:
        kind = _KINDS.get(mode, "no regular file")
        raise ValueError(f"{path}: {kind}, wanted a regular file; try a copy of its contents in a file")
    return path


def open_regular(path: Path) -> BufferedIOBase:
    """Open a regular file for reading.

    Errors:
        ValueError, OSError: See :func:`regular`.
    """
    return regular(path).open("rb")


def read_text(path: Path, most: int = TEXT) -> str:
    """The text of a file, UTF-8.

    Args:
        path: The file.
        most: Most bytes that it may have.

    Errors:
        ValueError: It is no regular file, larger than that, or no text.
        OSError: It does not exist or cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "a.txt").write_text("so it is")
        ...     read_text(Path(folder) / "a.txt"), read_text(Path(folder) / "a.txt", most=5)
        Traceback (most recent call last):
        ValueError: ...a.txt: more than 5 bytes, which no such file has; perhaps damaged, go back to a copy of it
    """
    with open_regular(path) as file:
        raw = file.read(most + 1)
    if len(raw) > most:
        raise ValueError(f"{path}: more than {most:,} bytes, which no such file has; {_DAMAGED}")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text ({error}); {_DAMAGED}") from error


@contextmanager
def reading(path: object, kind: str, advice: str) -> Iterator[None]:
    """While this lasts, whatever a library of many formats raises becomes one sentence.

    Args:
        path: Names the file.
        kind: What it is read as, with its article.
        advice: What to try.

    Errors:
        ValueError: Anything was raised, other than that a file is not there or may not be read.

    Example:
        >>> with reading("a.npz", "a .npz archive", "writing it again"):
        ...     raise NotImplementedError("compression type 9")
        Traceback (most recent call last):
        ValueError: a.npz: not readable as a .npz archive (compression type 9); try writing it again
    """
    try:
        yield
    except (FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # zlib, lzma, pickle, ast and pyarrow each have their own
        said = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path}: not readable as {kind} ({said[:300]}); try {advice}") from error


def check_unpacked(path: Path, size: int, packed: int | None = None, ratio: int = RATIO) -> None:
    """Refuse a file that unpacks to far more than files of its size do.

    Args:
        path: The file.
        size: Bytes that came out of it, or that it says will come.
        packed: Bytes that they were made from; None for all of the file.
        ratio: How many times these a larger file may unpack to.

    Errors:
        ValueError: They are more than ``ALLOWANCE`` and than ``ratio`` times the packed ones.

    Example:
        >>> check_unpacked(Path("a.npz"), size=2**40, packed=2**20)
        Traceback (most recent call last):
        ValueError: a.npz: 1.0 MB that unpack to more than 524 MB, as only empty or hostile data ...
    """
    packed = path.stat().st_size if packed is None else packed
    if size > (most := max(ALLOWANCE, ratio * packed)):
        raise ValueError(
            f"{path}: {packed / 1e6:.1f} MB that unpack to more than {most / 1e6:.0f} MB, as only empty or hostile "
            "data do; try unpacking it yourself"
        )


def open_gzip(path: Path, ratio: int = TEXT_RATIO, unpack: Callable[..., Any] = gzip.open) -> BufferedIOBase:
    """Open a regular file packed with gzip, for reading what it unpacks to.

    All of it is unpacked once before, which is fast beside what reading lines takes, so that a bomb is found at once.

    Args:
        path: The file.
        ratio: How many times its own size a large one may unpack to; less for text than for arrays.
        unpack: Opens it; ``bz2.open`` and ``lzma.open`` do as well.

    Errors:
        ValueError: It is no regular file, or unpacks to too much.
        OSError, EOFError, zlib.error: It is not there, no gzip, or damaged.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "a.gz").write_bytes(gzip.compress(b"so it is"))
        ...     with open_gzip(Path(folder) / "a.gz") as file:
        ...         file.read()
        b'so it is'
    """
    state = regular(path).stat()
    _measured(path, state.st_size, state.st_mtime_ns, ratio, unpack)
    return unpack(path, "rb")


@lru_cache(maxsize=1024)
def _measured(path: Path, size: int, changed: int, ratio: int, unpack: Callable[..., Any]) -> None:
    """Unpack once, up to the bound; remembered, since text is read several times."""
    buffer, total = bytearray(2**20), 0
    with unpack(path, "rb") as file:
        while count := file.readinto(buffer):
            total += count
            check_unpacked(path, total, size, ratio)

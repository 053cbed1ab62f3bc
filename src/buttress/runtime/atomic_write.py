"""Files that are written whole or not at all.

A file is written beside its place and moved there when it is whole and on the disk, so that a crash or a full disk
leaves the file that was there before.
"""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError

__all__ = ["FULL", "check_name", "check_place", "check_room", "replace_file", "sweep", "write_bytes", "write_text"]

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says where there is no room for more bytes."""


def replace_file(path: str | Path, write: Callable[[Path], None]) -> None:
    """Put a new file in the place of ``path``, whole or not at all; a device or pipe is written to, and stays.

    Args:
        path: The file.
        write: Writes what it is to be into the file that it is given.

    Errors:
        OSError: The disk is full or the folder cannot be written; names ``path``. What was there before is kept.
    """
    path = Path(path)
    special = path.exists() and not path.is_file()
    scratch = path if special else _scratch(path)
    try:
        if special:  # such as /dev/null, which would be gone if a file took its place
            write(path)
            return
        scratch.touch()
        mode = scratch.stat().st_mode  # safetensors lets only the owner read; others may as they may other files
        write(scratch)
        scratch.chmod(mode)
        _to_disk(scratch, os.O_RDWR)
        os.replace(scratch, path)
    except SafetensorError as error:  # how safetensors reports what the operating system said
        if number := re.search(r"\(os error (\d+)\)", str(error)):
            raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error
        raise OSError(f"{path}: could not be written ({error}); the file that was there before is kept") from error
    except OSError as error:  # which names no file, or the scratch file
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        if not special:
            scratch.unlink(missing_ok=True)
    if os.name == "posix":
        _to_disk(path.parent, os.O_RDONLY)


def check_room(folder: str | Path) -> None:
    """Refuse a folder in which there is no room for even a small file.

    Errors:
        OSError: The disk is full or the folder cannot be written; names ``folder``.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     check_room(folder)
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(4096))
            file.flush()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from error


def check_name(path: str | Path) -> None:
    r"""Refuse a path that cannot be written down: results, pages and messages name the files they are made from.

    Errors:
        ValueError: It holds a NUL character, or bytes that are no UTF-8.

    Example:
        >>> check_name("runs/caf\udce9")  # as Python reads the bytes of a name in Latin-1
        Traceback (most recent call last):
        ValueError: the path 'runs/caf\udce9' is not UTF-8, and results could not name it; choose another, or rename it
    """
    text = os.fspath(path)
    if "\0" in text:
        raise ValueError(f"{text!r} holds a NUL character, which no path may; choose another one")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"the path {text!r} is not UTF-8, and results could not name it; choose another, or rename it"
        ) from error


def check_place(path: str | Path) -> None:
    """Refuse a place where no file can be written, before the work whose result it is for. Nothing is left there.

    Errors:
        ValueError: It is a folder, lies in none, or has a name that cannot be written down.
        OSError: The folder cannot be written, or the name is too long.

    Example:
        >>> check_place("no/such/folder/a.json")
        Traceback (most recent call last):
        ValueError: no/such/folder is no folder, wanted one to write a.json into; make it first, or choose another
    """
    check_name(path)
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder, wanted a file to write")
    if not path.parent.is_dir():
        raise ValueError(
            f"{path.parent} is no folder, wanted one to write {path.name} into; make it first, or choose another"
        )
    check_room(path.parent)
    scratch = _scratch(path)
    try:
        scratch.touch()  # its name is the longest that writing needs
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    scratch.unlink()


def _scratch(path: Path) -> Path:
    """Where a file is written before it is moved to its place; each process has its own."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def sweep(path: Path) -> None:
    """Remove what processes left behind that were killed while they wrote ``path``. None may be writing it now."""
    for scratch in path.parent.glob(f".{path.name}.*tmp"):
        scratch.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file, whole or not at all; a line ends as it does in ``text``.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_text(Path(folder) / "a.txt", "so")
        ...     [path.name for path in Path(folder).iterdir()]
        ['a.txt']
    """
    write_bytes(path, text.encode())


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file, whole or not at all.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_bytes(Path(folder) / "a.bin", b"so")
        ...     (Path(folder) / "a.bin").read_bytes()
        b'so'
    """
    replace_file(path, lambda scratch: _write(scratch, content))


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _to_disk(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""Lines of text files, read one at a time whatever their length, each with the name of its place."""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path

from buttress.runtime.safe_files import open_gzip, open_regular

__all__ = ["LONGEST", "find", "read"]

LONGEST = 2**20
"""Bytes of a line that are kept; the rest of a longer one is passed over."""


def find(paths: tuple[str, ...]) -> tuple[Path, ...]:
    """The text files meant: files as they are, folders by the .txt and .gz files in them, sorted.

    Errors:
        ValueError: A path does not exist or a folder holds no text.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "a.txt").write_text("so")
        ...     [path.name for path in find((folder,))]
        ['a.txt']
    """
    files: list[Path] = []
    for path in (Path(p).expanduser() for p in paths):
        if path.is_dir():
            inside = sorted(f for f in path.rglob("*") if f.suffix in (".txt", ".gz") and f.is_file())
            if not inside:
                raise ValueError(f"{path}: no file in the folder ends in .txt or .gz; try naming the files")
            files += inside
        elif path.is_file():
            files.append(path)
        else:
            raise ValueError(f"{path}: there is no such file (looked in {Path.cwd()}); try an absolute path")
    return tuple(files)


def read(path: Path, encoding: str = "utf-8", tidy: bool = True) -> Iterator[tuple[int, str | None]]:
    """The lines of a file, numbered from 1; None for one longer than ``LONGEST``.

    Args:
        path: A text file; one ending in .gz is unpacked.
        encoding: One that keeps ASCII bytes, such as utf-8 or latin-1.
        tidy: Whether to leave one space between words, none around and no line end.

    Errors:
        ValueError: The file is empty or broken, or a line is not text in this encoding.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "a.txt"
        ...     _ = path.write_text("so  it is")
        ...     list(read(path))
        [(1, 'so it is')]
    """
    number = 0
    try:
        with _open(path) as file:
            while raw := file.readline(LONGEST + 1):
                number += 1
                if len(raw) > LONGEST:
                    _pass_over(file, raw)
                    yield number, None
                else:
                    text = _text(raw, path, number, encoding)
                    yield number, " ".join(text.split()) if tidy else text
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(
            f"{path}, after line {number}: not readable as gzip ({error}); try gunzip -t on it, or copying it again"
        ) from error
    if number == 0:
        raise ValueError(f"{path}: the file is empty; try another one")


def _open(path: Path) -> BufferedIOBase:
    return open_gzip(path) if path.suffix == ".gz" else open_regular(path)


def _pass_over(file: BufferedIOBase, raw: bytes) -> None:
    while raw and not raw.endswith(b"\n"):
        raw = file.readline(LONGEST)


def _text(raw: bytes, path: Path, number: int, encoding: str) -> str:
    try:
        text = raw.decode(encoding).removeprefix(codecs.BOM_UTF8.decode("utf-8"))
    except (UnicodeDecodeError, LookupError) as error:
        raise ValueError(
            f"{path}, line {number}: not text in the encoding {encoding} ({error}); "
            "try encoding='latin-1', or converting the file with iconv -t utf-8"
        ) from error
    if "\0" in text:
        raise ValueError(f"{path}, line {number}: holds NUL bytes, so it is no text or UTF-16; try iconv -t utf-8")
    return text

"""Lines of text files, read a block at a time whatever their length, each with the number of its place."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from buttress.data.reading.encodings import WIDE, Encoding, encoding_of, hint
from buttress.data.reading.endings import RECORDS, ending, is_text, suffixes
from buttress.runtime.safe_files import expanded, open_gzip, open_regular, regular

__all__ = ["LONGEST", "blocks", "encoding_in", "find", "read"]

LONGEST = 2**20
"""Characters of a line that are kept; a longer one is passed over."""
PIECE = 2**20
"""Bytes that are read at a time."""
_PACKED: dict[str, tuple[str, bytes, Any]] = {  # name, what such a file begins with, how it is opened
    ".gz": ("gzip", b"\x1f\x8b", gzip.open),
    ".bz2": ("bzip2", b"BZh", bz2.open),
    ".xz": ("xz", b"\xfd7zXZ", lzma.open),
}
_OTHER_ENDS = ("\u2028", "\u2029", "\x85")  # line and paragraph separator, next line


def find(paths: tuple[str, ...]) -> tuple[Path, ...]:
    """The text files meant: files as they are, folders by the text files in them, sorted.

    A folder without .txt files, plain or packed, stands for the .csv, .tsv, .jsonl and .parquet files in it.

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
    for path in (expanded(p) for p in paths):
        if path.is_dir():
            files += _inside(path)
        elif path.is_file():
            files.append(path)
        else:
            raise ValueError(f"{path}: there is no such file (looked in {Path.cwd()}); try an absolute path")
    return tuple(files)


def _inside(folder: Path) -> list[Path]:
    files = sorted(f for f in folder.rglob("*") if f.is_file() and not f.name.startswith("."))
    found = [f for f in files if is_text(f)] or [f for f in files if ending(f) in RECORDS]
    if not found:
        raise ValueError(f"{folder}: no file in the folder ends in {suffixes()}; try naming the files")
    return found


def read(path: Path, encoding: str = "utf-8", tidy: bool = True) -> Iterator[tuple[int, str | None]]:
    """The lines of a file, numbered from 1; None for one longer than ``LONGEST``.

    Args:
        path: A text file, plain or packed.
        encoding: Of the file.
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
    for number, lines in blocks(path, encoding, ends=not tidy):
        for i, line in enumerate(lines):
            yield number + i, None if len(line) > LONGEST else " ".join(line.split()) if tidy else line


def blocks(path: Path, encoding: str = "utf-8", ends: bool = False) -> Iterator[tuple[int, list[str]]]:
    r"""The lines of a file, many at a time, with the number of the first, counted from 1.

    Lines end in ``\n``, ``\r\n`` or ``\r``. Of one longer than ``LONGEST``, somewhat more than that is given.

    Args:
        path: A text file, plain or packed.
        encoding: Of the file.
        ends: Whether lines keep their ends. If not, the line separators of Unicode end a line as well.

    Errors:
        ValueError: The file is empty or broken, or a line is not text in this encoding.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "a.txt"
        ...     _ = path.write_bytes(b"so it is\rso be it\r\n")
        ...     list(blocks(path)), list(blocks(path, ends=True))
        ([(1, ['so it is', 'so be it'])], [(1, ['so it is\r', 'so be it\r\n'])])
    """
    number, rest = 1, ""
    for text in _pieces(path, encoding, ends):
        lines = (rest + text).split("\n") if not ends else _with_ends(rest + text)
        rest = lines.pop()
        if lines:
            yield number, lines
            number += len(lines)
        rest = rest[: LONGEST + 1]
    if rest:
        yield number, [rest]
    elif number == 1:
        raise ValueError(f"{path}: the file is empty; try another one")


def _with_ends(text: str) -> list[str]:
    """The lines of a text, and what comes after the last line end."""
    lines = list(io.StringIO(text, newline=""))
    return lines if lines and not lines[-1].endswith(("\n", "\r")) else [*lines, ""]


def _pieces(path: Path, encoding: str, ends: bool) -> Iterator[str]:
    """The text of a file in pieces, every line end a newline unless ``ends`` are kept."""
    found, line = encoding_in(path, encoding), 1
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(found.codec)(), translate=not ends)
    with _opened(path) as file:
        file.read(found.mark)
        while True:
            raw = file.read(PIECE)
            try:
                text = decoder.decode(raw, final=not raw)
            except UnicodeDecodeError as error:
                line += _newlines(error.object[: error.start].decode(found.codec, "replace"))
                raise ValueError(
                    f"{path}, line {line}: not text in the encoding {found.codec} ({error}); {hint(error)}"
                ) from error
            text = text if ends or text.isascii() else _one_end(text, found.codec)
            if "\0" in text:
                line += _newlines(text[: text.index("\0")])
                raise ValueError(f"{path}, line {line}: holds NUL bytes, so it is no text, or {WIDE}")
            line += _newlines(text)
            yield text
            if not raw:
                return


def _one_end(text: str, codec: str) -> str:
    for end in _OTHER_ENDS if codec.startswith("utf") else ():  # in others 0x85 may be a wrongly read ellipsis
        text = text.replace(end, "\n")
    return text


def _newlines(text: str) -> int:
    return text.count("\n") + text.count("\r") - text.count("\r\n")


def encoding_in(path: Path, encoding: str) -> Encoding:
    """The encoding of a file, by what it begins with (see :func:`buttress.data.reading.encodings.encoding_of`).

    Errors:
        ValueError: There is no such encoding, or the file is packed and broken.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "a.txt"
        ...     _ = path.write_text("so it is", encoding="utf-16")
        ...     encoding_in(path, "utf-8").note
        'read as utf-16-le, by its byte order mark'
    """
    with _opened(path) as file:
        return encoding_of(file.read(2**16), encoding)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The bytes of a file, unpacked if its name or its beginning says that it is packed."""
    packing = _packing(path)
    if packing is None:
        with open_regular(path) as file:
            yield file
        return
    name, _, unpack = _PACKED[packing]
    try:
        with open_gzip(path, unpack=unpack) as file:
            yield file
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(
            f"{path}: not readable as {name} ({error}); try {name} -t on it, or copying it again"
        ) from error


def _packing(path: Path) -> str | None:
    if (suffix := path.suffix.lower()) in _PACKED:
        return suffix if regular(path).stat().st_size else None
    with open_regular(path) as file:
        start = file.read(6)
    return next((suffix for suffix, (_, magic, _) in _PACKED.items() if start.startswith(magic)), None)

"""Which encoding a text has: the one that was named, unless the file begins with a byte order mark.

UTF-16 without a mark is recognised by its zeros: Latin letters, digits and spaces have one in every second byte.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass

from buttress.core.registry import suggest

__all__ = ["WIDE", "Encoding", "checked", "encoding_of", "hint"]

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins with the mark of UTF-16, so it comes first
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
WIDE = "UTF-16; try encoding='utf-16-le' or 'utf-16-be', or converting the file with iconv -t utf-8"
"""What a text with NUL bytes may be, and what to try."""
_WITHOUT_MARK = {"utf-8-sig": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}
_MANY, _NONE = 0.4, 0.01  # shares of zeros that mean that a byte is the upper, or the lower half


@dataclass(frozen=True)
class Encoding:
    """How a file is to be decoded.

    Args:
        codec: The encoding, as Python calls it.
        mark: Bytes of the byte order mark at the beginning.
        note: What a person should know: that the file has another encoding than was named.

    Example:
        >>> Encoding("utf-16-le", mark=2).codec
        'utf-16-le'
    """

    codec: str
    mark: int = 0
    note: str = ""


def checked(encoding: str) -> str:
    """The name that Python has for an encoding of text.

    Errors:
        ValueError: There is no such encoding.

    Example:
        >>> checked("UTF8"), checked("latin-1")
        ('utf-8', 'iso8859-1')
        >>> checked("lattin-1")
        Traceback (most recent call last):
        ValueError: encoding is 'lattin-1'; did you mean 'latin-1'? Wanted one of text, such as utf-8, latin-1, ...
    """
    try:
        found = codecs.lookup(encoding)
        if found._is_text_encoding and found.incrementaldecoder:
            return found.name
    except (LookupError, ValueError):
        pass
    near = suggest(encoding, ["utf-8", "utf-16", "latin-1", "cp1252"])
    raise ValueError(f"encoding is {encoding!r}; {near}Wanted one of text, such as utf-8, latin-1, cp1252 or utf-16")


def encoding_of(start: bytes, encoding: str) -> Encoding:
    """The encoding of a file.

    Args:
        start: What it begins with.
        encoding: The one that was named.

    Errors:
        ValueError: There is no such encoding.

    Example:
        >>> encoding_of("so it is".encode("utf-8-sig"), "utf-8")
        Encoding(codec='utf-8', mark=3, note='')
        >>> encoding_of("so it is".encode("utf-16-be"), "utf-8").note
        'read as utf-16-be, which has a zero in every second byte'
    """
    codec = checked(encoding)
    for mark, name in _MARKS:
        if start.startswith(mark):
            return Encoding(name, len(mark), "" if name == codec else f"read as {name}, by its byte order mark")
    if codec in ("utf-8", "utf-16", *_WITHOUT_MARK) and (guess := _by_zeros(start)):
        return Encoding(guess, note=f"read as {guess}, which has a zero in every second byte")
    codec = _WITHOUT_MARK.get(codec, codec)
    return Encoding(codec, note="" if codec.startswith("utf") else _also_utf_8(start, codec))


def _also_utf_8(start: bytes, codec: str) -> str:
    """A note where a text that is to be read in another encoding would be valid UTF-8."""
    if start.isascii():
        return ""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return ""
    return f"read as {codec}, though it is valid utf-8; if letters look wrong, try --data.encoding utf-8"


def _by_zeros(start: bytes) -> str | None:
    half = len(start) // 2
    if not half:
        return None
    even, odd = (start[first : 2 * half : 2].count(0) / half for first in (0, 1))
    if odd > _MANY and even < _NONE:
        return "utf-16-le"
    return "utf-16-be" if even > _MANY and odd < _NONE else None


def hint(error: UnicodeDecodeError) -> str:
    r"""What to try where a file is not in the encoding it was read in.

    Example:
        >>> hint(UnicodeDecodeError("utf-8", b"gr\xf6sse", 2, 3, "invalid start byte"))
        "try encoding='latin-1', or converting the file with iconv -t utf-8"
    """
    if error.encoding.replace("_", "-").startswith(("utf-16", "utf-32")):
        return "the file may be cut short or damaged; try copying it again"
    if 0 in error.object:
        return f"holds NUL bytes, so it is no text, or {WIDE}"
    windows = 0x80 <= error.object[error.start] < 0xA0  # quotation marks and dashes there, unused in latin-1
    return f"try encoding='{'cp1252' if windows else 'latin-1'}', or converting the file with iconv -t utf-8"

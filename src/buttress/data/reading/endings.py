"""What a file's name says it holds."""

from __future__ import annotations

from pathlib import Path

__all__ = ["PACKED", "RECORDS", "ending", "is_text", "suffixes"]

PACKED = (".gz", ".bz2", ".xz")
"""Endings of packed files."""
RECORDS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")
"""Endings of files that have named columns."""


def ending(path: Path) -> str:
    """The ending in lower case, without that of packing; "" where there is none.

    Example:
        >>> ending(Path("A.TXT.GZ")), ending(Path("reviews.csv")), ending(Path("lines.xz"))
        ('.txt', '.csv', '')
    """
    inner = Path(path.stem) if path.suffix.lower() in PACKED else path
    return inner.suffix.lower()


def is_text(path: Path) -> bool:
    """Whether a name is that of a text of one sentence a line: .txt, or packed and of no other kind.

    Example:
        >>> [is_text(Path(name)) for name in ("A.TXT", "a.txt.bz2", "lines.gz", "a.csv.gz", "photo.png")]
        [True, True, True, False, False]
    """
    return ending(path) == ".txt" or (path.suffix.lower() in PACKED and ending(path) not in RECORDS)


def suffixes() -> str:
    """The endings of text, for messages."""
    return ", ".join((".txt", *RECORDS, *PACKED))

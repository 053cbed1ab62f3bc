"""What is told to people in one line, whatever is in the names it repeats."""

from __future__ import annotations

__all__ = ["one_line"]

LONGEST = 2000
"""Characters of a line."""


def one_line(text: str) -> str:
    r"""The text in one line of at most ``LONGEST`` characters, without characters that steer a terminal.

    Example:
        >>> print(one_line("no file 'a\nb\x1b[31m'"))
        no file 'a\nb\x1b[31m'
        >>> len(one_line("a" * 10_000))
        2000
    """
    cut = text if len(text) <= LONGEST else f"{text[: LONGEST // 2 - 3]} ... {text[2 - LONGEST // 2 :]}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in cut)

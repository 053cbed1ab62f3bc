"""Sentences in one spelling: single spaces, one normal form, no characters that nobody can see.

The same word may be spelled in several ways that look alike: "é" as one character or as "e" and an accent (Unicode
normal forms NFC and NFD), a zero-width space or a soft hyphen within it. A model would learn each as a word of its own.
"""

from __future__ import annotations

import re
from typing import Literal
from unicodedata import is_normalized, normalize

__all__ = ["Form", "Tidy", "spelled_twice"]

Form = Literal["NFC", "NFKC", "none"]

_SPACES = "\0\u200b"
"""Read as spaces: NUL in a cell, and the zero-width space, which some scripts have between words."""
_UNSEEN = "\u00ad\u061c\u180e\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff"
"""Left out: soft hyphens, byte order marks, word joiners and marks of direction. The joiners of emoji stay."""
_INVISIBLE = re.compile(f"[{_SPACES}{_UNSEEN}]")


class Tidy:
    r"""Brings sentences to one spelling, and counts those it changed.

    Args:
        lower: Whether to use lower case.
        form: The normal form; "none" to leave spelling and invisible characters as they are.

    Example:
        >>> tidy = Tidy(lower=True)
        >>> tidy(["So  it\tis ", "cafe\u0301", "caf\u00e9", "bro\u00adken"])
        ['so it is', 'café', 'café', 'broken']
        >>> tidy.notes()
        ["brought to the normal form NFC, in which 'é' is one character: 1 sentence", 'removed invisible characters ...]
    """

    def __init__(self, lower: bool = False, form: Form = "NFC") -> None:
        self.lower, self.form = lower, form
        self.respelled = self.unseen = 0

    def __call__(self, texts: list[str]) -> list[str]:
        """The texts, each on one line."""
        texts = [" ".join(text.split()) for text in texts]
        text = "\n".join(texts)
        if text.isascii() and "\0" not in text:
            return text.lower().split("\n") if self.lower and texts else texts
        texts = _encodable(text).split("\n")
        if self.form != "none":
            texts = self._respelled(self._visible(texts), self.form)
        return [text.lower() for text in texts] if self.lower else texts

    def _visible(self, texts: list[str]) -> list[str]:
        if not _INVISIBLE.search("\n".join(texts)):
            return texts
        seen = [_INVISIBLE.sub(lambda found: " " if found[0] in _SPACES else "", text) for text in texts]
        self.unseen += _different(seen, texts)
        return [" ".join(text.split()) for text in seen]

    def _respelled(self, texts: list[str], form: Literal["NFC", "NFKC"]) -> list[str]:
        text = "\n".join(texts)
        if is_normalized(form, text):
            return texts
        spelled = normalize(form, text).split("\n")
        self.respelled += _different(spelled, texts)
        return [" ".join(text.split()) for text in spelled]  # the NFKC of some characters has spaces

    def notes(self) -> list[str]:
        """What was changed, for people."""
        told = []
        if self.respelled:
            example = "'é' is one character" if self.form == "NFC" else "'ﬁ' is 'fi'"
            told.append(f"brought to the normal form {self.form}, in which {example}: {_counted(self.respelled)}")
        if self.unseen:
            told.append(
                "removed invisible characters (zero-width spaces, soft hyphens, marks of direction or byte order) from "
                f"{_counted(self.unseen)}; try --data.normalize none to keep them"
            )
        return told


def _counted(count: int) -> str:
    return f"{count:,} sentence{'s' * (count != 1)}"


def _different(one: list[str], other: list[str]) -> int:
    return sum(a != b for a, b in zip(one, other, strict=True))


def _encodable(text: str) -> str:
    """Without halves of surrogate pairs, which JSON can spell and no file can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def spelled_twice(words: dict[str, int]) -> list[tuple[str, str]]:
    """The words of a vocabulary that are there in another spelling as well: full width, as a ligature, composed.

    Example:
        >>> spelled_twice({"fine": 4, "ﬁne": 5, "so": 6})
        [('ﬁne', 'fine')]
    """
    other = ((word, normalize("NFKC", word)) for word in words if not word.isascii())
    return [(word, spelled) for word, spelled in other if spelled != word and spelled in words]

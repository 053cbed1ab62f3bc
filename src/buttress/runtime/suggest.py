"""Names that are near to what was typed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["suggest"]


def suggest(name: str, known: Iterable[str], then: str = "") -> str:
    """'did you mean ...? ' where a known name is near, else nothing; behind it ``then``, which may begin a sentence.

    Example:
        >>> suggest("linaer", ["linear", "constant"]), suggest("xyz", ["linear"])
        ("did you mean 'linear'? ", '')
        >>> suggest("linaer", ["linear"], "It has"), suggest("xyz", ["linear"], "It has")
        ("did you mean 'linear'? It has", 'it has')
    """
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {near[0]!r}? {then}" if near else then[:1].lower() + then[1:]

"""TextGrid files of Praat: the intervals of a tier, with their times."""

from __future__ import annotations

import re
from pathlib import Path

from buttress.runtime.safe_files import open_regular

__all__ = ["intervals"]

_TOKEN = re.compile(r'"((?:[^"]|"")*)"|<exists>|(?<![\w.])[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w\]])')
"""A text in quotes or a number that stands by itself; what a long TextGrid has beside them (xmin =, item [1]:) is left
out, which makes it a short one."""
INTERVALS = "IntervalTier"


def intervals(path: Path, tier: str) -> list[tuple[float, float, str]]:
    r"""The intervals (start, end, text) of a tier, seconds, without those whose text is empty.

    Args:
        path: A TextGrid in long or short form, UTF-8 or UTF-16.
        tier: The name of the tier; where there is only one, that is meant whatever it is called.

    Errors:
        ValueError: The file is no TextGrid, or has no such tier.

    Example:
        >>> import tempfile
        >>> short = '"ooTextFile"\n"TextGrid"\n0 0.5 <exists> 1 "IntervalTier" "phones" 0 0.5 2 0 0.2 "s" 0.2 0.5 "ow"'
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.TextGrid").write_text(short)
        ...     intervals(Path(folder, "a.TextGrid"), "phones")
        [(0.0, 0.2, 's'), (0.2, 0.5, 'ow')]
    """
    tokens = [match.group() for match in _TOKEN.finditer(_text(path))]
    try:
        tiers = _tiers(tokens[tokens.index('"TextGrid"') + 1 :])
    except (ValueError, IndexError) as error:
        raise ValueError(f"{path}: not readable as a TextGrid; try saving it again in Praat") from error
    if tier not in tiers and len(tiers) != 1:
        raise ValueError(f"{path}: no tier {tier!r} of intervals; it has {', '.join(tiers) or 'none'}; try --data.tier")
    found = tiers.get(tier) or next(iter(tiers.values()))
    return [(start, end, text) for start, end, text in found if text.strip()]


def _text(path: Path) -> str:
    with open_regular(path) as file:
        raw = file.read()
    return raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig", errors="replace")


def _tiers(tokens: list[str]) -> dict[str, list[tuple[float, float, str]]]:
    """The tiers of intervals by name, from the tokens behind the head: two times, <exists>, their number, and they."""
    found: dict[str, list[tuple[float, float, str]]] = {}
    at = 4
    for _ in range(int(tokens[3])):
        kind, name, count = _unquoted(tokens[at]), _unquoted(tokens[at + 1]), int(tokens[at + 4])
        if not 0 <= count <= len(tokens):
            raise ValueError(f"{count} of {len(tokens)} tokens, wanted as many as there are")
        size = 3 if kind == INTERVALS else 2
        rows = [tokens[at + 5 + size * i : at + 5 + size * (i + 1)] for i in range(count)]
        at += 5 + size * count
        if kind == INTERVALS:
            found[name] = [(float(start), float(end), _unquoted(text)) for start, end, text in rows]
    return found


def _unquoted(token: str) -> str:
    if not token.startswith('"'):
        raise ValueError(f"{token}: wanted a text in quotes")
    return token[1:-1].replace('""', '"')

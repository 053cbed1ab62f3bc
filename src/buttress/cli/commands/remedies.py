"""buttress remedies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["remedies", "told"]


def remedies() -> None:
    """List the remedies: family, source, settings, changes, the data each fits, and the causes it was seen to cure.

    Example:
        On the command line::

            buttress remedies
    """
    from rich.console import Console
    from rich.text import Text

    from buttress.cli import stored

    console, family = Console(), ""
    for entry in stored.remedies() or told():
        if entry["family"] != family:
            family = entry["family"]
            console.print(Text(family, style="bold underline"), end="\n\n")
        pieces = [entry["name"], *entry["settings"]]
        for number, line in enumerate(_lines(pieces, console.width - 8)):
            head = Text("  " + 4 * " " * (number > 0) + line, style="dim", overflow="fold")
            head.stylize("not dim bold", 0, 2 + len(entry["name"]) if number == 0 else 0)
            console.print(head, soft_wrap=True)
        said = Text(f"{entry['summary']}\n{entry['source']}; {entry['changes']}")
        for text in said.wrap(console, console.width - 12):
            text.rstrip()
            console.print(Text(" " * 6) + text)
        console.print()


def told() -> list[dict[str, Any]]:
    """What is said of each remedy, in the order in which they are listed."""
    from buttress.core.remedy import catalogue

    return [
        {
            "family": entry.family,
            "name": entry.name,
            "settings": [f":{k}={_written(v)}" for k, v in entry.settings.items()],
            "summary": entry.summary.replace("``", ""),
            "source": entry.source,
            "changes": _changes(entry),
        }
        for entry in sorted(catalogue().values(), key=lambda r: (r.family != "none", r.family, r.name))
    ]


def _lines(pieces: Sequence[str], width: int) -> list[str]:
    """Pieces in lines as long as there is room; none is broken, however long it is.

    Example:
        >>> _lines(["free_bits", ":total=2.0", ":per_group=0.5"], 20)
        ['free_bits:total=2.0', ':per_group=0.5']
    """
    lines: list[str] = []
    for piece in pieces:
        if lines and len(lines[-1]) + len(piece) <= width:
            lines[-1] += piece
        else:
            lines.append(piece)
    return lines


def _changes(entry: Any) -> str:
    """What it sets, what it needs, which data it fits, and what it cures."""
    from buttress.experiments.fits import LAYOUTS, fits

    sets = f"sets {', '.join(entry.takes)}" if entry.takes else "sets nothing"
    needs = "; ".join(f"{role} {' or '.join(names)}" for role, names in entry.needs.items())
    kinds = fits(entry)
    data = "fits all kinds of data" if len(kinds) == len(LAYOUTS) else f"fits {', '.join(kinds)}" if kinds else ""
    cures = f"cures: {', '.join(entry.cures)}" if entry.cures else ""
    return "; ".join(filter(None, [sets, f"needs {needs}" if needs else "", data, cures]))


def _written(value: Any) -> str:
    """A setting as it is typed: a list in brackets, without blanks."""
    return f"[{','.join(map(str, value))}]" if isinstance(value, tuple) else str(value)

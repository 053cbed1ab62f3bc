"""buttress remedies."""

from __future__ import annotations

from typing import Any

__all__ = ["remedies"]


def remedies() -> None:
    """List the remedies: family, source, settings, changes, the data each fits, and the causes it was seen to cure.

    Example:
        On the command line::

            buttress remedies
    """
    from rich.console import Console
    from rich.text import Text

    from buttress.core.remedy import catalogue

    console, family = Console(), ""
    for entry in sorted(catalogue().values(), key=lambda r: (r.family != "none", r.family, r.name)):
        if entry.family != family:
            family = entry.family
            console.print(Text(family, style="bold underline"), end="\n\n")
        settings = ":".join(f"{k}={_written(v)}" for k, v in entry.settings.items())
        head = Text.assemble((entry.name, "bold"), (f":{settings}" if settings else "", "dim"))
        told = f"{entry.summary.replace('``', '')}\n{entry.source}; {_changes(entry)}"
        for text, indent in ((head, 2), (Text(told), 6)):
            for line in text.wrap(console, console.width - 2 * indent):
                line.rstrip()
                console.print(Text(" " * indent) + line)
        console.print()


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

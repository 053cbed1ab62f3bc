"""buttress remedies."""

from __future__ import annotations

__all__ = ["remedies"]


def remedies() -> None:
    """List the remedies: family, source, settings, and the data they fit.

    Example:
        On the command line::

            buttress remedies
    """
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    from buttress.remedy import catalogue

    console, family = Console(), ""
    for entry in sorted(catalogue().values(), key=lambda r: (r.family != "none", r.family, r.name)):
        if entry.family != family:
            family = entry.family
            console.print(Text(family, style="bold underline"), end="\n\n")
        settings = ":".join(f"{k}={v}" for k, v in entry.settings.items())
        console.print(Padding(Text.assemble((entry.name, "bold"), (f":{settings}" if settings else "", "dim")), (0, 2)))
        told = f"{entry.summary.replace('``', '')}\n{entry.source}; {', '.join(entry.kinds)}"
        console.print(Padding(Text(told), (0, 6, 1, 6)))

"""buttress remedies."""

from __future__ import annotations

__all__ = ["remedies"]


def remedies() -> None:
    """List the remedies: family, source, settings, and the data they fit."""
    from rich.console import Console
    from rich.table import Table

    from buttress.remedy import catalogue

    table = Table(title="Remedies for posterior collapse", show_lines=False)
    for heading in ("name", "family", "what it does", "settings", "fits", "source"):
        table.add_column(heading, no_wrap=heading == "name", overflow="fold")
    for entry in sorted(catalogue().values(), key=lambda r: (r.family != "none", r.family, r.name)):
        settings = "\n".join(f"{k}={v}" for k, v in entry.settings.items())
        table.add_row(entry.name, entry.family, entry.summary, settings, ", ".join(entry.kinds), entry.source)
    Console().print(table)

"""The verdict of a run and its evidence, for the terminal."""

from __future__ import annotations

from pathlib import Path

from rich.console import Group
from rich.table import Table
from rich.text import Text

from buttress.report.results import load_run
from buttress.report.run import sentence
from buttress.report.tables import STATE_COLOR, evidence_rows

__all__ = ["verdict_table"]


def verdict_table(run_folder: str | Path) -> Group:
    """The verdict first, what it rests on, what to try, and then every estimate with its error and method.

    Args:
        run_folder: Folder of a run that was diagnosed.
    """
    run = load_run(run_folder)
    if run.evidence is None:
        return Group(Text(sentence(run), style="bold"))
    head, *why = str(run.evidence.verdict).splitlines()
    parts: list[Text | Table] = [Text(f"verdict: {head}", style=f"bold {STATE_COLOR.get(run.state or '', '')}".strip())]
    parts += map(Text, why)
    table = Table(header_style="bold", title="evidence", title_justify="left")
    for heading in ("quantity", "value", "unit", "N", "ceiling", "method"):
        table.add_column(heading, justify="right" if heading in ("value", "N", "ceiling") else "left", overflow="fold")
    for row in evidence_rows(run):
        table.add_row(row.title, row.value, row.unit, row.n, row.ceiling, row.method)
    return Group(*parts, table)

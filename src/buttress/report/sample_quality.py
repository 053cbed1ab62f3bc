"""What samples are worth beside real examples, as a table for a terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

from buttress.diagnostics.estimate import Estimate

__all__ = ["sample_quality_table"]

HEADINGS = {
    "frechet": "Fréchet distance",
    "precision": "precision",
    "recall": "recall",
    "agreement": "of its label",
    "cas": "accuracy score",
}
"""Of each measure; those that no row has are left out."""


def sample_quality_table(rows: Mapping[str, Mapping[str, Estimate]], count: int) -> Table:
    """A row for each set of examples, a column for each measure.

    Args:
        rows: Names of sets, and what was measured of each.
        count: Examples on each side of a comparison.

    Example:
        >>> row = {"frechet": Estimate(1.0, 0.1, 50, "as many of both")}
        >>> [column.header for column in sample_quality_table({"real": row, "samples": row}, 50).columns]
        ['50 of each against held-out', 'Fréchet distance']
    """
    table = Table(header_style="bold")
    table.add_column(f"{count:,} of each against held-out")
    shown = [name for name in HEADINGS if any(name in row for row in rows.values())]
    for name in shown:
        table.add_column(HEADINGS[name], justify="right")
    for name, row in rows.items():
        table.add_row(name, *(str(row[measure]) if measure in row else "-" for measure in shown))
    return table

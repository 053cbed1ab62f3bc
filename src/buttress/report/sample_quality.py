"""What samples are worth beside real examples, as a table for a terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

from buttress.diagnostics.estimate import Estimate

__all__ = ["sample_quality_table"]

HEADINGS = {
    "frechet": "Fréchet\ndistance",
    "precision": "precision",
    "recall": "recall",
    "agreement": "seen as\nits label",
    "cas": "accuracy\nscore",
}
"""Of each measure; those that no row has are left out. All but the first are shares."""


def sample_quality_table(rows: Mapping[str, Mapping[str, Estimate]], count: int) -> Table:
    """A row for each set of examples, a column for each measure; shares in per cent.

    Args:
        rows: Names of sets, and what was measured of each.
        count: Examples on each side of a comparison.

    Example:
        >>> row = {"frechet": Estimate(1.0, 0.1, 50, "as many of both"), "recall": Estimate(0.5, 0.125, 50, "counting")}
        >>> table = sample_quality_table({"real": row, "samples": row}, 50)
        >>> [[*column.cells][0] for column in table.columns]
        ['real', '1.0 ± 0.1', '50.0 ± 12.5']
    """
    title = f"{count:,} of each against as many held-out examples; shares in %"
    table = Table(header_style="bold", title=title, title_justify="left")
    table.add_column("")
    shown = [name for name in HEADINGS if any(name in row for row in rows.values())]
    for name in shown:
        table.add_column(HEADINGS[name], justify="right")
    for name, row in rows.items():
        table.add_row(name, *(_written(measure, row.get(measure)) for measure in shown))
    return table


def _written(measure: str, found: Estimate | None) -> str:
    if found is None or found.value is None:
        return "-"
    if measure == "frechet" or found.error is None:
        return str(found)
    return f"{100 * found.value:.1f} ± {100 * found.error:.1f}"

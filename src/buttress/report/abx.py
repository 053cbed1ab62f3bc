"""ABX errors as a table for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.table import Table

from buttress.quality.abx import Abx

__all__ = ["abx_table"]


def abx_table(rows: Sequence[tuple[str, Abx | None, Abx]]) -> Table:
    """A row for each representation: the error across speakers and that within, in per cent, and the triples of both.

    Args:
        rows: The name of a representation, and what was found across, if anything, and within speakers.

    Example:
        >>> import torch
        >>> abx_table([("codes", None, Abx(0.125, torch.zeros(2, 2), 80))]).row_count
        1
    """
    table = Table(header_style="bold", title="ABX error, % (50: chance)", title_justify="left")
    table.add_column("representation")
    for heading in ("across speakers", "within", "triples"):
        table.add_column(heading, justify="right")
    for name, across, within in rows:
        triples = within.triples + (0 if across is None else across.triples)
        table.add_row(name, _written(across), _written(within), f"{triples:,}")
    return table


def _written(found: Abx | None) -> str:
    return "-" if found is None or math.isnan(found.error) else f"{100 * found.error:.1f}"

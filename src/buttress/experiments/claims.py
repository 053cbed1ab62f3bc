"""What a paper claims and what was seen, as a table for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.table import Table

from buttress.experiments.claim import Claim

__all__ = ["claims_table"]


def claims_table(claims: Sequence[Claim]) -> Table:
    """What was claimed, the mark, what was seen, and whether it held.

    Args:
        claims: A row each.

    Example:
        >>> claims_table([Claim("final KL, nats", "below", 0.05, (0.01, 0.02, 0.9))]).row_count
        1
        >>> Claim("final KL, nats", "below", 0.05, (0.01, math.nan), "the run broke off").plain()["missing"]
        'the run broke off'
    """
    table = Table(header_style="bold", title="median over seeds (each seed)", title_justify="left")
    table.add_column("claim", overflow="fold")
    for heading in ("wanted", "seen", "held"):
        table.add_column(heading, justify="right", no_wrap=heading != "seen")
    for claim in claims:
        wanted = f"{'<' if claim.wanted == 'below' else '>'} {claim.mark:g}"
        seeds = ", ".join("none" if math.isnan(value) else f"{value:.3f}" for value in claim.seen)
        whole = f"{claim.median:.3f}"
        if math.isnan(claim.median):
            whole = f"no number{': ' * bool(claim.missing)}{claim.missing}"
        table.add_row(claim.says, wanted, f"{whole} ({seeds})", "held" if claim.held else "did not hold")
    return table

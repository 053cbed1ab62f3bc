"""buttress paper lagging_inference."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from buttress.papers._claims import Claim
from buttress.papers.lagging_inference import LaggingInference

__all__ = ["lagging_inference"]


def lagging_inference(experiment: LaggingInference, out: Path = Path("runs/lagging_inference")) -> None:
    """He et al. 2019: does the encoder lag behind the true posterior, and does aggressive training bring it up?

    Args:
        experiment: What is trained, and how often.
        out: Folder of the experiment; finished runs in it are kept, a half-finished one goes on.
    """
    from buttress.commands.compare import bars
    from buttress.report.posterior_means import write_figure

    console = Console()
    with bars(console) as watch:
        found = experiment.run(out, watch)
    console.print(_table(found))
    console.print(f"figure: {write_figure(out)}", soft_wrap=True)


def _table(claims: list[Claim]) -> Table:
    """What was claimed, the mark, what was seen, and whether it held."""
    table = Table(header_style="bold", title="median over seeds (each seed)", title_justify="left")
    table.add_column("claim", overflow="fold")
    for heading in ("wanted", "seen", "held"):
        table.add_column(heading, justify="right", no_wrap=heading != "seen")
    for claim in claims:
        wanted = f"{'<' if claim.wanted == 'below' else '>'} {claim.mark:g}"
        seeds = ", ".join(f"{value:.3f}" for value in claim.seen)
        table.add_row(claim.says, wanted, f"{claim.median:.3f} ({seeds})", "held" if claim.held else "did not hold")
    return table

"""buttress paper semi_amortized."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from buttress.experiments.papers.semi_amortized import SemiAmortizedVae

__all__ = ["semi_amortized"]


def semi_amortized(experiment: SemiAmortizedVae, out: Path = Path("runs/semi_amortized"), jobs: int = 1) -> None:
    """Kim et al. 2018: with the true decoder given, how near do an encoder, gradient steps, and both come to log p(x)?

    Args:
        experiment: What is trained, and how often.
        out: Folder of the experiment; finished runs in it are kept, a half-finished one goes on.
        jobs: Runs at a time.

    Example:
        On the command line::

            buttress paper semi_amortized --jobs 2
    """
    from buttress.cli.commands.compare import bars
    from buttress.experiments.claims import claims_table
    from buttress.experiments.papers._oracle_page import write_figure

    console = Console()
    with bars(console, experiment.data) as watch:
        found = experiment.run(out, jobs, watch)
    console.print(claims_table(found))
    console.print(f"figure: {write_figure(out)}", soft_wrap=True)

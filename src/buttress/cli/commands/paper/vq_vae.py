"""buttress paper vq_vae."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from buttress.experiments.papers.vq_vae import VqVae

__all__ = ["vq_vae"]


def vq_vae(experiment: VqVae, out: Path = Path("runs/vq_vae"), jobs: int = 1) -> None:
    """van den Oord et al. 2017: are three codes of a whole image used where a strong decoder could do without any?

    Args:
        experiment: What is trained, and how often.
        out: Folder of the experiment; finished runs in it are kept, a half-finished one goes on.
        jobs: Second models at a time.

    Example:
        On the command line::

            buttress paper vq_vae --jobs 2
    """
    from buttress.cli.commands.compare import bars
    from buttress.experiments.claims import claims_table
    from buttress.experiments.papers.vq_vae import FIRST, SECOND
    from buttress.report.comparison import terminal_table, write_comparison
    from buttress.report.run import write_report

    console = Console()
    with bars(console, experiment.data) as watch:
        found = experiment.run(out, jobs, watch)
    pages = write_report(out / FIRST), write_comparison(out / SECOND)
    console.print(terminal_table(out / SECOND, console.width))
    console.print(claims_table(found))
    for page in pages:
        console.print(f"report: {page}", soft_wrap=True)

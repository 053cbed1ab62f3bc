"""buttress demo."""

from __future__ import annotations

from pathlib import Path

__all__ = ["demo"]


def demo(out: Path = Path("runs/demo"), jobs: int = 2) -> None:
    """See three models collapse for three reasons, and be cured by what their diagnosis advises; takes minutes.

    A VAE on digits with an averaged squared error, LSTMs on sentences, and a VQ-VAE on digits: each is trained,
    diagnosed, trained anew under the remedies that the verdict advises, one after the other until one cures, and
    diagnosed again. A page shows them before and after.

    Args:
        out: Folder of the runs and of the page; finished runs in it are kept.
        jobs: Models at a time.

    Example:
        On the command line::

            buttress demo --jobs 1
    """
    from rich.console import Console

    from buttress.cli.commands.compare import PLAIN, bars
    from buttress.experiments.branches import check_jobs
    from buttress.experiments.collapses import collapses, run_collapses
    from buttress.report.demo import demo_lines, demo_table, write_demo
    from buttress.training.lock import refuse_file

    check_jobs(jobs)
    refuse_file(out)
    console = Console()
    models = collapses()
    console.print(f"{len(models)} models, {jobs} at a time; results go to {out}", **PLAIN)

    def ended(run: str, outcome: str) -> None:
        if not console.is_terminal:
            console.print(f"{run}: {outcome}", **PLAIN)

    with bars(console, None) as watch:
        run_collapses(out, models, jobs, watch, ended)
    page = write_demo(out)
    for line in demo_lines(out):
        console.print(line, **PLAIN)
    console.print(demo_table(out))
    console.print(f"report: {page}", **PLAIN)

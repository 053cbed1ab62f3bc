"""Repeat a paper's experiment, and see which of its claims hold.

One command for each file in :mod:`buttress.experiments.papers`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from buttress.cli.docs import summary
from buttress.experiments.papers import experiments
from buttress.experiments.papers._experiment import Experiment

__all__ = ["functions", "repeat"]


def repeat(experiment: Experiment, out: Path, jobs: int) -> None:
    """Run an experiment, print which of its claims hold, and draw its figures.

    Args:
        experiment: Which, with its settings.
        out: Its folder; finished runs in it are kept, a half-finished one goes on.
        jobs: Runs at a time, where it can train several.
    """
    from buttress.cli.commands.compare import bars
    from buttress.experiments.branches import check_jobs
    from buttress.experiments.claims import claims_table
    from buttress.training.lock import refuse_file

    check_jobs(jobs)
    refuse_file(out)  # before the data are read, which may take a minute
    console = Console()
    with bars(console, getattr(experiment, "data", None)) as watch:
        found = experiment.run(out, jobs=jobs, watch=watch)
    console.print(claims_table(found))
    for path in experiment.figures(out):
        console.print(f"written: {path}", soft_wrap=True)


def functions() -> dict[str, Callable[..., None]]:
    """A function for each experiment, whose signature and docstring are the flags and the help of its command.

    Example:
        >>> functions()["vq_vae"].__name__
        'vq_vae'
    """
    return {name: _command(name, kind) for name, kind in experiments().items()}


def _command(name: str, kind: type[Experiment]) -> Callable[..., None]:
    def command(experiment: Experiment, out: Path = Path("runs") / name, jobs: int = 1, full: bool = False) -> None:
        repeat(experiment, out, jobs)

    command.__name__ = command.__qualname__ = name
    command.__annotations__["experiment"] = kind
    command.__doc__ = f"""{summary(kind)}

    Args:
        out: Folder of the experiment; finished runs in it are kept, a half-finished one goes on.
        jobs: Runs at a time, where the experiment can train several.
        full: The sizes of the paper in place of those of the small trial; takes hours or days.

    Example:
        On the command line::

            buttress paper {name} --out runs/{name}
    """
    return command

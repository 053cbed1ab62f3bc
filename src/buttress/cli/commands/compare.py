"""buttress compare DATA."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from buttress.cli.preview import duration
from buttress.core import Data
from buttress.core.recipe import Recipe

__all__ = ["compare", "show"]

PLAIN: dict[str, Any] = {"soft_wrap": True, "markup": False, "highlight": False}
"""How rich prints a line as it is."""
LINE_EVERY = 30.0
"""Seconds between lines about a run where output goes to a file."""


def compare(
    recipe: Recipe,
    remedies: str = "all",
    seeds: int = 3,
    budget: int | None = None,
    out: Path = Path("runs/comparison"),
    jobs: int = 1,
    nll_samples: int = 100,
    nll_examples: int = 500,
    gap_steps: int = 100,
    gap_examples: int = 100,
) -> None:
    """Train the same baseline under several remedies, with several seeds, and put all in one table.

    Args:
        recipe: The baseline, made from DATA and the flags.
        remedies: Arms, separated by commas; an arm is a remedy, or several joined by +; all takes each that fits.
        seeds: Runs of each arm.
        budget: Training steps of every run; replaces training.steps.
        out: Folder of the comparison; an interrupted one goes on. A finished one grows: what its table lists already
            stays there, whatever arms and seeds are asked for, and is measured again where the settings below differ. A
            comparison of another baseline is refused.
        jobs: Runs at a time.
        nll_samples: Importance samples of each example for the NLL; 0 leaves it out.
        nll_examples: Held-out examples on which the NLL is measured, at most.
        gap_steps: Most steps of refining each example's q for the amortisation gap; 0 leaves it out, and with it the
            cause.
        gap_examples: Held-out examples on which the gap is measured, at most.

    Example:
        On the command line::

            buttress compare DATA --remedies none,kl_annealing,free_bits+word_dropout --seeds 3 --budget 2000 --jobs 2
    """
    from buttress.cli.commands.train import say_if_binarised
    from buttress.core.remedy import catalogue
    from buttress.runtime.arguments import listed

    say_if_binarised(recipe)
    names = list(catalogue()) if remedies == "all" else list(listed(remedies))
    if budget is not None:
        recipe = replace(recipe, training=replace(recipe.training, steps=budget))
    names.sort(key=lambda name: name != "none")
    effort = {
        "nll_samples": nll_samples,
        "nll_examples": nll_examples,
        "gap_steps": gap_steps,
        "gap_examples": gap_examples,
    }
    show(recipe, names, out, seeds, jobs, effort)


def show(recipe: Recipe, names: list[str], out: Path, seeds: int, jobs: int, settings: dict[str, int]) -> None:
    """Run a comparison with a progress bar for each run; print its table and where its report lies.

    Where nobody sees the bars, since the output goes to a file or another program, each run that ends is a line.

    Example:
        From Python, a comparison as the command line shows it::

            show(recipe, ["none", "free_bits"], Path("runs/comparison"), seeds=3, jobs=1, settings={"nll_samples": 50})
    """
    from buttress.experiments.compare import compare as run
    from buttress.report.comparison import terminal_table, write_comparison

    console = Console()

    def begin(runs: int) -> None:
        console.print(
            f"{runs} run{'s' * (runs != 1)} of {recipe.training.steps} steps, {jobs} at a time; results go to {out}",
            **PLAIN,
        )

    def ended(run: str, outcome: str) -> None:
        if not console.is_terminal:
            console.print(f"{run}: {briefly(outcome)}", **PLAIN)

    with bars(console, recipe.data, recipe.training.validation) as watch:
        done = run(recipe, names, out, seeds=seeds, jobs=jobs, settings=settings, watch=watch, begin=begin, ended=ended)
    for name, reason in done.left_out.items():
        console.print(f"left out: {name}: {reason}", style="dim", **PLAIN)
    for why in dict.fromkeys(done.measured_again.values()):
        runs = ", ".join(run for run, reason in done.measured_again.items() if reason == why)
        console.print(f"measured again, because {why}: {runs}", markup=False, highlight=False)
    page = write_comparison(done.folder)
    console.print(terminal_table(done.folder, console.width))
    for name, reason in done.failed.items():
        Console(stderr=True).print(f"failed: {name}: {reason}", style="red", markup=False, highlight=False)
    console.print(f"report: {page}", **PLAIN)


def briefly(outcome: str) -> str:
    """How a run ended, without the reason, which is told at the end with those of all others.

    Example:
        >>> briefly("failed: no space is left"), briefly("finished after 3 s of training")
        ('failed', 'finished after 3 s of training')
    """
    return "failed" if outcome.startswith("failed: ") else outcome


@contextmanager
def bars(console: Console, data: Data | None, validation: float = 0.0) -> Iterator[Callable[[str, int, int], None]]:
    """One progress bar for each run; what it yields is called with (run, step, total).

    Args:
        console: Where the bars go.
        data: Of all runs; what a person should know about them is told once, when the first run begins. None where
            runs differ in their data.
        validation: Share of the held-out examples that validations alone read.
    """
    from buttress.data.opened import opened, tell
    from buttress.training.held_out import with_division

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    now_and_then = _lines(console)
    with Progress(*columns, console=console) as progress:
        tasks: dict[str, TaskID] = {}

        def watch(run: str, step: int, total: int) -> None:
            if not tasks and data is not None:
                tell(with_division(opened(data), validation))
            if run not in tasks:
                tasks[run] = progress.add_task(run, total=total)
            progress.update(tasks[run], completed=step)
            now_and_then(run, step, total)

        yield watch


def _lines(console: Console) -> Callable[[str, int, int], None]:
    """What writes a line about a run now and then where nobody sees a bar: at first, then every :data:`LINE_EVERY`."""
    told: dict[str, float] = {}
    began: dict[str, tuple[int, float]] = {}

    def tell_line(run: str, step: int, total: int) -> None:
        now = time.monotonic()
        if step <= began.setdefault(run, (step, now))[0]:  # another comparison's run of the same name begins
            began[run] = (step, now)
        first, since = began[run]
        if console.is_terminal or now - told.setdefault(run, now) < LINE_EVERY or not first < step < total:
            return
        told[run] = now
        left = duration((now - since) / (step - first) * (total - step))
        console.print(f"{run}: step {step} of {total}, about {left} left", **PLAIN)

    return tell_line

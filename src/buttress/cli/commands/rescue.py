"""buttress rescue RUN."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from buttress.core import Data

__all__ = ["rescue", "search"]


def rescue(
    run: Path,
    out: Path | None = None,
    remedies: str = "advice",
    most: int = 6,
    budget: int | None = None,
    jobs: int = 1,
    by: Literal["processes", "here", "ray"] = "processes",
    stop_early: bool = True,
    json: bool = False,
    nll_samples: int = 50,
    nll_examples: int = 500,
    gap_steps: int = 50,
    gap_examples: int = 100,
    data: str | None = None,
    other_data: bool = False,
) -> None:
    """Find what brings z of a collapsed run into use: try the remedies that its verdict advises, and rank them.

    Every remedy is trained from scratch and, where it leaves encoder and decoder as they are, on the trained weights,
    all with the same steps, beside the model itself without a remedy. Branches are ranked by the verdict first, then by
    the NLL (−ELBO where there is none), and what the error does not decide is called a tie. A search that was
    interrupted goes on when it is asked for again, and a branch that dies loses itself alone.

    Args:
        run: Folder of a run, finished or interrupted.
        out: Folder of the branches; none for that of the run with -rescue behind it.
        remedies: What to try, separated by commas, the most promising first; advice takes what the verdict names.
        most: Remedies of the advice that are tried, at most.
        budget: Training steps of each branch; none for half of the run's.
        jobs: Branches at a time.
        by: Who trains them: processes of this machine, here (one after another in this process), or ray (Ray Tune; a
            cluster is named by RAY_ADDRESS, and must see the folders under the same paths).
        stop_early: Whether hopeless branches end at a quarter or half of their steps; needs Optuna.
        json: Print the ranking as JSON and nothing else.
        nll_samples: Importance samples of each example for the NLL; 0 leaves it out.
        nll_examples: Held-out examples on which the NLL is measured, at most.
        gap_steps: Most steps of refining each example's q for the amortisation gap; 0 leaves it out.
        gap_examples: Held-out examples on which the gap is measured, at most.
        data: Where the run's data are now, if they were moved.
        other_data: Accept data that have changed since the run was trained on them.

    Example:
        On the command line::

            buttress rescue runs/latest --budget 500 --jobs 2
    """
    from buttress.cli.opening import open_run
    from buttress.experiments.inputs import moved
    from buttress.experiments.rescue import rescue as run_rescue
    from buttress.runtime.arguments import listed

    opened = open_run(run, data, other_data)
    if data is not None:
        from dataclasses import replace

        opened.recipe = replace(opened.recipe, data=moved(opened.recipe.data, data))
    names = () if remedies == "advice" else listed(remedies)
    effort = {
        "nll_samples": nll_samples,
        "nll_examples": nll_examples,
        "gap_steps": gap_steps,
        "gap_examples": gap_examples,
    }

    def go(watch: Any) -> Any:
        return run_rescue(
            opened,
            out,
            remedies=names,
            most=most,
            budget=budget,
            jobs=jobs,
            by=by,
            settings=effort,
            stop_early=stop_early,
            watch=watch,
        )

    search(go, opened.recipe.data, json, opened.recipe.training.validation)


def search(go: Callable[[Any], Any], data: Data, as_json: bool, validation: float = 0.0) -> None:
    """Look for a recipe with a progress bar for each branch, and print what came of it.

    Args:
        go: Called with who hears of it; gives what was found.
        data: Of all branches.
        as_json: Whether to print JSON and nothing else.
        validation: Share of the held-out examples that validations alone read.

    Example:
        As ``buttress rescue`` shows it::

            search(lambda watch: rescue(run, watch=watch), run.recipe.data, as_json=False)
    """
    import json
    import sys

    from rich.console import Console

    from buttress.cli.commands.compare import PLAIN, bars, briefly
    from buttress.experiments.branches import Watch, in_words
    from buttress.report.ranking import as_text, ranking_table, sentences

    console = Console(file=sys.stderr if as_json else None)

    def begin(runs: int, note: str) -> None:
        console.print(in_words(runs, note), **PLAIN)

    def ended(run: str, outcome: str) -> None:
        if not console.is_terminal:
            console.print(f"{run}: {briefly(outcome)}", **PLAIN)

    with bars(console, data, validation) as step:
        found = go(Watch(step, begin, ended))
    if as_json:
        plain = (
            {"format": 1, "reason": found.reason, "rows": []}
            if found.ranking is None
            else json.loads((found.folder / "ranking.json").read_text(encoding="utf-8"))
        )
        print(json.dumps(plain, indent=1, ensure_ascii=False))
        return
    if found.ranking is None:
        console.print(found.reason, **PLAIN)
        return
    for name, reason in found.left_out.items():
        console.print(f"left out: {name}: {reason}", style="dim", **PLAIN)
    table = ranking_table(found.ranking)
    console.print(table if console.is_terminal else as_text(table), **PLAIN)
    for line in sentences(found.ranking):
        console.print(line, **PLAIN)
    for name, reason in found.ranking.failed.items():
        Console(stderr=True).print(f"failed: {name}: {reason}", style="red", **PLAIN)
    if found.apply:
        console.print(f"apply it: {found.apply}", **PLAIN)
    console.print(f"report: {found.page}", **PLAIN)

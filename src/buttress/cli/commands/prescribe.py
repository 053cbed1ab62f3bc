"""buttress prescribe DATA."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from buttress.core.recipe import Recipe

__all__ = ["prescribe"]


def prescribe(
    recipe: Recipe,
    out: Path = Path("runs/prescription"),
    remedies: str = "all",
    budget: int | None = None,
    jobs: int = 1,
    by: Literal["processes", "here", "ray"] = "processes",
    stop_early: bool = True,
    json: bool = False,
    nll_samples: int = 50,
    nll_examples: int = 500,
    gap_steps: int = 50,
    gap_examples: int = 100,
) -> None:
    """Find a recipe for some data: try the baseline and every remedy that fits, and rank them.

    Branches are ranked as by buttress rescue. front.png in the folder shows which recipes none is better than in both
    likelihood and information.

    Args:
        recipe: The baseline, made from DATA and the flags.
        out: Folder of the branches; an interrupted search goes on.
        remedies: What to try, separated by commas; all takes each that fits.
        budget: Training steps of each branch; replaces training.steps.
        jobs: Branches at a time.
        by: Who trains them; see buttress rescue --help.
        stop_early: Whether hopeless branches end at a quarter or half of their steps; needs Optuna.
        json: Print the ranking as JSON and nothing else.
        nll_samples: Importance samples of each example for the NLL; 0 leaves it out.
        nll_examples: Held-out examples on which the NLL is measured, at most.
        gap_steps: Most steps of refining each example's q for the amortisation gap; 0 leaves it out.
        gap_examples: Held-out examples on which the gap is measured, at most.

    Example:
        On the command line::

            buttress prescribe DATA --budget 1000 --jobs 2
    """
    from buttress.cli.commands.rescue import search
    from buttress.cli.commands.train import say_if_binarised
    from buttress.experiments.prescribe import prescribe as run_prescribe
    from buttress.runtime.arguments import listed

    if not json:
        say_if_binarised(recipe)
    names = () if remedies == "all" else listed(remedies)
    effort = {
        "nll_samples": nll_samples,
        "nll_examples": nll_examples,
        "gap_steps": gap_steps,
        "gap_examples": gap_examples,
    }

    def go(watch: Any) -> Any:
        return run_prescribe(
            recipe,
            out,
            remedies=names,
            budget=budget,
            jobs=jobs,
            by=by,
            settings=effort,
            stop_early=stop_early,
            watch=watch,
        )

    search(go, recipe.data, json, recipe.training.validation)

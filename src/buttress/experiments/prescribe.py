"""From data alone to a recipe: the baseline for such data and every remedy that fits it, measured and ranked.

What is best depends on what z is for, so beside the ranking there is a front of likelihood against information
(``front.png``): the recipes of which no other is better in both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from buttress.core import remedy
from buttress.core.recipe import Recipe
from buttress.data.opened import opened
from buttress.experiments.branches import UNTOUCHED, Branch, By, Watch, check_budget, grow
from buttress.experiments.compare import arms
from buttress.experiments.fits import changes
from buttress.experiments.rescue import Rescue, conclude
from buttress.report.front import write_front

__all__ = ["candidates", "prescribe"]


def candidates(recipe: Recipe) -> tuple[str, ...]:
    """The remedies that change this recipe and fit its data, in the order in which advice would name them.

    Args:
        recipe: Of the data, as the baseline gives it.

    Example:
        >>> from buttress.api import recipe_for
        >>> names = candidates(recipe_for("linear_gaussian"))
        >>> "free_bits" in names, "word_dropout" in names
        (True, False)
    """
    layout = opened(recipe.data).spec.layout
    known = sorted(remedy.catalogue().values(), key=lambda one: (not one.cures, one.rank, one.name))
    return tuple(one.name for one in known if one.name != UNTOUCHED and changes(one, recipe, layout))


def prescribe(
    recipe: Recipe,
    out: str | Path = "runs/prescription",
    *,
    remedies: Sequence[str] = (),
    budget: int | None = None,
    jobs: int = 1,
    by: By = "processes",
    settings: Mapping[str, Any] | None = None,
    stop_early: bool = True,
    watch: Watch | None = None,
) -> Rescue:
    """Find the recipe for some data.

    Args:
        recipe: The baseline of the data, or what else to start from.
        out: Folder of the branches; asked again, it goes on.
        remedies: What to try; empty for all that fit.
        budget: Steps of each branch; None for those of the recipe.
        jobs: Branches at a time.
        by: See :func:`buttress.experiments.rescue.rescue`.
        settings: Of every diagnosis.
        stop_early: Whether hopeless branches end before their budget is spent (with Optuna).
        watch: Who hears of it.

    Errors:
        ValueError: No remedy fits, a schedule needs more steps than the budget, or every branch failed.
    """
    check_budget(budget)
    steps = recipe.training.steps if budget is None else budget
    quarter = max(1, steps // 4)
    training = replace(
        recipe.training,
        steps=steps,
        validate_every=min(recipe.training.validate_every, quarter),
        checkpoint_every=min(recipe.training.checkpoint_every, quarter),
    )
    fitting, left_out = arms(
        replace(recipe, training=training), [UNTOUCHED, *[n for n in remedies or candidates(recipe) if n != UNTOUCHED]]
    )
    branches = [Branch(one.name, "", one.recipe) for one in fitting]
    if len(branches) == 1:
        why = f"only {UNTOUCHED} was named" if remedies else "there is none for such data"
        raise ValueError("no remedy fits: " + "; ".join(left_out.values() or [why]))
    folder = Path(out)
    grow(
        branches,
        folder,
        jobs=jobs,
        by=by,
        settings=settings,
        stop_early=stop_early,
        left_out=left_out,
        watch=watch,
    )
    found = conclude(folder, branches, recipe, None, left_out)
    assert found.ranking is not None
    write_front(found.ranking, folder)
    return found

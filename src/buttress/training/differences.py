"""What differs between two recipes, and whether one is the other with more steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from buttress.core import Schedule
from buttress.core.recipe import Recipe
from buttress.core.registry import to_plain

__all__ = ["differences", "lengthened"]


def differences(old: Any, new: Any, where: str = "") -> list[str]:
    """What differs between two recipes as plain data.

    Example:
        >>> differences({"training": {"steps": 1}}, {"training": {"steps": 2}})
        ['training.steps is 1 there and 2 here']
    """
    if isinstance(old, dict) and isinstance(new, dict) and old.get("name") == new.get("name"):
        keys = dict.fromkeys([*old, *new])
        return [d for k in keys for d in differences(old.get(k), new.get(k), f"{where}.{k}" if where else k)]
    if isinstance(old, dict) and isinstance(new, dict):
        old, new = old.get("name"), new.get("name")
    return [] if old == new else [f"{where} is {old} there and {new} here"]


def lengthened(old: Recipe, new: Recipe) -> Recipe | None:
    """The old recipe with the new number of steps, where ``new`` asks for more steps and for nothing else.

    Schedules keep the lengths they began with, even where ``new`` was made with a remedy whose schedule is a share of
    the steps. None where the recipes differ in anything else, or ``new`` has no more steps.

    Errors:
        ValueError: The algorithm divides the steps among its phases.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.core import remedy
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> start = baseline(LinearGaussianData(), LinearGaussianData().open().spec)
        >>> more = replace(start, training=replace(start.training, steps=5000))
        >>> old, new = remedy.apply("kl_annealing", start), remedy.apply("kl_annealing", more)
        >>> new.objective.beta.steps, lengthened(old, new).objective.beta.steps, lengthened(new, old)
        (1500, 600, None)
    """
    if new.training.steps <= old.training.steps:
        return None
    longer = replace(old, training=replace(old.training, steps=new.training.steps))
    held = {
        name: schedule
        for name, schedule in vars(old.objective).items()
        if isinstance(schedule, Schedule) and type(schedule) is type(getattr(new.objective, name, None))
    }
    same_kind = type(old.objective) is type(new.objective)
    if not same_kind or to_plain(replace(new, objective=new.objective.replace(**held))) != to_plain(longer):
        return None
    if old.algorithm.divides_steps:
        raise ValueError(
            f"the {old.algorithm.name()} algorithm divides training.steps among its phases, so a run of it can't go on "
            f"from {old.training.steps} to {new.training.steps} steps; train a new run in another folder"
        )
    return longer

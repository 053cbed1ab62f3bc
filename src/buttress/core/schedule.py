"""Step -> value."""

from __future__ import annotations

import math
from abc import abstractmethod

from buttress.core.part import Part

__all__ = ["Schedule"]


class Schedule(Part):
    """Step -> value, without memory. What it moves is a weight in a loss: finite, and not below 0.

    Example:
        >>> from buttress.schedules.linear import Linear
        >>> [Linear(steps=4)(step) for step in (0, 1, 4, 9)]
        [0.0, 0.25, 1.0, 1.0]
    """

    def __post_init__(self) -> None:
        """Refuse a ``value``, ``start`` or ``end`` that is no weight; a subclass with checks of its own calls this."""
        for name in ("value", "start", "end"):
            weight = getattr(self, name, 0.0)
            if not (math.isfinite(weight) and weight >= 0):
                raise ValueError(f"{self.name()} schedule: {name} is {weight}, wanted a finite weight of at least 0")

    @abstractmethod
    def __call__(self, step: int) -> float:
        """The value at a step, counted from 0."""

    @property
    @abstractmethod
    def settles(self) -> int:
        """The first step from which on the value never changes again, however often it rested before."""

    def settled(self, step: int) -> bool:
        """Whether the value at ``step`` is that of every later one."""
        return step >= self.settles

    def check(self, total: int) -> None:
        """Refuse a run that would not end at the schedule's final value.

        Errors:
            ValueError: A run of ``total`` steps is too short for it.
        """
        if not self.settled(total - 1):
            raise ValueError(
                f"{self.name()} schedule: it reaches its final value after {self.settles} steps, but the run has "
                f"{total}, so training would end short of it; try a longer run (training.steps above {self.settles})"
                + (f", or a schedule shorter than {total} steps" if total > 1 else ", or no schedule")
            )

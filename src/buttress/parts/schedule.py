"""Step -> value."""

from __future__ import annotations

import math
from abc import abstractmethod

from buttress.parts.part import Part

__all__ = ["Schedule"]


class Schedule(Part):
    """Step -> value, without memory. What it moves is a weight in a loss: finite, and not below 0."""

    def __post_init__(self) -> None:
        """Refuse a ``value``, ``start`` or ``end`` that is no weight; a subclass with checks of its own calls this."""
        for name in ("value", "start", "end"):
            weight = getattr(self, name, 0.0)
            if not (math.isfinite(weight) and weight >= 0):
                raise ValueError(f"{self.name()} schedule: {name} is {weight}, wanted a finite weight of at least 0")

    @abstractmethod
    def __call__(self, step: int) -> float:
        """The value at a step, counted from 0."""

    @abstractmethod
    def check(self, total: int) -> None:
        """Raise ValueError if a run of ``total`` steps would not end at the schedule's final value."""

"""Step -> value."""

from __future__ import annotations

from abc import abstractmethod

from buttress.parts.part import Part

__all__ = ["Schedule"]


class Schedule(Part):
    """Step -> value, without memory.

    Example:
        >>> from buttress.schedules.linear import Linear
        >>> [Linear(steps=4)(step) for step in (0, 1, 4, 9)]
        [0.0, 0.25, 1.0, 1.0]
    """

    @abstractmethod
    def __call__(self, step: int) -> float:
        """The value at a step, counted from 0."""

    @abstractmethod
    def check(self, total: int) -> None:
        """Raise ValueError if a run of ``total`` steps would not end at the schedule's final value."""

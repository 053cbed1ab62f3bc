"""value(t) = c."""

from __future__ import annotations

from dataclasses import dataclass

from buttress.core import Schedule

__all__ = ["Constant"]


@dataclass(frozen=True)
class Constant(Schedule):
    """One value at every step.

    Args:
        value: The value.

    Example:
        >>> Constant(0.5)(1000)
        0.5
    """

    value: float = 1.0

    def __call__(self, step: int) -> float:
        """See :class:`buttress.core.Schedule`."""
        return self.value

    @property
    def settles(self) -> int:
        """See :class:`buttress.core.Schedule`."""
        return 0

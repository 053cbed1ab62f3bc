"""What every part is: a description with a name."""

from __future__ import annotations

from abc import ABC
from typing import Any, Self

__all__ = ["Part"]


class Part(ABC):  # noqa: B024 - the rooms add what must be defined
    """A description of one component: a frozen dataclass, final, named after its file.

    Example:
        >>> from buttress.schedules.linear import Linear
        >>> Linear.name(), Linear(steps=5).replace(start=0.1)
        ('linear', Linear(steps=5, start=0.1, end=1.0, hold=0))
    """

    @classmethod
    def name(cls) -> str:
        """The name users type: the name of the file that defines the part."""
        return cls.__module__.rpartition(".")[2]

    @classmethod
    def tiny(cls) -> tuple[Self, ...]:
        """Small instances on which the laws are checked."""
        return (cls(),)

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        from dataclasses import replace

        return replace(self, **changes)  # type: ignore[type-var]

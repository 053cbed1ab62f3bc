"""What every part is: a description with a name."""

from __future__ import annotations

from abc import ABC
from typing import Any, ClassVar, Self

from buttress.core.layout import Layout

__all__ = ["DataPart", "Part"]


class Part(ABC):  # noqa: B024 - the rooms add what must be defined
    """A description of one component: a frozen dataclass, final, named after its file.

    Example:
        >>> from buttress.schedules.linear import Linear
        >>> Linear.name(), Linear(steps=5).replace(start=0.1)
        ('linear', Linear(steps=5, start=0.1, end=1.0, hold=0))
    """

    registered_as: ClassVar[str] = ""
    """The name it was registered with, where it is from outside the package."""

    @classmethod
    def name(cls) -> str:
        """The name users type: the name of the file that defines the part, or the one it was registered with."""
        return cls.__dict__.get("registered_as") or cls.__module__.rpartition(".")[2]

    @classmethod
    def tiny(cls) -> tuple[Self, ...]:
        """Small instances on which the laws are checked."""
        return (cls(),)

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        from dataclasses import replace

        return replace(self, **changes)  # type: ignore[type-var]


class DataPart(Part):
    """A part that fits some layouts of data and not others.

    Example:
        >>> from buttress.core.layout import Layout
        >>> from buttress.encoders.conv import ConvEncoder
        >>> ConvEncoder().misfit(Layout.image(1, 28, 28)), ConvEncoder().misfit(Layout.table(3))
        ('', 'it needs two place axes, as images have')
    """

    def misfit(self, layout: Layout) -> str:
        """Why it can't be used with such data; empty where it can."""
        return ""

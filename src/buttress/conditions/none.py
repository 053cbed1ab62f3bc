"""No condition: x alone is modelled."""

from __future__ import annotations

from dataclasses import dataclass

from buttress.core import Condition, ConditionModule, DataSpec

__all__ = ["Unconditional"]


@dataclass(frozen=True)
class Unconditional(Condition):
    """Read nothing beside x.

    Example:
        >>> from buttress.core import Layout
        >>> Unconditional().build(DataSpec(Layout.table(3))).names
        ()
    """

    def build(self, spec: DataSpec) -> ConditionModule:
        """See :class:`buttress.core.Condition`."""
        return ConditionModule()

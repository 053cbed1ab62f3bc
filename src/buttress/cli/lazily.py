"""Modules that are imported when something of them is used, so that help and errors of arguments need not wait."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["Lazily", "registry", "room_of"]


class Lazily:
    """A module, imported when its first attribute is asked for.

    Args:
        name: Of the module.

    Example:
        >>> Lazily("math").sqrt(4.0)
        2.0
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)


registry: Any = Lazily("buttress.core.registry")


def room_of(kind: Any) -> str | None:
    """As :func:`buttress.core.registry.room_of`; nothing is imported for what is plainly no part.

    Example:
        >>> room_of(int) is None
        True
    """
    if not isinstance(kind, type) or kind.__module__ in ("builtins", "pathlib"):
        return None
    found: str | None = registry.room_of(kind)
    return found

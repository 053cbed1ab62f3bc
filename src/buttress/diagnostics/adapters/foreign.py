"""Which adapter of ``libraries/`` fits a module: that of the package which it, or a part of it, comes from."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

from torch import nn

from buttress.diagnostics.adapters import libraries
from buttress.diagnostics.adapters.library_model import LibraryModel
from buttress.diagnostics.protocol import Batches

__all__ = ["foreign"]


def foreign(model: nn.Module, batches: Batches, likelihood: str | None, variance: float | None) -> LibraryModel | None:
    """A model of a known library as the diagnostics want it; None where it is of none.

    Args:
        model: A module of a library, a class derived from one, or a module with a layer of one.
        batches: Held-out data, with what came beside x, of which some are tried.
        likelihood: Of the reconstruction; None for that of the library, if it has one.
        variance: Of the "gaussian" likelihood.

    Errors:
        ValueError: It is of a library and can't be read, or needs a likelihood.

    Example:
        >>> foreign(nn.Linear(2, 2), [], None, None) is None
        True
    """
    known = {info.name for info in pkgutil.iter_modules(libraries.__path__)}
    for package in _packages(model):
        if package in known:
            module = importlib.import_module(f"{libraries.__name__}.{package}")
            found: LibraryModel | None = module.adapt(model, batches, likelihood, variance)
            if found is not None:
                return found
    return None


def _packages(model: nn.Module) -> Iterator[str]:
    """Where the classes of a module come from, its own and their bases first, then those of its parts."""
    for part in (model, *model.modules()):
        yield from (base.__module__.partition(".")[0] for base in type(part).__mro__)

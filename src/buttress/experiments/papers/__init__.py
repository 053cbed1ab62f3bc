"""One file a paper: the data, the baseline, the remedies, and the claims that it must show.

Each file without a leading underscore has one class, an :class:`buttress.experiments.papers._experiment.Experiment`;
``buttress paper NAME`` runs it. ``vq_vae.py`` is one to start from.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from buttress.experiments.papers._experiment import Experiment

__all__ = ["experiments"]


@cache
def experiments() -> dict[str, type[Experiment]]:
    """The experiments in this folder by the names of their files.

    Example:
        >>> experiments()["vq_vae"].__name__
        'VqVae'
    """
    from buttress.experiments.papers._experiment import Experiment

    found = {}
    for name in sorted(info.name for info in pkgutil.iter_modules(__path__) if not info.name.startswith("_")):
        module = importlib.import_module(f"{__name__}.{name}")
        classes = [
            kind for _, kind in inspect.getmembers(module, inspect.isclass) if kind.__module__ == module.__name__
        ]
        (found[name],) = (kind for kind in classes if issubclass(kind, Experiment))
    return found

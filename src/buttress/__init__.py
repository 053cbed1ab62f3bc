"""Train variational auto-encoders whose latent variables stay in use, and find out why where they do not.

>>> import buttress as bt
>>> sorted(bt.__all__)
['Adapter', 'Monitor', 'Point', 'Recipe', 'Run', 'compare', 'diagnose', 'lint', 'load', 'prescribe', ...]

The rest is for people who write parts: see docs/guide.md and docs/architecture.md.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from buttress.api import compare, diagnose, lint, load, prescribe, register, train
    from buttress.core.recipe import Recipe
    from buttress.core.remedy import remedy
    from buttress.diagnostics.monitor.monitor import Monitor
    from buttress.diagnostics.protocol import Adapter
    from buttress.distributions.point import Point
    from buttress.experiments.rescuing import rescue
    from buttress.report.run import save_report
    from buttress.training.run import Run

__version__ = "0.2.0.dev0"
__all__ = [
    "Adapter",
    "Monitor",
    "Point",
    "Recipe",
    "Run",
    "compare",
    "diagnose",
    "lint",
    "load",
    "prescribe",
    "register",
    "remedy",
    "rescue",
    "save_report",
    "train",
]

_HOMES = {
    "Adapter": "diagnostics.protocol",
    "Monitor": "diagnostics.monitor.monitor",
    "Point": "distributions.point",
    "Recipe": "core.recipe",
    "Run": "training.run",
    "remedy": "core.remedy",
    "rescue": "experiments.rescuing",
    "save_report": "report.run",
}
"""Where each name lives; the others are in ``api``. They load when used: a diagnosis needs torch and little else."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'buttress' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(f"buttress.{_HOMES.get(name, 'api')}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]

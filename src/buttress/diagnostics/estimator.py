"""What an estimator is: a function from a model and its data to named numbers, in a file of ``estimators/``.

    @estimator("bound")
    def measure(subject: Subject) -> dict[str, Estimate]:
        ...

Such a file is all that it takes: :func:`buttress.diagnostics.diagnose.diagnose` runs every estimator that it finds
there, stage by stage.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

from jaxtyping import Int
from torch import Tensor

from buttress.core.factors import Factors
from buttress.diagnostics import estimators
from buttress.diagnostics.conditions import condition_numbers, large_groups
from buttress.diagnostics.estimate import Estimate
from buttress.diagnostics.passes import Encoded
from buttress.diagnostics.protocol import Conditional

__all__ = ["STAGES", "Estimator", "Subject", "catalogue", "estimator"]

STAGES = (
    "bound",
    "active units",
    "mutual information",
    "use of z by the decoder",
    "likelihood",
    "amortisation gap",
    "verdict",
)
"""What ``progress`` of a diagnosis reports, in order. All but the last have estimators."""


@dataclass
class Subject:
    """What is measured, and how far that is.

    Args:
        model: Every callable takes ``given``.
        data: Held-out data that remember q(z|x).
        settings: Samples, steps, examples and seed; see :func:`buttress.diagnostics.diagnose.diagnose`.
        kind: Of the data.
        dims: Numbers in one example for bits; see there.
        tokens: Predicted tokens of all batches; see there.
        encode: x -> features, or None.
        labels: Class of each example, (N,), negative where it is not known; or None.
        factors: Known factors of each example, or None.
        place_labels: The label of each place of z of every example, (N, P), negative where there is none; or None.
        groups: Names of the latent groups, or None.
        conditions: Names in ``given`` that the model reads.
        seconds: Of sound, from one place of x to the next; 0 for other data.
        purpose: "density", or "compression" where a second model will learn z.
        beta: Weight of the rate in the loss that the model was trained with, at its end; None where it is not known.
        estimates: Numbers found so far.
        kept: Records that other estimators of the same diagnosis may read.
    """

    model: Conditional
    data: Encoded
    settings: Mapping[str, Any]
    kind: str = "table"
    dims: int | None = None
    tokens: int | None = None
    encode: Callable[[Tensor], Tensor] | None = None
    labels: Int[Tensor, " N"] | None = None
    factors: Factors | None = None
    place_labels: Int[Tensor, "N P"] | None = None
    groups: Sequence[str] | None = None
    conditions: tuple[str, ...] = ()
    seconds: float = 0.0
    beta: float | None = None
    purpose: str = "density"
    estimates: dict[str, Estimate] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def within(self) -> Int[Tensor, " N"] | None:
        """A group of equal conditions for each example, -1 in small ones; None where there are no such groups."""
        numbers = condition_numbers(self.data, self.conditions) if self.conditions else None
        return None if numbers is None else large_groups(numbers)

    @property
    def seed(self) -> int:
        """Of all noise and choices."""
        return int(self.settings["seed"])


@dataclass(frozen=True)
class Estimator:
    """A function from a subject to its numbers by name, and the stage in which it runs.

    Args:
        measure: The function; it gives nothing where it does not apply.
        stage: One of :data:`STAGES`.

    Errors:
        ValueError: There is no such stage.
    """

    measure: Callable[[Subject], Mapping[str, Estimate]]
    stage: str

    def __post_init__(self) -> None:
        """Refuse an unknown stage."""
        if self.stage not in STAGES[:-1]:
            raise ValueError(f"estimator: got the stage {self.stage!r}, wanted one of {', '.join(STAGES[:-1])}")

    @property
    def name(self) -> str:
        """The name of its file."""
        return self.measure.__module__.rpartition(".")[2]


def estimator(stage: str) -> Callable[[Callable[[Subject], Mapping[str, Estimate]]], Estimator]:
    """Declare the function below to be an estimator.

    Example:
        >>> @estimator("bound")
        ... def examples(subject):
        ...     return {"examples": Estimate(10.0, None, 10, "counting")}
        >>> examples.stage
        'bound'
    """
    return lambda measure: Estimator(measure, stage)


@cache
def catalogue() -> tuple[Estimator, ...]:
    """All estimators of the folder, by stage and then by the name of their file.

    Example:
        >>> {found.stage for found in catalogue()} == set(STAGES[:-1])
        True
    """
    found: list[Estimator] = []
    for info in sorted(pkgutil.iter_modules(estimators.__path__), key=lambda info: info.name):
        module = importlib.import_module(f"{estimators.__name__}.{info.name}")
        found += [value for value in vars(module).values() if isinstance(value, Estimator)]
    return tuple(sorted(found, key=lambda one: STAGES.index(one.stage)))

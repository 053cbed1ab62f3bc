"""What a cause is: a function from the numbers of a diagnosis to a finding, in a file of ``causes/``.

    @cause(priority=50, explains=("the model ignores z",))
    def lagging(numbers: Numbers) -> Finding | None:
        ...

Such a file is all that it takes. Its head derives which inequalities must hold for its sentence to be true; the
function checks them, each with its standard error. Remedies name the cause in ``cures``.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from buttress.diagnostics import causes
from buttress.diagnostics.compare import Truth, needed
from buttress.diagnostics.estimate import Estimate
from buttress.diagnostics.finding import BORDERLINE, HOLDS, NOT_KNOWN, Finding
from buttress.diagnostics.numbers import Numbers

__all__ = ["Cause", "catalogue", "cause", "finding", "found"]


@dataclass(frozen=True)
class Cause:
    """A reason why z is not used as it could be.

    Args:
        find: The function; it gives None where the evidence is against it or says nothing of it.
        priority: The lowest comes first: a wrong loss before what a wrong loss brings about.
        explains: Causes that are not named where this one holds.
        of_errors: Whether it is about the errors themselves: it is named where no other cause holds, and asked of the
            numbers as they were measured where others are asked of what they may be.
        of_density: Whether it is about an ELBO at a weight of 1, which a z for compression is not meant to have.
    """

    find: Callable[[Numbers], Finding | None]
    priority: int
    explains: tuple[str, ...] = ()
    of_errors: bool = False
    of_density: bool = False


def cause(
    priority: int, explains: tuple[str, ...] = (), of_errors: bool = False, of_density: bool = False
) -> Callable[[Callable[[Numbers], Finding | None]], Cause]:
    """Declare the function below to be a cause; for the arguments see :class:`Cause`.

    Example:
        >>> @cause(priority=99)
        ... def never(numbers):
        ...     return None
        >>> never.priority
        99
    """
    return lambda find: Cause(find, priority, explains, of_errors, of_density)


def finding(
    name: str,
    truth: Truth,
    reasons: Iterable[str],
    decided_by: Iterable[tuple[Estimate | None, float]] = (),
    remedies_for: str = "",
    missing: str = "",
    share: float = 1.0,
) -> Finding | None:
    """A finding from the truth of all that it needs: None where that is false.

    Args:
        name: Of the cause.
        truth: Of the conjunction of its conditions.
        reasons: Sentences.
        decided_by: Estimates and their thresholds: where one is undecided, how many examples would decide it.
        remedies_for: See :class:`buttress.diagnostics.finding.Finding`.
        missing: What would have to be measured to know; empty where it was.
        share: See :class:`buttress.diagnostics.finding.Finding`.

    Example:
        >>> finding("inference lags", None, ["gains 0.2"], [(Estimate(0.2, 0.1, 50, ""), 0.1)]).examples
        200
    """
    if truth is False:
        return None
    wanted = [n for found, threshold in decided_by if (n := needed(found, threshold)) is not None]
    strength = HOLDS if truth else NOT_KNOWN if missing else BORDERLINE
    measure = [f"measure {missing}"] if strength == NOT_KNOWN else []
    examples = max(wanted) if wanted and strength == BORDERLINE else None
    return Finding(name, strength, (*reasons, *measure), examples, remedies_for, share=share)


@cache
def catalogue() -> tuple[Cause, ...]:
    """All causes of the folder, by priority.

    Example:
        >>> priorities = [one.priority for one in catalogue()]
        >>> priorities == sorted(set(priorities))
        True
    """
    known: list[Cause] = []
    for info in pkgutil.iter_modules(causes.__path__):
        module = importlib.import_module(f"{causes.__name__}.{info.name}")
        known += [value for value in vars(module).values() if isinstance(value, Cause)]
    return tuple(sorted(known, key=lambda one: one.priority))


def found(numbers: Numbers, of_errors: Mapping[Cause, Finding | None] | None = None) -> tuple[Finding, ...]:
    """What all causes find, those that hold before the others, without what one that holds explains.

    Args:
        numbers: Of a diagnosis.
        of_errors: What causes that are about errors found in the numbers as they were measured, where ``numbers`` are
            what these may be; None to ask them too.

    Example:
        >>> found(Numbers({}))
        ()
    """
    fit = (one for one in catalogue() if not (one.of_density and numbers.compresses))
    asked = ((one, one.find(numbers) if of_errors is None or not one.of_errors else of_errors[one]) for one in fit)
    pairs = [(one, said) for one, said in asked if said is not None]
    if any(said.holds for one, said in pairs if not one.of_errors):
        pairs = [(one, said) for one, said in pairs if not one.of_errors]
    explained = {name for one, said in pairs if said.holds for name in one.explains}
    kept = [said for _, said in pairs if not {said.cause, said.remedies_for} & explained]
    once: dict[str, Finding] = {}
    for said in sorted(kept, key=lambda said: not said.holds):
        once.setdefault(said.cause, said)  # a weight that may be on either side of 1 is found twice
    return tuple(once.values())

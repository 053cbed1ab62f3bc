"""What a patient is: a model, its data, and what is true of it because it was made so.

    @patient("inference lags", over="tables")
    def half_a_signal() -> Case:
        \"\"\"The means of q are half of what they should be.\"\"\"
        ...

Such a function, in a file of ``kinds/``, is all that it takes. Which half a patient belongs to follows from its name
alone, so that nobody chooses: the engine is developed on the one half and reported on the other.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from torch import Tensor

from buttress.core.batch import Batch
from buttress.patients import kinds

__all__ = ["HEALTHY", "Case", "Half", "KnownPatient", "Over", "half_of", "patient", "patients"]

Half = Literal["development", "unseen"]
Over = Literal["tables", "images", "sentences", "codes", "conditional", "hierarchical", "sound"]
HEALTHY = "healthy"
"""The cause of a patient that has none."""


@dataclass(frozen=True)
class Case:
    """What a diagnosis gets to see.

    Args:
        model: Keeps the protocol of the diagnostics.
        batches: Held-out data.
        settings: Further arguments of :func:`buttress.diagnostics.diagnose.diagnose`, such as ``kind`` and ``beta``.

    Example:
        >>> Case(None, []).settings
        {}
    """

    model: Any
    batches: Sequence[Tensor | Batch]
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class KnownPatient:
    """A model with a known cause.

    Args:
        name: That of the function that makes it.
        cause: As the verdict names it, without numbers; "healthy" where there is none.
        over: What its data or its z are.
        about: What was done to it, in a sentence.
        make: Builds it.
        also: Further causes that are true of it.
        allowed: Other first causes that are no mistake: of a borderline patient, what lies on the other side.

    Example:
        >>> ill = patients()["half_a_signal"]
        >>> ill.cause, ill.over, ill.half in ("development", "unseen")
        ('inference lags', 'tables', True)
    """

    name: str
    cause: str
    over: Over
    about: str
    make: Callable[[], Case]
    also: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()

    @property
    def half(self) -> Half:
        """Which half it belongs to."""
        return half_of(self.name)

    @property
    def true(self) -> tuple[str, ...]:
        """The causes that it has; none where it is healthy."""
        return tuple(name for name in (self.cause, *self.also) if name != HEALTHY)

    @property
    def borderline(self) -> bool:
        """Whether it lies at a threshold, so that more than one answer is right."""
        return bool(self.allowed)

    def right(self, cause: str | None) -> bool:
        """Whether a first cause is right, or the lack of one.

        Args:
            cause: As :func:`plain` gives it; None where none was named.

        Example:
            >>> patients()["half_a_signal"].right("inference lags"), patients()["half_a_signal"].right(None)
            (True, False)
        """
        return (cause or HEALTHY) in (self.cause, *self.also, *self.allowed)


def half_of(name: str) -> Half:
    """The half that a name belongs to: development where the first byte of its SHA-256 is even.

    Example:
        >>> half_of("half_a_signal")
        'unseen'
    """
    return "unseen" if hashlib.sha256(name.encode()).digest()[0] % 2 else "development"


def patient(
    cause: str, over: Over, also: Sequence[str] = (), allowed: Sequence[str] = ()
) -> Callable[[Callable[[], Case]], KnownPatient]:
    """Declare the function below to make a patient; for the arguments see :class:`KnownPatient`.

    Example:
        >>> @patient("inference lags", over="tables")
        ... def made_up():
        ...     '''It is made up.'''
        >>> made_up.about
        'It is made up.'
    """

    def declared(make: Callable[[], Case]) -> KnownPatient:
        about = " ".join((inspect.getdoc(make) or "").split())
        return KnownPatient(make.__name__, cause, over, about, make, tuple(also), tuple(allowed))

    return declared


@cache
def patients() -> Mapping[str, KnownPatient]:
    """All patients of the folder by name, those of one kind of trouble together.

    Errors:
        ValueError: Two have the same name.

    Example:
        >>> found = patients()
        >>> len(found) >= 60, sum(one.cause == HEALTHY for one in found.values()) >= 12
        (True, True)
    """
    known: dict[str, KnownPatient] = {}
    for info in pkgutil.iter_modules(kinds.__path__):
        module = importlib.import_module(f"{kinds.__name__}.{info.name}")
        for one in vars(module).values():
            if isinstance(one, KnownPatient):
                if one.name in known:
                    raise ValueError(f"two patients are called {one.name!r}, wanted a name for each; rename one")
                known[one.name] = one
    return known

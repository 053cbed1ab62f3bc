"""What a rule is: a function from a subject to findings, in a file of ``rules``.

    @rule
    def kl_sign(subject: Linted) -> Iterator[LintFinding]:
        ...

A rule that cannot be asked raises :class:`Silent` with the reason; one that finds nothing yields nothing.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

from buttress.diagnostics.lint import rules
from buttress.diagnostics.lint.finding import LintFinding
from buttress.diagnostics.lint.subject import Linted

__all__ = ["Rule", "catalogue", "rule"]


@dataclass(frozen=True)
class Rule:
    """A rule of the linter.

    Args:
        find: What it finds on a subject.
    """

    find: Callable[[Linted], Iterable[LintFinding]]

    @property
    def name(self) -> str:
        """Its stable name: that of the function, with hyphens."""
        return self.find.__name__.replace("_", "-")


def rule(find: Callable[[Linted], Iterable[LintFinding]]) -> Rule:
    """Declare the function below to be a rule.

    Example:
        >>> @rule
        ... def never_wrong(subject):
        ...     return []
        >>> never_wrong.name
        'never-wrong'
    """
    return Rule(find)


@cache
def catalogue() -> tuple[Rule, ...]:
    """All rules of the folder, each once: a file may import the rule of another.

    Example:
        >>> [one.name for one in catalogue()].count("kl-sign")
        1
    """
    found = []
    for info in pkgutil.iter_modules(rules.__path__):
        module = importlib.import_module(f"{rules.__name__}.{info.name}")
        values = [value for value in vars(module).values() if isinstance(value, Rule)]
        found += [value for value in values if value.find.__module__ == module.__name__]
    return tuple(found)

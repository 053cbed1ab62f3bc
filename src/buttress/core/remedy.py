"""What a remedy is: a function Recipe -> Recipe in a file of its own, with its family and its source.

Remedies are found by looking into the folder ``remedies``; a user writes them as ``kl_annealing``, with settings as
``free_bits:per_group=0.5``, and one after the other as ``kl_annealing+word_dropout``.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, get_type_hints

import yaml

from buttress import remedies
from buttress.algorithms.joint import Joint
from buttress.core import Algorithm, Kind, Schedule
from buttress.core.recipe import Recipe
from buttress.core.registry import from_plain, suggest
from buttress.schedules.constant import Constant

__all__ = ["DoesNotFit", "Remedy", "apply", "catalogue", "remedy", "with_algorithm", "with_beta", "with_objective"]


class DoesNotFit(ValueError):
    """A remedy has nothing to change in this recipe; the message says why.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.data.mnist5k import Mnist5k
        >>> from buttress.core import DataSpec
        >>> apply("word_dropout", baseline(Mnist5k(), DataSpec("image", (1, 28, 28))))
        Traceback (most recent call last):
        buttress.core.remedy.DoesNotFit: word_dropout is for text data, and this is image
    """


@dataclass(frozen=True)
class Remedy:
    """A named change of a recipe.

    Args:
        change: The function Recipe -> Recipe; its further arguments are the remedy's settings.
        family: One of the field's families of remedy.
        source: The paper it is from.
        kinds: The kinds of data it fits.

    Example:
        >>> found = catalogue()["kl_annealing"]
        >>> found.name, found.source, found.settings
        ('kl_annealing', 'Bowman et al. 2016', {'fraction': 0.3, 'start': 0.0, 'hold': 0.0})
    """

    change: Callable[..., Recipe]
    family: str
    source: str
    kinds: tuple[Kind, ...]

    @property
    def name(self) -> str:
        """The name users type."""
        return self.change.__name__

    @property
    def summary(self) -> str:
        """The first line of the function's docstring."""
        return (inspect.getdoc(self.change) or "").partition("\n")[0]

    @property
    def settings(self) -> dict[str, Any]:
        """The settings and their defaults."""
        return {k: p.default for k, p in list(inspect.signature(self.change).parameters.items())[1:]}

    def __call__(self, recipe: Recipe, **settings: Any) -> Recipe:
        """The changed recipe, which remembers the remedy by name.

        Errors:
            DoesNotFit: There is nothing to change here, or it was changed by this remedy already.
        """
        if before := [written for written in recipe.remedies if written.partition(":")[0] == self.name]:
            raise DoesNotFit(
                f"{self.name} was applied already ({before[0]}), and would only overwrite its own settings; choose one"
            )
        if recipe.data.kind not in self.kinds:
            raise DoesNotFit(f"{self.name} is for {' and '.join(self.kinds)} data, and this is {recipe.data.kind}")
        written = ":".join([self.name, *(f"{k}={v}" for k, v in settings.items())])
        changed = self.change(recipe, **settings)
        return replace(changed, remedies=(*recipe.remedies, written)) if changed is not recipe else recipe


def remedy(
    family: str, source: str, kinds: tuple[Kind, ...] = ("image", "text", "table")
) -> Callable[[Callable[..., Recipe]], Remedy]:
    """Declare the function below to be a remedy.

    Example:
        >>> @remedy(family="none", source="nobody yet", kinds=("text",))
        ... def shorter(recipe: Recipe, part: float = 0.5) -> Recipe:
        ...     '''Train for a part of the steps only.'''
        ...     return replace(recipe, training=replace(recipe.training, steps=round(part * recipe.training.steps)))
        >>> shorter.name, shorter.summary, shorter.settings
        ('shorter', 'Train for a part of the steps only.', {'part': 0.5})
    """
    return lambda change: Remedy(change, family, source, kinds)


def with_objective(recipe: Recipe, setting: str, **changes: Any) -> Recipe:
    """The recipe with settings of its objective changed, or DoesNotFit where the objective has no such ``setting``.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.data.mnist5k import Mnist5k
        >>> from buttress.core import DataSpec
        >>> recipe = baseline(Mnist5k(), DataSpec("image", (1, 28, 28)))
        >>> with_objective(recipe, "samples", samples=5).objective.samples
        5
    """
    if not hasattr(recipe.objective, setting):
        raise DoesNotFit(f"the objective {recipe.objective.name()} has no {setting} to change")
    return replace(recipe, objective=recipe.objective.replace(**changes))


def with_algorithm(recipe: Recipe, algorithm: Algorithm) -> Recipe:
    """The recipe with another algorithm instead of joint training, or DoesNotFit where another stands there already.

    Example:
        >>> from buttress.algorithms.aggressive import Aggressive
        >>> from buttress.baseline import baseline
        >>> from buttress.data.mnist5k import Mnist5k
        >>> from buttress.core import DataSpec
        >>> recipe = with_algorithm(baseline(Mnist5k(), DataSpec("image", (1, 28, 28))), Aggressive())
        >>> with_algorithm(recipe, Aggressive())
        Traceback (most recent call last):
        buttress.core.remedy.DoesNotFit: the algorithm is aggressive already, and aggressive would take its place; ...
    """
    if not isinstance(recipe.algorithm, Joint):
        raise DoesNotFit(
            f"the algorithm is {recipe.algorithm.name()} already{_after(recipe)}, and {algorithm.name()} would take "
            "its place; choose one of them"
        )
    return replace(recipe, algorithm=algorithm)


def with_beta(recipe: Recipe, name: str, beta: Schedule) -> Recipe:
    """The recipe with the weight of the rate on a schedule, for the remedy ``name``.

    Errors:
        DoesNotFit: The objective has no such weight, the weight is not 1 throughout, or z is made of codes.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.data.mnist5k import Mnist5k
        >>> from buttress.core import DataSpec
        >>> from buttress.schedules.linear import Linear
        >>> recipe = baseline(Mnist5k(), DataSpec("image", (1, 28, 28)))
        >>> with_beta(recipe, "mine", Linear(steps=100)).objective.beta(50)
        0.5
    """
    changed = with_objective(recipe, "beta", beta=beta)
    if recipe.posterior.discrete:
        raise DoesNotFit(f"{name} changes the weight of the rate, and codes have a rate that nothing can lower")
    before: Schedule = recipe.objective.beta  # type: ignore[attr-defined]
    if before != Constant(1.0):
        raise DoesNotFit(
            f"{name} lets the weight of the rate rise to 1, and it is {before} already{_after(recipe)}; choose "
            "one of them"
        )
    return changed


def _after(recipe: Recipe) -> str:
    return f" (after {'+'.join(recipe.remedies)})" if recipe.remedies else ""


@cache
def catalogue() -> dict[str, Remedy]:
    """All remedies by name.

    Example:
        >>> catalogue()["free_bits"].family
        'tweak the ELBO'
    """
    found = {}
    for info in pkgutil.iter_modules(remedies.__path__):
        value = getattr(importlib.import_module(f"{remedies.__name__}.{info.name}"), info.name, None)
        if not isinstance(value, Remedy):
            raise TypeError(f"remedies/{info.name}.py must define a remedy called {info.name}; see CONTRIBUTING.md")
        found[info.name] = value
    return found


def apply(written: str, recipe: Recipe) -> Recipe:
    """Apply remedies as a user writes them, from left to right.

    Args:
        written: Names joined by ``+``, each with optional settings, such as ``free_bits:per_group=0.5+word_dropout``.
        recipe: The recipe to change.

    Errors:
        ValueError: An unknown name or setting, a setting given twice, or a value of the wrong type.
        DoesNotFit: A remedy has nothing to change in this recipe, or comes twice.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.data.mnist5k import Mnist5k
        >>> from buttress.core import DataSpec
        >>> recipe = baseline(Mnist5k(), DataSpec("image", (1, 28, 28)))
        >>> changed = apply("kl_annealing+free_bits:per_group=0.5", recipe)
        >>> changed.remedies, changed.objective.per_group, changed.objective.beta.name()
        (('kl_annealing', 'free_bits:per_group=0.5'), 0.5, 'linear')
    """
    for piece in written.split("+"):
        name, *settings = piece.strip().split(":")
        chosen = _find(name)
        recipe = chosen(recipe, **_settings(chosen, settings))
    return recipe


def _find(name: str) -> Remedy:
    known = catalogue()
    if name not in known:
        raise ValueError(f"there is no remedy {name!r}; {suggest(name, known)}There are {', '.join(sorted(known))}")
    return known[name]


def _settings(chosen: Remedy, texts: Iterable[str]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for key, value in (_setting(chosen, text) for text in texts):
        if key in given:
            raise ValueError(f"remedy {chosen.name}: {key} is given twice, as {given[key]} and {value}; choose one")
        given[key] = value
    return given


def _setting(chosen: Remedy, text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or key not in chosen.settings:
        have = ", ".join(f"{k}={v}" for k, v in chosen.settings.items()) or "none"
        raise ValueError(f"remedy {chosen.name}: cannot read the setting {text!r}; it has {have}")
    try:
        plain = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ValueError(f"remedy {chosen.name}: cannot read the value in {text!r}") from error
    return key, from_plain(get_type_hints(chosen.change)[key], plain, f"remedy {chosen.name}: {key}")

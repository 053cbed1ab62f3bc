"""What a remedy is: a function Recipe -> Recipe with a declaration of what it changes and what it cures.

Built-in remedies are the files of the folder ``remedies``; others come from installed packages (entry points
``buttress.remedies``) or from :func:`buttress.register`. A user writes them as ``kl_annealing``, with settings as
``free_bits:per_group=0.5``, and one after the other as ``kl_annealing+word_dropout``.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import entry_points
from typing import Any, get_type_hints

from buttress.core import registry
from buttress.core.layout import Layout
from buttress.core.part import DataPart, Part
from buttress.core.recipe import Recipe
from buttress.core.registry import from_plain, suggest
from buttress.runtime.plain_data import parse_yaml

__all__ = [
    "ANYTHING",
    "DoesNotFit",
    "Remedy",
    "add",
    "apply",
    "catalogue",
    "check_declared",
    "cures",
    "fitting",
    "remedy",
]

ANYTHING: Any = ...
"""In ``takes``: the field may have any value before; only another remedy that sets it is a conflict."""

DECLARE = 'write @buttress.remedy(family="mine", source="me") above it'

_added: dict[str, Remedy] = {}


class DoesNotFit(ValueError):
    """A remedy has nothing to change in this recipe; the message gives the reason.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.core import DataSpec, Layout
        >>> from buttress.data.mnist5k import Mnist5k
        >>> apply("word_dropout", baseline(Mnist5k(), DataSpec(Layout.image(1, 28, 28))))
        Traceback (most recent call last):
        buttress.core.remedy.DoesNotFit: word_dropout needs the recurrent or transformer decoder, ...
    """


@dataclass(frozen=True)
class Remedy:
    """A named change of a recipe.

    Args:
        change: The function Recipe -> Recipe; its further arguments are the remedy's settings.
        family: One of the field's families of remedy.
        source: The paper it is from.
        takes: The fields of the recipe it sets, such as "objective.beta", each with the value that it must have before
            (a number, or the name of a part), or :data:`ANYTHING`. Two remedies that take the same field conflict.
        needs: Roles and the names of the parts of which the recipe must have one there.
        because: Why it needs them, where that is not plain; said where they are missing.
        cures: Causes of a verdict that it is known to cure.
        kinds: Kinds of data that it is for; empty for all.
        codes: Whether it is of use where z is made of codes already.
        rank: Of the remedies for one cause, the lowest is tried first.

    Example:
        >>> found = catalogue()["kl_annealing"]
        >>> found.name, found.source, found.settings
        ('kl_annealing', 'Bowman et al. 2016', {'fraction': 0.3, 'start': 0.0, 'hold': 0.0})
    """

    change: Callable[..., Recipe]
    family: str
    source: str
    takes: Mapping[str, Any] = field(default_factory=dict)
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    because: str = ""
    cures: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    codes: bool = True
    rank: int = 5

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
        """The changed recipe, which records the remedy by name.

        Errors:
            DoesNotFit: There is nothing to change here, or a field it sets is set already.
        """
        if before := [written for written in recipe.remedies if written.partition(":")[0] == self.name]:
            raise DoesNotFit(f"{self.name} was applied already ({before[0]}); give it once, with one set of settings")
        for path, standard in self.takes.items():
            self._check_free(recipe, path, standard)
        for role, names in self.needs.items():
            self._check_need(recipe, role, names)
        written = ":".join([self.name, *(f"{k}={v}" for k, v in settings.items())])
        changed = self.change(recipe, **settings)
        return replace(changed, remedies=(*recipe.remedies, written)) if changed is not recipe else recipe

    def _check_need(self, recipe: Recipe, role: str, names: tuple[str, ...]) -> None:
        if (found := getattr(recipe, role).name()) not in names:
            raise DoesNotFit(
                f"{self.name} needs the {' or '.join(names)} {role}, and this recipe has the {found} {role}; "
                f"{self.because and f'{self.because}; '}{_how_to_get(role, names, recipe)}"
            )

    def _check_free(self, recipe: Recipe, path: str, standard: Any) -> None:
        for written in recipe.remedies:
            other = catalogue().get(written.partition(":")[0])
            if other is not None and any(_overlap(path, taken) for taken in other.takes):
                raise DoesNotFit(f"{self.name} sets {path}, which {written} has set already; choose one of them")
        value = _value_at(recipe, path)
        if standard is not ANYTHING and value is not ANYTHING and not _is(value, standard):
            raise DoesNotFit(
                f"{self.name} sets {path}, and this recipe has {path} = {_in_words(value)} already; leave out "
                "one of them"
            )


def _how_to_get(role: str, names: tuple[str, ...], recipe: Recipe) -> str:
    """What to do to have one of the parts that a remedy needs; nothing that would be refused in its turn.

    A posterior comes with its prior by a remedy of its own. Other parts are for some kinds of data alone, which a
    recipe does not know: so what they need is said.
    """
    if role == "posterior" and (bring := [name for name in names if name in catalogue()]):
        there = [name for name in bring if _fits(name, recipe)]
        return f"put it behind {there[0]}" if there else "leave it out"
    part = registry.part(f"{role}s", names[0])()
    limit = part.misfit(Layout.table(1)) if isinstance(part, DataPart) else ""
    return f"try --{role} {names[0]}{f' ({limit})' if limit else ''}"


def _overlap(one: str, other: str) -> bool:
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


def _value_at(recipe: Recipe, path: str) -> Any:
    """The value of a field, or ANYTHING where the part has no such field."""
    value: Any = recipe
    for name in path.split("."):
        value = getattr(value, name, ANYTHING)
    return value


def _is(value: Any, standard: Any) -> bool:
    """Whether a value is the standard one: a part by its name, a constant schedule by its value."""
    if isinstance(value, Part):
        return standard in (value.name(), getattr(value, "value", None))
    return bool(value == standard)


def _in_words(value: Any) -> str:
    return value.name() if isinstance(value, Part) else str(value)


def remedy(
    family: str | Callable[..., Any],
    source: str = "",
    *,
    takes: Mapping[str, Any] | None = None,
    needs: Mapping[str, tuple[str, ...]] | None = None,
    because: str = "",
    cures: tuple[str, ...] = (),
    kinds: tuple[str, ...] = (),
    codes: bool = True,
    rank: int = 5,
) -> Callable[[Callable[..., Recipe]], Remedy]:
    """Declare the function below to be a remedy; for the arguments see :class:`Remedy`.

    Errors:
        ValueError: It has no arguments.

    Example:
        >>> @remedy(family="none", source="nobody yet", takes={"training.steps": ANYTHING})
        ... def shorter(recipe: Recipe, part: float = 0.5) -> Recipe:
        ...     '''Train for a part of the steps only.'''
        ...     return replace(recipe, training=replace(recipe.training, steps=round(part * recipe.training.steps)))
        >>> shorter.name, shorter.summary, shorter.settings
        ('shorter', 'Train for a part of the steps only.', {'part': 0.5})
    """
    if not isinstance(family, str):
        raise ValueError(f"{_called(family)} is under @remedy without arguments; {DECLARE}")
    return lambda change: Remedy(change, family, source, takes or {}, needs or {}, because, cures, kinds, codes, rank)


def check_declared(thing: Any) -> None:
    """Refuse a function that was not declared to be a remedy.

    Example:
        >>> check_declared(len)
        Traceback (most recent call last):
        ValueError: len is a plain function, wanted a remedy; write @buttress.remedy(family="mine", source="me") ...
    """
    if callable(thing) and not isinstance(thing, Remedy):
        raise ValueError(f"{_called(thing)} is a plain function, wanted a remedy; {DECLARE}")


def _called(thing: Any) -> str:
    return getattr(thing, "__name__", repr(thing))


def add(own: Remedy) -> None:
    """Make a remedy known by its name, as the files in ``remedies`` are; see :func:`buttress.register`.

    Errors:
        ValueError: A built-in remedy has that name.
    """
    if own.name in _built_in():
        raise ValueError(f"there is a built-in remedy {own.name!r}; choose another name for yours")
    _added[own.name] = own


def catalogue() -> dict[str, Remedy]:
    """All remedies by name: built in, from installed packages, and registered.

    Example:
        >>> catalogue()["free_bits"].family
        'tweak the ELBO'
    """
    return {**_installed(), **_added, **_built_in()}


@cache
def _built_in() -> dict[str, Remedy]:
    package, found = importlib.import_module("buttress.remedies"), {}
    for info in (one for one in pkgutil.iter_modules(package.__path__) if not one.name.startswith("_")):
        value = getattr(importlib.import_module(f"{package.__name__}.{info.name}"), info.name, None)
        if not isinstance(value, Remedy):
            raise TypeError(f"remedies/{info.name}.py must define a remedy called {info.name}; see CONTRIBUTING.md")
        found[info.name] = value
    return found


@cache
def _installed() -> dict[str, Remedy]:
    found = {point.name: point.load() for point in entry_points(group="buttress.remedies")}
    return {name: value for name, value in found.items() if isinstance(value, Remedy)}


def cures(cause: str, recipe: Recipe | None = None, kind: str = "", codes: bool = False) -> list[str]:
    """The remedies that are known to cure a cause, the one to try first at the head.

    Args:
        cause: Of a verdict, such as "inference lags".
        recipe: Leave out what was applied to it already or does not fit it; None for a model of unknown parts.
        kind: Of the data; leave out what is for others. Empty where it is not known.
        codes: Whether z is made of codes; leave out what has no effect there.

    Example:
        >>> cures("the model ignores z", kind="text")[0], "word_dropout" in cures("the model ignores z", kind="image")
        ('kl_annealing', False)
    """

    def suits(one: Remedy) -> bool:
        return (not kind or not one.kinds or kind in one.kinds) and (one.codes or not codes)

    found = sorted((one.rank, name) for name, one in catalogue().items() if cause in one.cures and suits(one))
    return [name for _, name in found if recipe is None or _fits(name, recipe)]


def _fits(name: str, recipe: Recipe) -> bool:
    try:
        apply(name, recipe).check()
    except ValueError:
        return False
    return True


def apply(written: str | Remedy | Iterable[Any], recipe: Recipe) -> Recipe:
    """Apply remedies, from left to right.

    Args:
        written: Names joined by ``+``, each with optional settings, such as ``free_bits:per_group=0.5+word_dropout``;
            or a remedy as an object; or several of either.
        recipe: The recipe to change.

    Errors:
        ValueError: An unknown name or setting, a setting given twice, or a value of the wrong type.
        DoesNotFit: A remedy has nothing to change in this recipe, or comes twice.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.core import DataSpec, Layout
        >>> from buttress.data.mnist5k import Mnist5k
        >>> recipe = baseline(Mnist5k(), DataSpec(Layout.image(1, 28, 28)))
        >>> changed = apply("kl_annealing+free_bits:per_group=0.5", recipe)
        >>> changed.remedies, changed.objective.per_group, changed.objective.beta.name()
        (('kl_annealing', 'free_bits:per_group=0.5'), 0.5, 'linear')
    """
    if isinstance(written, Remedy):
        return written(recipe)
    if not isinstance(written, str):
        for one in [written] if callable(written) else written:
            check_declared(one)
            recipe = apply(one, recipe)
        return recipe
    for piece in written.split("+"):
        name, *settings = piece.strip().split(":")
        chosen = _find(name)
        recipe = chosen(recipe, **_settings(chosen, settings))
    return recipe


def fitting(names: Iterable[str], recipe: Recipe) -> tuple[str, ...]:
    """Those of some remedies that have something to change in a recipe.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.core import DataSpec, Layout
        >>> from buttress.data.mnist5k import Mnist5k
        >>> fitting(["kl_annealing", "word_dropout"], baseline(Mnist5k(), DataSpec(Layout.image(1, 28, 28))))
        ('kl_annealing',)
    """
    return tuple(name for name in names if _fits(name, recipe))


def _find(name: str) -> Remedy:
    known = catalogue()
    if name not in known:
        raise ValueError(
            f"there is no remedy {name!r}; {suggest(name, known, 'There are')} {', '.join(sorted(known))}. A remedy "
            "that a script registers is known to that script alone; an installed package offers its own to the command "
            "line by the entry point buttress.remedies"
        )
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
    where = f"remedy {chosen.name}: {key}"
    return key, from_plain(get_type_hints(chosen.change)[key], parse_yaml(value, where), where)

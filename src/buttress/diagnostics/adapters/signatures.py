"""Whether a module takes a label besides x, and how it is called with one."""

from __future__ import annotations

import inspect
from typing import Any

from torch import Tensor, nn

from buttress.core.batch import Given, known

__all__ = ["called", "takes_condition"]

NAMES = ("y", "c", "label", "labels", "cond", "condition", "conditions", "class_label", "class_labels", "given")
"""What people call the argument."""


def _argument(method: Any) -> inspect.Parameter | None:
    """The second argument of a method, if it is needed or has the name of a condition."""
    try:
        found = list(inspect.signature(method.forward if isinstance(method, nn.Module) else method).parameters.values())
    except (TypeError, ValueError):
        return None
    second = [p for p in found[1:] if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return next((p for p in second if p.name in NAMES or (p.default is p.empty and p is second[0])), None)


def takes_condition(method: Any) -> bool:
    """Whether a module, or a method of one, takes a label besides its first argument.

    Example:
        >>> takes_condition(lambda x, y: x), takes_condition(lambda x, samples=1: x), takes_condition(lambda x: x)
        (True, False, False)
    """
    return _argument(method) is not None


def called(method: Any, value: Tensor, given: Given) -> Any:
    """The method at a value, and at the label where it takes one (at all of ``given`` where it is called so).

    Errors:
        ValueError: It takes a label and the data have none.

    Example:
        >>> import torch
        >>> called(lambda z, y: z + y, torch.ones(1), {"label": torch.tensor([2])})
        tensor([3.])
    """
    argument = _argument(method)
    if argument is None:
        return method(value)
    condition = given if argument.name == "given" else known(given, "label", f"the module's {argument.name!r}")
    return (
        method(value, **{argument.name: condition})
        if argument.kind is argument.KEYWORD_ONLY
        else method(value, condition)
    )

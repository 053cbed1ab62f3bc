"""What docstrings say of a function or class: its first line, and of each argument."""

from __future__ import annotations

import inspect
import re
from typing import Any

__all__ = ["arguments", "summary"]


def summary(thing: Any) -> str:
    """The first line of a docstring.

    Example:
        >>> summary(summary)
        'The first line of a docstring.'
    """
    return (inspect.getdoc(thing) or "").partition("\n")[0].replace("``", "")


def arguments(thing: Any) -> dict[str, str]:
    """What the part ``Args:`` of a docstring says of each argument; of a class, what its bases say too.

    Example:
        >>> arguments(arguments)
        {'thing': 'A function or a class.'}

    Args:
        thing: A function or a class.
    """
    found: dict[str, str] = {}
    for owner in reversed(inspect.getmro(thing)) if inspect.isclass(thing) else (thing,):
        text = inspect.cleandoc(vars(owner).get("__doc__") or "" if inspect.isclass(owner) else owner.__doc__ or "")
        body = re.search(r"^Args:\n((?:[ ]+.*\n?|\n)*)", text, re.MULTILINE)
        for name, said in re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", body[1] if body else "", re.MULTILINE):
            found[name] = " ".join(said.replace("``", "").split())
    return found

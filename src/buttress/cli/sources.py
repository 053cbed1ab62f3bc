"""What the commands in a folder are, read from their files: nothing is imported, for torch takes over a second."""

from __future__ import annotations

import ast
import pkgutil
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

__all__ = ["CommandSource", "sources"]


@dataclass(frozen=True)
class CommandSource:
    """A command as its file has it.

    Args:
        summary: The first line of its docstring.
        flags: Names of its arguments that have a default and are no words in a place.
    """

    summary: str
    flags: frozenset[str] = frozenset()


def sources(package: ModuleType) -> dict[str, CommandSource]:
    """The commands in a folder by name: functions, each in a file of its name, and folders of functions.

    Example:
        >>> from buttress.cli import commands
        >>> found = sources(commands)
        >>> found["translate"].summary, "json" in found["rescue"].flags
        ('...', True)
    """
    found = {}
    for info in pkgutil.iter_modules(package.__path__):
        place = Path(package.__path__[0]) / info.name
        text = (place / "__init__.py" if info.ispkg else place.with_suffix(".py")).read_text(encoding="utf-8")
        tree = ast.parse(text)
        made = next((one for one in tree.body if isinstance(one, ast.FunctionDef) and one.name == info.name), None)
        found[info.name] = (
            CommandSource(_summary(tree)) if made is None else CommandSource(_summary(made), _flags(made))
        )
    return found


def _summary(node: ast.Module | ast.FunctionDef) -> str:
    return (ast.get_docstring(node) or "").partition("\n")[0].replace("``", "")


def _flags(made: ast.FunctionDef) -> frozenset[str]:
    given = made.args
    every = [*given.posonlyargs, *given.args]
    usual = [one for one in every[len(every) - len(given.defaults) :] if one not in given.posonlyargs]
    return frozenset(one.arg.rstrip("_") for one in (*usual, *given.kwonlyargs))

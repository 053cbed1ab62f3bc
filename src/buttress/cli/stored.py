"""Pages of help and the list of remedies as they were last written down: to make them anew, torch must be imported.

What is true stands in the code; ``stored.json`` is made from it by ``python -m buttress.cli.stored``, and a test holds
both equal. Where there are other files or packages than it was made from, it is left aside.
"""

from __future__ import annotations

import json
import pkgutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from buttress.cli.help import Page

__all__ = ["make", "page", "remedies"]

PLACE = Path(__file__).with_name("stored.json")
PACKAGE = Path(__file__).parents[1]


def page(name: Sequence[str]) -> Page | None:
    """The page of help of a command; None where none is stored.

    Args:
        name: What is typed, such as ("train",) or ("paper", "vq_vae").

    Example:
        >>> found = page(["train"])  # None where a part was added
        >>> found is None or found.usage == "train DATA [--FLAG VALUE ...]", page(["trian"])
        (True, None)
    """
    known = _current()
    found = None if known is None else known["pages"].get(" ".join(name).replace("-", "_"))
    if found is None:
        return None
    sections = {heading: [(flag, said) for flag, said in rows] for heading, rows in found["sections"].items()}
    return Page(**{**found, "sections": sections})


def remedies() -> list[dict[str, Any]] | None:
    """The catalogue of remedies as ``buttress remedies`` shows it; None where another must be made.

    Example:
        >>> found = remedies()
        >>> found is None or sorted(found[0]) == ["changes", "family", "name", "settings", "source", "summary"]
        True
    """
    known = _current()
    return None if known is None else known["remedies"]


def _current() -> dict[str, Any] | None:
    """What is stored, where there is nothing that it does not know."""
    added = (getattr(sys.modules.get(f"buttress.core.{name}"), "_added", None) for name in ("registry", "remedy"))
    if any(added) or entry_points(group="buttress.parts") or entry_points(group="buttress.remedies"):
        return None
    known = _read()
    return known if known is not None and known["files"] == _files(known["files"]) else None


@cache
def _read() -> dict[str, Any] | None:
    try:
        known: dict[str, Any] = json.loads(PLACE.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return known


def _files(folders: Any) -> dict[str, list[str]]:
    """What is in the folders whose files are parts, remedies and experiments."""
    return {
        folder: sorted(one.name for one in pkgutil.iter_modules([str(PACKAGE / folder)]) if one.name[0] != "_")
        for folder in folders
    }


def make() -> dict[str, Any]:
    """What is to be stored, made from the code."""
    from buttress.cli import commands, main
    from buttress.cli.commands.remedies import told
    from buttress.cli.docs import summary
    from buttress.cli.flags import Command, Line
    from buttress.cli.help import command_page, list_page
    from buttress.core.registry import ROOMS

    pages = {}
    for name, found in main.functions(commands).items():
        inner = main.functions(found) if hasattr(found, "__path__") else {}
        if inner:
            known = {one: summary(function) for one, function in inner.items()}
            pages[name] = list_page([name], found, known)
        for words, function in {name: found, **{f"{name} {one}": made for one, made in inner.items()}}.items():
            if callable(function) and (command := Command(function, words)).root is not None:
                pages[words] = command_page(command, Line())
    folders = [*ROOMS, "remedies", "experiments/papers"]
    plain = {"files": _files(folders), "pages": {n: asdict(one) for n, one in pages.items()}, "remedies": told()}
    made: dict[str, Any] = json.loads(json.dumps(plain))
    return made


if __name__ == "__main__":
    from buttress.runtime.atomic_write import write_text

    write_text(PLACE, json.dumps(make(), indent=1, ensure_ascii=False) + "\n")

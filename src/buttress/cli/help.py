"""What ``--help`` prints: headings, then one flag a paragraph with its type, what it is for and its default."""

from __future__ import annotations

import shutil
import textwrap
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from buttress.cli.docs import arguments, summary
from buttress.cli.flags import DATA, START, Command, Line, hints_at
from buttress.cli.lazily import registry, room_of
from buttress.cli.values import Misread, kind_of

__all__ = ["Page", "command_page", "list_page", "part_page", "render"]

LEFT = 30
"""Columns before the text that explains a flag."""
Row = tuple[str, str]
"""A flag with its type, and what is said of it."""


@dataclass(frozen=True)
class Page:
    """A page of help, whatever the width of the terminal.

    Args:
        usage: What is typed behind ``buttress``.
        about: What it is for.
        sections: Heading -> flags, each with what is said of it.
        last: What is said at the end.
    """

    usage: str
    about: str
    sections: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    last: str = ""


def render(page: Page) -> str:
    """A page as it is printed, as wide as the terminal.

    Example:
        >>> print(render(Page("nap [--FLAG VALUE ...]", "Do nothing.", {"Flags": [("--long", "Much of it.")]})))
        usage: buttress nap [--FLAG VALUE ...]
        <BLANKLINE>
        Do nothing.
        <BLANKLINE>
        Flags
          --long                      Much of it.
    """
    width = min(shutil.get_terminal_size((100, 24)).columns, 110)
    parts = [f"usage: buttress {page.usage}", textwrap.fill(page.about, width)]
    for heading, rows in page.sections.items():
        if lines := [_row(left, text, width) for left, text in rows]:
            parts.append("\n".join([heading, *lines]))
    return "\n\n".join([*parts, *([textwrap.fill(page.last, width)] if page.last else [])])


def _row(left: str, text: str, width: int) -> str:
    indent = " " * LEFT
    told = textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent)
    head = f"  {left}"
    return head.ljust(LEFT) + told[LEFT:] if len(head) < LEFT - 1 else f"{head}\n{told}"


def list_page(name: Sequence[str], package: Any, known: Mapping[str, str]) -> Page:
    """The commands there are, each with its summary."""
    rows = list(known.items())
    usage = " ".join([*name, "COMMAND ..."])
    about = summary(package) if name else "Trains VAEs whose latent variables stay in use, and measures how much."
    return Page(usage, about, {"Commands": rows}, f"buttress {' '.join([*name, 'COMMAND'])} --help explains one.")


def command_page(command: Command, line: Line) -> Page:
    """What a command takes; the defaults are those for DATA where it is given.

    Parts that are named, such as ``--data images``, are listed with their settings.

    Example:
        >>> def repeat(word: str, times: int = 1) -> None:
        ...     '''Repeat a word.
        ...
        ...     Args:
        ...         word: Which.
        ...         times: How often.
        ...     '''
        >>> print(render(command_page(Command(repeat, "repeat"), Line())))
        usage: buttress repeat WORD [--FLAG VALUE ...]
        <BLANKLINE>
        Repeat a word.
        <BLANKLINE>
        Arguments
          WORD                        Which.
        <BLANKLINE>
        Flags
          --times INT                 How often. [1]
    """
    said = arguments(command.function)
    words = [
        *[("DATA", DATA)] * command.takes_recipe,
        *((name.rstrip("_").upper(), said.get(name, "")) for name in command.places),
    ]
    own = [
        (f"--{name} {kind_of(hint)}", _with_default(said.get(name, said.get(f"{name}_", "")), command.defaults[name]))
        for name, hint in command.own.items()
    ]
    if command.takes_recipe:
        own.append(("--from PATH", START))
    shown = [
        name if i < command.needed + command.takes_recipe else f"[{name}]" for i, name in enumerate(command.place_names)
    ]
    usage = " ".join([command.name, *shown, "[--FLAG VALUE ...]"])
    return Page(
        usage, summary(command.function), {"Arguments": words, "Flags": own, **_root(command, line)}, _last(command)
    )


def _last(command: Command) -> str:
    if not command.takes_recipe:
        return ""
    return (
        f"A part has settings, which are listed where it is named beside --help: buttress {command.name} --data images "
        "--decoder pixelcnn --help, or by --PART.help: --data.help images. One is changed by --decoder.layers 8. "
        "Defaults are those for DATA, where it is given beside --help."
    )


def _root(command: Command, line: Line) -> dict[str, list[Row]]:
    """The sections of a recipe or an experiment."""
    if command.root is None:
        return {}
    from buttress.cli.recipes import starting_recipe

    start = starting_recipe(command, line) if command.takes_recipe and line.words else None
    if not command.takes_recipe:
        return {"The experiment": _settings(command.root, "", command.root())}
    hints = typing.get_type_hints(command.root)
    parts = [(name, room) for name, hint in hints.items() if (room := room_of(hint))]
    said = arguments(command.root)
    rows = [
        (f"--{name} NAME", f"{said[name]} {', '.join(registry.names(room))}{_now(start, name)}") for name, room in parts
    ]
    training = hints["training"]
    return {
        "Training": _settings(training, "training.", training() if start is None else start.training),
        "Parts of the model": rows,
        **_named(parts, start, line),
    }


def _named(parts: Sequence[tuple[str, str]], start: Any, line: Line) -> dict[str, list[Row]]:
    """The settings of the parts that the line names, and of the data that DATA are read by.

    Args:
        parts: Fields of the recipe that are parts, each with its room.
        start: The recipe that the flags change; None where there is no DATA.
        line: What was typed.
    """
    found = {}
    for name, room in parts:
        there = None if start is None else getattr(start, name)
        if name not in line.given and (there is None or name != "data"):
            continue
        kind: Any = type(there) if name not in line.given else registry.part(room, line.given[name])
        values = there if type(there) is kind else None
        found[f"Settings of --{name} {kind.name()}"] = _settings(kind, f"{name}.", values)
    return found


def _now(start: Any, name: str) -> str:
    return "" if start is None else f" [{getattr(start, name).name()}]"


def _with_default(text: str, value: Any) -> str:
    return f"{text} [{_written(value)}]"


def _written(value: Any) -> str:
    if callable(getattr(value, "name", None)):  # a part
        return str(value.name())
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ",".join(map(str, value))  # an empty one is shown as it is typed: []
    return "none" if value is None else str(value)


def _settings(kind: Any, before: str, values: Any) -> list[Row]:
    """The fields of a dataclass as flags; without values they show the defaults of the class."""
    hints, said = typing.get_type_hints(kind), arguments(kind)
    rows = []
    for f in fields(kind):
        value = f.default if values is None else getattr(values, f.name)
        text = said.get(f.name, "")
        told = f"{text} (needed)" if value is MISSING and f.default_factory is MISSING else _with_default(text, value)
        rows.append((f"--{before}{f.name} {kind_of(hints[f.name])}", told))
    return rows


def part_page(command: Command, words: Sequence[str]) -> Page:
    """What a part is and what settings it has, or which parts there are.

    Args:
        command: That is asked about.
        words: ``--decoder.help``, and perhaps a name.

    Errors:
        Misread: There is no such place for a part.
    """
    way = words[0].removeprefix("--").removesuffix(".help")
    room = next(filter(None, map(room_of, hints_at(command.root, way.split(".")))), None)
    if room is None:
        raise Misread(f"--{way} is no part, so it has no settings to list; try buttress {command.name} --help")
    if len(words) < 2 or words[1].startswith("-"):
        rows = [(name, summary(part)) for name, part in registry.parts(room).items()]
        return Page(f"{command.name} ... --{way} NAME", summary(registry.ROOMS[room]), {"Names": rows})
    part = registry.part(room, words[1])
    return Page(f"{command.name} ... --{way} {words[1]}", summary(part), {"Settings": _settings(part, f"{way}.", None)})

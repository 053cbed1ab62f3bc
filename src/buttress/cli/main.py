"""The command line, made by jsonargparse from the signatures and docstrings in the folder ``commands``.

A command that takes a ``recipe`` gets an argument DATA and a flag for every part and every setting of a part:
``buttress train DATA --decoder pixelcnn --decoder.layers 8``. The defaults are the baseline for that data (or the file
given with ``--from``), so that ``--decoder.layers 8`` alone changes just that. A command that takes an ``experiment``
gets a flag for every setting of it. A new part or command needs no line here.
"""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import re
import sys
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser, Namespace

from buttress import __version__
from buttress.cli import commands
from buttress.core import Part, registry
from buttress.core.recipe import Recipe, Training
from buttress.data.opened import opened, opening_once
from buttress.runtime.denormals import flushed

__all__ = ["main", "script"]

YES_OR_NO = ("true", "false", "yes", "no", "on", "off", "1", "0", "null", "none")
"""What may stand behind a switch; what of it is no value of that switch, jsonargparse refuses."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. What a user can mend is one line on stderr and code 2.

    Example:
        >>> from contextlib import redirect_stderr
        >>> with redirect_stderr(sys.stdout):
        ...     main(["trian", "mnist5k"])
        buttress: ...; did you mean 'train'? try buttress --help
        2
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        with flushed():  # before torch starts its threads
            run(words)
    except ArgumentError as error:
        print(f"buttress: {_misread(error, words)}", file=sys.stderr)
        return 2
    except (ValueError, OSError) as error:
        print(f"buttress: {_plainly(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("buttress: interrupted; what was saved stands, and --resume goes on from there", file=sys.stderr)
        return 130
    return 0


def _misread(error: ArgumentError, words: Sequence[str]) -> str:
    """What was wrong with the words of a command line, in one line, and where to read which there are."""
    said = " ".join(str(error).split()).rstrip(".")
    choice = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", said)
    near = registry.suggest(choice[1], re.findall(r"'(.*?)'", choice[2])) if choice else ""
    return f"{said}; {near}try {' '.join(['buttress', *_named(words), '--help'])}"


def _named(words: Sequence[str]) -> list[str]:
    """The words at the beginning that name a command."""
    command: Any = commands
    for i, word in enumerate(words):
        if not isinstance(command, ModuleType) or word not in functions(command):
            return list(words[:i])
        command = functions(command)[word]
    return list(words)


def _plainly(error: Exception) -> str:
    """A message; one of the system without its number."""
    named = isinstance(error, OSError) and error.strerror and error.filename is not None
    return f"{error.filename}: {error.strerror}; try another path" if named else str(error)  # type: ignore[attr-defined]


def run(words: Sequence[str]) -> None:
    """Parse a command line and call the command it names."""
    with opening_once():
        _run(words)


def _run(words: Sequence[str]) -> None:
    words = [*words[:1], *_spelled_out(words[1:])]
    parser = ArgumentParser(
        prog="buttress",
        description="Variational auto-encoders that use z.",
        version=__version__,
        exit_on_error=False,
        allow_abbrev=False,  # else compare --seed is --seeds
    )
    _add_commands(parser, commands, words)
    command: Any = commands
    parsed = parser.parse_args(words)
    while isinstance(command, ModuleType):
        command, parsed = functions(command)[parsed.command], parsed[parsed.command]
    call(command, parsed)


def script(function: Callable[..., None], words: Sequence[str]) -> None:
    """Call a function with a command line of its own, read as if it were a command: for scripts outside the package.

    Example:
        >>> def repeat(word: str, times: int = 1) -> None:
        ...     print(*[word] * times)
        >>> script(repeat, ["so", "--times", "3"])
        so so so
    """
    with opening_once():
        spelled = _spelled_out(words)
        call(function, _parser(function, spelled).parse_args(spelled))


def _add_commands(parser: ArgumentParser, package: ModuleType, words: Sequence[str]) -> None:
    """Give a parser the commands in a folder; a folder in it is a command that has commands."""
    choices = parser.add_subcommands(required=True, dest="command")
    for name, command in functions(package).items():
        rest = words[1:] if words and words[0] == name else ()
        folder = isinstance(command, ModuleType)
        inner = ArgumentParser(description=_summary(command), exit_on_error=False) if folder else _parser(command, rest)
        choices.add_subcommand(name, inner, help=_summary(command))
        if folder:  # only now: jsonargparse wants the outer one first
            _add_commands(inner, command, rest)


@cache
def functions(package: ModuleType = commands) -> dict[str, Any]:
    """The commands in a folder by name, in the order a user meets them: functions, and folders of functions."""
    found = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        found[info.name] = module if info.ispkg else getattr(module, info.name)
    order = ["demo", "train", "diagnose", "compare"]
    return {name: found[name] for name in sorted(found, key=lambda n: (order.index(n) if n in order else 9, n))}


def call(function: Callable[..., None], parsed: Namespace) -> None:
    """Call a command with what was parsed for it."""
    values = parsed.as_dict()
    if _takes_recipe(function):
        own = ["training", *(name for name, _ in rooms_of_recipe())]
        plain = {name: _plain_part(values.pop(name)) for name in own}
        values = {k: v for k, v in values.items() if k not in ("DATA", "from")}
        values["recipe"] = registry.from_plain(Recipe, plain, "recipe")
    if (kind := _experiment(function)) is not None:
        plain = {f.name: _plain_part(values.pop(f.name)) for f in fields(kind)}
        values["experiment"] = registry.from_plain(kind, plain, "experiment")
    function(**values)


def _takes_recipe(function: Callable[..., None]) -> bool:
    return "recipe" in inspect.signature(function).parameters


def _experiment(function: Callable[..., None]) -> Any:
    """The dataclass that a command takes as ``experiment``; None where it takes none."""
    return typing.get_type_hints(function).get("experiment")


def _summary(command: Any) -> str:
    return (inspect.getdoc(command) or "").partition("\n")[0]


def _parser(function: Callable[..., None], words: Sequence[str]) -> ArgumentParser:
    """The parser of one command; ``words`` are what the user gave it, needed to know the data's baseline."""
    parser = ArgumentParser(description=_summary(function), exit_on_error=False, allow_abbrev=False)
    if _takes_recipe(function):
        _add_recipe(parser, words)
    if (kind := _experiment(function)) is not None:
        parser.add_class_arguments(kind)
    parser.add_function_arguments(function, as_positional=True, skip={"recipe", "experiment"})
    return parser


def _add_recipe(parser: ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument("DATA", help="A file, a folder, a Hugging Face dataset, or the name of an embedded data set.")
    parser.add_argument("--from", default=None, type=Path | None, help="A recipe (YAML) to start from.")
    for name, room in rooms_of_recipe():
        parser.add_subclass_arguments(registry.ROOMS[room], name, help=f"Part: {', '.join(registry.names(room))}.")
    parser.add_class_arguments(Training, "training")
    if (data := next((word for word in words if not word.startswith("-")), None)) is not None:
        start = _starting_recipe(data, words)
        defaults = {name: _class_part(getattr(start, name)) for name, _ in rooms_of_recipe()}
        parser.set_defaults({**defaults, **{f"training.{k}": v for k, v in vars(start.training).items()}})


def rooms_of_recipe() -> Iterator[tuple[str, str]]:
    """(field, room) of every part of a recipe."""
    for name, hint in typing.get_type_hints(Recipe).items():
        if (room := registry.room_of(hint)) is not None:
            yield name, room


def _starting_recipe(source: str, words: Sequence[str]) -> Recipe:
    """The recipe that flags change: the file after --from, or else the baseline for the data."""
    from buttress.baseline import baseline
    from buttress.data.source import detect

    data = _data_part(detect(source), words)
    if (path := _value_of("--from", words)) is not None:
        return replace(Recipe.load(path), data=data)
    return baseline(data, opened(data).spec)


def _data_part(found: Part, words: Sequence[str]) -> Any:
    """The data part with the user's --data.* settings, parsed before all others because the baseline hangs on it."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(registry.ROOMS["data"], "data")
    parser.set_defaults({"data": _class_part(found)})
    own = [word for word in words if word.startswith(("--data.", "--data="))]
    return registry.from_plain(registry.ROOMS["data"], _plain_part(parser.parse_args(own).as_dict()["data"]), "data")


def _value_of(flag: str, words: Sequence[str]) -> str | None:
    return next((word.partition("=")[2] for word in words if word.startswith(f"{flag}=")), None)


def _spelled_out(words: Sequence[str]) -> list[str]:
    """Flags as jsonargparse wants them: ``--flag=value``, parts as class paths, a bare switch as true.

    A switch takes the next word only where that says yes or no: the word behind ``--resume`` may be the data.
    """
    out: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word.startswith("--") and "=" not in word and word not in ("--help", "--version"):
            has_value = bool(rest) and not rest[0].startswith("--")
            if has_value and word.rpartition(".")[2].removeprefix("--") in switches():
                has_value = rest[0].lower() in YES_OR_NO
            word = f"{word}={rest.pop(0)}" if has_value else word if word.endswith(".help") else f"{word}=true"
        out.append(_class_path(word))
    return out


def _class_path(word: str) -> str:
    """``--decoder=pixelcnn`` as ``--decoder=buttress.decoders.pixelcnn.PixelCNN``, a path as data; else as it is."""
    flag, equals, value = word.partition("=")
    room = part_flags().get(flag.removeprefix("--").removesuffix(".help").rpartition(".")[2])
    if not equals or room is None or value.startswith(("{", "buttress.")):
        return word
    if flag == "--data" and value not in registry.names(room):
        from buttress.data.source import detect

        return f"{flag}={json.dumps(_class_part(detect(value)))}"
    kind = registry.part(room, value)
    return f"{flag}={kind.__module__}.{kind.__qualname__}"


@cache
def switches() -> set[str]:
    """Last words of the flags that are true or false, of whatever command, part or setting.

    Example:
        >>> sorted({"resume", "mean", "compile", "seed"} & switches())
        ['compile', 'mean', 'resume']
    """
    parts = [kind for room in registry.ROOMS for kind in registry.parts(room).values()]
    told = [typing.get_type_hints(owner) for owner in (*_all_functions(commands), Training, *parts)]
    told += [typing.get_type_hints(hints["experiment"]) for hints in told if "experiment" in hints]
    return {name for hints in told for name, hint in hints.items() if bool in (hint, *typing.get_args(hint))}


def _all_functions(package: ModuleType) -> Iterator[Callable[..., None]]:
    """Every command, those of folders too."""
    for command in functions(package).values():
        if isinstance(command, ModuleType):
            yield from _all_functions(command)
        else:
            yield command


@cache
def part_flags() -> dict[str, str]:
    """Last word of a flag -> the room whose parts it takes: the parts of a recipe, and the parts inside parts."""
    found = dict(rooms_of_recipe())
    for room in registry.ROOMS:
        for kind in registry.parts(room).values():
            inner = {f: registry.room_of(hint) for f, hint in typing.get_type_hints(kind).items()}
            found |= {f: r for f, r in inner.items() if r is not None}
    return found


def _plain_part(value: Any) -> Any:
    """From jsonargparse's {class_path, init_args} to the catalogue's {name, ...}."""
    if isinstance(value, dict) and "class_path" in value:
        name = value["class_path"].split(".")[-2]
        return {"name": name, **{k: _plain_part(v) for k, v in value.get("init_args", {}).items()}}
    return value


def _class_part(value: Any) -> Any:
    """A part as jsonargparse wants defaults."""
    if not isinstance(value, Part):
        return value
    inner = {f.name: _class_part(getattr(value, f.name)) for f in fields(value)}  # type: ignore[arg-type]
    return {"class_path": f"{type(value).__module__}.{type(value).__qualname__}", "init_args": inner}

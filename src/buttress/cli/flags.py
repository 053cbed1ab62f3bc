"""The flags of a command, made from its signature: which there are, and the values that words give them.

A parameter without a default, or before ``/``, is a word in its place; each other one is a flag. A command that takes a
``recipe`` or an ``experiment`` has a flag for each of its fields as well: ``--decoder pixelcnn`` names a part,
``--decoder.layers 8`` changes a setting of the part that is there.
"""

from __future__ import annotations

import difflib
import inspect
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cached_property
from typing import Any

from buttress.cli.lazily import registry, room_of
from buttress.cli.values import NO, YES, Misread, is_switch, kind_of, options, value_of

__all__ = ["Command", "Line", "UnknownFlag", "change", "hints_at"]

DATA = "A file, a folder, a Hugging Face dataset, or the name of a data set that comes with buttress."
NUMBER = re.compile(r"-?[0-9][0-9.]*")
START = "A recipe (YAML) to start from, instead of the baseline for the data."


class UnknownFlag(Misread):
    """A flag that a command has not; ``flag`` is its name without dashes."""

    def __init__(self, flag: str, message: str) -> None:
        super().__init__(message)
        self.flag = flag


@dataclass
class Line:
    """What was typed behind a command.

    Args:
        words: What stands in its place.
        given: Flag, without its dashes, -> text.
    """

    words: list[str] = field(default_factory=list)
    given: dict[str, str] = field(default_factory=dict)

    def within(self, root: str) -> dict[str, str]:
        """The flags ``root`` and ``root.*``."""
        return {name: text for name, text in self.given.items() if name.partition(".")[0] == root}


class Command:
    """A function as a command.

    Args:
        function: Its parameters are the words and flags; ``recipe`` and ``experiment`` stand for those of their type.
        name: What users type.

    Example:
        >>> def repeat(word: str, times: int = 1, loud: bool = False) -> None: ...
        >>> command = Command(repeat, "repeat")
        >>> line = command.read(["so", "--times", "3", "--loud"])
        >>> line.words, line.given
        (['so'], {'times': '3', 'loud': 'true'})
        >>> command.values(line)
        (['so'], {'times': 3, 'loud': True})
        >>> command.read(["so", "--tiems", "3"])
        Traceback (most recent call last):
        buttress.cli.flags.UnknownFlag: there is no flag --tiems; did you mean --times? try buttress repeat --help
    """

    def __init__(self, function: Callable[..., None], name: str) -> None:
        self.function, self.name = function, name
        hints = typing.get_type_hints(function)
        self.root: Any = hints.get("recipe", hints.get("experiment"))
        """The dataclass whose fields are flags too, or None."""
        self.takes_recipe = _is_recipe(self.root)
        parameters = [
            p for p in inspect.signature(function).parameters.values() if p.name not in ("recipe", "experiment")
        ]
        places = [p for p in parameters if p.default is p.empty or p.kind is p.POSITIONAL_ONLY]
        self.places: dict[str, Any] = {p.name: hints[p.name] for p in places}
        """Words in their places, those that must be there first."""
        self.needed = sum(p.default is p.empty for p in places)
        self.own: dict[str, Any] = {p.name.rstrip("_"): hints[p.name] for p in parameters if p not in places}
        """Flags of the function itself."""
        self.defaults = {p.name.rstrip("_"): p.default for p in parameters if p not in places}

    @cached_property
    def place_names(self) -> list[str]:
        """The words in their places, as help writes them."""
        return [*["DATA"] * self.takes_recipe, *(name.rstrip("_").upper() for name in self.places)]

    def hints(self, flag: str) -> list[Any]:
        """The types that a flag may have, one for each part that may stand there; empty where there is no such flag."""
        if flag in self.own:
            return [self.own[flag]]
        if flag == "from" and self.takes_recipe:
            return [str]
        return [h for h in hints_at(self.root, flag.split(".")) if not _only_group(h)]

    def every_flag(self) -> Iterator[str]:
        """Every flag there is."""
        yield from self.own
        yield from ["from"] * self.takes_recipe
        yield from _names(self.root)

    def read(self, words: Iterable[str]) -> Line:
        """What a command line says, not yet as values.

        A switch takes the next word only where that says yes or no: the word behind ``--resume`` may be the data.

        Errors:
            Misread: A flag that there is not, or one without its value; too many words or too few.
        """
        line, rest = Line(), list(words)
        while rest:
            word = rest.pop(0)
            if not word.startswith("--"):
                line.words.append(word)
                continue
            flag, equals, text = word[2:].partition("=")
            flag, switch = self._known(flag.replace("-", "_"))
            line.given[flag] = switch or (text if equals else self._behind(flag, rest))
        self._count(line.words)
        return line

    def _known(self, flag: str) -> tuple[str, str]:
        """The flag that is meant, and "false" where it was written ``--no_...``."""
        if self.hints(flag):
            return flag, ""
        positive = flag.removeprefix("no_")
        if positive != flag and any(map(is_switch, self.hints(positive))):
            return positive, "false"
        near = nearest(flag, self.every_flag())
        raise UnknownFlag(flag, f"there is no flag --{flag}; {near}try buttress {self.name} --help")

    def _behind(self, flag: str, rest: list[str]) -> str:
        """The value behind a flag, taken out of the words."""
        follows = bool(rest) and not rest[0].startswith("--")
        if any(map(is_switch, self.hints(flag))):
            return rest.pop(0) if follows and rest[0].lower() in (*YES, *NO, "none", "null") else "true"
        if not follows:
            raise Misread(f"--{flag} expects {kind_of(self.hints(flag)[0])} behind it; try buttress {self.name} --help")
        value = rest.pop(0)
        if any(typing.get_origin(kind) is tuple for hint in self.hints(flag) for kind in options(hint)):
            while rest and NUMBER.fullmatch(value.rpartition(",")[2]) and NUMBER.fullmatch(rest[0]):
                value += f",{rest.pop(0)}"  # a list written with blanks
        return value

    def _count(self, words: list[str]) -> None:
        names = self.place_names
        if len(words) > len(names):
            takes = f"takes {' and '.join(names)}" if names else "takes no words but flags"
            raise Misread(f"{words[len(names)]!r} is one word too many: buttress {self.name} {takes}; try --help")

    def values(self, line: Line) -> tuple[list[Any], dict[str, Any]]:
        """What the function is called with, but for the recipe or experiment.

        Errors:
            Misread: A word that must be there is not, or a value is of another type.
        """
        words = line.words[self.takes_recipe :]
        if len(words) < self.needed:
            missing = self.place_names[len(line.words)]
            raise Misread(f"buttress {self.name} expects {missing}, and it is missing; try buttress {self.name} --help")
        places = [_place(hint, word, name) for (name, hint), word in zip(self.places.items(), words, strict=False)]
        given = {name: value_of(self.own[name], text, name) for name, text in line.given.items() if name in self.own}
        parameters = inspect.signature(self.function).parameters
        return places, {name if name in parameters else f"{name}_": value for name, value in given.items()}


def _place(hint: Any, word: str, name: str) -> Any:
    """The value of a word in its place, which errors call as help does."""
    try:
        return value_of(hint, word, name)
    except Misread as error:
        raise Misread(str(error).replace(f"--{name}", name.rstrip("_").upper(), 1)) from error


def hints_at(hint: Any, path: list[str]) -> list[Any]:
    """The types of the setting at a path, one for each part that may stand on the way.

    Example:
        >>> from buttress.core.recipe import Recipe
        >>> hints_at(Recipe, ["training", "steps"]), hints_at(Recipe, ["objective", "beta", "hold"])
        ([<class 'int'>], [<class 'int'>])
    """
    if not path:
        return [hint]
    inner = [typing.get_type_hints(kind).get(path[0]) for kind in _kinds(hint) if path[0] in _fields(kind)]
    return list(dict.fromkeys(found for one in inner for found in hints_at(one, path[1:])))


def _kinds(hint: Any) -> list[Any]:
    """The dataclasses that a value of this type may be."""
    if (room := room_of(hint)) is not None:
        return list(registry.parts(room).values())
    return [hint] if is_dataclass(hint) else []


def _fields(kind: Any) -> list[str]:
    return [f.name for f in fields(kind) if not (f.name == "remedies" and _is_recipe(kind))]


def _is_recipe(kind: Any) -> bool:
    """Whether a type is :class:`buttress.core.recipe.Recipe`, which is not imported to say no."""
    return isinstance(kind, type) and (kind.__module__, kind.__name__) == ("buttress.core.recipe", "Recipe")


def _only_group(hint: Any) -> bool:
    """Whether a type has settings and no value: ``--training`` alone."""
    return is_dataclass(hint) and room_of(hint) is None


def _names(hint: Any, before: str = "") -> Iterator[str]:
    for kind in _kinds(hint):
        for name in _fields(kind):
            yield before + name
            yield from _names(typing.get_type_hints(kind)[name], f"{before}{name}.")


def nearest(flag: str, every: Iterable[str]) -> str:
    """'did you mean --...? ' where a flag is near: by its last word, by initials, or by spelling.

    Example:
        >>> nearest("steps", ["training.steps", "out"]), nearest("lr", ["training.learning_rate"])
        ('did you mean --training.steps? ', 'did you mean --training.learning_rate? ')
    """
    every = sorted(dict.fromkeys(every), key=lambda name: (name.count("."), not name.startswith("training.")))
    last = flag.rpartition(".")[2]
    ends = {name: name.rpartition(".")[2] for name in every}
    near = [name for name, end in ends.items() if end == last or "".join(w[:1] for w in end.split("_")) == last]
    near = near or difflib.get_close_matches(flag, every, n=1)
    near = near or [name for name, end in ends.items() if end in difflib.get_close_matches(last, ends.values(), n=1)]
    return f"did you mean {' or '.join(f'--{name}' for name in near[:3])}? " if near else ""


def change(kind: Any, plain: dict[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    """A dataclass as plain data (:func:`buttress.core.registry.to_plain`) with what flags change in it.

    Args:
        kind: The dataclass.
        plain: What is there without flags; changed in place.
        given: Flag -> text. Names of parts come first, whatever the order.

    Errors:
        Misread: A value of another type, or a setting that the part which is there has not.

    Example:
        >>> from buttress.core.recipe import Recipe
        >>> start = {"data": {"name": "images", "path": "a"}, "decoder": {"name": "conv"}}
        >>> change(Recipe, start, {"decoder.layers": "8", "decoder": "pixelcnn"})["decoder"]
        {'name': 'pixelcnn', 'layers': 8}
    """
    for flag in sorted(given, key=lambda name: name.count(".")):
        *way, last = flag.split(".")
        here, owner = plain, kind
        for step in way:
            owner = _owner(typing.get_type_hints(owner)[step], here.setdefault(step, {}))
            here = here[step]
        hint = typing.get_type_hints(owner).get(last)
        if hint is None or last not in _fields(owner):
            raise Misread(_misplaced(flag, kind, owner))
        room = room_of(options(hint)[0])
        here[last] = value_of(hint, given[flag], flag) if room is None else _part(room, given[flag], here.get(last))
    return plain


def _owner(hint: Any, plain: dict[str, Any]) -> Any:
    room = room_of(options(hint)[0])
    return options(hint)[0] if room is None else registry.part(room, plain["name"])


def _part(room: str, text: str, before: Any) -> dict[str, Any]:
    """The part named, which keeps its settings where it is there already; a path is data."""
    if room == "data" and text not in registry.names(room):
        from buttress.data.source import detect

        plain: dict[str, Any] = registry.to_plain(detect(text))
        return plain
    registry.part(room, text)
    if before and before["name"] == text:
        return dict(before)
    return {"name": text, **({"path": before["path"]} if room == "data" and before and "path" in before else {})}


def _misplaced(flag: str, kind: Any, owner: Any) -> str:
    """Why a setting cannot be changed that another part has."""
    way, _, last = flag.rpartition(".")
    *before, place = way.split(".")
    room = next(room for room in map(room_of, hints_at(kind, [*before, place])) if room)
    having = [name for name, part in registry.parts(room).items() if last in _fields(part)]
    has = ", ".join(_fields(owner)) or "no settings"
    return (
        f"--{flag}: the {owner.name()} {place} has no {last} (it has {has}); try --{way} {' or '.join(having)}, which "
        f"{'has' if len(having) == 1 else 'have'} it"
    )

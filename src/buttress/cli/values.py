"""Words of a command line as values of a type, and how help and errors call that type."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from buttress.cli.lazily import room_of
from buttress.runtime.plain_data import parse_yaml

__all__ = ["NO", "YES", "Misread", "is_switch", "kind_of", "options", "value_of"]

YES, NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
"""What may stand behind a switch."""
NOTHING = ("none", "null")
"""What stands for None where a flag allows it."""
KINDS = {int: "INT", float: "NUMBER", bool: "yes|no", str: "TEXT", Path: "PATH"}
WORDS = {int: "a whole number", float: "a number", bool: "yes or no", str: "text", Path: "a path"}


class Misread(ValueError):
    """A command line that cannot be understood; the message says what was expected, what was found, what to try.

    Example:
        >>> value_of(int, "many", "count")
        Traceback (most recent call last):
        buttress.cli.values.Misread: --count: expected a whole number, got 'many'
    """


def options(hint: Any) -> tuple[Any, ...]:
    """The types that a type allows, None aside.

    Example:
        >>> options(int | None), options(str)
        ((<class 'int'>,), (<class 'str'>,))
    """
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return tuple(t for t in typing.get_args(hint) if t is not type(None)) if union else (hint,)


def _optional(hint: Any) -> bool:
    return type(None) in typing.get_args(hint)


def is_switch(hint: Any) -> bool:
    """Whether a flag of this type may stand without a value.

    Example:
        >>> is_switch(bool), is_switch(bool | None), is_switch(int)
        (True, True, False)
    """
    return options(hint) == (bool,)


def kind_of(hint: Any, names: dict[Any, str] = KINDS) -> str:
    """How help calls a type.

    Example:
        >>> from typing import Literal
        >>> kind_of(int | None), kind_of(Literal["prior", "uniform"]), kind_of(tuple[int, ...])
        ('INT or none', 'prior|uniform', 'INT,INT,...')
    """
    called = [*dict.fromkeys(_single_kind(t, names) for t in options(hint)), *["none"] * _optional(hint)]
    return " or ".join(called)


def _single_kind(hint: Any, names: dict[Any, str]) -> str:
    if typing.get_origin(hint) is typing.Literal:
        return ("|" if names is KINDS else " or ").join(map(str, typing.get_args(hint)))
    if typing.get_origin(hint) is tuple:
        inner = [_single_kind(t, KINDS) if t is not Ellipsis else "..." for t in typing.get_args(hint)]
        return ",".join([inner[0], *inner]) if inner[-1] == "..." else ",".join(inner)
    if hint in names:
        return names[hint]
    return "NAME" if room_of(hint) else getattr(hint, "__name__", str(hint)).upper()


def value_of(hint: Any, text: str, flag: str) -> Any:
    """The value that a text stands for.

    Args:
        hint: The type wanted.
        text: What was typed.
        flag: The flag's name, for errors.

    Errors:
        Misread: It is of another type.

    Example:
        >>> value_of(float, "1e-3", "rate"), value_of(int | None, "none", "most"), value_of(tuple[int, ...], "8,8", "w")
        (0.001, None, (8, 8))
    """
    if _optional(hint) and text.lower() in NOTHING:
        return None
    for option in sorted(options(hint), key=lambda t: t is str):  # text is what is nothing else
        try:
            return _single(option, text)
        except ValueError:
            continue
    extra = ", or none" if _optional(hint) else ""
    empty = "; [] is an empty list" if typing.get_origin(hint) is tuple and not text.strip() else ""
    raise Misread(f"--{flag}: expected {kind_of(options(hint)[0], WORDS)}{extra}, got {text!r}{empty}")


def _single(hint: Any, text: str) -> Any:
    if typing.get_origin(hint) is typing.Literal:
        return {str(value): value for value in typing.get_args(hint)}[_member(text, typing.get_args(hint))]
    if typing.get_origin(hint) is tuple:
        return tuple(_members(typing.get_args(hint), text))
    if hint is bool:
        return _member(text.lower(), (*YES, *NO)) in YES
    if hint is Path and not text.strip():  # Path("") is the folder one stands in, which an unset $OUT never means
        raise ValueError(text)
    return hint(text)


def _member(text: str, allowed: tuple[Any, ...]) -> str:
    if text not in map(str, allowed):
        raise ValueError(text)
    return text


def _members(kinds: tuple[Any, ...], text: str) -> Iterator[Any]:
    """The values of a list, written ``8,8`` or ``[8, 8]``; an empty one is written ``[]``, for no text is a slip."""
    if not text.strip() or (kinds[-1] is str and not text.startswith("[")):
        raise ValueError(text)
    try:
        plain = parse_yaml(text if text.startswith("[") else f"[{text}]", "the list")
    except ValueError as error:
        raise ValueError(text) from error
    inner = [kinds[0]] * len(plain) if kinds[-1] is Ellipsis else kinds
    if len(inner) != len(plain):
        raise ValueError(text)
    return (_single(kind, str(value)) for kind, value in zip(inner, plain, strict=True))

"""What a person hands over from Python, checked by type, so that a slip ends in one sentence."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable
from numbers import Integral, Real
from typing import Any

__all__ = ["check_names", "check_number", "check_type", "check_whole", "listed"]


def check_whole(name: str, value: Any, optional: bool = False) -> None:
    """Refuse what is no whole number.

    Args:
        name: What the argument is called.
        value: What came.
        optional: Whether None may come.

    Errors:
        ValueError: It is something else.

    Example:
        >>> check_whole("seeds", 1.5)
        Traceback (most recent call last):
        ValueError: seeds is 1.5, wanted a whole number
    """
    _check(name, value, Integral, "a whole number", optional)


def check_number(name: str, value: Any, optional: bool = False) -> None:
    """Refuse what is no number; arguments and errors as of :func:`check_whole`.

    Example:
        >>> check_number("variance", "a", optional=True)
        Traceback (most recent call last):
        ValueError: variance is 'a', wanted a number, or None
    """
    _check(name, value, Real, "a number", optional)


def check_type(name: str, value: Any, kinds: Any, wanted: str, optional: bool = False) -> None:
    """Refuse what is of none of these types.

    Args:
        name: What the argument is called.
        value: What came.
        kinds: Types that are welcome.
        wanted: These in words.
        optional: Whether None may come.

    Errors:
        ValueError: It is something else.

    Example:
        >>> check_type("folder", None, str, "the folder of a run")
        Traceback (most recent call last):
        ValueError: folder is None, wanted the folder of a run
    """
    if not (isinstance(value, kinds) or (optional and value is None)):
        raise ValueError(f"{name} is {_short(value)}, wanted {wanted}{', or None' if optional else ''}")


def _check(name: str, value: Any, kind: type, wanted: str, optional: bool) -> None:
    if isinstance(value, bool):
        raise ValueError(f"{name} is {value}, wanted {wanted}{', or None' if optional else ''}")
    check_type(name, value, kind, wanted, optional)


def _short(value: Any) -> str:
    plain = isinstance(value, str | int | float | complex | list | tuple | dict | None)
    written = repr(value)
    return written if plain and len(written) < 50 else f"a {type(value).__name__}"


def check_names(given: Iterable[str], function: Callable[..., Any], what: str) -> None:
    """Refuse settings that a function does not take by name.

    Args:
        given: Names that came.
        function: What takes them.
        what: What these are settings of, in words.

    Errors:
        ValueError: It has no such setting; says which comes near.

    Example:
        >>> check_names(["smaples"], lambda model, *, samples=4: None, "a diagnosis")
        Traceback (most recent call last):
        ValueError: 'smaples' is no setting of a diagnosis; did you mean 'samples'? It has samples
    """
    parameters = inspect.signature(function).parameters.values()
    known = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(f"{name!r} is no setting of {what}; {hint}It has {', '.join(known)}")


def listed(written: str) -> tuple[str, ...]:
    """Names separated by commas, without spaces around them; a comma too many is no name.

    Errors:
        ValueError: There is no name.

    Example:
        >>> listed("none, free_bits,")
        ('none', 'free_bits')
        >>> listed(",")
        Traceback (most recent call last):
        ValueError: ',' holds no name, wanted names separated by commas
    """
    names = tuple(name for piece in written.split(",") if (name := piece.strip()))
    if not names:
        raise ValueError(f"{written!r} holds no name, wanted names separated by commas")
    return names

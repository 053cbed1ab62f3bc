"""JSON and YAML from files that may be damaged or hostile, as plain data that is neither deep nor ambiguous."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from buttress.runtime.safe_files import read_text

__all__ = ["DEEPEST", "load_json", "parse_json", "parse_yaml"]

DEEPEST = 100
"""Levels of lists and mappings inside each other; what comes afterwards walks them recursively."""
DIGITS = 100
"""Most digits of a number, so that every whole number fits into a float, whatever its base."""
YAML, VALUES = 2**23, 300_000
"""Most characters, and most values, of a YAML text: a few seconds' reading."""
MESSAGE = 300
"""Most characters of what a library says."""
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_number = re.compile(r"[-+]?[0-9.][0-9a-fA-FxXoO_:.]*")


def parse_json(text: str, where: object, constants: bool = False) -> Any:
    """The plain data in a JSON text.

    Args:
        text: The text.
        where: Names it in errors.
        constants: Whether NaN and the infinities may stand for numbers, as Python writes them.

    Errors:
        ValueError: It is no JSON, nested deeper than ``DEEPEST``, gives a key twice, or holds a number out of range.

    Example:
        >>> parse_json('{"a": [1, 2.5, null]}', "a.json")
        {'a': [1, 2.5, None]}
        >>> parse_json('{"a": 1, "a": 2}', "a.json")
        Traceback (most recent call last):
        ValueError: a.json: not readable as JSON: 'a' is there twice
    """

    def refuse(constant: str) -> float:
        if constants:
            return float(constant)
        raise ValueError(f"{constant} is no number")

    try:
        plain = json.loads(text, object_pairs_hook=_once, parse_int=_whole, parse_float=_finite, parse_constant=refuse)
        return _shallow(plain)
    except RecursionError as error:
        raise ValueError(f"{where}: not readable as JSON: {_deep()}") from error
    except ValueError as error:
        raise ValueError(f"{where}: not readable as JSON: {str(error)[:MESSAGE]}") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(n for n in names if names.count(n) > 1)!r} is there twice")
    return found


def _whole(digits: str) -> int:
    if len(digits) > DIGITS:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def _finite(digits: str) -> float:
    if math.isinf(value := float(digits)):
        raise ValueError(f"{digits[:20]} is too large for a number")
    return value


def _shallow(plain: Any) -> Any:
    """The same, unless it is nested too deeply."""
    level = [plain]
    for _ in range(DEEPEST):
        level = [
            inner for value in level if isinstance(value, dict | list)
            for inner in (value.values() if isinstance(value, dict) else value)
        ]  # fmt: skip
    if level:
        raise ValueError(_deep())
    return plain


def _deep() -> str:
    return f"nested deeper than {DEEPEST} levels"


def load_json(path: Path, constants: bool = False) -> Any:
    """The plain data in a JSON file; see :func:`parse_json` and :func:`buttress.runtime.safe_files.read_text`."""
    return parse_json(read_text(path), path, constants)


def parse_yaml(text: str, where: object) -> Any:
    r"""The plain data in a YAML text. Nothing is run, and nothing is repeated by reference.

    Args:
        text: The text.
        where: Names it in errors.

    Errors:
        ValueError: It is no YAML of plain data, nested deeper than ``DEEPEST``, too long, gives a key twice, or holds
            an alias or a number of more than ``DIGITS`` digits.

    Example:
        >>> parse_yaml("a: [1, 2.5, so]", "a.yaml")
        {'a': [1, 2.5, 'so']}
        >>> parse_yaml("a: &x [1]\nb: *x", "a.yaml")
        Traceback (most recent call last):
        ValueError: a.yaml: not readable as YAML: the alias *x in line 2; try writing out what it stands for
    """
    try:
        if len(text) > YAML:
            raise ValueError(f"{len(text):,} characters, wanted at most {YAML:,}")
        _check_events(yaml.parse(text, _Loader))
        return _constructed(text)
    except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError) as error:  # odd tags raise the last three
        raise ValueError(f"{where}: not readable as YAML: {' '.join(str(error).split())[:MESSAGE]}") from error


def _check_events(events: Iterable[Any]) -> None:
    """Refuse, before anything is built, what is deep, repeated by reference, or a number without end."""
    depth = 0
    for number, event in enumerate(events):
        if number > VALUES:
            raise ValueError(f"more than {VALUES:,} values")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise ValueError(_deep())
        if isinstance(event, yaml.AliasEvent):
            raise ValueError(f"the alias *{event.anchor}{_at(event)}; try writing out what it stands for")
        if isinstance(event, yaml.ScalarEvent) and _endless(event):
            raise ValueError(f"a number of {len(event.value)} digits{_at(event)}")


def _at(event: Any) -> str:
    return f" in line {event.start_mark.line + 1}"


def _endless(scalar: yaml.ScalarEvent) -> bool:
    """Whether a word would be read as a number of very many digits."""
    read = bool(scalar.tag) or scalar.implicit[0]
    return read and len(scalar.value) > DIGITS and _number.fullmatch(scalar.value) is not None


def _constructed(text: str) -> Any:
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        _check_keys(root)
        return None if root is None else loader.construct_document(root)
    finally:
        loader.dispose()


def _check_keys(root: Any) -> None:
    """Refuse a key that is given twice: which of them counts is a matter of the reader."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            seen: set[tuple[str, str]] = set()
            for key, value in node.value:
                waiting += (key, value)
                if isinstance(key, yaml.ScalarNode):
                    if (key.tag, key.value) in seen:
                        raise ValueError(f"{key.value!r} is there twice, again{_at(key)}")
                    seen.add((key.tag, key.value))

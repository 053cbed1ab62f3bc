"""What tells a user's model and training function from those of an earlier call: code, settings and weights.

Of a function that is its bytecode and constants (so a comment changes nothing), its defaults, what it closes over, and
what it names of its script: numbers, texts, and other functions, which are followed. Of a model it is the code of its
classes, the plain attributes of all its parts, and names, shapes and values of its weights. What lies in an installed
package is taken to stay as it is. What a function reads at run time (a file, a large array) is not seen.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import nn

__all__ = ["code_of", "identity"]

DEPTH = 6
"""How far one function is followed into those that it names."""
INSTALLED = ("site-packages", "dist-packages")


def identity(models: Sequence[nn.Module], train: Callable[..., Any]) -> dict[str, str]:
    """Short fingerprints of what a branch is made with, to be compared with those of a later call.

    Args:
        models: Made by the user's function, untrained, two of them under one seed.
        train: Trains them.

    Returns:
        Of the "structure or code" of the model, its "initial weights" ("" where the two differ, since the seed
        of torch does not decide them), and the "training function".

    Example:
        >>> models = [nn.Linear(2, 2), nn.Linear(2, 2)]
        >>> one = identity(models, lambda model, loader, settings: 0.5)
        >>> other = identity(models, lambda model, loader, settings: 0.1)
        >>> [name for name in one if one[name] != other[name]]
        ['training function']
    """
    drawn = {_short(_weights(model)) for model in models}
    return {
        "structure or code": _short(_structure(models[0])),
        "initial weights": drawn.pop() if len(drawn) == 1 else "",
        "training function": _short(code_of(train)),
    }


def _short(parts: Iterable[Any]) -> str:
    summed = hashlib.sha256()
    for part in parts:
        summed.update(part if isinstance(part, bytes) else repr(part).encode())
        summed.update(b"\0")
    return summed.hexdigest()[:16]


def _weights(model: nn.Module) -> Iterator[Any]:
    for name, value in model.state_dict().items():
        if isinstance(value, torch.Tensor) and value.device.type != "meta":  # which holds no values
            yield name
            yield value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def _structure(model: nn.Module) -> Iterator[Any]:
    """Names, classes and plain attributes of all parts, shapes of the weights, and the code of the user's classes."""
    for name, part in model.named_modules():
        yield name, type(part).__qualname__, _plain_attributes(part)
        yield from _functions_and_tensors(part)
    for name, value in model.state_dict().items():
        yield name, str(getattr(value, "dtype", "")), tuple(getattr(value, "shape", ()))
    for kind in dict.fromkeys(base for part in model.modules() for base in type(part).__mro__):
        if _is_own(kind):
            yield from code_of(kind)


def _functions_and_tensors(part: nn.Module) -> Iterator[Any]:
    """What a part keeps beside plain values and weights: an activation, a table that is no buffer."""
    for name, value in sorted(vars(part).items()):
        if isinstance(value, torch.Tensor) and value.device.type != "meta":
            yield name
            yield value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        elif name[:1] != "_" and callable(value) and not isinstance(value, nn.Module):
            yield name
            yield from code_of(value)


def _plain_attributes(thing: Any) -> list[tuple[str, Any]]:
    found = {k: v for k, v in getattr(thing, "__dict__", {}).items() if k[:1] != "_" and k != "training"}
    return sorted((k, _plain(v)) for k, v in found.items() if _plain(v) is not None)


def _plain(value: Any) -> str | None:
    """A number, a text, or a tuple or dict of them, as text; None for all else, also for lists, which grow."""
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return repr(value)
    if isinstance(value, frozenset):
        return repr(sorted(map(repr, value)))
    if isinstance(value, tuple) and all(_plain(one) is not None for one in value):
        return repr([_plain(one) for one in value])
    if isinstance(value, dict) and all(isinstance(k, str) and _plain(v) is not None for k, v in value.items()):
        return repr(sorted((k, _plain(v)) for k, v in value.items()))
    return None


def code_of(thing: Any, depth: int = DEPTH, seen: set[int] | None = None) -> Iterator[Any]:
    """The code of a function, a class or a callable object, and of what it names, as pieces to be hashed.

    Example:
        >>> list(code_of(lambda: 1)) == list(code_of(lambda: 1)), list(code_of(lambda: 1)) == list(code_of(lambda: 2))
        (True, False)
    """
    seen = set() if seen is None else seen
    if depth == 0 or id(thing) in seen or not (_is_own(thing) or isinstance(thing, functools.partial)):
        yield getattr(thing, "__qualname__", type(thing).__qualname__)
        return
    seen.add(id(thing))
    if isinstance(thing, types.MethodType):
        yield _plain_attributes(thing.__self__)
        yield from code_of(thing.__func__, depth, seen)
    elif isinstance(thing, functools.partial):  # its own class is of the standard library
        for value in (thing.func, *thing.args, *(v for _, v in sorted(thing.keywords.items()))):
            yield from _value(value, depth, seen)
    elif isinstance(thing, type):
        for name, value in sorted(vars(thing).items()):
            inside = getattr(value, "__func__", getattr(value, "fget", value))
            if name[:2] != "__" or isinstance(inside, types.FunctionType):
                yield name
                yield from _value(inside, depth, seen)
    elif isinstance(thing, types.FunctionType):
        yield from _function(thing, depth, seen)
    else:
        yield _plain_attributes(thing)
        yield from code_of(type(thing), depth, seen)


def _function(function: types.FunctionType, depth: int, seen: set[int]) -> Iterator[Any]:
    yield from _bytecode(function.__code__)
    given = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    for value in (*given, *_closed_over(function)):
        yield from _value(value, depth, seen)
    for name, attributes in _globals(function.__code__).items():
        value = function.__globals__.get(name)
        if isinstance(value, types.ModuleType):
            for attribute in attributes if _is_own(value) else ():
                yield from _value(getattr(value, attribute, None), depth, seen)
        else:
            yield name
            yield from _value(value, depth, seen)


def _closed_over(function: types.FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not assigned yet
            continue


def _value(value: Any, depth: int, seen: set[int]) -> Iterator[Any]:
    """A plain value as it is, a function or a class by its code; anything else by its class alone."""
    if (plain := _plain(value)) is not None:
        yield plain
    elif isinstance(value, types.FunctionType | types.MethodType | functools.partial | type):
        yield from code_of(value, depth - 1, seen)
    else:
        yield type(value).__qualname__


def _bytecode(code: types.CodeType) -> Iterator[Any]:
    yield code.co_code
    yield code.co_names, code.co_varnames
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _bytecode(constant)
        else:
            yield _plain(constant)


def _globals(code: types.CodeType) -> dict[str, list[str]]:
    """The names that a function looks up in its script, each with the attributes that it takes of it."""
    found: dict[str, list[str]] = {}
    last = ""
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            last = str(step.argval)
            found.setdefault(last, [])
        elif step.opname in ("LOAD_ATTR", "LOAD_METHOD") and last in found:
            found[last].append(str(step.argval))
        else:
            last = ""
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            for name, attributes in _globals(constant).items():
                found.setdefault(name, []).extend(attributes)
    return found


def _is_own(thing: Any) -> bool:
    """Whether something is of the user's script, and of no package that was installed."""
    if isinstance(thing, types.ModuleType):
        name = thing.__name__
    else:
        name = getattr(thing, "__module__", None) or type(thing).__module__
    top = name.partition(".")[0]
    place = getattr(sys.modules.get(top), "__file__", None) or ""
    return top not in sys.stdlib_module_names and not any(folder in place for folder in INSTALLED)

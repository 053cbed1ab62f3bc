"""buttress lint script.py:make."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import Any

__all__ = ["lint"]

NEEDED = ("model", "loss_fn", "batch")


def lint(script: str, json: bool = False) -> None:
    """Look for mistakes in the loss and the wiring of a VAE of yours, from one batch and its gradients.

    The script is run, and its function is called without arguments; it returns (model, loss_fn, batch), or a dict with
    these names and optionally schedule and steps. The exit code is 1 where an error was found.

    Args:
        script: File and function, such as train.py:make, where make() returns (model, loss_fn, batch).
        json: Print the findings as JSON.

    Example:
        On the command line::

            buttress lint train.py:make
    """
    import json as plain

    from buttress.diagnostics.lint.run import lint as run

    made = _called(script)
    if isinstance(made, dict):
        if missing := [name for name in NEEDED if name not in made]:
            raise ValueError(f"{script} gave a dict without {missing[0]}, wanted {', '.join(NEEDED)}")
        if other := [name for name in made if name not in (known := list(signature(run).parameters))]:
            raise ValueError(f"{script} gave a dict with {other[0]}, wanted nothing but {', '.join(known)}")
    found = run(**made) if isinstance(made, dict) else run(*made)
    print(plain.dumps(found.as_dict(), indent=2, ensure_ascii=False) if json else found)
    if any(one.level == "error" for one in found):
        sys.exit(1)


def _called(script: str) -> Any:
    """What the function of a script returns."""
    path, _, name = script.rpartition(":")
    if not path or not name or not Path(path).is_file():
        raise ValueError(f"got {script!r}, wanted a file and a function, such as train.py:make")
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    assert spec is not None and spec.loader is not None  # a file that is there has both
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(Path(path).resolve().parent))
    try:
        with _told(path):
            spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    if not callable(getattr(module, name, None)):
        raise ValueError(f"{path} has no function {name}; write one that returns (model, loss_fn, batch)")
    with _told(path):
        made = getattr(module, name)()
    if not isinstance(made, dict) and not (isinstance(made, tuple) and len(made) == 3):
        raise ValueError(f"{script} gave a {type(made).__name__}, wanted (model, loss_fn, batch), or a dict of these")
    return made


@contextmanager
def _told(path: str) -> Iterator[None]:
    """Say in which line of a script what it raised arose."""
    try:
        yield
    except Exception as error:
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == Path(path)]
        line = error.lineno if isinstance(error, SyntaxError) else (lines[-1] if lines else None)
        where = path if line is None else f"{path}, line {line}"
        raise ValueError(f"{where}: {type(error).__name__}: {error}; mend the script first") from error

"""Data opened once for all who ask, as long as one command lasts.

The command line opens the data to know the baseline, and training opens it again: a folder of many files would be
listed, checked and measured twice.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path

from buttress.core import Data, Splits
from buttress.data.reading.memory import cache_dir
from buttress.runtime.one_line import one_line

__all__ = ["opened", "opening_once", "tell"]

_known: ContextVar[dict[Data, Splits] | None] = ContextVar("known", default=None)


@contextmanager
def opening_once() -> Iterator[None]:
    """While this lasts, :func:`opened` opens equal data once; what it opened is then forgotten.

    Example:
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> with opening_once():
        ...     opened(LinearGaussianData(n=50)) is opened(LinearGaussianData(n=50))
        True
    """
    token = _known.set({})
    try:
        yield
    finally:
        _known.reset(token)


def opened(data: Data) -> Splits:
    """The data, opened: anew, or inside :func:`opening_once` what an equal part gave before.

    Args:
        data: Where the examples come from.

    Errors:
        ValueError: The data are not fit to be used, see :meth:`buttress.core.Data.open`.

    Example:
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> opened(LinearGaussianData(n=50)) is opened(LinearGaussianData(n=50))
        False
        >>> with opening_once():
        ...     opened(LinearGaussianData(n=50)) is opened(LinearGaussianData(n=50))
        True
    """
    known = _known.get()
    if known is None:
        return _open(data)
    if data not in known:
        known[data] = _open(data)
    return known[data]


def _open(data: Data) -> Splits:
    """The data; where they came from memory, called "your data" and not by the file that keeps them."""
    path = str(getattr(data, "path", ""))
    if Path(path).parent != cache_dir() / "in_memory":
        return data.open()
    try:
        splits = data.open()
    except ValueError as error:
        raise type(error)(str(error).replace(path, "your data")) from error
    return replace(splits, notes=tuple(note.replace(path, "your data") for note in splits.notes))


def tell(splits: Splits) -> None:
    """Print on stderr what a person should know about the data: what was set aside, how they were divided.

    Example:
        >>> from contextlib import redirect_stderr
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> with redirect_stderr(sys.stdout):
        ...     tell(LinearGaussianData(n=50).open())
        data: held out 5 of 50 examples (10.0 %), at random by position, seed 0
    """
    for note in splits.notes:
        print(f"data: {one_line(note)}", file=sys.stderr)

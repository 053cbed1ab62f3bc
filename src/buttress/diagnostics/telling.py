"""What a diagnosis tells of how far it is: each stage as it begins, and where one lasts, what it is at."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from buttress.runtime.arguments import check_type

__all__ = ["CHEAPER", "Lines", "Tell", "Telling", "listener", "prefixed", "silent"]

CHEAPER = (
    "nll_samples=0 and gap_steps=0 leave out what takes longest, and fewer nll_examples, gap_examples and mi_examples "
    "make it cheaper"
)
"""What a person can do about a diagnosis that takes long."""
QUIET, LINE_EVERY = 5.0, 10.0
"""Seconds in which a diagnosis may end without a line; seconds between lines."""

EVERY = 5.0
"""Seconds of silence, at least, before something is told within a stage."""
Tell = Callable[[str], None]


def silent(what: str) -> None:
    """Tell nobody."""


def prefixed(tell: Tell, first: str) -> Tell:
    """Tell with something said first.

    Example:
        >>> prefixed(print, "examples 1 to 9")("Adam")
        examples 1 to 9, Adam
    """
    return lambda what: tell(f"{first}, {what}")


class Lines:
    """What to give a diagnosis as ``progress``: after some seconds it tells on stderr how far it is, a line at a time.

    Example:
        >>> from contextlib import redirect_stderr
        >>> from unittest.mock import patch
        >>> with redirect_stderr(sys.stdout), patch.multiple(__name__, QUIET=0.0, LINE_EVERY=0.0):
        ...     lines = Lines()
        ...     lines("rate", 0, 9)
        ...     lines("likelihood: batch 2 of 7", 3, 9)
        diagnosing; nll_samples=0 and gap_steps=0 leave out ... progress=False is silent
        diagnosing, 0 s: rate (1/9)
        diagnosing, 0 s: likelihood: batch 2 of 7 (4/9)
    """

    def __init__(self) -> None:
        self.began, self.told = time.monotonic(), -LINE_EVERY
        self.hinted = False

    def __call__(self, what: str, done: int, stages: int) -> None:
        """What the diagnosis is at, with so many of its stages done."""
        now = time.monotonic()
        if now < self.began + QUIET or now < self.told + LINE_EVERY:
            return
        if not self.hinted:
            print(f"diagnosing; {CHEAPER}; progress=False is silent", file=sys.stderr)
        self.told, self.hinted = now, True
        print(f"diagnosing, {now - self.began:.0f} s: {what} ({done + 1}/{stages})", file=sys.stderr, flush=True)


def listener(progress: bool | Callable[[str, int, int], None] | None) -> Callable[[str, int, int], None] | None:
    """Who is told of a diagnosis: :class:`Lines` for True, nobody for False, or whoever is named.

    Errors:
        ValueError: It is something else.

    Example:
        >>> listener(False) is None, listener(print) is print
        (True, True)
    """
    if callable(progress):
        return progress
    check_type("progress", progress, bool, "True, False or a function", optional=True)
    return Lines() if progress else None


class Telling:
    """Tells who asked.

    Args:
        progress: Called with (stage, stages done, stages in all); None where nobody asked.
        stages: How many there are.

    Example:
        >>> from unittest.mock import patch
        >>> telling = Telling(lambda what, done, total: print(f"{what} ({done + 1}/{total})"), 2)
        >>> telling.stage("likelihood", 0)
        likelihood (1/2)
        >>> telling.within("batch 2 of 9")  # too soon
        >>> with patch(f"{__name__}.EVERY", 0.0):
        ...     telling.within("batch 3 of 9")
        likelihood: batch 3 of 9 (1/2)
    """

    def __init__(self, progress: Callable[[str, int, int], None] | None, stages: int) -> None:
        self.progress, self.stages = progress, stages
        self.now, self.told = ("checking the model", 0), time.monotonic()

    def stage(self, name: str, done: int) -> None:
        """A stage begins, so many are done."""
        self.now = name, done
        self._tell(name)

    def within(self, what: str) -> None:
        """What the stage is at."""
        if self.progress is not None and time.monotonic() >= self.told + EVERY:
            self._tell(f"{self.now[0]}: {what}")

    def _tell(self, what: str) -> None:
        self.told = time.monotonic()
        if self.progress is not None:
            self.progress(what, self.now[1], self.stages)

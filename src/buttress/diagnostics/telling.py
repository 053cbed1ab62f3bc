"""What a diagnosis tells of how far it is: each stage as it begins, and where one lasts, what it is at."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Tell", "Telling", "prefixed", "silent"]

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

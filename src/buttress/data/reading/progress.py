"""A line on stderr every few seconds while something long goes on."""

from __future__ import annotations

import sys
import time

__all__ = ["ReadingProgress"]

EVERY = 5.0
"""Seconds between two lines."""


class ReadingProgress:
    """Reports how far a long pass has come; a short one prints nothing.

    Args:
        doing: What is being done.

    Example:
        >>> from contextlib import redirect_stderr
        >>> from unittest.mock import patch
        >>> with redirect_stderr(sys.stdout), patch(f"{__name__}.EVERY", 0.0):
        ...     ReadingProgress("reading a.txt")(2_000_000)
        data: reading a.txt: 2,000,000 sentences ...
    """

    def __init__(self, doing: str) -> None:
        self.doing, self._began = doing, time.monotonic()
        self._told = self._began

    def __call__(self, count: int) -> None:
        """So many are done."""
        now = time.monotonic()
        if now - self._told >= EVERY:
            self._told = now
            print(f"data: {self.doing}: {count:,} sentences ({now - self._began:.0f} s)", file=sys.stderr, flush=True)

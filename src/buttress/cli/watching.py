"""How far something long is, on stderr: a line that changes on a terminal, and one every half minute elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["progress"]

EVERY = 30.0
"""Seconds between lines where nobody sees a line change."""
Say = Callable[[str], None]
Watch = Callable[[str, int, int], None]


@contextmanager
def progress() -> Iterator[tuple[Say, Watch]]:
    """Two functions: the one says what is done next, the other is called with (what, step, steps) after each step.

    Example:
        >>> import sys
        >>> from contextlib import redirect_stderr
        >>> from unittest.mock import patch
        >>> with redirect_stderr(sys.stdout), patch(f"{__name__}.EVERY", 0.0), progress() as (say, watch):
        ...     say("counting")
        ...     watch("counting", 50, 200)
        counting
        counting: 50 of 200
    """
    from rich.console import Console

    console, told = Console(stderr=True, soft_wrap=True, markup=False, highlight=False), time.monotonic()
    if console.is_terminal:
        with console.status("") as status:
            yield console.print, lambda what, step, steps: status.update(f"{what}: {step:,} of {steps:,}")
        return

    def watch(what: str, step: int, steps: int) -> None:
        nonlocal told
        if time.monotonic() >= told + EVERY:
            told = time.monotonic()
            console.print(f"{what}: {step:,} of {steps:,}")

    yield console.print, watch

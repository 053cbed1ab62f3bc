"""What a report must know of a number: its name, meaning and format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from buttress.report.numbers import nats

__all__ = ["Quantity"]


@dataclass(frozen=True)
class Quantity:
    """One number that a report may show.

    Args:
        title: Its name on a page.
        meaning: What it is and how it is estimated, for the glossary.
        sign: -1 where it is shown negated.
        unit: "nats" or "".
        write: Number -> text.
        better: "lower", "higher" or "" where neither is good by itself.
        short: Its meaning in a few words, for a table in a terminal.
    """

    title: str
    meaning: str
    sign: int = 1
    unit: str = "nats"
    write: Callable[[float | None], str] = nats
    better: str = ""
    short: str = ""

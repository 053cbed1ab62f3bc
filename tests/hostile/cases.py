"""Every hostile input together with the command that meets it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from . import data_cases, run_cases, word_cases
from .case import Case


def cases() -> Iterator[Case]:
    """All of them."""
    of_data = (data_cases.data, data_cases.data_of_kinds, data_cases.special_data, data_cases.recipes)
    of_runs = (run_cases.runs, run_cases.special_runs, run_cases.mixed_runs, run_cases.other_data)
    of_words = (word_cases.numbers, word_cases.names, word_cases.outputs, word_cases.disks)
    return chain.from_iterable(family() for family in (*of_data, *of_runs, *of_words))

"""One hostile input together with the command that meets it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .arrays import GOOD

QUICK = [
    "--training.steps",
    "4",
    "--training.batch_size",
    "4",
    "--nll_samples",
    "0",
    "--gap_steps",
    "0",
    "--mi_examples",
    "20",
    "--out",
    "run",
]
"""What makes a training short, for inputs that are accepted."""


@dataclass(frozen=True)
class Case:
    """One input and one command.

    Args:
        name: Of the case; begins with that of its family.
        make: Puts files into the (empty) current folder, given the folder of good runs; gives the words of the command.
    """

    name: str
    make: Callable[[Path], list[str]]


def on_run(kind: str, words: list[str], runs: Path) -> list[str]:
    shutil.copytree(runs / kind, "run")
    return words


def on_data(words: list[str], runs: Path) -> list[str]:
    np.save("ok.npy", GOOD)
    np.save("ok4.npy", np.random.default_rng(0).integers(0, 255, (40, 8, 8), np.uint8))
    return [
        word.replace("TEXT", str(runs / "data" / "text.txt")).replace("PICTURES", str(runs / "data" / "pictures"))
        for word in words
    ]


COMMANDS: dict[str, list[str]] = {
    "diagnose": ["diagnose", "run", "--nll_samples", "0", "--gap_steps", "0", "--mi_examples", "20"],
    "sample": ["sample", "run", "--count", "2"],
    "reconstruct": ["reconstruct", "run", "--count", "2"],
    "report": ["report", "run"],
    "interpolate": ["interpolate", "run", "--count", "2", "--steps", "3"],
    "codes": ["train", "run", *QUICK[:-1], "second"],
    "compare-report": ["report", "comparison"],
}
COMPARED = [
    "compare",
    "ok.npy",
    "--remedies",
    "none",
    "--seeds",
    "1",
    "--budget",
    "2",
    "--training.batch_size",
    "4",
    "--nll_samples",
    "0",
    "--gap_steps",
    "0",
    "--out",
]
"""A short comparison; the folder comes last."""

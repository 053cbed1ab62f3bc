"""What every paper's experiment offers, so that one command can run any of them."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from buttress.experiments.claim import Claim

__all__ = ["Experiment", "Watch"]

Watch = Callable[[str, int, int], None]
"""Called with the name of a run, its step, and its number of steps."""


class Experiment(abc.ABC):
    """A paper's experiment: a frozen dataclass whose fields are its settings, and whose docstring names the paper.

    The defaults are the small trial, at most fifteen minutes on two idle cores. A file in this folder with one such
    class is a command: ``buttress paper NAME``, where NAME is the name of the file.

    Example:
        >>> from buttress.experiments.papers.vq_vae import VqVae
        >>> issubclass(VqVae, Experiment), VqVae.full() == VqVae()
        (True, True)
    """

    @classmethod
    def full(cls) -> Self:
        """The sizes of the paper; the defaults, where they are those already."""
        return cls()

    @abc.abstractmethod
    def run(self, folder: Path, jobs: int = 1, watch: Watch = lambda run, step, total: None) -> Sequence[Claim]:
        """Train everything, or take up what is in the folder, and write down what was seen.

        Args:
            folder: Where the runs and the result go.
            jobs: Runs at a time, where the experiment can train several.
            watch: Called with (run, step, total) as training goes on.
        """

    def figures(self, folder: Path) -> Sequence[Path]:
        """Draw what was seen, and return the files.

        Args:
            folder: That of a finished ``run``.
        """
        return ()

"""``progress.json``: how far a run is."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from buttress.core.registry import from_plain
from buttress.runtime.atomic_write import write_text
from buttress.runtime.plain_data import load_json
from buttress.training.folder import PROGRESS

__all__ = ["Progress"]


@dataclass
class Progress:
    """How far a run is.

    Args:
        step: Steps made.
        total: Steps it was to make when this was written; 0 where that was not yet recorded.
        finished: Whether it needs no more.
        stopped: The signal that stopped it early, 0 for none.
        best_elbo: The best held-out ELBO seen, in nats.
        best_step: When that was.
        failures: Validations in a row without a better one.
        out_of_patience: Whether these were too many.
        seconds: Spent on training, over all resumptions.
        init: The folder of the run whose weights it began with; empty where these were drawn.

    Example:
        >>> progress = Progress()
        >>> for progress.step, elbo in ((200, -90.0), (400, -80.0), (600, -85.0)):
        ...     better = progress.judge(elbo, counts=True, patience=1)
        >>> better, progress.best_step, progress.best_elbo, progress.out_of_patience
        (False, 400, -80.0, True)
    """

    step: int = 0
    total: int = 0
    finished: bool = False
    stopped: int = 0
    best_elbo: float = -math.inf
    best_step: int = 0
    failures: int = 0
    out_of_patience: bool = False
    seconds: float = 0.0
    init: str = ""

    def finished_at(self, steps: int) -> bool:
        """Whether a run of so many steps needs no more."""
        return self.finished and self.total == steps

    def judge(self, elbo: float, counts: bool, patience: int | None) -> bool:
        """Take note of a held-out ELBO.

        Args:
            elbo: In nats per example.
            counts: Whether one that is no better uses up patience.
            patience: How many such there may be in a row; None for any number.

        Returns:
            Whether it is the best so far.
        """
        better = elbo > self.best_elbo
        if better:
            self.best_elbo, self.best_step, self.failures = elbo, self.step, 0
        elif counts:
            self.failures += 1
        self.out_of_patience = patience is not None and self.failures >= patience
        return better

    def state_dict(self) -> dict[str, Any]:
        """What belongs to a checkpoint: nothing in which equal runs may differ, such as the clock."""
        return {k: v for k, v in asdict(self).items() if k not in ("seconds", "stopped", "init")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of :meth:`state_dict`."""
        vars(self).update(state)

    def write(self, folder: Path) -> None:
        """Write ``progress.json``."""
        write_text(folder / PROGRESS, json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read ``progress.json``; where there is none, the run has made no step.

        Errors:
            ValueError: The file is damaged.
        """
        path = folder / PROGRESS
        if not path.exists():
            return cls()
        known = [f.name for f in fields(cls)]
        try:
            plain = load_json(path, constants=True)
            if isinstance(plain, dict):
                plain = {k: v for k, v in plain.items() if k in known}
            return from_plain(cls, plain, "it")
        except ValueError as error:
            raise ValueError(
                f"{path}: damaged ({error}); delete it, and --resume continues from the last checkpoint"
            ) from error

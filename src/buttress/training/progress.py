"""Telling somebody else how far a run is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lightning.pytorch.callbacks import Callback

__all__ = ["Watch"]


class Watch(Callback):
    """Call ``hear(step, total)`` every few steps of training.

    Args:
        hear: What to call.
        every: Steps between calls.
    """

    def __init__(self, hear: Callable[[int, int], None], every: int = 10) -> None:
        self.hear = hear
        self.every = every

    def on_train_batch_end(self, trainer: Any, engine: Any, *_: Any) -> None:
        """Lightning's hook."""
        if engine.step_number % self.every == 0:
            self.hear(engine.step_number, engine.recipe.training.steps)

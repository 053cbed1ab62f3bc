"""Telling people, or somebody else, how far a run is."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from lightning.pytorch.callbacks import Callback, TQDMProgressBar

__all__ = ["Bar", "Watch"]

SHOWN = {"elbo": "held_out/elbo", "rate": "held_out/rate", "MI": "held_out/mutual_information", "loss": "train/loss"}


class Watch(Callback):
    """Call ``hear(step, total)`` every few steps of training.

    Args:
        hear: What to call.
        every: Steps between calls.

    Example:
        >>> from types import SimpleNamespace
        >>> recipe = SimpleNamespace(training=SimpleNamespace(steps=30))
        >>> watch = Watch(lambda step, total: print(f"{step} of {total}"), every=10)
        >>> for step in range(1, 31):
        ...     watch.on_train_batch_end(None, SimpleNamespace(step_number=step, recipe=recipe))
        10 of 30
        20 of 30
        30 of 30
    """

    def __init__(self, hear: Callable[[int, int], None], every: int = 10) -> None:
        self.hear = hear
        self.every = every

    def on_train_batch_end(self, trainer: Any, engine: Any, *_: Any) -> None:
        """Lightning's hook."""
        if engine.step_number % self.every == 0:
            self.hear(engine.step_number, engine.recipe.training.steps)


class Bar(TQDMProgressBar):
    """Steps of the whole run, whenever it was resumed, with the latest numbers in nats per example.

    Example:
        >>> from types import SimpleNamespace
        >>> engine = SimpleNamespace(latest={"held_out/elbo": -101.254, "held_out/rate": 3.0, "train/beta": 0.5})
        >>> Bar().get_metrics(None, engine)
        {'elbo': '-101.25', 'rate': '3.00'}
    """

    def __init__(self) -> None:
        super().__init__(refresh_rate=10 if sys.stdout.isatty() else 200)

    def on_train_epoch_start(self, trainer: Any, engine: Any) -> None:
        """Lightning's hook."""
        super().on_train_epoch_start(trainer, engine)
        bar = self.train_progress_bar
        bar.reset(engine.recipe.training.steps)
        bar.initial = bar.n = bar.last_print_n = engine.step_number
        bar.set_description("training")

    def on_train_batch_end(self, trainer: Any, engine: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Lightning's hook."""
        super().on_train_batch_end(trainer, engine, outputs, batch, engine.step_number - 1)

    def get_metrics(self, trainer: Any, engine: Any) -> dict[str, Any]:
        """What stands beside the bar."""
        return {name: f"{engine.latest[key]:.2f}" for name, key in SHOWN.items() if key in engine.latest}

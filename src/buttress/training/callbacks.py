"""Code that runs while a model trains: the progress bar, and whatever a user passes to ``train``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from tqdm import tqdm

__all__ = ["Callback", "ProgressBar", "ProgressCallback"]

SHOWN = {"elbo": "held_out/elbo", "rate": "held_out/rate", "MI": "held_out/mutual_information", "loss": "train/loss"}
LINE_EVERY = 30.0
"""Seconds between lines of progress where output goes to a file."""


class Callback:
    """What ``train(callbacks=...)`` takes: override what you need. Pickled where several processes train together.

    Example:
        >>> class Stop(Callback):
        ...     def on_step(self, step, total, latest):
        ...         return latest.get("held_out/elbo", 0.0) < -1e6
        >>> Stop().on_step(10, 100, {"held_out/elbo": -2e6})
        True
    """

    def begin(self, engine: Any) -> None:
        """Called once before the first step that is made; ``engine.model`` is the model under training."""

    def on_step(self, step: int, total: int, latest: Mapping[str, float]) -> bool | None:
        """Called after each step, before its metrics are logged and its checkpoint is made.

        Args:
            step: Steps made, over all resumptions.
            total: Steps of the complete run.
            latest: The numbers logged last, by "train/..." and "held_out/...", in nats per example.

        Returns:
            True to end the run here as finished.
        """


class ProgressCallback(Callback):
    """Call ``on_step(step, total)`` every few steps of training.

    Args:
        on_step: What to call.
        every: Steps between calls.

    Example:
        >>> callback = ProgressCallback(lambda step, total: print(f"{step} of {total}"), every=10)
        >>> for step in range(1, 31):
        ...     callback.on_step(step, 30, {})
        10 of 30
        20 of 30
        30 of 30
    """

    def __init__(self, on_step: Callable[[int, int], None], every: int = 10) -> None:
        self.call, self.every = on_step, every

    def on_step(self, step: int, total: int, latest: Mapping[str, float]) -> None:
        """See :class:`Callback`."""
        if step % self.every == 0:
            self.call(step, total)


class ProgressBar:
    """Steps of the complete run, with the latest numbers in nats per example; lines where output goes to a file.

    Args:
        step: Steps already made.
        total: Steps of the complete run.

    Example:
        >>> bar = ProgressBar(step=0, total=4)
        >>> for step in range(1, 5):
        ...     bar.show(step, {"held_out/elbo": -101.254, "held_out/rate": 3.0, "train/beta": 0.5})
        training: 100% 4/4, elbo=-101.25, rate=3.00
        >>> bar.close()
    """

    def __init__(self, step: int, total: int) -> None:
        self.total, self.before, self.began = total, step, time.monotonic()
        self.told = self.began
        self.bar = tqdm(total=total, initial=step, desc="training", file=sys.stdout) if sys.stdout.isatty() else None

    def show(self, step: int, latest: Mapping[str, float]) -> None:
        """After a step."""
        if self.bar is not None:
            self.bar.set_postfix(_shown(latest), refresh=False)
            self.bar.update()
        elif step == self.total or time.monotonic() > self.told + LINE_EVERY:
            self.told = time.monotonic()
            numbers = "".join(f", {name}={value}" for name, value in _shown(latest).items())
            print(f"training: {step / self.total:.0%} {step}/{self.total}{numbers}{self._left(step)}", flush=True)

    def _left(self, step: int) -> str:
        seconds = (self.told - self.began) / max(1, step - self.before) * (self.total - step)
        return f", about {tqdm.format_interval(seconds)} left" if step < self.total else ""

    def close(self) -> None:
        """Leave the line of a bar."""
        if self.bar is not None:
            self.bar.close()


def _shown(latest: Mapping[str, float]) -> dict[str, str]:
    return {name: f"{latest[key]:.2f}" for name, key in SHOWN.items() if key in latest}

"""The monitor as a callback of Lightning and of the Hugging Face Trainer."""

from __future__ import annotations

import math
from typing import Any

from buttress.diagnostics.monitor.monitor import Monitor
from buttress.diagnostics.monitor.sinks import sink

__all__ = ["lightning_callback", "transformers_callback"]


def lightning_callback(monitor: Monitor) -> Any:
    """A callback for ``lightning.Trainer(callbacks=[...])``.

    Numbers go to the trainer's logger as well; with ``stop=True`` the training ends at the first warning. The length
    of the run is the trainer's, if the monitor was not told another.

    Args:
        monitor: Of the module that is trained, or of a part of it.

    Errors:
        ModuleNotFoundError: Lightning is not installed.
    """
    from lightning.pytorch.callbacks import Callback

    class MonitorCallback(Callback):  # type: ignore[misc, unused-ignore]
        def on_train_start(self, trainer: Any, *_: Any) -> None:
            monitor.steps = monitor.steps or _length(trainer.estimated_stepping_batches)

        def on_train_batch_end(self, trainer: Any, *_: Any, **__: Any) -> None:
            seen = monitor(trainer.global_step)
            if seen is not None and trainer.logger is not None:
                sink(trainer.logger)(seen.values(), trainer.global_step)
            trainer.should_stop = trainer.should_stop or monitor.stopped

    return MonitorCallback()


def transformers_callback(monitor: Monitor) -> Any:
    """A callback for the ``Trainer`` of Hugging Face ``transformers``.

    With ``stop=True`` the training ends at the first warning. The length of the run is the trainer's, if the monitor
    was not told another.

    Args:
        monitor: Of the model that is trained, or of a part of it.

    Errors:
        ModuleNotFoundError: transformers is not installed.
    """
    from transformers import TrainerCallback  # type: ignore[import-not-found, unused-ignore]

    class MonitorCallback(TrainerCallback):  # type: ignore[misc, unused-ignore]
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
            monitor.steps = monitor.steps or _length(getattr(state, "max_steps", 0))
            monitor(state.global_step)
            control.should_training_stop = control.should_training_stop or monitor.stopped
            return control

    return MonitorCallback()


def _length(steps: float) -> int | None:
    """The steps of a run, where they are known."""
    return int(steps) if 0 < steps < math.inf else None

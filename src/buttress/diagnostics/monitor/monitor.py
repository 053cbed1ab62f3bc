"""A monitor for a plain training loop: one line in it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from buttress.diagnostics.diagnose import check_effort, diagnose
from buttress.diagnostics.monitor.alarm import UNUSED, alarm
from buttress.diagnostics.monitor.seen import Seen, seen_of
from buttress.diagnostics.monitor.sinks import sink

__all__ = ["CollapseWarning", "Monitor"]

CAUSE = {"gap_steps": 100, "gap_examples": 64}
"""The effort for the cause, which is asked for only where there is something to warn of."""


class CollapseWarning(UserWarning):
    """z is being lost, or is not used."""


class Monitor:
    """Look at z on a fixed probe set while a model trains, in at most a share of the time, and warn of a collapse.

    A look is a diagnosis without the costly parts: rate, mutual information, what shuffling z costs, active units.
    Where there is something to warn of, the amortisation gap is measured too, and the warning names the cause. Looks
    are as far apart as the share demands, so a slow model is looked at less often; the first comes at the first call,
    so that a training of seconds spends more than its share on it.

    Args:
        model: As for :func:`buttress.diagnose`.
        probe: Held-out examples, as many as fit one batch or a few: 256 are enough.
        logger: Where numbers go, as ``z/rate`` and so on: a path of a .csv file, TensorBoard's ``SummaryWriter``, a
            logger of Lightning, the module ``mlflow``, a run of Weights & Biases, or a function of (numbers, step).
        share: The most of all time that looks may take.
        every: Look at multiples of this step, whatever it costs; None to go by ``share`` alone.
        stop: Whether :attr:`stopped` becomes true with the first warning, for a loop to end by.
        settings: Of the diagnosis, such as ``likelihood="bernoulli"``.

    Errors:
        ValueError: The share is not between 0 and 1, or the diagnosis has no such setting.

    Example:
        >>> import torch
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model = LinearGaussian(torch.ones(2, 1).double(), torch.zeros(2).double(), 1.0)
        >>> monitor = Monitor(model.vae(), [model.sample(200)[0]], every=10)
        >>> for step in range(30):  # a training step would be here
        ...     monitor(step) and None
        >>> [look.step for look in monitor.looks], monitor.looks[-1].state, monitor.stopped
        ([0, 10, 20], 'used', False)
    """

    def __init__(
        self,
        model: Any,
        probe: Any,
        *,
        logger: Any = None,
        share: float = 0.03,
        every: int | None = None,
        stop: bool = False,
        **settings: Any,
    ) -> None:
        if not 0 < share < 1:
            raise ValueError(f"the monitor's share is {share}, wanted a part of the time between 0 and 1, such as 0.03")
        if every is not None and every < 1:
            raise ValueError(f"the monitor's every is {every}, wanted 1 step or more, or None")
        check_effort(settings)
        self.model, self.probe, self.share, self.every, self.stop = model, probe, share, every, stop
        self.settings = {"nll_samples": 0, "gap_steps": 0, **settings}
        self.write = sink(logger)
        self.clock: Callable[[], float] = time.perf_counter
        self.began: float | None = None
        self.spent = self.last = 0.0
        self.looks: list[Seen] = []

    @property
    def stopped(self) -> bool:
        """Whether there was a warning, and the loop is to end with it."""
        return self.stop and any(one.warning for one in self.looks)

    def __call__(self, step: int) -> Seen | None:
        """Look if it is time, and return what was seen.

        Args:
            step: Of training.

        Errors:
            ValueError: The model cannot be diagnosed; at the first call.
        """
        now = self.clock()
        self.began = now if self.began is None else self.began
        due = step % self.every == 0 if self.every else self.spent + self.last <= self.share * (now - self.began)
        return self.look(step) if due else None

    def look(self, step: int) -> Seen:
        """Look now.

        Args:
            step: Of training.
        """
        began = self.clock()
        seen = seen_of(step, diagnose(self.model, self.probe, **self.settings))
        if what := alarm([*self.looks, seen]):
            seen = self._warned(seen, what)
        self.looks.append(seen)
        self.write(seen.values(), step)
        self.last = self.clock() - began
        self.spent += self.last
        return seen

    def _warned(self, seen: Seen, what: str) -> Seen:
        """The same look with a warning that names the cause, which takes the gap to know."""
        verdict = diagnose(self.model, self.probe, **{**self.settings, **CAUSE}).verdict
        text = f"{what} (step {seen.step}): {_numbers(self.looks, seen, what)}; {_cause(verdict.cause)}"
        if verdict.advice:
            text += f"; try {', '.join(verdict.advice[:3])}"
        warnings.warn(text, CollapseWarning, stacklevel=4)
        return replace(seen, cause=verdict.cause, reasons=verdict.reasons, warning=text)


def _numbers(before: list[Seen], seen: Seen, what: str) -> str:
    told = [f"{name.replace('_', ' ')} {one}" for name, one in seen.numbers.items() if name != "elbo"]
    if what == UNUSED:
        return ", ".join(told)
    known = [one.numbers["mutual_information"] for one in before if "mutual_information" in one.numbers]
    best = max(known, key=lambda one: one.value or 0.0)
    return f"mutual information was {best} and is {seen.numbers['mutual_information']}"


def _cause(cause: str | None) -> str:
    return f"the cause: {cause}" if cause else "the cause is not known yet"

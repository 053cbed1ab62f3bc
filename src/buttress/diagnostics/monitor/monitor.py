"""A monitor for a plain training loop: one line in it."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from operator import index
from pathlib import Path
from typing import Any

from buttress.diagnostics.adapters.loaders import held
from buttress.diagnostics.diagnose import ENOUGH, check_effort, diagnose
from buttress.diagnostics.estimate import Estimate
from buttress.diagnostics.evidence import Evidence
from buttress.diagnostics.monitor.alarm import EXPECTED, FAULT, UNUSED, alarm
from buttress.diagnostics.monitor.forecast import EARLIER, EARLY, NEEDED, features, forecast
from buttress.diagnostics.monitor.seen import Seen, seen_of
from buttress.diagnostics.monitor.sinks import sink
from buttress.diagnostics.no_model import as_came
from buttress.runtime.arguments import check_number, check_whole

__all__ = ["CollapseWarning", "Monitor"]

CAUSE: dict[str, Any] = {"gap_steps": 100, "gap_examples": 64, "only": None}
"""The effort for the cause, which is asked for only where there is something to warn of."""
QUICK = {"nll_samples": 0, "gap_steps": 0, "samples": 1, "only": ENOUGH}
"""The effort of a look."""
CAREFUL = {**QUICK, "samples": 4}
"""That of the two looks for the forecast, which was fitted to such."""
DEARER = 4
"""A careful look costs at most so many times what a quick one does."""
SHARE = 0.03
"""Of all time, for looks, where the user has said nothing else."""
FIRST_AGAIN = 100
"""The step of the first look that comes in any case; the next are at twice the step of the one before."""
LATE = 1.3
"""A look for the forecast may come so much later than its share of the run, as loops call a monitor now and then."""


class CollapseWarning(UserWarning):
    """z is being lost, is not used, or can no longer be looked at; or forward or the loss has a mistake."""


class Monitor:
    """Look at z on a fixed probe set while a model trains, in at most a share of the time, and warn of a collapse.

    A look is a diagnosis without the costly parts, with one sample of z for each example: rate, mutual information,
    what shuffling z costs, active units. Where there is something to warn of, a full diagnosis names the cause. Looks
    are as far apart as the share demands, so a slow model is looked at less often; the first comes at the first call.
    Where neither ``share`` nor ``every`` is given, there is a look at steps 100, 200, 400, 800 and so on in any case,
    so that a training of seconds is looked at too, and spends more than its share on it.

    Mistakes in ``forward`` or the loss (``loss_fn=...``) are told at the first look that sees them.

    Where ``steps`` is known, looks at 5 % and 10 % of the run give the probability that it ends collapsed
    (:attr:`probability`; :mod:`buttress.diagnostics.monitor.forecast`). They are left out where their cost would be
    more than the share of the whole run.

    Args:
        model: As for :func:`buttress.diagnose`.
        probe: Held-out examples, as many as fit one batch or a few: 256 are enough. A loader is read once, at the first
            look.
        logger: Where numbers go, as ``z/rate`` and so on: a path of a .csv file, TensorBoard's ``SummaryWriter``, a
            logger of Lightning, the module ``mlflow``, a run of Weights & Biases, or a function of (numbers, step).
        share: The most of all time that looks may take; None for 0.03, and looks at 100 times the powers of two
            whatever they cost.
        every: Look at multiples of this step, whatever it costs; None to go by ``share`` alone.
        stop: Whether :attr:`stopped` becomes true with the first warning, for a loop to end by.
        steps: Of the whole run; None where that is not known, and then there is no forecast.
        beta: Weight of the rate (KL) in the loss, or where it is annealed a function of the step; None for 1.
        floor: Nats of free bits in the loss, of all groups together.
        settings: Of the diagnosis, such as ``likelihood="bernoulli"``.

    Errors:
        ValueError: The share is not between 0 and 1, ``every`` or ``steps`` is below 1, or the diagnosis has no such
            setting.

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
        share: float | None = None,
        every: int | None = None,
        stop: bool = False,
        steps: int | None = None,
        beta: float | Callable[[int], float] | None = None,
        floor: float = 0.0,
        **settings: Any,
    ) -> None:
        if isinstance(model, type | str | Path):
            raise ValueError(f"the monitor's model is {as_came(model)}")
        self.doubling = share is None and every is None
        share = SHARE if share is None else share
        check_number("the monitor's share", share)
        check_whole("the monitor's every", every, optional=True)
        check_whole("the monitor's steps", steps, optional=True)
        check_number("the monitor's floor", floor)
        if not 0 < share < 1:
            raise ValueError(f"the monitor's share is {share}, wanted a part of the time between 0 and 1, such as 0.03")
        if every is not None and every < 1:
            raise ValueError(f"the monitor's every is {every}, wanted 1 step or more, or None")
        if steps is not None and steps < 1:
            raise ValueError(f"the monitor's steps is {steps}, wanted those of the whole run, or None")
        if not 0 <= floor < math.inf:
            raise ValueError(f"the monitor's floor is {floor}, wanted nats of free bits from 0 on")
        check_effort(settings if callable(beta) else {**settings, "beta": beta})
        if not callable(beta):
            _weight(beta)
        self.model, self.probe, self.share, self.every, self.stop = model, probe, share, every, stop
        self.steps, self.beta, self.floor = steps, beta, floor
        self.settings = settings
        self.write = sink(logger)
        self.clock: Callable[[], float] = time.perf_counter
        self.began: float | None = None
        self.spent = self.last = 0.0
        self.first, self.next = 0, FIRST_AGAIN
        self.asked: int | None = None
        self.failed = False
        self.looks: list[Seen] = []
        self.early: dict[float, dict[str, float]] = {}
        self.weight: Estimate | None = None

    @property
    def stopped(self) -> bool:
        """Whether there was a warning, and the loop is to end with it."""
        return self.stop and any(one.warning for one in self.looks)

    @property
    def probability(self) -> float | None:
        """That the run ends collapsed, as forecast at 10 % of it; None before, where ``steps`` is not known, and where
        the loss has a mistake. It is 1 as soon as forward shows that the decoder is not connected to z.
        """
        return next((one.probability for one in self.looks if one.probability is not None), None)

    @property
    def no_forecast(self) -> str:
        """Why :attr:`probability` is None; empty where it is not."""
        if self.probability is not None:
            return ""
        if self.steps is None:
            return "the length of the run is not known: say steps=..."
        if not self.looks or self.looks[-1].step < EARLY * self.steps:
            return f"it is made at {EARLY:.0%} of the run"
        if set().union(*(one.faults for one in self.looks)) - {"loss-reduction"}:
            return "forward or the loss has a mistake"
        if missing := [f"{one:.0%}" for one in (EARLIER, EARLY) if one not in self.early]:
            return (
                f"there was no look at {' and '.join(missing)} of the run, which would have cost more than its share "
                "of the time or was not asked for: call the monitor at every step, or give a larger share"
            )
        return "a number that it rests on could not be measured"

    def __str__(self) -> str:
        """The latest look, and why there is no forecast where there is none."""
        seen = str(self.looks[-1]) if self.looks else "no look yet"
        return f"{seen}; no forecast: {self.no_forecast}" if self.no_forecast else seen

    def __call__(self, step: Any) -> Seen | None:
        """Look if it is time, and return what was seen.

        Args:
            step: Of training, a whole number.

        Returns:
            What was seen; None where it was not time to look, or at a further call in the same step.

        Errors:
            ValueError: The model cannot be diagnosed; at the first call. Later that is a warning, given once.
        """
        try:
            step = index(step)  # a tensor of one whole number is one, too
        except TypeError as error:
            raise ValueError(f"the monitor's step is a {type(step).__name__}, wanted a whole number") from error
        now = self.clock()
        if self.began is None:
            self.began, self.first = now, step
        if step == self.asked:  # gradients may be gathered over several batches of one step
            return None
        self.asked = step
        passed = now - self.began
        due = step % self.every == 0 if self.every else self.spent + self.last <= self.share * passed
        due = due or self._doubled(step)
        if not (due or (self._stage(step) and self._affordable(step, passed))):
            return None
        return self._tried(step) if self.looks else self.look(step)

    def _doubled(self, step: int) -> bool:
        """Whether a look that comes in any case is due; loops may call at some steps only."""
        if not self.doubling or step - self.first < self.next:
            return False
        while self.next <= step - self.first:
            self.next *= 2
        return True

    def _tried(self, step: int) -> Seen | None:
        """Look, and let training go on where the model can no longer be looked at."""
        began = self.clock()
        try:
            return self.look(step)
        except ValueError as error:
            self.last = self.clock() - began
            self.spent += self.last
            if not self.failed:
                self.failed = True
                warnings.warn(f"z could not be looked at (step {step}): {error}", CollapseWarning, stacklevel=3)
            return None

    def _stage(self, step: int) -> float | None:
        """The share of the run that this step is the time to look at for the forecast; None for none."""
        if self.steps is None:
            return None
        open_ones = (one for one in (EARLIER, EARLY) if one not in self.early)
        return next((one for one in open_ones if one * self.steps <= step <= LATE * one * self.steps + 1), None)

    def _affordable(self, step: int, passed: float) -> bool:
        """Whether one more look is within the share of the whole run, as long as it will take at this pace."""
        if self.every:
            return True
        whole = passed * ((self.steps or step) - self.first) / max(1, step - self.first)
        return self.spent + DEARER * self.last <= self.share * whole

    def look(self, step: int) -> Seen:
        """Look now.

        Args:
            step: Of training.
        """
        began, stage = self.clock(), self._stage(step)
        self.probe = held(self.probe)
        settings = {**(QUICK if stage is None else CAREFUL), **self._settings(step)}
        if stage == EARLY and settings["only"] is not None:
            settings["only"] = (*settings["only"], "optimum")
        evidence = diagnose(self.model, self.probe, **settings)
        seen = seen_of(step, evidence)
        if stage is not None:
            self.early[stage] = _plain(evidence)
            self.weight = evidence.estimates.get("rate_weight")
            if stage == EARLY and seen.probability is None:
                seen = replace(seen, probability=self._forecast(step, seen))
        if what := alarm([*self.looks, seen], self.steps):
            seen = self._warned(seen, what)
        self.looks.append(seen)
        self.write(seen.values(), step)
        self.last = self.clock() - began
        self.spent += self.last
        return seen

    def _settings(self, step: int) -> dict[str, Any]:
        """What the user wants of a diagnosis, which is told the weight of the rate as it will be at the end."""
        return {**self.settings, "beta": self._beta(step if self.steps is None else self.steps - 1)}

    def _beta(self, step: int) -> float | None:
        """The weight of the rate at a step."""
        return _weight(self.beta(step) if callable(self.beta) else self.beta)

    def _forecast(self, step: int, seen: Seen) -> float | None:
        """The probability that the run ends collapsed; None where a look or a number that it rests on is missing, or
        the loss has a mistake with which the runs that it was fitted to were not trained.
        """
        if set(seen.faults) - {"loss-reduction"}:
            return None
        earlier, early = (self.early.get(stage, {}) for stage in (EARLIER, EARLY))
        if any(name not in look for look in (earlier, early) for name in NEEDED):
            return None
        end, now = self._settings(step)["beta"], self._beta(step)
        if self.beta is None:  # as the loss has it
            end = now = self.weight.value if self.weight is not None else None
        now, end = (1.0 if weight is None else weight for weight in (now, end))
        return forecast().probability(features(earlier, early, now, end, self.floor))

    def _warned(self, seen: Seen, what: str) -> Seen:
        """The same look with a warning that names the cause, which takes a full diagnosis to know."""
        verdict = diagnose(self.model, self.probe, **{**CAREFUL, **self._settings(seen.step), **CAUSE}).verdict
        text = f"{what} (step {seen.step}): {_numbers(self.looks, seen, what)}; {_cause(verdict.cause)}"
        if verdict.advice:
            text += f"; try {', '.join(verdict.advice[:3])}"
        warnings.warn(text, CollapseWarning, stacklevel=4)
        return replace(seen, cause=verdict.cause, reasons=verdict.reasons, warning=text)


def _weight(beta: Any) -> float | None:
    """A weight of the rate as a number.

    Example:
        >>> _weight(-1)
        Traceback (most recent call last):
        ValueError: the monitor's beta is -1, wanted a weight of the rate from 0 on, None, or a function of the step
    """
    try:
        found = None if beta is None else float(beta)
    except (TypeError, ValueError):
        found = math.nan
    if found is not None and not 0 <= found < math.inf:
        raise ValueError(
            f"the monitor's beta is {beta!r}, wanted a weight of the rate from 0 on, None, or a function of the step"
        )
    return found


def _plain(evidence: Evidence) -> dict[str, float]:
    """The numbers that could be measured, and are finite."""
    known = {name: one.value for name, one in evidence.estimates.items() if one.value is not None}
    return {name: value for name, value in known.items() if math.isfinite(value)}


def _numbers(before: list[Seen], seen: Seen, what: str) -> str:
    if what == FAULT:
        return "; ".join(seen.faults.values())
    if what == EXPECTED:
        return f"the probability that it ends collapsed is {seen.probability:.2f}; {_numbers(before, seen, UNUSED)}"
    told = [f"{name.replace('_', ' ')} {one}" for name, one in seen.numbers.items() if name != "elbo"]
    if what == UNUSED:
        return ", ".join(told)
    known = [one.numbers["mutual_information"] for one in before if "mutual_information" in one.numbers]
    best = max(known, key=lambda one: one.value or 0.0)
    return f"mutual information was {best} and is {seen.numbers['mutual_information']}"


def _cause(cause: str | None) -> str:
    return f"the cause: {cause}" if cause else "the cause is not known yet"

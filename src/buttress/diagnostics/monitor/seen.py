"""One look at z during training: a few numbers of a diagnosis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from buttress.diagnostics.estimate import Estimate
from buttress.diagnostics.evidence import Evidence

__all__ = ["NAMES", "PROBABILITY", "Seen", "seen_of"]

NAMES = ("elbo", "rate", "mutual_information", "worth_shuffled", "active_units")
"""What is kept of a diagnosis."""
PROBABILITY = "probability_collapsed"
"""What a logger calls the probability that the run ends collapsed."""


WIRING = "wiring/"
"""What the numbers of a diagnosis that forward and the loss give begin with."""
UNCONNECTED = ("z-unreached", "no-gradient")
"""Faults with which z stays unused however long a model is trained."""


@dataclass(frozen=True)
class Seen:
    """What the monitor saw at a step.

    Args:
        step: Of training.
        numbers: Estimates by name, of those in :data:`NAMES` that could be measured.
        state: Of the verdict, such as "collapsed".
        cause: The first cause that holds, asked for where there is a warning; None where none does.
        reasons: Of the verdict.
        warning: What the user is told; empty where there is nothing to tell.
        probability: That the run ends collapsed, as forecast at 10 % of it; None before, and where its length is not
            known. 1 where the decoder is not connected to z.
        faults: What forward or the loss shows, by the rule of the linter, such as "kl-sign".

    Example:
        >>> Seen(10, {"rate": Estimate(0.5, 0.1, 100, "closed form")}, "used", None).values()
        {'rate': 0.5, 'collapsed': 0.0}
    """

    step: int
    numbers: dict[str, Estimate]
    state: str
    cause: str | None
    reasons: tuple[str, ...] = ()
    warning: str = ""
    probability: float | None = None
    faults: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """As people read it.

        Example:
            >>> print(Seen(10, {"rate": Estimate(0.5, 0.1, 100, "closed form")}, "used", None, probability=0.03))
            step 10: used; rate 0.5 ± 0.1; probability that this run ends collapsed: 0.03
        """
        told = ", ".join(f"{name.replace('_', ' ')} {one}" for name, one in self.numbers.items())
        end = "" if self.probability is None else f"; probability that this run ends collapsed: {self.probability:.2f}"
        return f"step {self.step}: {self.state}; {told}{end}"

    def values(self) -> dict[str, float]:
        """Plain numbers, for a logger."""
        known = {name: one.value for name, one in self.numbers.items() if one.value is not None}
        forecast = {} if self.probability is None else {PROBABILITY: self.probability}
        return {**known, "collapsed": float(self.state == "collapsed"), **forecast}


def seen_of(step: int, evidence: Evidence) -> Seen:
    """The numbers that are kept of a diagnosis.

    Args:
        step: Of training.
        evidence: The diagnosis.

    Example:
        >>> from buttress.diagnostics.diagnose import diagnose
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> import torch
        >>> model = LinearGaussian(torch.ones(2, 1).double(), torch.zeros(2).double(), 1.0)
        >>> evidence = diagnose(model.vae(), [model.sample(200)[0]], nll_samples=0, gap_steps=0)
        >>> sorted(seen_of(3, evidence).numbers)
        ['active_units', 'elbo', 'mutual_information', 'rate', 'worth_shuffled']
    """
    numbers = {name: evidence.estimates[name] for name in NAMES if name in evidence.estimates}
    verdict = evidence.verdict
    wired = {name.removeprefix(WIRING): one.note for name, one in evidence.estimates.items() if name.startswith(WIRING)}
    wired.pop("loss", None)
    unread = set(wired) & set(UNCONNECTED)
    return Seen(
        step, numbers, verdict.state, verdict.cause, verdict.reasons, probability=1.0 if unread else None, faults=wired
    )

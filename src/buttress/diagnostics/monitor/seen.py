"""One look at z during training: a few numbers of a diagnosis."""

from __future__ import annotations

from dataclasses import dataclass

from buttress.diagnostics.estimate import Estimate
from buttress.diagnostics.evidence import Evidence

__all__ = ["NAMES", "Seen", "seen_of"]

NAMES = ("elbo", "rate", "mutual_information", "worth_shuffled", "active_units")
"""What is kept of a diagnosis."""


@dataclass(frozen=True)
class Seen:
    """What the monitor saw at a step.

    Args:
        step: Of training.
        numbers: Estimates by name, of those in :data:`NAMES` that could be measured.
        state: Of the verdict, such as "collapsed".
        cause: The first cause that holds; None where none does.
        reasons: Of the verdict.
        warning: What the user is told; empty where there is nothing to tell.

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

    def values(self) -> dict[str, float]:
        """Plain numbers, for a logger."""
        known = {name: one.value for name, one in self.numbers.items() if one.value is not None}
        return {**known, "collapsed": float(self.state == "collapsed")}


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
    return Seen(step, numbers, verdict.state, verdict.cause, verdict.reasons)

"""The head of mu or logvar ends in a ReLU, so that half of what q could be is cut off."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from buttress.diagnostics.lint.finding import LintFinding
from buttress.diagnostics.lint.rule import rule
from buttress.diagnostics.lint.subject import Linted

SHARE = 0.05
"""Part of all values that is exactly 0 where a ReLU cuts them off; about one half at the start."""


@rule
def rectified_latent(subject: Linted) -> Iterator[LintFinding]:
    """Whether no value is negative and many are 0."""
    made = subject.output
    effects = {
        "mu": (made.mean, "all means lie on one side of the prior"),
        "logvar": (made.log_variance, "the variance of q is never below 1, and z is no better than noise"),
    }
    for name, (value, effect) in effects.items():
        if _rectified(value):
            yield LintFinding(
                "rectified-latent", "error", "likely",
                f"no {name} is negative and {(value == 0).float().mean():.0%} are exactly 0, as after a ReLU: {effect}",
                f"end the head of {name} with a linear layer",
            )  # fmt: skip


LEAST = 14
"""Values above 0 without one below it: by chance once in 2^14."""


def _rectified(value: Tensor) -> bool:
    if (value > 0).sum() < LEAST:
        return False
    zero = (value == 0).float().mean().item()
    return SHARE < zero < 1 and bool((value >= 0).all())

"""A schedule of the rate's weight that never ends at 1, never begins, or ends only as training does."""

from __future__ import annotations

from collections.abc import Iterator

from buttress.diagnostics.lint.finding import LintFinding
from buttress.diagnostics.lint.rule import rule
from buttress.diagnostics.lint.subject import Linted, Silent

LATE = 0.9
"""Share of training after which a weight that first reaches 1 leaves no time to train at it."""

WHOLE = 0.99
"""A weight from which on it is 1: a sigmoid comes near it and never reaches it."""


@rule
def schedule(subject: Linted) -> Iterator[LintFinding]:
    """Where the weight is 0, and where it first reaches its last value and 1."""
    beta, steps = subject.schedule, subject.steps
    if beta is None or steps is None:
        raise Silent("no schedule and number of steps were given")
    weights = [float(beta(step)) for step in range(0, steps, max(1, steps // 1000))] + [float(beta(steps - 1))]
    most = max(weights)
    full = next((k / (len(weights) - 1) for k, w in enumerate(weights) if w >= (1 if most >= 1 else WHOLE)), None)
    if most <= 0:
        yield _finding("error", f"the weight is 0 in all {steps} steps", "let it rise to 1")
    elif full is None:
        yield _finding(
            "warning", f"the weight is {most:.3g} at most in {steps} steps", "let it reach 1 within training"
        )
    elif full > LATE:
        yield _finding("warning", f"the weight first reaches 1 after {full:.0%} of training", "let it rise faster")
    if most > 0 and weights[-1] < WHOLE and full is not None:
        yield _finding(
            "warning",
            f"training ends at a weight of {weights[-1]:.3g}",
            "let the last part of training have a weight of 1",
        )


def _finding(level: str, evidence: str, change: str) -> LintFinding:
    return LintFinding("schedule", level, "certain", evidence, f"{change}, or the model is trained for another bound")

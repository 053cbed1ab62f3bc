"""The rate has a weight other than 1, and no mean in place of a sum explains it: a beta, or a step of a schedule."""

from __future__ import annotations

from collections.abc import Iterator

from buttress.diagnostics.lint.finding import LintFinding
from buttress.diagnostics.lint.rule import rule
from buttress.diagnostics.lint.rules.loss_reduction import loss_reduction
from buttress.diagnostics.lint.subject import Linted
from buttress.diagnostics.lint.weights import CLOSE, weights


@rule
def rate_weight(subject: Linted) -> Iterator[LintFinding]:
    """Whether the weight is not 1, or the squared error has another scale than its own."""
    w = weights(subject)
    if any(loss_reduction.find(subject)) or w.kl <= 0 or w.likelihood_over_batch != w.kl_over_batch:
        return
    if w.binary and abs(w.beta - 1) > CLOSE:
        yield LintFinding(
            "rate-weight", "note", "certain", f"the rate has a weight (beta) of {w.beta:.4g} in this batch's loss",
            "if that is meant, report the ELBO at a weight of 1; if it is a schedule, see that it ends at 1",
        )  # fmt: skip
    if w.formula == "squared error" and not subject.learned_scale:
        yield LintFinding(
            "rate-weight", "note", "certain",
            f"the loss is the ELBO of a Gaussian likelihood with sigma^2 = {w.beta:.4g}",
            "choose or learn sigma^2 by the data: the remedy calibrated_variance learns it",
        )  # fmt: skip

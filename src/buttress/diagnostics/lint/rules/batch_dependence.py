"""One term is summed over the batch and the other averaged, so that the rate's weight changes with the batch size."""

from __future__ import annotations

from collections.abc import Iterator

from buttress.diagnostics.lint.finding import LintFinding
from buttress.diagnostics.lint.rule import rule
from buttress.diagnostics.lint.subject import Linted
from buttress.diagnostics.lint.weights import weights


@rule
def batch_dependence(subject: Linted) -> Iterator[LintFinding]:
    """How each term treats the batch, from the whole of it and its half."""
    w, n = weights(subject), len(subject.x)
    if w.likelihood_over_batch == w.kl_over_batch == "sum":
        yield LintFinding(
            "batch-dependence", "note", "certain", "both terms are summed over the batch",
            "the size of a step then grows with the batch; take the mean over the batch to keep learning rates",
        )  # fmt: skip
    if w.likelihood_over_batch != w.kl_over_batch:
        grows = w.kl_over_batch == "sum"
        yield LintFinding(
            "batch-dependence", "error", "certain",
            f"the {w.formula} is the {w.likelihood_over_batch} over the batch and the KL the {w.kl_over_batch}: the "
            f"rate's weight is {n if grows else 1 / n:.4g} times what it is for one example, and follows the batch",
            "take the mean of both over the batch",
        )  # fmt: skip

"""The reconstruction ends in a sigmoid or softmax, and the loss applies it once more."""

from __future__ import annotations

from collections.abc import Iterator

from buttress.diagnostics.lint.activation import activation
from buttress.diagnostics.lint.finding import LintFinding
from buttress.diagnostics.lint.rule import rule
from buttress.diagnostics.lint.subject import Linted, Silent

TWICE = {
    ("binary cross-entropy of logits", "sigmoid"): "binary_cross_entropy",
    ("categorical cross-entropy", "softmax"): "nll_loss of its logarithm",
}


@rule
def double_activation(subject: Linted) -> Iterator[LintFinding]:
    """Whether the loss takes for logits what are probabilities already."""
    likelihood = subject.terms.likelihood
    if likelihood is None:
        raise Silent("the reconstruction term follows no likelihood that is known")
    last = activation(subject)
    if last is not None and (right := TWICE.get((likelihood.name, last))) is not None:
        yield LintFinding(
            "double-activation", "error", "certain",
            f"the reconstruction ends in a {last} and the loss takes it for logits, so that probabilities near 0 and 1 "
            "cannot be reached",
            f"leave the {last} out of the decoder, or take {right} for the loss",
        )  # fmt: skip

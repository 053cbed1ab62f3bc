"""The KL is subtracted, so that training makes it as large as it can."""

from __future__ import annotations

from collections.abc import Iterator

from buttress.diagnostics.lint.finding import LintFinding
from buttress.diagnostics.lint.rule import rule
from buttress.diagnostics.lint.subject import Linted
from buttress.diagnostics.lint.terms import terms


@rule
def kl_sign(subject: Linted) -> Iterator[LintFinding]:
    """Whether a term is maximised that is to be minimised."""
    found = subject.terms
    if found.kl is not None and found.kl < 0 and _falls_further_out(subject):
        yield LintFinding(
            "kl-sign", "error", "certain", "the loss falls as the KL rises: it is subtracted",
            "add the KL to the loss, or drop the second minus sign in -0.5 * (1 + logvar - mu^2 - exp(logvar))",
        )  # fmt: skip
    if found.likelihood is not None and found.likelihood.weight < 0:
        yield LintFinding(
            "kl-sign", "error", "certain", f"the loss falls as the {found.likelihood.name} rises: it is subtracted",
            "minimise the negative log-likelihood",
        )  # fmt: skip


def _falls_further_out(subject: Linted) -> bool:
    """Whether a large KL is still rewarded: |KL - C| falls as the KL rises to C, and then rises."""
    if subject.loss is None:
        return True  # a loss that forward returns is not asked there
    weight = terms(subject.further_out(FAR)).kl
    return weight is not None and weight < 0


FAR = 30.0
"""Means so far out have a KL of 450 nats in each dimension, above every capacity C that is in use."""

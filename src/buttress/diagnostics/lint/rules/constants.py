"""The loss is no log-likelihood by its value: normalising constants are left out."""

from __future__ import annotations

import math
from collections.abc import Iterator

from torch import Tensor

from buttress.diagnostics.lint.finding import LintFinding
from buttress.diagnostics.lint.rule import rule
from buttress.diagnostics.lint.subject import Linted, Silent
from buttress.diagnostics.lint.weights import weights


@rule
def constants(subject: Linted) -> Iterator[LintFinding]:
    """Whether a squared error is all there is of the likelihood."""
    w, made = weights(subject), subject.pieces
    if w.formula != "squared error" or w.kl <= 0:
        raise Silent("the reconstruction term is no squared error")
    squared = (made.recon - made.x.reshape(made.recon.shape)).double().square().flatten(1).sum(1)
    rate = (made.mean.double().square() + made.log_variance.double().exp() - 1 - made.log_variance).flatten(1).sum(
        1
    ) / 2
    value = w.likelihood * _of(squared / 2, w.likelihood_over_batch) + w.kl * _of(rate, w.kl_over_batch)
    if abs(value - made.loss) <= 1e-4 * max(1.0, abs(value)):
        left = w.sites / 2 * math.log(2 * math.pi * abs(w.beta))
        yield LintFinding(
            "constants", "note", "certain",
            f"the loss leaves out D / 2 log(2 pi sigma^2) = {left:.4g} nats (D = {w.sites:g}, sigma^2 = {w.beta:.4g})",
            "add it, and divide by the weight of the KL, to compare the loss with an ELBO; it must be there if sigma^2 "
            "is learned",
        )  # fmt: skip


def _of(values: Tensor, how: str) -> float:
    return float(values.sum() if how == "sum" else values.mean())

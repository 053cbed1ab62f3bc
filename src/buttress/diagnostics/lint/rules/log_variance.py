"""The log-variance of q has left the range in which its exponential can be computed with."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from buttress.diagnostics.lint.batches import first
from buttress.diagnostics.lint.finding import LintFinding
from buttress.diagnostics.lint.quiet import seeded
from buttress.diagnostics.lint.rule import rule
from buttress.diagnostics.lint.subject import Linted

FAR = 20.0
"""A variance of 5e8, or one of 2e-9."""
SCALE = 100.0
"""Such an input is an outlier that real data do have."""


@rule
def log_variance(subject: Linted) -> Iterator[LintFinding]:
    """Whether a value is extreme on the batch, or overflows on an outlier."""
    most = subject.output.log_variance.detach().abs().max().item()
    change = "bound logvar, for example by clamp(-10, 10) or a softplus for sigma"
    if not most <= FAR:
        yield LintFinding("log-variance", "warning", "certain", f"|logvar| reaches {most:.3g} on this batch", change)
    elif subject.x.is_floating_point() and not _finite_further_out(subject):
        yield LintFinding(
            "log-variance", "note", "possible",
            f"for one x of {SCALE:g} times the size, exp(logvar) is not finite, so that one outlier ends training",
            change,
        )  # fmt: skip


@torch.no_grad()
def _finite_further_out(subject: Linted) -> bool:
    batch = subject.part(slice(0, 2))
    further = subject.with_x(batch, SCALE * first(batch))
    with seeded(subject.model):
        return bool(subject.outputs_of(further).log_variance.float().exp().isfinite().all())

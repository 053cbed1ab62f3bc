"""A term has no gradient: nothing keeps q near the prior, or nothing asks for a reconstruction."""

from __future__ import annotations

from collections.abc import Iterator

from buttress.diagnostics.lint.finding import LintFinding
from buttress.diagnostics.lint.rule import rule
from buttress.diagnostics.lint.subject import Linted, Silent


@rule
def kl_missing(subject: Linted) -> Iterator[LintFinding]:
    """Whether mu and logvar, or the reconstruction, do not count."""
    made = subject.pieces
    if not made.log_variance.any() or not made.mean.any():
        raise Silent("q equals the prior in every digit, where a KL has no gradient")
    means, variances = bool(made.by_mean.any()), bool(made.by_log_variance.any())
    if made.unread:
        yield _finding("warning", "the loss does not read mu or logvar: nothing keeps q near the prior")
    elif not means and not variances:
        if subject.schedule is None or subject.schedule(0) > 0:
            yield LintFinding(
                "kl-missing", "note", "certain", "the KL has no gradient on this batch",
                "that is as it should be where a schedule starts at 0 or free bits are not yet spent; else look for a "
                "weight of 0",
            )  # fmt: skip
    elif not means:
        yield _finding("error", "the loss reads logvar and not mu: the KL lacks mu^2")
    elif not variances:
        yield _finding("error", "the loss reads mu and not logvar: the KL lacks logvar and its exponential")
    if not made.by_recon.any():
        yield LintFinding(
            "kl-missing", "error", "certain", "the loss does not read the reconstruction",
            "add -log p(x|z) to the loss, without detach() or no_grad()",
        )  # fmt: skip


def _finding(level: str, evidence: str) -> LintFinding:
    change = (
        "add 0.5 * (mu^2 + exp(logvar) - 1 - logvar), without detach() or .item(), unless the rate is meant to be free"
    )
    return LintFinding("kl-missing", level, "certain", evidence, change)

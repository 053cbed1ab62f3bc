"""The reconstruction does not depend on z, or its gradient is cut before mu."""

from __future__ import annotations

from collections.abc import Iterator

from buttress.diagnostics.lint.finding import LintFinding
from buttress.diagnostics.lint.reached import reached, thawed
from buttress.diagnostics.lint.rule import rule
from buttress.diagnostics.lint.rules.no_sampling import no_sampling
from buttress.diagnostics.lint.subject import Linted, seeded


@rule
def z_unreached(subject: Linted) -> Iterator[LintFinding]:
    """Whether a gradient goes from the reconstruction to mu and to logvar."""
    with seeded(subject.model), thawed(subject.model):
        recon, mean, log_variance = subject.outputs_of(subject.batch).values
        told = [] if reached(recon, mean) else ["mu"]
        fixed = not log_variance.requires_grad and not told  # a variance that is set, not learned
        told += [] if fixed or reached(recon, log_variance) else ["logvar"]
    if not told or (told == ["logvar"] and any(no_sampling.find(subject))):
        return
    yield LintFinding(
        "z-unreached", "error", "certain",
        f"no gradient goes from the reconstruction to {' or '.join(told)}",
        "give the decoder the sampled z = mu + exp(0.5 * logvar) * eps without detach(), no_grad() or weights of zero"
        if "mu" in told
        else "sample by mu + exp(0.5 * logvar) * eps, without detach() or no_grad()",
    )  # fmt: skip

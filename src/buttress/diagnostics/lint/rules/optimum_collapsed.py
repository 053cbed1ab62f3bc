"""The scale of the squared error is above every eigenvalue of the covariance of x: the best model ignores z.

To second order around the collapsed model z is worth its rate only if the largest eigenvalue of the covariance of x
exceeds sigma^2 (Lucas et al. 2019); sigma^2 is the ratio of the weights of KL and squared error.
"""

from __future__ import annotations

from collections.abc import Iterator

from buttress.diagnostics.estimate import with_error
from buttress.diagnostics.largest_eigenvalue import largest_eigenvalue
from buttress.diagnostics.lint.finding import LintFinding
from buttress.diagnostics.lint.rule import rule
from buttress.diagnostics.lint.subject import Linted, Silent
from buttress.diagnostics.lint.weights import weights

LEAST = 20
"""Examples from which on an eigenvalue is estimated."""


@rule
def optimum_collapsed(subject: Linted) -> Iterator[LintFinding]:
    """Whether sigma^2 is above the largest eigenvalue, by two standard errors."""
    w = weights(subject)
    if w.formula != "squared error":
        raise Silent("the reconstruction term is no squared error")
    if subject.learned_scale:
        raise Silent("the scale of the squared error is learned")
    if len(subject.x) < LEAST:
        raise Silent(f"the batch has fewer than {LEAST} examples")
    x = subject.x.double().flatten(1)
    if bool((x == x[0]).all()):
        yield LintFinding(
            "optimum-collapsed", "error", "certain",
            f"x does not vary: all {len(x)} examples of the batch are the same, and z has nothing to tell apart",
            "hand over a batch of different examples, or look at how x is loaded",
        )  # fmt: skip
        return
    found = largest_eigenvalue(x - x.mean(0))
    if found.value + 2 * found.error >= w.beta:
        return
    yield LintFinding(
        "optimum-collapsed", "error", "likely",
        f"sigma^2 = {w.beta:.4g} is above the largest eigenvalue of the covariance of x, "
        f"{with_error(found.value, found.error)}, so that near the collapsed model no use of z pays for its rate",
        f"give the likelihood a sigma^2 well below {found.value:.2g}, or learn it (calibrated_variance)",
    )  # fmt: skip

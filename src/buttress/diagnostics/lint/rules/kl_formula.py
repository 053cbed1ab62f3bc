"""The KL is not that of N(mu, exp(logvar)) from N(0, I), though it looks like an attempt at it."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from buttress.diagnostics.lint.finding import LintFinding
from buttress.diagnostics.lint.fit import best
from buttress.diagnostics.lint.rule import rule
from buttress.diagnostics.lint.sampler import noise, standard
from buttress.diagnostics.lint.subject import Linted, Silent
from buttress.diagnostics.lint.weights import CLOSE


def _mistakes(log_variance: Tensor) -> dict[str, Tensor]:
    """Gradients with respect to logvar of formulas that people write."""
    variance = log_variance.double().exp()
    return {
        "it lacks exp(logvar)": -0.5 * variance**0,
        "it lacks logvar": 0.5 * variance,
        "it has logvar twice, or is meant for a prior of variance 2": 0.5 * variance - 1,
        LOG_SIGMA: variance.square() - 1,
        "it has sigma where sigma^2 belongs": 0.25 * variance.sqrt() - 0.5,
    }


def _mistakes_of_mean(mean: Tensor) -> dict[str, Tensor]:
    """The same with respect to mu."""
    return {"it lacks the square of mu": mean.double() ** 0, "it has |mu| where mu^2 belongs": mean.double().sign()}


LOG_SIGMA = "it takes logvar for log sigma"


@rule
def kl_formula(subject: Linted) -> Iterator[LintFinding]:
    """Whether one of means and log-variances follows the formula, and the other a known mistake or another weight."""
    found, made = subject.terms, subject.pieces
    if found.kl is not None or not (made.by_mean.any() and made.by_log_variance.any()):
        return
    if not found.kl_means.holds:
        of_mean = best(made.by_mean, _mistakes_of_mean(made.mean)) if found.kl_variances.holds else None
        if of_mean is None:
            return
        told = of_mean.name
    elif found.kl_variances.holds:
        by, other = found.kl_means.weight, found.kl_variances.weight
        if abs(by - other) <= CLOSE * abs(by):
            return
        told = f"mu counts with a weight of {by:.4g} and logvar with one of {other:.4g}"
    elif (wrong := best(made.by_log_variance, _mistakes(made.log_variance))) is not None:
        told = wrong.name
        if told == LOG_SIGMA and _drawn_by_log_sigma(subject):
            yield LintFinding(
                "kl-formula", "note", "likely", "the model's last output is log sigma, in the KL as in z",
                "return 2 * log sigma as logvar, for diagnose and the monitor, which read the last output so",
            )  # fmt: skip
            return
    else:
        return
    yield LintFinding(
        "kl-formula", "error", "likely", f"the KL is not that of N(mu, exp(logvar)) from N(0, I): {told}",
        "write 0.5 * (mu^2 + exp(logvar) - 1 - logvar), summed over z",
    )  # fmt: skip


def _drawn_by_log_sigma(subject: Linted) -> bool:
    """Whether z is drawn so too, and the model's last output is log sigma on purpose."""
    try:
        return standard(noise(subject).as_log_deviation)
    except Silent:
        return False

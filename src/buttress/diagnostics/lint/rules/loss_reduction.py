"""One term is averaged over the values of an example and the other summed.

An ELBO sums the log-likelihood over the values of x and the KL over the dimensions of z. With a mean over D values in
place of the sum the rate has D times the weight it should have: for a likelihood without a scale beta = D, for a
squared error sigma^2 = D / 2, which is above every eigenvalue of the covariance of most data.
"""

from __future__ import annotations

from collections.abc import Iterator

from buttress.diagnostics.lint.finding import LintFinding
from buttress.diagnostics.lint.rule import rule
from buttress.diagnostics.lint.subject import Linted
from buttress.diagnostics.lint.weights import CLOSE, Weights, weights


@rule
def loss_reduction(subject: Linted) -> Iterator[LintFinding]:
    """Whether a term has the weight that a mean gives it."""
    w = weights(subject)
    likelihood, kl = _averaged(w.likelihood, w.sites, _units(w)), _averaged(w.kl, w.latents, (1.0,))
    made_up = likelihood and w.kl * w.sites <= 1 + CLOSE  # the KL is divided by as much
    if made_up or not (likelihood or kl):
        return
    chosen = likelihood and not kl and w.kl < 1 - CLOSE
    means = (
        f"the {w.formula} is {'averaged' if likelihood else 'summed'} over the {w.sites:.4g} values of x and the KL is "
    )
    means += f"averaged over the {w.latents} dimensions of z" if kl else "summed"
    means += f" with a weight of {w.kl:.4g}" if chosen else ""
    level, sure = ("warning", "likely") if chosen else ("error", "certain" if likelihood else "likely")
    yield LintFinding("loss-reduction", level, sure, f"{means}: {_effect(w)}", _change(w, likelihood, kl))


def _units(w: Weights) -> tuple[float, ...]:
    """Weights that people give the sum: 1, and for a squared error, which has a factor of 1/2 in log p, also 2."""
    return (2.0, 1.0) if w.formula == "squared error" else (1.0,)


def _averaged(weight: float, values: float, units: tuple[float, ...]) -> bool:
    return values > 1 and any(abs(weight * values - unit) <= CLOSE * unit for unit in units)


def _effect(w: Weights) -> str:
    if w.binary:
        return f"the rate has a weight (beta) of {w.beta:.4g} beside the likelihood, 1 in an ELBO"
    if w.formula == "absolute error":
        return f"as an ELBO this is a Laplace likelihood with a scale of {w.beta:.4g}"
    return f"as an ELBO this is a Gaussian likelihood with sigma^2 = {w.beta:.4g}"


def _change(w: Weights, likelihood: bool, kl: bool) -> str:
    terms = [f"the {w.formula} over the values of x"] * likelihood + ["the KL over the dimensions of z"] * kl
    scale = (
        ""
        if w.formula != "squared error"
        else ", and give the Gaussian a sigma^2 of its own (calibrated_variance learns it)"
    )
    return f"sum {' and '.join(terms)} before the mean over the batch{scale}"

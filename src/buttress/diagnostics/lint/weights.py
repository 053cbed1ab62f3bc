"""The weights of both terms for one example, whichever way the loss treats the batch."""

from __future__ import annotations

from dataclasses import dataclass

from buttress.diagnostics.lint.subject import CLOSE, Linted, Silent
from buttress.diagnostics.lint.terms import BINARY

__all__ = ["CLOSE", "Weights", "weights"]


@dataclass(frozen=True)
class Weights:
    """The loss of one example as likelihood * W + rate * C.

    Args:
        formula: That the reconstruction follows.
        likelihood: W: 1 for a log-likelihood, 1 / sigma^2 for a squared error.
        kl: C.
        sites: Values D of x that count in one example (places, for classes); the mean where lengths differ.
        latents: Numbers of one z.
        likelihood_over_batch: "mean" or "sum"; "one" where the batch is one example, which tells the two not apart.
        kl_over_batch: The same of the KL.
    """

    formula: str
    likelihood: float
    kl: float
    sites: float
    latents: int
    likelihood_over_batch: str
    kl_over_batch: str

    @property
    def binary(self) -> bool:
        """Whether the likelihood has a weight of 1 in an ELBO, and nothing to choose."""
        return self.formula in BINARY

    @property
    def beta(self) -> float:
        """The weight of the rate beside the likelihood, as the loss is; for a squared error this is sigma^2."""
        return self.kl / self.likelihood


def weights(subject: Linted) -> Weights:
    """Both weights.

    Args:
        subject: What is linted.

    Errors:
        Silent: A term follows no formula that is known, or neither the mean nor the sum over the batch.
    """
    whole = subject.terms
    half = subject.terms_of_half if len(subject.x) > 1 else whole
    if whole.likelihood is None or half.likelihood is None:
        raise Silent("the reconstruction term follows no likelihood that is known")
    if whole.kl is None or half.kl is None:
        raise Silent("the KL is not the closed form between N(mu, sigma^2) and N(0, I)")
    if not whole.kl or not whole.likelihood.weight:
        raise Silent("a term of the loss has no weight")
    n, likelihood, kl, how, kl_how = len(subject.x), whole.likelihood.weight, whole.kl, "one", "one"
    if n > 1:
        m, per_value = len(subject.half.x), whole.counted / half.counted
        likelihood, how = _of_one(likelihood, half.likelihood.weight, n, (n / m, per_value))
        kl, kl_how = _of_one(kl, half.kl, n, (n / m,))
    sites = whole.counted / n
    latents = subject.pieces.mean[0].numel()
    return Weights(whole.likelihood.name, likelihood, kl, sites, latents, how, kl_how)


def _of_one(whole: float, half: float, n: int, shares: tuple[float, ...]) -> tuple[float, str]:
    """The weight for one example, and how the batch is treated: the mean divides by the examples, or by all values."""
    if abs(half - whole) <= CLOSE * abs(whole):
        return whole, "sum"
    if any(abs(half - share * whole) <= CLOSE * abs(half) for share in shares):
        return whole * n, "mean"
    raise Silent("a term of the loss is neither the mean nor the sum over the batch")

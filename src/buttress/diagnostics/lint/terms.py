r"""The two terms of a loss, found by their gradients: which formula each follows, and with what weight.

With leaves r (what the model returns as reconstruction), mu and l = log sigma^2 in place of the model's own outputs,
the gradient of the loss has nothing but what the loss itself does. The KL of N(mu, sigma^2) from N(0, I) has

$$ \partial_\mu = \mu, \qquad \partial_l = \tfrac12 (\sigma^2 - 1) $$

and the usual negative log-likelihoods, each as a function of r, are in :data:`LIKELIHOODS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from buttress.diagnostics.lint.fit import Fit, best, fit

__all__ = ["BINARY", "LIKELIHOODS", "LossTerms", "Pieces", "terms"]

LIKELIHOODS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "squared error": lambda r, x: r - x,
    "absolute error": lambda r, x: (r - x).sign(),
    "binary cross-entropy": lambda r, x: (r - x) / (r * (1 - r)).clamp_min(1e-12),
    "binary cross-entropy of logits": lambda r, x: r.sigmoid() - x,
    "Poisson": lambda r, x: r.exp() - x,
}
"""Gradients with respect to r, for a weight of 1 (squared error: half of it, which is -log p at sigma^2 = 1)."""
BINARY = ("binary cross-entropy", "binary cross-entropy of logits", "categorical cross-entropy", "Poisson")
"""Those that have a weight of 1 in an ELBO and nothing to choose."""


@dataclass(frozen=True)
class Pieces:
    """What the loss made of a batch.

    Args:
        x: The batch.
        loss: Its value.
        recon: What the model returned as reconstruction; mean and log_variance likewise.
        by_recon: The gradient of the loss with respect to it, 0 where the loss does not read it; the others likewise.
        unread: Whether the loss is made of neither mean nor log-variance, so that their gradients are none, not 0.
        others: Identities of what else learns in the loss.
    """

    x: Tensor
    loss: float
    recon: Tensor
    mean: Tensor
    log_variance: Tensor
    by_recon: Tensor
    by_mean: Tensor
    by_log_variance: Tensor
    unread: bool = False
    others: frozenset[int] = frozenset()


@dataclass(frozen=True)
class LossTerms:
    """The formulas that a loss follows; None where a term follows none of those known.

    Args:
        likelihood: Of the reconstruction.
        counted: Values of x (places, for classes) that the likelihood counts in the whole batch.
        ahead: Of classes, how many places further on what a place predicts stands: 0, or 1.
        kl_means: Of the KL, by the means.
        kl_variances: Of the KL, by the log-variances.
    """

    likelihood: Fit | None
    counted: int
    ahead: int
    kl_means: Fit
    kl_variances: Fit

    @property
    def kl(self) -> float | None:
        """The weight of the KL, where both of its gradients say the same."""
        if not (self.kl_means.holds and self.kl_variances.holds):
            return None
        weight = self.kl_means.weight
        return weight if abs(weight - self.kl_variances.weight) <= 0.01 * max(abs(weight), 1e-12) else None


def terms(pieces: Pieces) -> LossTerms:
    """The formulas of a loss.

    Example:
        >>> x, r, mu, l = torch.rand(4, 3), torch.rand(4, 3), torch.randn(4, 2), torch.randn(4, 2)
        >>> found = terms(Pieces(x, 0.0, r, mu, l, 2 * (r - x), mu / 4, (l.exp() - 1) / 8))
        >>> found.likelihood.name, round(found.likelihood.weight, 4), round(found.kl, 4)
        ('squared error', 2.0, 0.25)
    """
    half = (pieces.log_variance.double().exp() - 1) / 2
    return LossTerms(
        *_likelihood(pieces),
        fit("KL", pieces.by_mean, pieces.mean),
        fit("KL", pieces.by_log_variance, half),
    )


def _likelihood(pieces: Pieces) -> tuple[Fit | None, int, int]:
    x, r, g = pieces.x, pieces.recon.double(), pieces.by_recon
    if x.numel() == r.numel():
        target = x.double().reshape(r.shape)
        if (found := best(g, {name: h(r, target) for name, h in LIKELIHOODS.items()})) is not None:
            return found, x.numel(), 0
    return _categorical(x, r, g)


def _categorical(x: Tensor, r: Tensor, g: Tensor) -> tuple[Fit | None, int, int]:
    """Logits with one axis more than x, the last or the second of classes; places of no weight are left out."""
    if x.is_floating_point() or r.dim() != x.dim() + 1:
        return None, 0, 0
    for axis in (-1, 1):
        logits, gradient = r.movedim(axis, -1), g.movedim(axis, -1)
        # The word of each place, or the next one; the loss may cut the last place off, which then has no gradient.
        for ahead, target in ((0, x), (1, x[:, 1:]), (1, x.roll(-1, 1))) if x.dim() > 1 else ((0, x),):
            if target.shape != logits.shape[:-1] or target.max() >= logits.shape[-1] or target.min() < 0:
                continue
            one_hot = torch.nn.functional.one_hot(target.long(), logits.shape[-1])
            heard = (gradient != 0).any(-1, keepdim=True)
            found = fit("categorical cross-entropy", gradient, (logits.softmax(-1) - one_hot) * heard)
            if found.holds:
                return found, int(heard.sum()), ahead
    return None, 0, 0

r"""The ELBO and its two halves, per example and per latent group, and how they are balanced.

$$ \mathrm{ELBO} = -D - R, \qquad D = -E_q \log p(x|z), \qquad R = \mathrm{KL}(q(z|x) \| p(z)) = \sum_g R_g $$

Where q is as wide as it pays to be, $\partial(D + \beta R) / \partial \log \sigma_j^2 = 0$ with $\beta = 1$. To second
order in $\sigma$ this says that the noise of q costs the decoder half a nat for each dimension that is pinned down:

$$ \beta_\text{effective} = \frac{E_x [D(z) - D(E_q z)]}{E_x \tfrac12 \sum_j (1 - \sigma_j^2 / \sigma_{p,j}^2)} $$

It is exact for a linear decoder with Gaussian noise. A deterministic autoencoder has an effective beta near 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.distributions import Distribution

from buttress.diagnostics.estimate import Estimate, Moments, mean, ratio
from buttress.diagnostics.evaluation import blocks, decode, draw, evaluating
from buttress.diagnostics.families import closed_form_kl, mean_of, normal
from buttress.diagnostics.protocol import Batches, Model

__all__ = ["Bound", "bound", "kl"]


@dataclass(frozen=True)
class Bound:
    """The ELBO and its parts. ``elbo`` is exactly - ``distortion`` - ``rate``.

    Args:
        elbo: In nats per example.
        distortion: -log p(x|z), in nats per example.
        rate: KL(q(z|x) || p(z)), in nats per example; its method says whether closed form or Monte Carlo.
        effective_beta: The weight of the rate at which this q would be in balance; 1 for a plain ELBO.
        groups: Rate of each factor, (G,); None where q and p are no product of the same factors.
        groups_error: Standard errors of these.
    """

    elbo: Estimate
    distortion: Estimate
    rate: Estimate
    effective_beta: Estimate
    groups: Float[Tensor, " G"] | None
    groups_error: Float[Tensor, " G"] | None


def kl(q: Distribution, p: Distribution, z: Shaped[Tensor, "S B *event"]) -> tuple[Float[Tensor, "B *rest"], bool]:
    """KL(q || p) of each example in nats and whether it is exact: else the mean of log q - log p over the samples z."""
    exact = closed_form_kl(q, p)
    return ((q.log_prob(z) - p.log_prob(z)).mean(0), False) if exact is None else (exact, True)


def bound(model: Model, batches: Batches, *, samples: int = 4, seed: int = 0) -> Bound:
    """Measure the ELBO over all of the data, with samples of q and never its mean.

    Args:
        model: Keeps the protocol.
        batches: Held-out data.
        samples: Samples of z per example.
        seed: Of the noise.
    """
    totals: list[list[Tensor]] = []
    groups = Moments()
    with evaluating(model, seed):
        prior, exact, grouped = model.prior(), True, True
        for index, x in blocks(batches):
            q = model.posterior(x)
            z = draw(q, index, samples, seed, "bound")
            rate, exact = kl(q, prior, z)
            grouped = exact and rate.dim() > 1
            groups.add(rate.reshape(len(x), -1))
            distortion = -decode(model, x, z).mean(0)
            totals.append([distortion, rate.reshape(len(x), -1).double().sum(1), *_noise_cost(model, x, q, distortion)])
    distortion, rate, cost, pinned = (torch.cat(column).cpu() for column in zip(*totals, strict=True))
    how = "closed form" if exact else "Monte Carlo"
    return Bound(
        mean(-distortion - rate, f"Monte Carlo distortion, {how} rate"),
        mean(distortion, "Monte Carlo"),
        mean(rate, how),
        _effective_beta(cost, pinned),
        groups.mean if grouped else None,
        groups.error if grouped else None,
    )


def _noise_cost(model: Model, x: Tensor, q: Distribution, distortion: Tensor) -> tuple[Tensor, Tensor]:
    """What the noise of q costs the decoder, and what it would at balance; NaN where that is not known."""
    middle, p = mean_of(q), normal(model.prior())
    if middle is None or p is None:
        return torch.full_like(distortion, torch.nan), torch.full_like(distortion, torch.nan)
    pinned = 0.5 * (1 - q.variance / p.variance).reshape(len(x), -1).double().sum(1)
    return distortion + decode(model, x, middle[None])[0], pinned


def _effective_beta(cost: Tensor, pinned: Tensor) -> Estimate:
    method = "Monte Carlo"
    if not torch.isfinite(pinned).all():
        return Estimate(None, None, len(cost), method, note="known only for a prior of independent normals")
    if pinned.mean() < 0.05:
        return Estimate(None, None, len(cost), method, note="q is as wide as the prior: there is nothing to balance")
    value, error = ratio(cost, pinned)
    return Estimate(value, error, len(cost), method, note="not in nats: 1 for a plain ELBO, 0 for an autoencoder")

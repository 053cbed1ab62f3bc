r"""The ELBO and its two halves, per example and per latent group, and how they are balanced.

$$ \mathrm{ELBO} = -D - R, \qquad D = -E_q \log p(x|z), \qquad R = \mathrm{KL}(q(z|x) \| p(z)) = \sum_g R_g $$

Where q is as wide as it pays to be, $\partial(D + \beta R) / \partial \log \sigma_j^2 = 0$ with $\beta = 1$. To second
order in $\sigma$ this says that the noise of q costs the decoder half a nat for each dimension that is pinned down:

$$ \beta_\text{effective} = \frac{E_x [D(z) - D(E_q z)]}{E_x \tfrac12 \sum_j (1 - \sigma_j^2 / \sigma_{p,j}^2)} $$

It is exact for a linear decoder with Gaussian noise. A deterministic autoencoder has an effective beta near 0.

Where q is a point c(x) on codes in 0 .. K - 1, the rate is $-\log p(c)$ under the model's prior, and $G \log K$ under
the uniform one: what the codes cost whoever knows nothing about them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.distributions import Distribution

from buttress.diagnostics.estimate import Estimate, Moments, mean, ratio
from buttress.diagnostics.evaluation import blocks, decode, draw, evaluating
from buttress.diagnostics.protocol import Batches, Model
from buttress.distributions.inspect import categorical, closed_form_kl, log_density, mean_of, normal, point

__all__ = ["Bound", "bound", "classes", "kl", "uniform_rate"]


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

    Example:
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model = LinearGaussian.random(dims=3, latents=1)
        >>> found = bound(model.vae(), [model.sample(100)[0]])
        >>> abs(found.elbo.value + found.distortion.value + found.rate.value) < 1e-9, found.groups.shape
        (True, torch.Size([1]))
    """

    elbo: Estimate
    distortion: Estimate
    rate: Estimate
    effective_beta: Estimate
    groups: Float[Tensor, " G"] | None
    groups_error: Float[Tensor, " G"] | None


def kl(q: Distribution, p: Distribution, z: Shaped[Tensor, "S B *event"]) -> tuple[Float[Tensor, "B *rest"], bool]:
    """KL(q || p) of each example in nats and whether it is exact: else the mean of log q - log p over the samples z.

    Args:
        q: q(z|x), batch shape (B,).
        p: p(z), batch shape ().
        z: Samples of q; read only where the pair has no closed form.

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> q, p = Independent(Normal(torch.ones(1, 2), 1.0), 1), Independent(Normal(torch.zeros(2), 1.0), 1)
        >>> kl(q, p, q.sample((4,)))  # mu^2 / 2 for each dimension, whatever was drawn
        (tensor([[0.5000, 0.5000]]), True)
    """
    exact = closed_form_kl(q, p)
    return ((q.log_prob(z) - log_density(p, z)).mean(0), False) if exact is None else (exact, True)


def bound(model: Model, batches: Batches, *, samples: int = 4, seed: int = 0) -> Bound:
    """Measure the ELBO over all of the data, with samples of q and never its mean.

    Args:
        model: Keeps the protocol.
        batches: Held-out data.
        samples: Samples of z per example.
        seed: Of the noise.

    Example:
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model = LinearGaussian(torch.ones(2, 1).double(), torch.zeros(2).double(), 1.0)
        >>> found = bound(model.vae(), [model.sample(2000)[0]])  # q is exact, so R = I(x; z) = ln(3) / 2 = 0.549
        >>> print(found.rate, "and", found.effective_beta)
        0.547 ± 0.01 and 0.976 ± 0.02
    """
    totals: list[list[Tensor]] = []
    groups = Moments()
    with evaluating(model, seed):
        prior, exact, grouped, sampled = model.prior(), True, True, True
        for index, x in blocks(batches):
            q = model.posterior(x)
            z = draw(q, index, samples if point(q) is None else 1, seed, "bound")
            rate, exact = kl(q, prior, z)
            grouped = exact and rate.dim() > 1
            groups.add(rate.reshape(len(x), -1))
            distortion = -decode(model, x, z).mean(0)
            totals.append([distortion, rate.reshape(len(x), -1).double().sum(1), *_noise_cost(model, x, q, distortion)])
            sampled = point(q) is None
    distortion, rate, cost, pinned = (torch.cat(column).cpu() for column in zip(*totals, strict=True))
    how = "closed form" if exact else "Monte Carlo"
    distorted = "Monte Carlo" if sampled else "at the code of each x"
    return Bound(
        mean(-distortion - rate, f"{distorted} distortion, {how} rate" if sampled else f"{how}, {distorted}"),
        mean(distortion, distorted),
        mean(rate, how, note="" if sampled else "-log p(codes) under the model's prior"),
        _effective_beta(cost, pinned, sampled),
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


def _effective_beta(cost: Tensor, pinned: Tensor, sampled: bool) -> Estimate:
    method = "Monte Carlo"
    if not sampled:
        return Estimate(None, None, len(cost), method, note="q is a point on codes: it has no noise to weigh")
    if not torch.isfinite(pinned).all():
        return Estimate(None, None, len(cost), method, note="known only for a prior of independent normals")
    if pinned.mean() < 0.05:
        return Estimate(None, None, len(cost), method, note="q is as wide as the prior: there is nothing to balance")
    value, error = ratio(cost, pinned)
    return Estimate(value, error, len(cost), method, note="not in nats: 1 for a plain ELBO, 0 for an autoencoder")


def classes(model: Model) -> int | None:
    """The number K of values that each coordinate of a discrete z can take, or None where that is not known.

    A model says so with a ``space`` (:class:`buttress.core.Space`); a prior of independent categoricals tells it too.

    Example:
        >>> from types import SimpleNamespace
        >>> from torch.distributions import Categorical, Independent
        >>> classes(SimpleNamespace(prior=lambda: Independent(Categorical(torch.ones(3, 8)), 1)))
        8
    """
    stated: int | None = getattr(getattr(model, "space", None), "classes", None)
    if stated is not None:
        return stated
    base = categorical(model.prior())
    return None if base is None else base.logits.shape[-1]


def uniform_rate(model: Model, n: int) -> Estimate:
    """G log K in nats per example: the rate of any codes under the uniform prior, the same for each of n examples.

    Args:
        model: Keeps the protocol; z is made of codes.
        n: Number of examples, for the record.

    Example:
        >>> from types import SimpleNamespace
        >>> from torch.distributions import Categorical, Independent
        >>> model = SimpleNamespace(prior=lambda: Independent(Categorical(torch.ones(3, 8)), 1))
        >>> found = uniform_rate(model, n=100)
        >>> found.note, round(found.value, 4)
        ('3 x log 8', 6.2383)
    """
    k, method = classes(model), "closed form"
    if k is None:
        why = "the number K of codes is not known; give the model a space (buttress.core.Space)"
        return Estimate(None, None, n, method, note=why)
    groups = math.prod(model.prior().event_shape)
    return Estimate(groups * math.log(k), None, n, method, note=f"{groups} x log {k}")

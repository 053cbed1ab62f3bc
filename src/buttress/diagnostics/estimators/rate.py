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
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.distributions import Distribution

from buttress.core.batch import Given
from buttress.diagnostics.estimate import NO_DENSITY, Estimate, Moments, mean, ratio
from buttress.diagnostics.estimator import Subject, estimator
from buttress.diagnostics.evaluation import decode, draw_with_density, evaluating
from buttress.diagnostics.levels import levels_of
from buttress.diagnostics.passes import Block, one_hot_vectors, passes, prior_of
from buttress.diagnostics.protocol import Batches, Conditional, Model, conditional
from buttress.distributions.inspect import (
    categorical,
    closed_form_kl,
    log_density,
    mean_of,
    multivariate_normal,
    normal,
    point,
)
from buttress.distributions.rows import in_double

__all__ = ["Bound", "bound", "classes", "exact_kl", "kl", "rate_under", "uniform_rate"]


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


def kl(
    q: Distribution, p: Distribution, z: Shaped[Tensor, "S B *event"], log_q: Float[Tensor, "S B"] | None = None
) -> tuple[Float[Tensor, "B *rest"], bool]:
    """KL(q || p) of each example in nats and whether it is exact: else the mean of log q - log p over the samples z.

    Args:
        q: q(z|x), batch shape (B,).
        p: p(z), batch shape () or (B,).
        z: Samples of q; read only where the pair has no closed form.
        log_q: log q of these, where it is known already.

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> q, p = Independent(Normal(torch.ones(1, 2), 1.0), 1), Independent(Normal(torch.zeros(2), 1.0), 1)
        >>> kl(q, p, q.sample((4,)))  # mu^2 / 2 for each dimension, whatever was drawn
        (tensor([[0.5000, 0.5000]], dtype=torch.float64), True)
    """
    exact = exact_kl(q, p)
    if exact is not None:
        return exact, True
    return ((q.log_prob(z) if log_q is None else log_q) - log_density(p, z)).mean(0), False


def exact_kl(q: Distribution, p: Distribution) -> Float[Tensor, "B *rest"] | None:
    """The closed form in float64, where a variance of 1e-40 is not 0; None where there is none.

    Example:
        >>> from torch.distributions import Normal
        >>> round(exact_kl(Normal(torch.zeros(1), 1e-20), Normal(torch.zeros(()), 1.0)).item(), 2)  # 20 ln 10 - 1/2
        45.55
    """
    return closed_form_kl(in_double(q), in_double(p))


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
        0.55 ± 0.01 and 0.98 ± 0.02
    """
    totals: list[list[Tensor]] = []
    groups = Moments()
    with evaluating(model, seed) as asked:
        exact, grouped, sampled = True, True, True
        for block in passes(asked, batches):
            sampled = point(block.q) is None
            z, log_q = draw_with_density(block.q, block.index, samples if sampled else 1, seed, "bound")
            rate, exact = kl(block.q, block.prior, z, log_q)
            grouped, rate = exact and rate.dim() > 1, rate.reshape(len(block), -1)
            groups.add(rate)
            distortion = _distortion(asked, block, z)
            totals.append([distortion, rate.double().sum(1), *_noise_cost(asked, block, distortion)])
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


def rate_under(
    prior: Callable[[Given], Distribution], model: Model, batches: Batches, *, samples: int = 4, seed: int = 0
) -> Estimate:
    """The rate of q(z|x) under another prior than the model's.

    Args:
        prior: From what is given to a distribution, batch shape () or (B,).
        model: Keeps the protocol; only its q is asked for.
        batches: Held-out data.
        samples: Samples of z per example, where there is no closed form.
        seed: Of the noise.

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model = LinearGaussian.random(dims=3, latents=1)
        >>> data, own = [model.sample(100)[0]], model.vae()
        >>> rate_under(lambda given: own.prior(), own, data) == bound(own, data).rate
        True
    """
    rows, exact = [], True
    with evaluating(model, seed) as asked:
        for block in passes(asked, batches):
            z, log_q = draw_with_density(block.q, block.index, samples, seed, "bound")
            rate, exact = kl(block.q, prior(block.given), z, log_q)
            rows.append(rate.reshape(len(block), -1).double().sum(1))
    return mean(torch.cat(rows).cpu(), "closed form" if exact else "Monte Carlo")


def _distortion(model: Conditional, block: Block, z: Tensor) -> Float[Tensor, " B"]:
    """-log p(x|z), the mean over z; NaN where there is no p(x|z)."""
    if not model.density:
        return torch.full((len(block),), torch.nan, dtype=torch.float64, device=z.device)
    return -decode(model, block.x, z, block.given, block.index).mean(0)


def _noise_cost(model: Conditional, block: Block, distortion: Tensor) -> tuple[Tensor, Tensor]:
    """What the noise of q costs the decoder, and what it would at balance; NaN where that is not known."""
    q, middle, precision = block.q, mean_of(block.q), _precision(block.prior)
    if middle is None or precision is None or not model.density:
        return torch.full_like(distortion, torch.nan), torch.full_like(distortion, torch.nan)
    pinned = 0.5 * (1 - q.variance.double() * precision).reshape(len(block), -1).sum(1)
    return distortion + decode(model, block.x, middle[None], block.given, block.index)[0], pinned


def _precision(p: Distribution) -> Tensor | None:
    """-d^2 log p / dz_j^2 of a normal prior, whatever class it is written in; None where p is no normal."""
    if (plain := normal(p)) is not None:
        return plain.variance.double().reciprocal()
    full = multivariate_normal(p)
    return None if full is None else torch.linalg.inv(full.covariance_matrix.double()).diagonal(dim1=-2, dim2=-1)


def _effective_beta(cost: Tensor, pinned: Tensor, sampled: bool) -> Estimate:
    method = "Monte Carlo"
    if not sampled:
        return Estimate(None, None, len(cost), method, note="q is a point on codes: it has no noise to weigh")
    if not torch.isfinite(pinned).all():
        return Estimate(None, None, len(cost), method, note="known only for a normal prior")
    if pinned.mean() < 0.05:
        return Estimate(None, None, len(cost), method, note="q is as wide as the prior: there is nothing to balance")
    value, error = ratio(cost, pinned)
    return Estimate(value, error, len(cost), method, note="not in nats: 1 for a plain ELBO, 0 for an autoencoder")


def classes(model: Model, batches: Batches = ()) -> int | None:
    """The number K of values that each coordinate of a discrete z can take, or None where that is not known.

    A model states it with a ``space`` (:class:`buttress.core.Space`); a prior of independent categoricals shows it too.

    Args:
        model: Keeps the protocol.
        batches: Held-out data; read only where the prior, or how many codes there are, hangs on what is given.

    Example:
        >>> from types import SimpleNamespace
        >>> from torch.distributions import Categorical, Independent
        >>> classes(SimpleNamespace(prior=lambda: Independent(Categorical(torch.ones(3, 8)), 1)))
        8
    """
    stated: int | None = getattr(getattr(conditional(model).model, "space", None), "classes", None)
    if stated is not None:
        return stated
    p = prior_of(model, batches)
    base = one_hot_vectors(p) or categorical(p)
    return None if base is None else base.logits.shape[-1]


def uniform_rate(model: Model, n: int, batches: Batches = ()) -> Estimate:
    """G log K in nats per example: the rate of any codes under the uniform prior, the same for each of n examples.

    Where z has levels, it is their sum, as each may have another K. Codes behind the true end of an example cost
    nothing, so it is a mean over examples where these differ in length.

    Args:
        model: Keeps the protocol; z is made of codes.
        n: Number of examples, for the record.
        batches: Held-out data; read only where the prior, or how many codes there are, hangs on what is given.

    Example:
        >>> from types import SimpleNamespace
        >>> from torch.distributions import Categorical, Independent
        >>> model = SimpleNamespace(prior=lambda: Independent(Categorical(torch.ones(3, 8)), 1))
        >>> found = uniform_rate(model, n=100)
        >>> found.note, round(found.value, 4)
        ('3 x log 8', 6.2383)
    """
    k, method = classes(model, batches), "closed form"
    if k is None:
        why = "the number K of codes is not known; give the model a space (buttress.core.Space)"
        return Estimate(None, None, n, method, note=why)
    p = prior_of(model, batches)
    sizes = [(len(level.places), level.classes) for level in levels_of(conditional(model).model)]
    if len({size for _, size in sizes if size}) > 1 and one_hot_vectors(p) is None:
        total = sum(number * math.log(size or k) for number, size in sizes)
        note = " + ".join(f"{number} x log {size or k}" for number, size in sizes)
        each = torch.cat([torch.full((number,), math.log(size or k), dtype=torch.float64) for number, size in sizes])
    else:
        groups = math.prod(p.event_shape) // (1 if one_hot_vectors(p) is None else k)
        total, note = groups * math.log(k), f"{groups} x log {k}"
        each = torch.full((groups,), math.log(k), dtype=torch.float64)
    asked = conditional(model)
    masks = [asked.inside(block.given) for block in passes(asked, batches)]
    there = [mask.flatten(1).cpu() for mask in masks if mask is not None]
    if not there:
        return Estimate(total, None, n, method, note=note)
    return mean(torch.cat(there).double() @ each, method, note=f"{note}, less what is behind the true ends")


@estimator("bound")
def measure(subject: Subject) -> dict[str, Estimate]:
    """The ELBO, its parts and their balance."""
    found = bound(subject.model, subject.data, samples=subject.settings["samples"], seed=subject.seed)
    subject.kept["bound"] = found
    if not subject.model.density:
        return {"elbo": NO_DENSITY, "rate": found.rate}
    return {
        "elbo": found.elbo,
        "distortion": found.distortion,
        "rate": found.rate,
        "effective_beta": found.effective_beta,
    }

r"""How much q(z|x) says about which x it came from, and how far all of them together are from the prior.

$$ I_q = \frac1N \sum_n E_{q(z|x_n)} \Bigl[ \log q(z|x_n) - \log q_N(z) \Bigr], \quad
   q_N(z) = \frac1N \sum_m q(z|x_m), \qquad R = I_q + \mathrm{KL}(q_N \| p) $$

Hoffman and Johnson 2016. Both logarithms are taken at the same z, so no term passes log N: that is the ceiling of this
estimate, whatever the truth, and near it the estimate is a lower bound. It uses all pairs of N examples, never those of
one batch only.

Where q is a point on codes, $q_N$ is the histogram of the codes, so all pairs are compared by counting equal codes, and
$I_q = H(q_N)$ exactly, for these N examples: the logarithm of how many of them a code tells apart.

As $\mathrm{KL}(q_N \| p) \ge 0$, $I_q \le R$ for any N examples; the noise of samples can put an estimate above that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch.distributions import Distribution

from buttress.diagnostics.estimate import Estimate, mean, short
from buttress.diagnostics.evaluation import blocks, choose, count, draw, evaluating
from buttress.diagnostics.protocol import Batches, Model
from buttress.diagnostics.thresholds import ERRORS, NEAR_CEILING
from buttress.distributions.inspect import log_density, normal, point

__all__ = ["Information", "aggregate_kl", "beside_rate", "information", "mutual_information"]

NUMBERS = 2**22
"""Most numbers held at once while all pairs are compared."""
ROUNDING = 1e-4
"""Of a rate in float32, which codes can reach exactly."""


@dataclass(frozen=True)
class Information:
    """The two halves of the rate. Their sum is the Monte Carlo rate at the same samples.

    Args:
        mutual_information: I_q(x; z), in nats, with its ceiling log N.
        aggregate_kl: KL(q_N(z) || p(z)), in nats.

    Example:
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model = LinearGaussian.random(dims=3, latents=1).collapsed()  # q(z|x) = p(z)
        >>> found = information(model, [torch.zeros(50, 3)])
        >>> print(found.mutual_information, found.aggregate_kl)
        0 ± 0 0 ± 0
    """

    mutual_information: Estimate
    aggregate_kl: Estimate


def information(
    model: Model, batches: Batches, *, examples: int | None = 5000, samples: int = 1, seed: int = 0
) -> Information:
    """Split the rate into mutual information and the mismatch of the aggregated posterior.

    Args:
        model: Keeps the protocol.
        batches: Held-out data.
        examples: N, at most: a random choice of the data where there is more. None for all.
        samples: Samples of z per example.
        seed: Of the choice and the noise.

    Example:
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model = LinearGaussian(torch.ones(2, 1).double(), torch.zeros(2).double(), 1.0)
        >>> found = information(model.vae(), [model.sample(2000)[0]])  # q is exact: ln(3) / 2 = 0.549, and q(z) = p(z)
        >>> print(found.mutual_information, "of", round(found.mutual_information.ceiling, 2))
        0.53 ± 0.02 of 7.6
    """
    own, everyone, prior_log = [], [], []
    with evaluating(model, seed):
        keep, prior = choose(count(batches), examples, seed), model.prior()
        seen = [(index, model.posterior(x)) for index, x in blocks(batches, keep=keep)]
        n = sum(len(index) for index, _ in seen)
        aggregate = _Aggregate([q for _, q in seen], n)
        first = 0
        for index, q in seen:
            z = draw(q, index, samples, seed, "information")
            mine, marginal = aggregate.log_prob(z, torch.arange(first, first + len(index)))
            first += len(index)
            own.append(mine.mean(0).cpu())
            everyone.append(marginal.mean(0).cpu())
            prior_log.append(log_density(prior, z).double().mean(0).cpu())
    how = "Monte Carlo" if aggregate.counts is None else "counting equal codes"
    posterior, marginal, at_prior = torch.cat(own), torch.cat(everyone), torch.cat(prior_log)
    ceiling = math.log(n)
    near = (posterior - marginal).mean().item() > ceiling - NEAR_CEILING
    return Information(
        mean(posterior - marginal, how, ceiling, f"N = {n}" + "; at its ceiling: a lower bound" * near),
        mean(
            marginal - at_prior,
            how,
            note=f"N = {n}" + "; an upper bound, as mutual information is at its ceiling" * near,
        ),
    )


def mutual_information(
    model: Model, batches: Batches, *, examples: int | None = 5000, samples: int = 1, seed: int = 0
) -> Estimate:
    """I_q(x; z) in nats, see :func:`information`.

    Example:
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model = LinearGaussian(torch.zeros(2, 1).double(), torch.zeros(2).double(), 1.0)  # x does not depend on z
        >>> print(mutual_information(model.vae(), [model.sample(100)[0]]))
        0 ± 0
    """
    return information(model, batches, examples=examples, samples=samples, seed=seed).mutual_information


def aggregate_kl(
    model: Model, batches: Batches, *, examples: int | None = 5000, samples: int = 1, seed: int = 0
) -> Estimate:
    """KL(q_N(z) || p(z)) in nats, see :func:`information`.

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> from buttress.diagnostics.protocol import Adapter
        >>> far = Adapter(
        ...     posterior=lambda x: Independent(Normal(torch.full((len(x), 1), 3.0), 1.0), 1),
        ...     prior=lambda: Independent(Normal(torch.zeros(1), 1.0), 1),
        ...     log_likelihood=lambda x, z: torch.zeros(z.shape[:2]),
        ... )
        >>> print(aggregate_kl(far, [torch.zeros(2000, 1)]))  # KL(N(3, 1) || N(0, 1)) = 9 / 2
        4.55 ± 0.07
    """
    return information(model, batches, examples=examples, samples=samples, seed=seed).aggregate_kl


def beside_rate(found: Estimate, rate: Estimate) -> Estimate:
    r"""Mutual information with a note where it stands above the rate by more than noise, and so can't be true.

    $$ I_q - R > 3 \sqrt{\epsilon_I^2 + \epsilon_R^2} $$

    The errors are added as of independent samples, which here is too large rather than too small.

    Args:
        found: I_q(x; z), in nats.
        rate: R, of the same model on the same data.

    Example:
        >>> beside_rate(Estimate(1.0, 0.1, 100, ""), Estimate(0.2, 0.1, 100, "")).note
        'above the rate by 0.8 nats, which is more than noise and ...; ...'
    """
    if found.value is None or rate.value is None:
        return found
    excess, noise = found.value - rate.value, math.hypot(found.error or 0.0, rate.error or 0.0)
    if excess <= ERRORS * noise + ROUNDING * max(1.0, rate.value):
        return found
    note = (
        f"above the rate by {short(excess)} nats, which is more than noise and no mutual information can be; the "
        "verdict takes the rate; look whether q and p are densities with all their constants, or measure more examples"
    )
    return replace(found, note="; ".join(filter(None, [found.note, note])))


class _Aggregate:
    """The mixture q_N of the posteriors of N examples; memory stays flat as N grows."""

    def __init__(self, posteriors: Sequence[Distribution], n: int) -> None:
        self.posteriors, self.n = posteriors, n
        points = [value for q in posteriors if (value := point(q)) is not None]
        self.counts = _counts(points) if len(points) == len(posteriors) else None
        normals = [base for q in posteriors if (base := normal(q)) is not None]
        self.matrices = _matrices(normals) if len(normals) == len(posteriors) else None

    def log_prob(
        self, z: Shaped[Tensor, "S B *event"], own: Tensor
    ) -> tuple[Float[Tensor, "S B"], Float[Tensor, "S B"]]:
        """log q(z|x) of z's own example, and log q_N(z). ``own`` are the places of the B examples among the N."""
        if self.counts is not None:
            logarithm = (self.counts[own] / self.n).log().expand(z.shape[:2])
            return torch.zeros_like(logarithm), logarithm
        flat = z.reshape(-1, *z.shape[2:])
        places = own.repeat(len(z)).to(z.device)
        step = max(1, NUMBERS // (self.n if self.matrices else self.n * max(1, z[0, 0].numel())))
        parts = [self._few(some, at) for some, at in zip(flat.split(step), places.split(step), strict=True)]
        mine, marginal = (torch.cat(part).reshape(z.shape[:2]) for part in zip(*parts, strict=True))
        return mine, marginal

    def _few(self, z: Shaped[Tensor, "C *event"], at: Tensor) -> tuple[Tensor, Tensor]:
        pairs = self._pairs(z)
        return pairs.gather(1, at[:, None])[:, 0], pairs.logsumexp(1) - math.log(self.n)

    def _pairs(self, z: Shaped[Tensor, "C *event"]) -> Float[Tensor, "C N"]:
        """log q(z_c|x_n) of all pairs: as matrix products where q is Gaussian, else whatever the family is."""
        if self.matrices is None:
            return torch.cat([log_density(q, z[:, None]).double() for q in self.posteriors], 1)
        centre, square, linear, constant = self.matrices
        flat = z.reshape(len(z), -1).double() - centre
        return flat.square() @ square + flat @ linear + constant


def _counts(points: Sequence[Int[Tensor, "_ *event"]]) -> Float[Tensor, " N"]:
    """How many of the N examples have the same codes as each of them."""
    codes = torch.cat([value.reshape(len(value), -1).cpu() for value in points])
    _, which, often = codes.unique(dim=0, return_inverse=True, return_counts=True)
    return often[which].double()


def _matrices(normals: Sequence[torch.distributions.Normal]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """log N(z; mu, v) = -z^2/2v + z mu/v - (mu^2/v + log 2 pi v)/2, in float64 and centred against cancellation."""
    loc = torch.cat([q.loc.flatten(1) for q in normals]).double()
    precision = torch.cat([q.scale.flatten(1) for q in normals]).double().pow(-2)
    centre = loc.mean(0)
    loc = loc - centre
    constant = -0.5 * (loc.square() * precision - precision.log() + math.log(2 * math.pi)).sum(1)
    return centre, -0.5 * precision.T, (loc * precision).T, constant

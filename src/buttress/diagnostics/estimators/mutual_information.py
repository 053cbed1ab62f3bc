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
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributions import Distribution

from buttress.diagnostics.aggregate import Aggregate
from buttress.diagnostics.conditions import large_groups
from buttress.diagnostics.estimate import Estimate, mean, short
from buttress.diagnostics.estimator import Subject, estimator
from buttress.diagnostics.evaluation import choose, draw_with_density, evaluating
from buttress.diagnostics.passes import Block, count, passes, prior_of
from buttress.diagnostics.protocol import Batches, Model
from buttress.diagnostics.thresholds import ERRORS, NEAR_CEILING
from buttress.distributions.inspect import log_density
from buttress.distributions.rows import in_double, parameters
from buttress.runtime.randomness import noise

__all__ = ["Information", "aggregate_kl", "beside_rate", "densities", "information", "mutual_information"]

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
        0 0
    """

    mutual_information: Estimate
    aggregate_kl: Estimate


def information(
    model: Model,
    batches: Batches,
    *,
    examples: int | None = 5000,
    samples: int = 1,
    seed: int = 0,
    within: Int[Tensor, " N"] | None = None,
) -> Information:
    """Split the rate into mutual information and the mismatch of the aggregated posterior.

    Args:
        model: Keeps the protocol.
        batches: Held-out data.
        examples: N, at most: a random choice of the data where there is more. None for all.
        samples: Samples of z per example.
        seed: Of the choice and the noise.
        within: Group of each example, such as its class: each is compared with its own group only, which measures what
            z tells beyond the group. Examples of a negative number are left out.

    Example:
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model = LinearGaussian(torch.ones(2, 1).double(), torch.zeros(2).double(), 1.0)
        >>> found = information(model.vae(), [model.sample(2000)[0]])  # q is exact: ln(3) / 2 = 0.549, and q(z) = p(z)
        >>> print(found.mutual_information, "of", round(found.mutual_information.ceiling, 2))
        0.53 ± 0.02 of 7.6
    """
    with evaluating(model, seed) as asked:
        keep = choose(count(batches), examples, seed)
        group = _group(within, keep)
        keep = keep if group is None else _members(keep, group)
        seen = list(passes(asked, batches, keep=keep))
        aggregate = Aggregate(seen, None if group is None else group[group >= 0])
        rows = [
            (log_q.mean(0), marginal.mean(0), log_density(block.prior, z).double().mean(0))
            for block, z, log_q, marginal in densities(aggregate, samples, seed)
        ]
    own, marginal, at_prior = (torch.cat(column).cpu() for column in zip(*rows, strict=True))
    how = "Monte Carlo" if aggregate.counts is None else "counting equal codes"
    near = (own - marginal).mean().item() > aggregate.ceiling - NEAR_CEILING
    sizes = f"N = {aggregate.n}" + ("" if group is None else f" in {aggregate.groups} groups of an equal condition")
    return Information(
        mean(own - marginal, how, aggregate.ceiling, sizes + "; at its ceiling: a lower bound" * near),
        mean(
            marginal - at_prior,
            how,
            note=sizes + "; an upper bound, as mutual information is at its ceiling" * near,
        ),
    )


def _group(within: Int[Tensor, " N"] | None, keep: Int[Tensor, " M"] | None) -> Int[Tensor, " M"] | None:
    """Groups of the examples looked at, where enough of them have company."""
    return None if within is None else large_groups(within if keep is None else within[keep])


def _members(keep: Tensor | None, group: Int[Tensor, " M"]) -> Int[Tensor, " L"]:
    """Numbers of the examples that are in a group."""
    numbers = torch.arange(len(group)) if keep is None else keep
    return numbers[group >= 0]


def densities(
    aggregate: Aggregate, samples: int, seed: int
) -> Iterator[tuple[Block, Tensor, Float[Tensor, "S B"], Float[Tensor, "S B"]]]:
    """Block by block: samples z of q, log q(z|x) and log q_N(z) of each, in nats.

    Example:
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> blocks = list(passes(LinearGaussian.random(dims=3, latents=1).vae(), [torch.zeros(5, 3)]))
        >>> [z.shape for _, z, _, _ in densities(Aggregate(blocks), samples=2, seed=0)]
        [torch.Size([2, 5, 1])]
    """
    first = 0
    for block in aggregate.blocks:
        z, log_q = draw_with_density(in_double(block.q), block.index, samples, seed, "information")
        own = torch.arange(first, first + len(block))
        first += len(block)
        e = noise(block.index, samples, z.shape[2:], seed, "information") if aggregate.normals else None
        mixed = aggregate.log_prob(z, own, log_q, e)
        yield block, z.to(_dtype(block.q, z)), log_q, mixed


def _dtype(q: Distribution, z: Tensor) -> torch.dtype:
    """That of a model's own z, for codes and for real numbers."""
    found = parameters(q)
    real = [value.dtype for value in found.tensors.values()] if found is not None and z.is_floating_point() else []
    return real[0] if real else z.dtype


def mutual_information(
    model: Model, batches: Batches, *, examples: int | None = 5000, samples: int = 1, seed: int = 0
) -> Estimate:
    """I_q(x; z) in nats, see :func:`information`.

    Example:
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model = LinearGaussian(torch.zeros(2, 1).double(), torch.zeros(2).double(), 1.0)  # x does not depend on z
        >>> print(mutual_information(model.vae(), [model.sample(100)[0]]))
        0
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


@estimator("mutual information")
def measure(subject: Subject) -> dict[str, Estimate]:
    """Both halves of the rate; of a conditional model what z tells beyond what is given."""
    found = information(
        subject.model,
        subject.data,
        examples=subject.settings["mi_examples"],
        seed=subject.seed,
        within=subject.within,
    )
    information_, mismatch = found.mutual_information, found.aggregate_kl
    if subject.conditions:
        information_, mismatch = _beyond(subject, information_, mismatch)
    return {
        "mutual_information": beside_rate(information_, subject.estimates["rate"]),
        "aggregate_kl": mismatch,
    }


def _beyond(subject: Subject, found: Estimate, mismatch: Estimate) -> tuple[Estimate, Estimate]:
    """What the two halves are, where the model is conditional."""
    names = ", ".join(subject.conditions)
    if "groups" in found.note:
        return replace(found, note=f"{found.note}: what z tells beyond {names}"), mismatch
    why = f"{names} has too many values to compare examples of an equal one"
    found = replace(
        found,
        note=f"{found.note}; of z with x and {names} together, which bounds what z tells beyond "
        f"{names} from above: {why}",
    )
    if prior_of(subject.model, subject.data).batch_shape:
        return found, Estimate(None, None, mismatch.n, mismatch.method, note=f"the prior differs by example, and {why}")
    return found, mismatch

r"""What an example costs whoever knows a similar one already, of models whose p(z) is a mean of p(z|c) over codes c.

$$ R_\text{unordered} = \frac1K \sum_{c \text{ near } x} \mathrm{KL}(q(z|x) \| p(z|c)), \qquad
   R_\text{mixture} = \mathrm{KL}\Bigl(q(z|x) \Big\| \frac1K \sum_{c \text{ near } x} p(z|c)\Bigr) $$

with c among the codes of training examples. The ordered rate is that of the held-out examples sent one after the other,
each told the code of the one before, in an order in which each is followed by the nearest that had no turn yet:

$$ R_\text{ordered} = \frac1N \sum_i \mathrm{KL}(q(z|x_i) \| p(z|c_{i-1})), \qquad
   \text{the first one under } p(z) $$

None of them is a bound on log p(x): which code is near must be known (up to log N of them nats), or the order, in which
N examples say up to log N! nats together. So they stand beside ``rate`` and ``elbo``, which are those of p(z), and are
compared with each other alone.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from buttress.core.prior import NeighbourPriorModule
from buttress.diagnostics.estimate import Estimate, mean
from buttress.diagnostics.estimator import Subject, estimator
from buttress.diagnostics.evaluation import draw_with_density, evaluating
from buttress.diagnostics.passes import passes
from buttress.distributions.inspect import log_density, mean_of
from buttress.nn.neighbours import greedy_tour

__all__ = ["conditional_rates"]

SAMPLES = 10
"""Of z for each example: the rate under a mixture is noisy."""


def conditional_rates(
    subject: Subject, prior: NeighbourPriorModule, samples: int = SAMPLES
) -> dict[str, Float[Tensor, " N"]]:
    """The three rates of each example, in nats: "unordered", "mixture" and "ordered".

    Args:
        subject: What is measured; q has a mean.
        prior: Of the model.
        samples: Of z for each example.
    """
    found: dict[str, list[Tensor]] = {"unordered": [], "mixture": []}
    centers: list[Tensor] = []
    drawn: list[Tensor] = []
    densities: list[Tensor] = []
    with evaluating(subject.model, subject.seed) as asked:
        for block in passes(asked, subject.data):
            center = mean_of(block.q)
            assert center is not None  # a prior of codes takes the means for codes
            z, log_q = draw_with_density(block.q, block.index, samples, subject.seed, "neighbours")
            each = _log_prior(prior.of_code(prior.near(center.flatten(1))), z[:, :, None])
            found["unordered"].append((log_q - each.mean(-1)).mean(0))
            found["mixture"].append((log_q - each.logsumexp(-1) + math.log(each.shape[-1])).mean(0))
            for kept, value in ((centers, center.flatten(1)), (drawn, z), (densities, log_q)):
                kept.append(value)
        codes, z, log_q = torch.cat(centers), torch.cat(drawn, 1), torch.cat(densities, 1)
        tour = greedy_tour(codes)
        z, log_q = z[:, tour], log_q[:, tour]
        told = _log_prior(prior.of_code(codes[tour[:-1]]), z[:, 1:])
        ordered = (log_q - torch.cat([_log_prior(asked.prior(), z[:, :1]), told], 1)).mean(0)
    return {**{name: torch.cat(parts) for name, parts in found.items()}, "ordered": ordered}


def _log_prior(p: Distribution, z: Tensor) -> Tensor:
    return log_density(p, z).double()


@estimator("active units")  # after the distortion
def measure(subject: Subject) -> dict[str, Estimate]:
    """The three, and with the distortion what an example costs in all."""
    prior = getattr(subject.model.model, "prior", None)
    if not isinstance(prior, NeighbourPriorModule) or not subject.model.density:
        return {}
    distortion = subject.estimates["distortion"]
    costs: dict[str, Estimate] = {}
    for name, rates in conditional_rates(subject, prior).items():
        rate = mean(rates.cpu(), "Monte Carlo", note="not i.i.d.: a neighbour's code is known")
        costs |= {f"{name}_rate": rate, f"{name}_cost": _sum(rate, distortion)}
    return costs


def _sum(rate: Estimate, distortion: Estimate) -> Estimate:
    """Both together; the error is at most the sum of theirs, however they hang together."""
    if rate.value is None or distortion.value is None:
        return Estimate(None, None, rate.n, rate.method, note="the rate or the distortion is not known")
    error = None if rate.error is None or distortion.error is None else rate.error + distortion.error
    return Estimate(rate.value + distortion.value, error, rate.n, rate.method, note=rate.note)

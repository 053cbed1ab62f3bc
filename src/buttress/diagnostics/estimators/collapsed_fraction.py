r"""Which factors of z say next to nothing, for nearly every x: the definition of Lucas et al. 2019, for every epsilon.

$$ j \text{ is } (\epsilon, \delta)\text{-collapsed} \iff P_x[\mathrm{KL}_j(x) < \epsilon] \ge 1 - \delta
   \iff \epsilon > \epsilon_j $$

where $\epsilon_j$, the critical rate of j, is the $(1 - \delta)$ quantile of $\mathrm{KL}_j$ over the N examples: the
value of rank $\lfloor \delta N \rfloor + 1$ from the top. So G numbers hold the share that is collapsed for every
epsilon.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from buttress.diagnostics.estimate import Estimate
from buttress.diagnostics.estimator import Subject, estimator
from buttress.diagnostics.estimators.rate import exact_kl
from buttress.diagnostics.evaluation import evaluating
from buttress.diagnostics.passes import count, passes
from buttress.diagnostics.protocol import Batches, Model
from buttress.diagnostics.thresholds import COLLAPSED_DELTA, COLLAPSED_EPSILON
from buttress.distributions.inspect import is_uniform

__all__ = ["collapsed_fraction", "critical_rates"]


def critical_rates(
    model: Model, batches: Batches, *, delta: float = COLLAPSED_DELTA, seed: int = 0
) -> Float[Tensor, " G"] | str:
    """The epsilon in nats above which each factor of z is collapsed; why there is none, where q and p do not say.

    Memory holds the largest delta N rates of each factor, and no more.

    Args:
        model: Keeps the protocol.
        batches: Held-out data, all of which is used.
        delta: Share of the examples that may be above epsilon.
        seed: Of nothing here but the model's own noise, if it has any.

    Example:
        >>> from types import SimpleNamespace
        >>> from torch.distributions import Independent, Normal
        >>> model = SimpleNamespace(
        ...     posterior=lambda x: Independent(Normal(x, 1.0), 1),
        ...     prior=lambda: Independent(Normal(torch.zeros(1), 1.0), 1),
        ...     log_likelihood=lambda x, z: torch.zeros(z.shape[:2]),
        ... )
        >>> x = torch.linspace(0, 2, 101)[:, None]  # KL = x^2 / 2, and one of 101 examples may be above
        >>> round(critical_rates(model, [x]).item(), 4), round(1.98**2 / 2, 4)
        (1.9602, 1.9602)
    """
    allowed = math.floor(delta * count(batches) + 1e-9)
    largest: Tensor | None = None
    with evaluating(model, seed) as asked:
        for block in passes(asked, batches):
            if is_uniform(block.prior):
                return "under a uniform prior every code costs log K, whatever it is; see active units"
            rate = exact_kl(block.q, block.prior)
            if rate is None:
                return "q and p have no closed-form rate"
            rows = rate.reshape(len(block), -1)
            rows = rows if largest is None else torch.cat([largest, rows])
            largest = rows.topk(min(allowed + 1, len(rows)), 0).values
    assert largest is not None  # there are examples
    return largest[-1].cpu()


def collapsed_fraction(
    model: Model,
    batches: Batches,
    *,
    epsilon: float = COLLAPSED_EPSILON,
    delta: float = COLLAPSED_DELTA,
    seed: int = 0,
) -> Estimate:
    """The share of latent factors whose rate is below epsilon nats for at least 1 - delta of the examples.

    It looks at every example, so a factor that is in use for one example in fifty is not collapsed. Where z is discrete
    and the prior uniform, every code costs log K, so there the rate cannot tell.

    Args:
        model: Keeps the protocol.
        batches: Held-out data, all of which is used.
        epsilon: In nats, for each factor.
        delta: Share of the examples that may be above it.
        seed: Of nothing here but the model's own noise, if it has any.

    Example:
        >>> import torch
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> weight = torch.tensor([[1.0, 0.0], [1.0, 0.0]]).double()  # the second coordinate of z reaches nothing
        >>> model = LinearGaussian(weight, torch.zeros(2).double(), 1.0)
        >>> collapsed_fraction(model.vae(), [model.sample(100)[0]]).value
        0.5
    """
    return _share(critical_rates(model, batches, delta=delta, seed=seed), count(batches), epsilon, delta)


def _share(critical: Float[Tensor, " G"] | str, n: int, epsilon: float, delta: float) -> Estimate:
    if isinstance(critical, str):
        return Estimate(None, None, n, "closed form", note=critical)
    share = (critical < epsilon).double().mean().item()
    return Estimate(share, None, n, "closed form", 1.0, f"epsilon = {epsilon} nats, delta = {delta}")


@estimator("active units")
def measure(subject: Subject) -> dict[str, Estimate]:
    """The share of collapsed factors at the usual epsilon; the curve goes into the numbers of each group."""
    critical = critical_rates(subject.model, subject.data, seed=subject.seed)
    if not isinstance(critical, str):
        subject.kept["critical_rates"] = critical
    found = _share(critical, count(subject.data), COLLAPSED_EPSILON, COLLAPSED_DELTA)
    return {"collapsed_fraction": found}

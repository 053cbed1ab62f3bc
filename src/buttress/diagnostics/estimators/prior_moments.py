r"""How far all q together are from the prior, at least: from the moments of q(z), which need no pairs of examples.

For $p = \prod_j N(m_j, s_j^2)$ and $g_j$ the normal with the mean $a_j$ and variance $v_j$ of q(z) along coordinate j,

$$ \mathrm{KL}(q(z) \| p) = \mathrm{KL}\Bigl(q(z) \Big\| \prod_j g_j\Bigr) + \sum_j \mathrm{KL}(g_j \| p_j)
   \ge \sum_j \mathrm{KL}(g_j \| p_j), $$

since $\log g_j / p_j$ is a polynomial of second degree in $z_j$, whose mean is the same under q(z) and under $g_j$.
R - I bounds the same number from above where information is at its ceiling of log N, so only the two together say
anything there. A prior with correlations is whitened first. The sum of N examples' plug-in estimate is too large by
about 1/N for each coordinate, which is taken off; its error is that of its influence function,

$$ \tfrac12 \Bigl(1 - \frac{1}{v_j}\Bigr) \bigl((\mu_j - a_j)^2 + \sigma_j^2 - v_j\bigr) + a_j (\mu_j - a_j) $$

in units of the prior.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from buttress.diagnostics.estimate import Estimate, mean
from buttress.diagnostics.estimator import Subject, estimator
from buttress.diagnostics.evaluation import evaluating
from buttress.diagnostics.passes import passes
from buttress.diagnostics.protocol import Batches, Model
from buttress.diagnostics.thresholds import NEAR_CEILING
from buttress.distributions.inspect import multivariate_normal, normal

__all__ = ["aggregate_kl_at_least"]


def aggregate_kl_at_least(model: Model, batches: Batches, *, seed: int = 0) -> Estimate | None:
    """A lower bound of KL(q(z) || p(z)) in nats; None where q is no product of normals, or p no normal.

    Args:
        model: Keeps the protocol.
        batches: Held-out data, all of which is used.
        seed: Of nothing here but the model's own noise, if it has any.

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> from buttress.diagnostics.protocol import Adapter
        >>> far = Adapter(
        ...     posterior=lambda x: Independent(Normal(torch.full((len(x), 1), 3.0), 1.0), 1),
        ...     prior=lambda: Independent(Normal(torch.zeros(1), 1.0), 1),
        ...     log_likelihood=lambda x, z: torch.zeros(z.shape[:2]),
        ... )
        >>> print(aggregate_kl_at_least(far, [torch.zeros(2000, 1)]))  # KL(N(3, 1) || N(0, 1)) = 9 / 2
        4.5
    """
    rows = []
    with evaluating(model, seed) as asked:
        for block in passes(asked, batches):
            if (found := _in_units_of_prior(block.q, block.prior)) is None:
                return None
            rows.append(found)
    loc, variance = (torch.cat(column).cpu() for column in zip(*rows, strict=True))
    a = loc.mean(0)
    v = (loc - a).square().mean(0) + variance.mean(0)
    whole = 0.5 * (v + a.square() - 1 - v.log()) - 1 / len(loc)
    each = 0.5 * (1 - 1 / v) * ((loc - a).square() + variance - v) + a * (loc - a)
    note = "a lower bound of KL(q(z) || p(z)), from the moments of q(z) alone"
    return mean(whole.sum() + each.sum(1), "closed form", note=note)


def _in_units_of_prior(q: Distribution, p: Distribution) -> tuple[Float[Tensor, "B J"], Float[Tensor, "B J"]] | None:
    """Mean and variance of q along the axes of a prior that is turned into N(0, I)."""
    own, plain, full = normal(q), normal(p), multivariate_normal(p)
    if own is None:
        return None
    loc, variance = own.loc.double().flatten(1), own.scale.double().square().flatten(1)
    if plain is not None:
        middle, scale = (value.double().reshape(-1, loc.shape[1]) for value in (plain.loc, plain.scale))
        return (loc - middle) / scale, variance / scale.square()
    if full is None or full.loc.shape[-1:] != loc.shape[1:]:
        return None
    root = torch.linalg.inv(full.scale_tril.double())
    return (root @ (loc - full.loc.double())[..., None])[..., 0], (root.square() @ variance[..., None])[..., 0]


@estimator("mutual information")
def measure(subject: Subject) -> dict[str, Estimate]:
    """The bound, where information is at its ceiling and leaves R - I unknown."""
    information = subject.estimates.get("mutual_information")
    if information is None or information.value is None or information.ceiling is None:
        return {}
    if information.value <= information.ceiling - NEAR_CEILING:
        return {}
    found = aggregate_kl_at_least(subject.model, subject.data, seed=subject.seed)
    return {} if found is None else {"aggregate_kl_at_least": found}

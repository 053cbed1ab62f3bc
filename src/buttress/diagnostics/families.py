r"""What can be known about a pair q(z|x), p(z) from their families alone.

$$ \mathrm{KL}\Bigl(\prod_j q_j \Big\| \prod_j p_j\Bigr) = \sum_j \mathrm{KL}(q_j \| p_j), \qquad
   N(\mu, LL^\top): z = \mu + L \epsilon $$
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal, kl_divergence

from buttress.point import Point

__all__ = ["closed_form_kl", "factors", "mean_of", "multivariate_normal", "normal"]


def factors(q: Distribution) -> Distribution:
    """The independent factors that q is a product of: q itself where it does not say.

    Example:
        >>> factors(Independent(Normal(torch.zeros(3, 2), 1.0), 1)).batch_shape
        torch.Size([3, 2])
    """
    while isinstance(q, Independent):
        q = q.base_dist
    return q


def normal(q: Distribution) -> Normal | None:
    """The univariate normals that q is a product of, shape (*batch, *event), or None."""
    base = factors(q)
    return base if type(base) is Normal else None


def multivariate_normal(q: Distribution) -> MultivariateNormal | None:
    """q as a multivariate normal, if it is one and its event is a vector."""
    if type(q) is MultivariateNormal:
        return q
    if (base := normal(q)) is not None and len(q.event_shape) == 1:
        return MultivariateNormal(base.loc, scale_tril=torch.diag_embed(base.scale), validate_args=False)
    return None


def closed_form_kl(q: Distribution, p: Distribution) -> Float[Tensor, "B *rest"] | None:
    """KL(q || p) in nats for each factor, shape (B, *factors), or None where the pair has no closed form.

    Where the pair is not a product of the same factors but both are Gaussian, or q is a point, it is one number an
    example, shape (B,).

    Example:
        >>> q = Independent(Normal(torch.ones(3, 2), 1.0), 1)
        >>> closed_form_kl(q, Independent(Normal(torch.zeros(2), 1.0), 1))[0].tolist()
        [0.5, 0.5]
    """
    one, other = factors(q), factors(p)
    if one.event_shape == other.event_shape:  # and so, q and p having one event shape, the same factors
        try:
            return kl_divergence(one, other.expand(one.batch_shape))
        except NotImplementedError:
            return None
    if type(one) is Point:
        return -p.log_prob(one.value)
    whole, simple = multivariate_normal(q), multivariate_normal(p)
    return kl_divergence(whole, simple) if whole is not None and simple is not None else None


def mean_of(q: Distribution) -> Float[Tensor, "B *event"] | None:
    """E_q[z], or None where the family does not know it."""
    try:
        middle = q.mean
    except (NotImplementedError, AttributeError):
        return None
    return middle if torch.isfinite(middle).all() else None

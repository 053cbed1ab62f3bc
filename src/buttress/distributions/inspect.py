r"""What can be known about a pair q(z|x), p(z) from their families alone.

$$ \mathrm{KL}\Bigl(\prod_j q_j \Big\| \prod_j p_j\Bigr) = \sum_j \mathrm{KL}(q_j \| p_j), \qquad
   N(\mu, LL^\top): z = \mu + L \epsilon $$

A point q(z|x) = 1 at z = c(x), the q of a deterministic code, costs $-\log p(c)$ whatever p is.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from torch.distributions import (
    Categorical,
    Distribution,
    Independent,
    LowRankMultivariateNormal,
    MultivariateNormal,
    Normal,
    kl_divergence,
)

from buttress.distributions.ar1 import AR1
from buttress.distributions.point import Point

__all__ = [
    "categorical",
    "closed_form_kl",
    "factors",
    "is_discrete",
    "is_uniform",
    "log_density",
    "mean_of",
    "multivariate_normal",
    "normal",
    "point",
    "within",
]


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
    """The univariate normals that q is a product of, shape (*batch, *event), or None.

    Example:
        >>> normal(Independent(Normal(torch.zeros(3, 2), 1.0), 1)), normal(Categorical(torch.ones(2)))
        (Normal(loc: torch.Size([3, 2]), scale: torch.Size([3, 2])), None)
    """
    base = factors(q)
    return base if type(base) is Normal else None


def point(q: Distribution) -> Int[Tensor, "*batch_and_event"] | None:
    """The integers that q has all its mass on, shape (*batch, *event), or None where it is no such point.

    Example:
        >>> point(Independent(Point(torch.tensor([[3, 1]])), 1)).tolist()
        [[3, 1]]
    """
    base = factors(q)
    return base.value if type(base) is Point else None


def categorical(q: Distribution) -> Categorical | None:
    """The categorical distributions that q is a product of, or None.

    Example:
        >>> categorical(Independent(Categorical(torch.ones(3, 8)), 1)).logits.shape
        torch.Size([3, 8])
    """
    base = factors(q)
    return base if type(base) is Categorical else None


def is_discrete(q: Distribution) -> bool:
    """Whether q is known to be over codes: integers whose size means nothing.

    Example:
        >>> is_discrete(Independent(Point(torch.tensor([[3, 1]])), 1)), is_discrete(Normal(0.0, 1.0))
        (True, False)
    """
    return point(q) is not None or categorical(q) is not None


def is_uniform(p: Distribution) -> bool:
    """Whether p is uniform over codes, so that each that is possible at a place costs the same.

    Example:
        >>> is_uniform(Independent(Categorical(torch.ones(2, 8)), 1)), is_uniform(Normal(0.0, 1.0))
        (True, False)
    """
    base = categorical(p)
    if base is None:
        return False
    below = base.logits.amax(-1, keepdim=True) - base.logits
    return bool(((below < 1e-6) | (below == torch.inf)).all())


def multivariate_normal(q: Distribution) -> MultivariateNormal | None:
    """q as a multivariate normal, if it is one and its event is a vector.

    Example:
        >>> q = Independent(Normal(torch.zeros(2), torch.tensor([1.0, 3.0])), 1)
        >>> multivariate_normal(q).covariance_matrix.tolist()
        [[1.0, 0.0], [0.0, 9.0]]
    """
    if type(q) is MultivariateNormal:
        return q
    if type(q) is LowRankMultivariateNormal:
        return MultivariateNormal(q.loc, q.covariance_matrix, validate_args=False)
    if (base := normal(q)) is not None and len(q.event_shape) == 1:
        return MultivariateNormal(base.loc, scale_tril=torch.diag_embed(base.scale), validate_args=False)
    return None


def closed_form_kl(q: Distribution, p: Distribution) -> Float[Tensor, "B *rest"] | None:
    """KL(q || p) in nats for each factor, shape (B, *factors), or None where the pair has no closed form.

    Where the pair is not a product of the same factors but both are Gaussian, or q is a point, it is one number an
    example, shape (B,); for a point under an autoregressive p that offers ``log_prob_by_group`` (log p of each group
    given those before it) it is one for each group.

    Example:
        >>> q = Independent(Normal(torch.ones(3, 2), 1.0), 1)
        >>> closed_form_kl(q, Independent(Normal(torch.zeros(2), 1.0), 1))[0].tolist()
        [0.5, 0.5]
    """
    one, other = factors(q), factors(p)
    if (codes := point(q)) is not None:
        return _cost(codes, q, p)
    if one.event_shape == other.event_shape:  # and so, q and p having one event shape, the same factors
        try:
            return kl_divergence(one, other.expand(one.batch_shape))
        except NotImplementedError:
            return None
    if type(p) is AR1 and (base := normal(q)) is not None:
        return p.kl_from(base)
    whole, simple = multivariate_normal(q), multivariate_normal(p)
    return kl_divergence(whole, simple) if whole is not None and simple is not None else None


def _cost(codes: Int[Tensor, "B *event"], q: Distribution, p: Distribution) -> Float[Tensor, "B *rest"]:
    """-log p of codes, split as far as p allows."""
    if factors(p).event_shape == factors(q).event_shape:
        return -factors(p).log_prob(codes)
    by_group = getattr(p, "log_prob_by_group", None)
    return -p.log_prob(codes) if by_group is None else -by_group(codes).reshape(len(codes), -1)


def mean_of(q: Distribution) -> Float[Tensor, "B *event"] | None:
    """E_q[z], or None where the family does not know it.

    Example:
        >>> mean_of(Normal(torch.tensor([2.0]), 1.0)), mean_of(torch.distributions.Cauchy(0.0, 1.0))
        (tensor([2.]), None)
    """
    try:
        middle = q.mean
    except (NotImplementedError, AttributeError):
        return None
    return middle if torch.isfinite(middle).all() else None


def within(q: Distribution, z: Shaped[Tensor, "*rest"]) -> Bool[Tensor, "*batch"] | None:
    """Whether each z is in the support of q, or None where q does not say what that is.

    Example:
        >>> from torch.distributions import Uniform
        >>> within(Uniform(0.0, 1.0), torch.tensor([0.5, 2.0])).tolist()
        [True, False]
    """
    try:
        support = q.support
    except (NotImplementedError, AttributeError):
        return None
    return None if support is None else support.check(z)


def log_density(q: Distribution, z: Shaped[Tensor, "*rest"]) -> Float[Tensor, "*batch"]:
    """log q(z) in nats, minus infinity outside the support, of which PyTorch's own ``log_prob`` refuses to speak.

    Example:
        >>> from torch.distributions import Uniform
        >>> log_density(Uniform(0.0, 1.0), torch.tensor([0.5, 2.0])).tolist()
        [0.0, -inf]
    """
    inside = within(q, z)
    if inside is None or inside.all():
        return q.log_prob(z)
    allowed = torch.where(inside[(..., *[None] * len(q.event_shape))], z, q.sample())
    return q.log_prob(allowed).masked_fill(~inside, -torch.inf)

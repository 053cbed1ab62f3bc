r"""q(z|x) = N(mu, diag(sigma^2)), with log sigma^2 kept between bounds by a smooth map.

$$ z = \mu + \sigma \epsilon, \quad \epsilon \sim N(0, I), \qquad
   \mathrm{KL}_j = \tfrac12 (\mu_j^2 + \sigma_j^2 - 1 - \log \sigma_j^2) \text{ against } N(0, 1) $$
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from buttress.core import Posterior, PosteriorModule
from buttress.core.posterior import group_names
from buttress.core.records import Latent
from buttress.distributions.ar1 import AR1
from buttress.distributions.diagonal_mixture import DiagonalMixture
from buttress.nn.layers import bounded, full
from buttress.runtime.randomness import draw

__all__ = ["GaussianPosterior", "GaussianPosteriorModule", "latent_at", "within"]


@dataclass(frozen=True)
class GaussianPosterior(Posterior):
    """Diagonal Gaussian with a bounded log-variance.

    Source: Kingma and Welling, Auto-Encoding Variational Bayes, 2014. The bounds are ours: an unbounded log-variance
    becomes NaN after hours. With a constant variance and linear encoder and decoder it is the linear VAE of Lucas et
    al., Don't Blame the ELBO!, 2019, whose optimum is that of probabilistic PCA.

    Args:
        dim: Number of latent dimensions D, at each place where the encoder gives features for several.
        min_log_variance: Lower bound of log sigma^2, in log nats of variance.
        max_log_variance: Upper bound of the same.
        bias: Whether mean and log-variance have a part that is the same for every x. Without one a mean away from 0
            says something about x: what all x share must come from h.
        variance: "per_example", sigma^2 depends on x; "constant", it is one learned number for each dimension, the same
            for every x, so that q(z|x) = N(mu(x), D); "unit", it is 1, so that z says more only by spreading its means.

    Example:
        >>> q = GaussianPosterior(dim=2, bias=False).build(features=5)(torch.zeros(7, 5))
        >>> q.batch_shape, q.event_shape
        (torch.Size([7]), torch.Size([2]))
        >>> q.mean[0].tolist(), q.variance[0].tolist()  # h = 0 says nothing of x, and so q is N(0, I)
        ([0.0, 0.0], [1.0, 1.0])
    """

    dim: int = 16
    min_log_variance: float = -12.0
    max_log_variance: float = 8.0
    bias: bool = True
    variance: Literal["per_example", "constant", "unit"] = "per_example"

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if self.dim < 1:
            raise ValueError(f"gaussian posterior: dim is {self.dim}, wanted at least 1")
        if not self.min_log_variance < 0 < self.max_log_variance:
            raise ValueError(
                f"gaussian posterior: log-variance bounds are {self.min_log_variance} and {self.max_log_variance}; "
                "wanted one below 0 and one above, so that q can equal the prior"
            )

    @classmethod
    def tiny(cls) -> tuple[GaussianPosterior, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(dim=2), cls(dim=2, variance="constant"))

    def build(self, features: int, places: tuple[int, ...] = ()) -> GaussianPosteriorModule:
        """See :class:`buttress.core.Posterior`."""
        return GaussianPosteriorModule(self, features, places)


class GaussianPosteriorModule(PosteriorModule):
    """The module of :class:`GaussianPosterior`.

    Example:
        >>> module = GaussianPosterior(dim=1, bias=False).build(features=3, places=(2,))
        >>> module.groups
        ('z0_0', 'z1_0')
        >>> prior = Independent(Normal(torch.zeros(2, 1), 1.0), 2)
        >>> module.latent(torch.zeros(1, 2, 3), prior).rate  # h = 0 says nothing: q is the prior
        tensor([[0., 0.]], grad_fn=...)
    """

    def __init__(self, part: GaussianPosterior, features: int, places: tuple[int, ...]) -> None:
        super().__init__()
        self.bounds = (part.min_log_variance, part.max_log_variance)
        self.z_shape = (*places, part.dim)
        self.linear = nn.Linear(features, part.dim * (2 if part.variance == "per_example" else 1), bias=part.bias)
        self.log_variance = nn.Parameter(torch.zeros(part.dim)) if part.variance == "constant" else None
        self.groups = group_names(self.z_shape)

    def normal(self, h: Float[Tensor, "B *places F"], check: bool | None = None) -> Normal:
        """The distribution of every dimension apart, in float32 at least, whatever the precision around it."""
        mean, *raw = full(self.linear(h)).split(self.z_shape[-1], -1)
        if not raw:
            raw = [torch.zeros_like(mean) if self.log_variance is None else full(self.log_variance)]
        return Normal(mean, (0.5 * bounded(raw[0], *self.bounds)).exp(), validate_args=check)

    def forward(self, h: Float[Tensor, "B *places F"], valid: Bool[Tensor, "B *places"] | None = None) -> Distribution:
        """See :class:`buttress.core.PosteriorModule`."""
        return Independent(within(self.normal(h), valid), len(self.z_shape))

    def latent(
        self,
        h: Float[Tensor, "B *places F"],
        prior: Distribution,
        samples: int = 1,
        valid: Bool[Tensor, "B *places"] | None = None,
    ) -> Latent:
        """See :class:`buttress.core.PosteriorModule`."""
        q = within(self.normal(h, check=False), valid)  # the loss is checked in training, once is enough
        return latent_at(q, prior, draw(torch.randn, (samples, *q.loc.shape), batch_dim=1))


def within(q: Normal, valid: Bool[Tensor, "B *places"] | None) -> Normal:
    """q where ``valid``, and N(0, 1) at places beyond an example's true length.

    Example:
        >>> q = within(Normal(torch.ones(1, 2, 1), 0.5), torch.tensor([[True, False]]))
        >>> q.loc.flatten().tolist(), q.scale.flatten().tolist()
        ([1.0, 0.0], [0.5, 1.0])
    """
    if valid is None:
        return q
    mask = valid[..., None]
    return Normal(torch.where(mask, q.loc, 0.0), torch.where(mask, q.scale, 1.0), validate_args=False)


def latent_at(q: Normal, prior: Distribution, noise: Float[Tensor, "S B *event"]) -> Latent:
    """What q, with batch shape (B, *event), says at z = mu + sigma epsilon.

    Example:
        >>> from torch.distributions import Independent
        >>> q, prior = Normal(torch.ones(1, 2), 1.0), Independent(Normal(torch.zeros(2), 1.0), 1)
        >>> latent = latent_at(q, prior, noise=torch.zeros(1, 1, 2))
        >>> latent.z, latent.kl
        (tensor([[[1., 1.]]]), tensor([[0.5000, 0.5000]]))
    """
    noise = noise.to(q.loc)
    z = torch.addcmul(q.loc, q.scale, noise)
    if isinstance(prior, Independent) and isinstance(prior.base_dist, Normal):
        ratio, kl = _from_normal(q, prior.base_dist, noise)
        return Latent(z, ratio.flatten(2), kl.flatten(1))
    total = q.log_prob(z).flatten(2).sum(-1) - prior.log_prob(z)
    whole: Tensor | None = prior.kl_from(q) if isinstance(prior, AR1 | DiagonalMixture) else None
    return Latent(z, total[..., None], None if whole is None else whole[:, None])


def _from_normal(q: Normal, p: Normal, noise: Float[Tensor, "S B *event"]) -> tuple[Tensor, Tensor]:
    r"""log q(z) - log p(z) at z = mu + sigma epsilon, and KL(q || p), of every dimension.

    With $m = (\mu - \mu_p) / \sigma_p$ and $s = \sigma / \sigma_p$ both share log s, where ``log_prob`` and
    ``kl_divergence`` would take each its own: $\tfrac12 ((m + s \epsilon)^2 - \epsilon^2) - \log s$ and
    $\tfrac12 (s^2 + m^2 - 1) - \log s$.
    """
    mean, scale = (q.loc - p.loc) / p.scale, q.scale / p.scale
    log = scale.log()
    z = torch.addcmul(mean, scale, noise)
    ratio = torch.addcmul(z * z, noise, noise, value=-1).mul(0.5).sub(log)
    return ratio, torch.addcmul(scale * scale - 1, mean, mean).mul(0.5).sub(log)

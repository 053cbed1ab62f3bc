r"""What crosses every border: two frozen records, in nats per example.

Letters: S samples of z per example, B examples, G latent groups (dimensions, positions, levels or code slots).

$$ \mathrm{ELBO}(x) =
   \underbrace{E_q \log p(x|z)}_{-\text{distortion}} - \underbrace{\textstyle\sum_g \mathrm{KL}_g}_{\text{rate}}
   \qquad \log w = \log p(x|z) + \log p(z) - \log q(z|x) $$
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["Latent", "Terms"]


@dataclass(frozen=True)
class Latent:
    """What a posterior says about a batch.

    Args:
        z: What the decoder reads, shape (S, B, ...).
        log_ratio: log q(z|x) - log p(z) at ``z`` for each group, in nats, shape (S, B, G).
        kl: The same in expectation and closed form, shape (B, G), or None where the pair of q and p has none.
        codes: Indices of codewords, shape (S, B, G), where z is discrete.
        penalty: Named terms that are not nats (commitment, cosine ...), shape (S, B) each. The algorithm adds them.

    Example:
        >>> import torch
        >>> latent = Latent(z=torch.zeros(4, 1, 2), log_ratio=torch.ones(4, 1, 2))  # S = 4, B = 1, G = 2
        >>> latent.closed_form, latent.rate
        (False, tensor([[1., 1.]]))
    """

    z: Float[Tensor, "S B *event"]
    log_ratio: Float[Tensor, "S B G"]
    kl: Float[Tensor, "B G"] | None = None
    codes: Int[Tensor, "S B G"] | None = None
    penalty: Mapping[str, Float[Tensor, "S B"]] = field(default_factory=dict)

    @property
    def closed_form(self) -> bool:
        """Whether :attr:`rate` is exact rather than a Monte Carlo mean."""
        return self.kl is not None

    @property
    def rate(self) -> Float[Tensor, "B G"]:
        """KL(q(z|x) || p(z)) for each group, in nats: closed form where there is one, else the mean over S."""
        return self.log_ratio.mean(0) if self.kl is None else self.kl

    def whole(self) -> Latent:
        """The same with all groups as one."""
        kl = None if self.kl is None else self.kl.sum(-1, keepdim=True)
        return replace(self, log_ratio=self.log_ratio.sum(-1, keepdim=True), kl=kl)


@dataclass(frozen=True)
class Terms:
    """What a model says about a batch: all that an objective needs.

    Args:
        distortion: -log p(x|z), in nats, shape (S, B).
        latent: The record of the posterior at the same z.

    Example:
        >>> import torch
        >>> latent = Latent(torch.zeros(1, 1, 2), log_ratio=torch.tensor([[[1.0, 3.0]]]), kl=torch.tensor([[0.5, 2.5]]))
        >>> terms = Terms(distortion=torch.tensor([[10.0]]), latent=latent)
        >>> terms.elbo, terms.log_weight  # - D - KL; - D - log q / p at this z
        (tensor([-13.]), tensor([[-14.]]))
    """

    distortion: Float[Tensor, "S B"]
    latent: Latent

    @property
    def elbo(self) -> Float[Tensor, " B"]:
        """The evidence lower bound of each example, in nats."""
        return -self.distortion.mean(0) - self.latent.rate.sum(-1)

    @property
    def log_weight(self) -> Float[Tensor, "S B"]:
        """log w = log p(x, z) - log q(z|x) of every sample, in nats."""
        return -self.distortion - self.latent.log_ratio.sum(-1)

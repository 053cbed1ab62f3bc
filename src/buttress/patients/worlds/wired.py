r"""Modules as people write them, wired right or not, around the weights of a linear-Gaussian model.

``forward`` returns (recon, mu, logvar), with the exact encoder and decoder of the model where nothing else is said, so
that what is wrong is the wiring alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from buttress.diagnostics.reference import LinearGaussian, LinearVAE
from buttress.patients.patient import Case

__all__ = ["Wired", "case", "kl", "squared"]


class Wired(nn.Module):
    """A linear VAE as a module.

    Args:
        vae: Its weights.
        way: From mu, sigma and noise to what the decoder gets, in training and in use.
        read: What ``decode`` does with z before its weights.

    Example:
        >>> from buttress.patients.worlds.linear import factors
        >>> model = Wired(factors(6, [2.0], 0.5).vae())
        >>> [tuple(v.shape) for v in model(torch.zeros(3, 6))]
        [(3, 6), (3, 1), (3, 1)]
    """

    def __init__(
        self,
        vae: LinearVAE,
        way: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda mu, sigma, e: mu + sigma * e,
        read: Callable[[Tensor], Tensor] = lambda z: z,
    ) -> None:
        super().__init__()
        k, d = vae.encoder.shape
        self.encoder, self.decoder = nn.Linear(d, k), nn.Linear(k, d)
        self.logvar = nn.Parameter(vae.spread.log().float())
        self.way, self.read = way, read
        with torch.no_grad():
            self.encoder.weight.copy_(vae.encoder)
            self.encoder.bias.copy_(vae.shift - vae.encoder @ vae.model.mean)
            self.decoder.weight.copy_(vae.model.weight)
            self.decoder.bias.copy_(vae.model.mean)

    def decode(self, z: Tensor) -> Tensor:
        """The reconstruction."""
        found: Tensor = self.decoder(self.read(z))
        return found

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction, mean and log-variance."""
        mu = self.encoder(x)
        logvar = self.logvar.expand_as(mu)
        return self.decode(self.way(mu, (logvar / 2).exp(), torch.randn_like(mu))), mu, logvar


def kl(mu: Tensor, logvar: Tensor) -> Float[Tensor, " B"]:
    """KL(N(mu, exp(logvar)) || N(0, I)).

    Example:
        >>> kl(torch.ones(1, 2), torch.zeros(1, 2)).tolist()
        [1.0]
    """
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1)


def squared(recon: Tensor, x: Tensor, variance: float) -> Float[Tensor, " B"]:
    """-log of a Gaussian density of that variance, without its constant.

    Example:
        >>> squared(torch.ones(1, 2), torch.zeros(1, 2), 0.5).tolist()
        [2.0]
    """
    return (recon - x).square().sum(1) / (2 * variance)


def case(model: nn.Module, made: LinearGaussian, n: int = 600, **settings: Any) -> Case:
    """The module, and rows of the model that it was made of.

    Args:
        model: A :class:`Wired`.
        made: Made the data; its variance is that of the likelihood.
        n: Rows.
        settings: Of the diagnosis.

    Example:
        >>> from buttress.patients.worlds.linear import factors
        >>> made = factors(6, [2.0], 0.5)
        >>> case(Wired(made.vae()), made).settings
        {'likelihood': 'gaussian', 'variance': 0.25}
    """
    return Case(model, [made.sample(n)[0].float()], {"likelihood": "gaussian", "variance": made.variance, **settings})

r"""Sentences of different lengths, of which z tells the length, the words, both or neither, with the exact q.

A sentence has $L \sim N(14 + c z_0, \sigma_L^2)$ words, rounded, and the word at place t is $N(30 + w z_{1 + t \bmod
J}, \sigma^2)$, rounded. So the posterior of each coordinate is normal: of $z_0$ with precision $1 + c^2 / \sigma_L^2$,
of $z_{1+j}$ with $1 + n_j w^2 / \sigma^2$, where $n_j$ of the words are told by it. Behind a sentence there are zeros.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributions import Distribution, Normal

from buttress.diagnostics.protocol import Adapter
from buttress.diagnostics.reference import FAINT
from buttress.patients.worlds.normals import normals, standard

__all__ = ["Stories"]

MIDDLE, LONGEST, SPREAD = 14.0, 30, 3.0
WORD, SIGMA = 30.0, 2.0
PAD = math.log(0.5)
"""What a place behind the end costs in a model that counts padding."""


@dataclass(frozen=True)
class Stories:
    """What z tells of a sentence.

    Args:
        length: c, in words; 0 where z does not tell the length, which then varies all the same.
        words: w, in tokens; 0 where z tells nothing of the words.
        factors: J.
        padding: Whether the log-likelihood counts what is behind the end.

    Example:
        >>> made = Stories(length=3.0)
        >>> made.sample(5).shape, made.model.posterior(made.sample(5)).event_shape
        (torch.Size([5, 30]), torch.Size([2]))
    """

    length: float = 0.0
    words: float = 0.0
    factors: int = 1
    padding: bool = False

    def sample(self, n: int, seed: int = 0) -> Int[Tensor, "N T"]:
        """Sentences of the model itself."""
        own = torch.Generator().manual_seed(seed)
        z = torch.randn(n, 1 + self.factors, generator=own, dtype=torch.float64)
        long = MIDDLE + self.length * z[:, :1] + self._spread * torch.randn(n, 1, generator=own, dtype=torch.float64)
        place = torch.arange(LONGEST)
        noise = SIGMA * torch.randn(n, LONGEST, generator=own, dtype=torch.float64)
        words = (WORD + self.words * z[:, 1 + place % self.factors] + noise).round().clamp(1, 60).long()
        return words * (place < long.round().clamp(2, LONGEST - 2))

    @property
    def model(self) -> Adapter:
        """The model with its exact posterior."""
        dims = 1 + self.factors
        return Adapter(self.posterior, lambda: standard(dims), self.log_likelihood)

    @property
    def _spread(self) -> float:
        """Standard deviation of the length given z."""
        return 1.0 if self.length else SPREAD

    def posterior(self, x: Int[Tensor, "B T"]) -> Distribution:
        """p(z|x)."""
        said = (x > 0).double()
        long = said.sum(1, keepdim=True) - MIDDLE
        precision = 1 + (self.length / self._spread) ** 2
        first = self.length / self._spread**2 * long / precision
        own = torch.nn.functional.one_hot(torch.arange(x.shape[1]) % self.factors, self.factors).double()
        heard = 1 + said @ own * (self.words / SIGMA) ** 2
        others = self.words / SIGMA**2 * ((x.double() - WORD) * said) @ own / heard
        scale = torch.cat([torch.full_like(first, precision), heard], 1).rsqrt()
        return normals(torch.cat([first, others], 1), scale)

    def log_likelihood(self, x: Int[Tensor, "B T"], z: Float[Tensor, "S B J"]) -> Float[Tensor, "S B"]:
        """log p(length|z) + log p(words|length, z)."""
        said = x > 0
        told, words = self.length or FAINT, self.words or FAINT  # a trained decoder never reads exactly nothing
        long = Normal(MIDDLE + told * z[..., 0], self._spread).log_prob(said.sum(1).double())
        place = torch.arange(x.shape[1])
        each = Normal(WORD + words * z[..., 1 + place % self.factors], SIGMA).log_prob(x.double())
        return long + torch.where(said, each, PAD if self.padding else 0.0).sum(-1)

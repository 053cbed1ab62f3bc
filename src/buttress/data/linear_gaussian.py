r"""Synthetic table with known truth: the linear-Gaussian model (probabilistic PCA).

$$ z \sim N(0, I_K), \qquad x = W z + \mu + \sigma \epsilon, \quad \epsilon \sim N(0, I_D) $$
so that $p(x) = N(\mu, W W^\top + \sigma^2 I)$ and everything else is known in closed form.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from buttress.core import Data, Splits
from buttress.data.reading.arrays import Source, open_rows
from buttress.data.reading.memory import Rows, row_name
from buttress.data.reading.split import Division
from buttress.runtime.memory import check_memory

__all__ = ["LinearGaussianData"]


@dataclass(frozen=True)
class LinearGaussianData(Data):
    """Draws from a linear-Gaussian model with random W and mu.

    Source: Lucas et al., Don't Blame the ELBO!, 2019, use this model as the one whose collapse is understood.

    Args:
        dim: Number of columns D.
        latent_dim: Number of latent dimensions K of the truth.
        noise: sigma, the standard deviation around the subspace.
        n: Number of rows.
        seed: Of W, mu and the rows. W and mu do not change with ``n``.
        held_out: Share of rows held out.
        split: By content ("hash") or by position ("seed"). The contents are computed here, and their last bits depend
            on the machine; positions do not.
        split_seed: Another seed gives another split.

    Example:
        >>> data = LinearGaussianData(dim=3, latent_dim=1, n=100)
        >>> data.open().spec.shape, data.weight.shape
        ((3,), torch.Size([3, 1]))
    """

    dim: int = 8
    latent_dim: int = 2
    noise: float = 0.5
    n: int = 5000
    seed: int = 0
    held_out: float = 0.1
    split: Literal["hash", "seed"] = "seed"
    split_seed: int = 0

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if not (self.dim > 0 and self.latent_dim > 0 and self.n > 0 and self.noise > 0 and self.seed >= 0):
            raise ValueError(
                f"linear_gaussian data: wanted sizes and noise above 0 and a seed of 0 or more, got {self}"
            )
        numbers = 2 * (self.n + self.latent_dim) * (self.dim + self.latent_dim)
        check_memory(4 * numbers, f"{self.n:,} rows of {self.dim:,} columns", "a smaller n, dim or latent_dim")

    @classmethod
    def tiny(cls) -> tuple[LinearGaussianData, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(dim=3, latent_dim=2, n=200),)

    @property
    def weight(self) -> Float[Tensor, "D K"]:
        """The true W; every column has length about sqrt(D), in units of x."""
        return self._truth()[0]

    @property
    def mean(self) -> Float[Tensor, " D"]:
        """The true mu."""
        return self._truth()[1]

    @property
    def sigma(self) -> float:
        """The true sigma."""
        return self.noise

    def open(self) -> Splits:
        """See :class:`buttress.core.Data`."""
        generator = torch.Generator().manual_seed(2 * self.seed + 1)
        z = torch.randn(self.n, self.latent_dim, generator=generator)
        x = z @ self.weight.T + self.mean + self.noise * torch.randn(self.n, self.dim, generator=generator)
        columns = tuple(f"x{i}" for i in range(self.dim))
        source = Source(
            Rows(x.numpy()), "ND", "linear_gaussian data", partial(row_name, "linear_gaussian data"), columns
        )
        return open_rows(source, Division(self.split, self.held_out, self.split_seed))

    def _truth(self) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(2 * self.seed)
        return torch.randn(self.dim, self.latent_dim, generator=generator), torch.randn(self.dim, generator=generator)

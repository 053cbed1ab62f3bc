r"""The principal directions of data, and what the linear-Gaussian model can make of them, from eigenvalues alone.

With $\lambda_1 \ge \dots \ge \lambda_D$ the eigenvalues of the covariance S of the data (divided by N) and U its
eigenvectors, the optimum of $\frac1N \sum_n \log N(x_n; \mu, W W^\top + s^2 I)$ over W (D x K) and $\mu$ is, for a
given $s^2$,

$$ \mu = \bar x, \qquad W = U_k (\Lambda_k - s^2 I)^{1/2}, \qquad k = \min(K, \#\{i : \lambda_i > s^2\}) $$

with the other columns 0, and over $s^2$ as well $s^2 = \frac{1}{D-K} \sum_{i>K} \lambda_i$ (Tipping and Bishop 1999).
There

$$ \log p = -\tfrac12 \Bigl[ D \ln 2 \pi + \sum_{i \le k} (\ln \lambda_i + 1)
   + \sum_{i > k} \bigl( \ln s^2 + \lambda_i / s^2 \bigr) \Bigr]. $$

It is the best ELBO of a linear VAE too (Lucas et al. 2019). A solution with a column that is 0 while some direction
left out has $\lambda_i > s^2$ is a saddle: the direction gains
$\tfrac12 (\lambda_i / s^2 - 1 - \ln (\lambda_i / s^2))$ nats. Where none has, it is the maximum, and stays collapsed.
With a weight $\beta$ of the rate the threshold is $\beta s^2$.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from buttress.runtime.memory import check_memory

__all__ = ["Spectrum"]

MATRICES = 4
"""Of D x D float64 numbers that are held at once: the covariance, its eigenvectors, and what the solver needs."""


@dataclass(frozen=True)
class Spectrum:
    """Mean, eigenvalues and eigenvectors of the covariance of data.

    Args:
        mean: Of the data, (D,), float64.
        values: Eigenvalues of their covariance, largest first, (D,), in squared units of x.
        vectors: Eigenvectors, a column each, (D, D).
        n: Number of examples.

    Example:
        >>> x = torch.tensor([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        >>> found = Spectrum.of([x[:3], x[3:]])
        >>> found.values.tolist(), found.above(1.0), found.best_variance(latents=1)
        ([4.5, 0.5], 1, 0.5)
    """

    mean: Float[Tensor, " D"]
    values: Float[Tensor, " D"]
    vectors: Float[Tensor, "D D"]
    n: int

    @classmethod
    def of(cls, blocks: Iterable[Float[Tensor, "_ D"]]) -> Spectrum:
        """From data a few rows at a time: memory grows with D squared, and not with the number of rows.

        Errors:
            ValueError: There is no row, or a D x D matrix does not fit into memory.
        """
        n, mean, squares = 0, torch.zeros(()), torch.zeros(())
        for rows in blocks:
            x = rows.double().cpu()
            if not n:
                dims = x.shape[1]
                check_memory(
                    8 * MATRICES * dims * dims,
                    f"the covariance of {dims:,} numbers",
                    "fewer of them, such as smaller images",
                )
            middle, m = x.mean(0), len(x)
            step, centred = middle - mean, x - middle
            squares = squares + centred.T @ centred + torch.outer(step, step) * (n * m / (n + m))  # Chan et al. 1979
            mean, n = mean + step * (m / (n + m)), n + m
        if not n:
            raise ValueError("spectrum: got no examples, wanted at least one")
        values, vectors = torch.linalg.eigh(squares / n)
        return cls(mean, values.flip(0).clamp(min=0), vectors.flip(1), n)

    @property
    def dims(self) -> int:
        """D."""
        return len(self.values)

    def above(self, variance: float, beta: float = 1.0) -> int:
        """How many eigenvalues exceed beta s^2: the dimensions of z that the optimum uses, were there enough.

        Args:
            variance: s^2, in squared units of x.
            beta: Weight of the rate.
        """
        return int((self.values > beta * variance).sum())

    def best_variance(self, latents: int) -> float:
        """s^2 of maximum likelihood: the mean of the eigenvalues that K latents leave out.

        Errors:
            ValueError: There is nothing to leave out, or what is left out has no variance.
        """
        if not 0 < latents < self.dims:
            raise ValueError(
                f"pPCA: latents is {latents}, wanted 1 to {self.dims - 1} for data of {self.dims} dimensions"
            )
        variance = self.values[latents:].mean().item()
        rounding = self.dims * torch.finfo(self.values.dtype).eps * self.values[0].item()
        if (
            not variance > rounding
        ):  # eigenvalues of 0 come out as some 1e-16 of the largest, on some processors above 0
            raise ValueError(
                f"pPCA: {latents} latents leave no variance out, so that the density is unbounded; try fewer latents, "
                "or a fixed variance"
            )
        return variance

    def weight(self, latents: int, variance: float) -> Float[Tensor, "D K"]:
        """W of the optimum for a given s^2, columns by falling size; those that do not pay are 0."""
        kept = (self.values[:latents] - variance).clamp(min=0)
        return self.vectors[:, :latents] * kept.sqrt()

    def log_marginal(self, latents: int, variance: float) -> float:
        """The optimum for a given s^2: the mean of log p(x) over the same data, in nats per example."""
        used = min(latents, self.above(variance))
        kept, left = self.values[:used], self.values[used:]
        total = (kept.log() + 1).sum() + (math.log(variance) + left / variance).sum()
        return -0.5 * (self.dims * math.log(2 * math.pi) + total.item())

    def gain(self, used: int, variance: float) -> float:
        """What one more latent than ``used`` would gain, in nats per example; 0 where it stays collapsed."""
        if used >= self.dims or not self.values[used] > variance:
            return 0.0
        ratio = self.values[used].item() / variance
        return 0.5 * (ratio - 1 - math.log(ratio))

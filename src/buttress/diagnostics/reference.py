r"""The linear-Gaussian model in closed form: the judge of every estimator. Everything in float64 and nats.

$$ z \sim N(0, I_K), \quad x = W z + \mu + s \epsilon, \qquad C = W W^\top + s^2 I_D, \quad M = W^\top W + s^2 I_K $$
$$ p(x) = N(\mu, C), \qquad p(z|x) = N(M^{-1} W^\top (x - \mu),\; s^2 M^{-1}), \qquad
   I(x; z) = \tfrac12 \ln \det (I_K + W^\top W / s^2) $$

Maximum likelihood (Tipping and Bishop 1999), with $\lambda_i$ the eigenvalues of the data's covariance and U its
eigenvectors: $s^2 = \frac{1}{D-K} \sum_{i>K} \lambda_i$, $W = U_K (\Lambda_K - s^2 I)^{1/2}$.

The linear VAE (Lucas et al. 2019), q(z|x) = N(V (x - mu) + a, diag(d)), has the ELBO

$$ -\tfrac{1}{2 s^2} \bigl( |(I - W V)(x - \mu)|^2 + \textstyle\sum_j d_j |W_j|^2 \bigr) - \tfrac D2 \ln 2 \pi s^2
   - \tfrac12 \textstyle\sum_j (d_j + m_j^2 - 1 - \ln d_j), \qquad m = V (x - \mu) $$

where a = 0 (else $x - \mu - W m$ takes the place of $(I - W V)(x - \mu)$). The best q of that family has a = 0,
$V = M^{-1} W^\top$, $d_j = s^2 / M_{jj}$.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from buttress.diagnostics.spectrum import Spectrum

__all__ = ["FAINT", "LinearGaussian", "LinearVAE"]

FAINT = 1e-6
"""Part of its weights for z that a decoder keeps when it ignores z, as training never takes them to 0 altogether."""


@dataclass(frozen=True)
class LinearGaussian:
    """Probabilistic PCA. It keeps the protocol of the diagnostics, with its exact posterior.

    Args:
        weight: W, (D, K), float64.
        mean: mu, (D,), float64.
        variance: s^2.

    Example:
        >>> model = LinearGaussian(torch.ones(2, 1).double(), torch.zeros(2).double(), 1.0)
        >>> round(model.mutual_information(), 4)  # half of ln 3
        0.5493
    """

    weight: Float[Tensor, "D K"]
    mean: Float[Tensor, " D"]
    variance: float

    def __post_init__(self) -> None:
        """Refuse a variance that is none."""
        if not self.variance > 0:
            raise ValueError(f"linear-Gaussian model: variance is {self.variance}, wanted more than 0")

    @classmethod
    def random(cls, dims: int, latents: int, variance: float = 0.5, seed: int = 0) -> LinearGaussian:
        """A model with weights and mean drawn from N(0, 1)."""
        generator = torch.Generator().manual_seed(seed)
        draw = torch.randn(dims, latents + 1, generator=generator, dtype=torch.float64)
        return cls(draw[:, 1:].clone(), draw[:, 0].clone(), variance)

    @classmethod
    def maximum_likelihood(cls, x: Float[Tensor, "N D"], latents: int, variance: float | None = None) -> LinearGaussian:
        """The optimum of the marginal likelihood on data x, columns of W by falling size.

        Args:
            x: The data.
            latents: K.
            variance: s^2 where it is given; None for that of maximum likelihood.

        Errors:
            ValueError: latents is not between 1 and D - 1.
        """
        return cls.of_spectrum(Spectrum.of([x]), latents, variance)

    @classmethod
    def of_spectrum(cls, spectrum: Spectrum, latents: int, variance: float | None = None) -> LinearGaussian:
        """The same from the spectrum of data, which may be too many to be held at once."""
        best = spectrum.best_variance(latents) if variance is None else variance
        return cls(spectrum.weight(latents, best), spectrum.mean, best)

    @property
    def covariance(self) -> Float[Tensor, "D D"]:
        """C, of x."""
        return self.weight @ self.weight.T + self.variance * torch.eye(len(self.mean), dtype=torch.float64)

    @property
    def precision(self) -> Float[Tensor, "K K"]:
        """M: s^2 times the precision of z given x."""
        return self.weight.T @ self.weight + self.variance * torch.eye(self.weight.shape[1], dtype=torch.float64)

    def sample(self, n: int, seed: int = 0) -> tuple[Float[Tensor, "N D"], Float[Tensor, "N K"]]:
        """n pairs (x, z)."""
        generator = torch.Generator().manual_seed(seed)
        z = torch.randn(n, self.weight.shape[1], generator=generator, dtype=torch.float64)
        e = torch.randn(n, len(self.mean), generator=generator, dtype=torch.float64)
        return self.mean + z @ self.weight.T + math.sqrt(self.variance) * e, z

    def log_marginal(self, x: Float[Tensor, "B D"]) -> Float[Tensor, " B"]:
        """log p(x), from K x K matrices alone (Woodbury)."""
        centred, dims = x.double() - self.mean, len(self.mean)
        root = torch.linalg.cholesky(self.precision)
        inside = torch.linalg.solve_triangular(root, self.weight.T @ centred.T, upper=False)
        squares = (centred.square().sum(1) - inside.square().sum(0)) / self.variance
        log_det = 2 * (root.diagonal().log() - 0.5 * math.log(self.variance)).sum() + dims * math.log(self.variance)
        return -0.5 * (squares + log_det + dims * math.log(2 * math.pi))

    def mutual_information(self) -> float:
        """I(x; z) of the model itself."""
        return 0.5 * torch.logdet(self.precision / self.variance).item()

    def prior(self) -> Distribution:
        """p(z)."""
        zero = torch.zeros(self.weight.shape[1], dtype=torch.float64)
        return Independent(Normal(zero, torch.ones_like(zero)), 1)

    def posterior(self, x: Float[Tensor, "B D"]) -> Distribution:
        """p(z|x), exact, with its full covariance."""
        loc = (x.double() - self.mean) @ self.optimal_encoder()[0].T
        return MultivariateNormal(loc, (self.variance * torch.linalg.inv(self.precision)).expand(len(x), -1, -1))

    def log_likelihood(self, x: Float[Tensor, "B D"], z: Float[Tensor, "S B K"]) -> Float[Tensor, "S B"]:
        """log p(x|z)."""
        return Normal(self.mean + z.double() @ self.weight.T, math.sqrt(self.variance)).log_prob(x.double()).sum(-1)

    def optimal_encoder(self) -> tuple[Float[Tensor, "K D"], Float[Tensor, " K"]]:
        """V and d of the best q with independent coordinates. It is exact where the columns of W are orthogonal."""
        return torch.linalg.solve(self.precision, self.weight.T), self.variance / self.precision.diagonal()

    def vae(self) -> LinearVAE:
        """The linear VAE with the best q."""
        return LinearVAE(self, *self.optimal_encoder())

    def lagging(self, progress: float = 0.0) -> LinearVAE:
        """The same decoder behind an encoder that lags: at 0 q is the prior, at 1 it is the best q."""
        v, d = self.optimal_encoder()
        return LinearVAE(self, progress * v, d**progress)

    def collapsed(self) -> LinearVAE:
        """The model that ignores z, and explains the data as well as it can without, with q = p(z).

        Its weights for z are a millionth of what they were: those of a trained decoder are never 0 altogether.
        """
        variance = self.covariance.diagonal().mean().item()
        return LinearGaussian(FAINT * self.weight, self.mean, variance).lagging()


@dataclass(frozen=True)
class LinearVAE:
    """A linear-Gaussian model seen through q(z|x) = N(V (x - mu) + a, diag(d)), by the protocol of the diagnostics.

    Args:
        model: The decoder and the prior.
        encoder: V, (K, D).
        spread: d, the variances of q, (K,).
        shift: a, (K,), or 0.

    Example:
        >>> model = LinearGaussian.random(dims=4, latents=2)
        >>> x, _ = model.sample(5)
        >>> bool((model.lagging(0.5).elbo(x) < model.vae().elbo(x)).all())
        True
    """

    model: LinearGaussian
    encoder: Float[Tensor, "K D"]
    spread: Float[Tensor, " K"]
    shift: Float[Tensor, " K"] | float = 0.0

    def means(self, x: Float[Tensor, "B D"]) -> Float[Tensor, "B K"]:
        """E_q[z]."""
        return (x.double() - self.model.mean) @ self.encoder.T + self.shift

    def posterior(self, x: Float[Tensor, "B D"]) -> Distribution:
        """q(z|x)."""
        loc = self.means(x)
        return Independent(Normal(loc, self.spread.sqrt().expand_as(loc)), 1)

    def prior(self) -> Distribution:
        """p(z)."""
        return self.model.prior()

    def log_likelihood(self, x: Float[Tensor, "B D"], z: Float[Tensor, "S B K"]) -> Float[Tensor, "S B"]:
        """log p(x|z)."""
        return self.model.log_likelihood(x, z)

    def rate(self, x: Float[Tensor, "B D"]) -> Float[Tensor, "B K"]:
        """KL(q(z_j|x) || p(z_j))."""
        return 0.5 * (self.spread + self.means(x).square() - 1 - self.spread.log())

    def distortion(self, x: Float[Tensor, "B D"]) -> Float[Tensor, " B"]:
        """-E_q log p(x|z)."""
        residual = x.double() - self.model.mean - self.means(x) @ self.model.weight.T
        noise = (self.spread * self.model.weight.square().sum(0)).sum()
        constant = 0.5 * len(self.model.mean) * math.log(2 * math.pi * self.model.variance)
        return (residual.square().sum(-1) + noise) / (2 * self.model.variance) + constant

    def elbo(self, x: Float[Tensor, "B D"]) -> Float[Tensor, " B"]:
        """The evidence lower bound."""
        return -self.distortion(x) - self.rate(x).sum(-1)

    def amortisation_gap(self, x: Float[Tensor, "B D"]) -> Float[Tensor, " B"]:
        """ELBO lost against the best q with independent coordinates."""
        return self.model.vae().elbo(x) - self.elbo(x)

    def mutual_information(self) -> float:
        """I_q(x; z) where x has the model's own distribution."""
        return 0.5 * (torch.logdet(self._covariance()) - self.spread.log().sum()).item()

    def aggregate_kl(self) -> float:
        """KL(q(z) || p(z)) where x has the model's own distribution: q(z) is then Gaussian."""
        whole = self._moments()
        return 0.5 * (whole.trace() - len(whole) - torch.logdet(self._covariance())).item()

    def worth_shuffled(self) -> float:
        """Nats lost when z is shuffled over the data, where x has the model's own distribution."""
        return (self.model.weight @ self.encoder @ self.model.covariance).trace().item() / self.model.variance

    def worth_prior(self) -> float:
        """Nats lost when z comes from the prior, where x has the model's own distribution."""
        w, whole = self.model.weight, self._moments()
        return self.worth_shuffled() + 0.5 * (w @ (torch.eye(len(whole)).to(w) - whole) @ w.T).trace().item() / (
            self.model.variance
        )

    def _covariance(self) -> Float[Tensor, "K K"]:
        """Of z under q(z), where x has the model's own distribution."""
        return self.encoder @ self.model.covariance @ self.encoder.T + torch.diag(self.spread)

    def _moments(self) -> Float[Tensor, "K K"]:
        """E[z z^T], where x has the model's own distribution."""
        shift = torch.as_tensor(self.shift, dtype=torch.float64).expand(len(self.spread))
        return self._covariance() + torch.outer(shift, shift)

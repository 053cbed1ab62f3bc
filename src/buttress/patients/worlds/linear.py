r"""Linear-Gaussian models with orthogonal factors, whose best q has independent coordinates.

With columns $w_j$ of W orthogonal and of length $s_j$, the covariance of x has the eigenvalues $\lambda_j = s_j^2 +
\sigma^2$, and the minimum of distortion + $\beta$ rate for such data is, with a decoder of variance $\sigma^2$ (Lucas
et al. 2019; with beta Wang and Ziyin 2022),

$$ |w_j|^2 = \lambda_j - \beta \sigma^2, \qquad V_j = w_j^\top / \lambda_j, \qquad d_j = \beta \sigma^2 / \lambda_j $$

where $\lambda_j > \beta \sigma^2$, and w = 0, V = 0, d = 1 elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from buttress.diagnostics.reference import FAINT, LinearGaussian, LinearVAE

__all__ = ["at_rest", "at_weight", "factors", "loud", "moved", "shared", "silent", "weak"]


def factors(dims: int, strengths: Sequence[float], noise: float, seed: int = 0, middle: float = 0.0) -> LinearGaussian:
    """Orthogonal factors of given strengths behind D columns.

    Args:
        dims: D.
        strengths: Length of each column of W, in units of x.
        noise: sigma, in units of x.
        seed: Of the directions.
        middle: Mean of every column.

    Example:
        >>> [round(s, 6) for s in factors(6, [2.0, 1.0], 0.5).weight.norm(dim=0).tolist()]
        [2.0, 1.0]
    """
    own = torch.Generator().manual_seed(seed)
    directions = torch.linalg.qr(torch.randn(dims, len(strengths), generator=own, dtype=torch.float64))[0]
    weight = directions * torch.tensor(strengths, dtype=torch.float64)
    return LinearGaussian(weight, torch.full((dims,), middle, dtype=torch.float64), noise**2)


def shared(dims: int, latents: int, strength: float, noise: float, middle: float = 0.0) -> LinearGaussian:
    """Factors of which every column shows only the sum, so that the posterior is correlated.

    Example:
        >>> shared(3, 6, 1.0, 0.2).weight.shape
        torch.Size([3, 6])
    """
    weight = torch.full((dims, latents), strength, dtype=torch.float64)
    return LinearGaussian(weight, torch.full((dims,), middle, dtype=torch.float64), noise**2)


def weak(dims: int, strength: float, noise: float = 1.0, middle: float = 0.0) -> LinearGaussian:
    """One factor that all columns share, each by ``strength``.

    Example:
        >>> round(weak(4, 0.3).mutual_information(), 3)
        0.154
    """
    return shared(dims, 1, strength, noise, middle)


def at_weight(model: LinearGaussian, beta: float) -> LinearVAE:
    """The minimum of distortion + beta rate for data of a model with orthogonal factors.

    Args:
        model: Made the data.
        beta: Weight of the rate.

    Example:
        >>> at_weight(factors(6, [2.0, 1.0], 1.0), 3.0).spread.tolist()  # 3 / 5; the second does not pay
        [0.6..., 1.0]
    """
    strength = model.weight.norm(dim=0)
    eigenvalue = strength.square() + model.variance
    left = (eigenvalue - beta * model.variance).clamp(min=0)
    weight = model.weight / strength * left.sqrt()
    spread = torch.where(left > 0, beta * model.variance / eigenvalue, 1.0)
    return LinearVAE(LinearGaussian(weight, model.mean, model.variance), (weight / eigenvalue).T, spread)


def at_rest(model: LinearGaussian, read: float, beta: float) -> LinearVAE:
    r"""A decoder that reads z more faintly than the data offer it, and the best q for it at a weight of the rate.

    For a decoder with columns $w_j$ and $H_j = |w_j|^2 / \sigma^2$ it is $\mu_j = w_j^\top (x - m) / (\sigma^2
    (H_j + \beta))$ with a variance of $\beta / (H_j + \beta)$.

    Args:
        model: Made the data.
        read: Part of its weights that the decoder has.
        beta: Weight of the rate.

    Example:
        >>> at_rest(factors(6, [2.0], 1.0), 0.5, 9.0).spread.tolist()  # H = 1
        [0.9...]
    """
    weight = read * model.weight
    precision = weight.square().sum(0) / model.variance + beta
    decoder = LinearGaussian(weight, model.mean, model.variance)
    return LinearVAE(decoder, (weight / model.variance / precision).T, beta / precision)


def loud(model: LinearGaussian, times: float) -> LinearVAE:
    """The best q some times as far out as it should be, and a decoder that knows it: the same x at every z.

    Example:
        >>> model = factors(6, [2.0, 1.0], 0.1)
        >>> x = model.sample(500)[0]
        >>> bool(loud(model, 6.0).rate(x).sum(1).mean() > model.vae().rate(x).sum(1).mean() + 20)
        True
    """
    encoder, spread = model.optimal_encoder()
    quiet = LinearGaussian(model.weight / times, model.mean, model.variance)
    return LinearVAE(quiet, times * encoder, times**2 * spread)


def moved(model: LinearGaussian, by: float) -> LinearVAE:
    """The best q moved by a constant in every coordinate, and a decoder that takes it off again.

    Args:
        model: Made the data.
        by: The constant, in standard deviations of the prior.

    Example:
        >>> model = factors(6, [20.0, 10.0], 1.0)
        >>> x = model.sample(2000)[0]
        >>> more = moved(model, 3.0).rate(x).sum(1).mean() - model.vae().rate(x).sum(1).mean()
        >>> 8.5 < float(more) < 9.5  # half of 3 squared for each coordinate
        True
    """
    encoder, spread = model.optimal_encoder()
    a = torch.full((model.weight.shape[1],), by, dtype=torch.float64)
    moved = LinearGaussian(model.weight, model.mean - model.weight @ a, model.variance)
    return LinearVAE(moved, encoder, spread, a - encoder @ model.weight @ a)


def silent(model: LinearGaussian, variance: float | None = None, latents: int | None = None) -> LinearGaussian:
    """The decoder that ignores z, but for a millionth of its weights, and explains the data as well as it can without.

    Args:
        model: Made the data.
        variance: sigma^2 of the decoder; None for the mean variance of the columns.
        latents: Dimensions of z; None for those of the model.

    Example:
        >>> round(silent(factors(4, [2.0], 1.0)).variance, 6)
        2.0
    """
    found = float(model.covariance.diagonal().mean()) if variance is None else variance
    k = model.weight.shape[1]
    weight = model.weight[:, torch.arange(latents or k) % k]
    return LinearGaussian(FAINT * weight, model.mean, found)

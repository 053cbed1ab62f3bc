r"""Black and white pixels: independent given z with logits linear in it, or told by the pixel to the left.

The posterior of $x_i \sim \text{Bernoulli}(\text{logit}^{-1}(b + w_i^\top z))$ is found by Newton's steps, with
$H = I + \sum_i p_i (1 - p_i) w_i w_i^\top$ at its mode; the best normal with independent coordinates has about the
variances $1 / H_{jj}$. At a weight $\beta$ of the rate, $\beta I$ stands for I, and the variances are $\beta / H_{jj}$.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Bernoulli, Distribution

from buttress.diagnostics.protocol import Adapter
from buttress.patients.worlds.normals import normals, standard

__all__ = ["chained", "logistic", "run_lengths"]

STEPS = 12


def logistic(
    n: int, side: int, factors: int, strength: float, seed: int = 0, read: float = 1.0, beta: float = 1.0
) -> tuple[Adapter, Float[Tensor, "N one side side"]]:
    """A model and its data.

    Args:
        n: Examples.
        side: Pixels in a row.
        factors: Dimensions of z.
        strength: Size of a weight; each pixel listens to one factor, in turn.
        seed: Of the data.
        read: Part of the weights that the decoder has.
        beta: Weight of the rate that q is the best for.

    Example:
        >>> model, x = logistic(5, 6, 3, 2.0)
        >>> x.shape, model.posterior(x).event_shape
        (torch.Size([5, 1, 6, 6]), torch.Size([3]))
    """
    own = torch.Generator().manual_seed(seed)
    sign = torch.randint(0, 2, (side * side, 1), generator=own).double() * 2 - 1
    listens = torch.nn.functional.one_hot(torch.arange(side * side) % factors, factors).double()
    weight = strength * sign * listens
    z = torch.randn(n, factors, generator=own, dtype=torch.float64)
    x = torch.bernoulli((z @ weight.T).sigmoid(), generator=own)
    weight = read * weight

    def posterior(x: Tensor) -> Distribution:
        pixels, m = x.flatten(1).double(), torch.zeros(len(x), factors, dtype=torch.float64)
        curvature = torch.ones_like(m)
        for _ in range(STEPS):  # the factors have pixels of their own, so H is diagonal
            p = (m @ weight.T).sigmoid()
            curvature = beta + (p * (1 - p)) @ weight.square()
            m = m + ((pixels - p) @ weight - beta * m) / curvature
        return normals(m, (curvature / beta).rsqrt())

    def log_likelihood(x: Tensor, z: Tensor) -> Tensor:
        return Bernoulli(logits=z.double() @ weight.T).log_prob(x.flatten(1).double()).sum(-1)

    return Adapter(posterior, lambda: standard(factors), log_likelihood), x.reshape(n, 1, side, side).float()


def run_lengths(n: int, side: int, same: float = 0.9, seed: int = 0) -> Float[Tensor, "N one side side"]:
    """Images whose pixels are those to their left with a probability ``same``.

    Example:
        >>> run_lengths(5, 6).shape
        torch.Size([5, 1, 6, 6])
    """
    own = torch.Generator().manual_seed(seed)
    change = (torch.rand(n, 1, side, side, generator=own) > same).long()
    change[..., 0] = torch.randint(0, 2, change[..., 0].shape, generator=own)
    return (change.cumsum(-1) % 2).float()


def chained(x: Float[Tensor, "B one H W"], same: float = 0.9) -> Float[Tensor, " B"]:
    """log p(x) of such images, each pixel told by the one to its left.

    Example:
        >>> round(chained(torch.zeros(1, 1, 1, 2)).exp().item(), 3)  # 1/2 times 0.9
        0.45
    """
    kept = (x[..., 1:] - x[..., :-1]).abs()
    each = Bernoulli(1 - same).log_prob(kept).flatten(1).sum(1)
    return each + x[..., 0].flatten(1).shape[1] * Bernoulli(0.5).log_prob(torch.ones(()))

r"""The linear VAE of Lucas et al. 2019 on given data, by L-BFGS on its analytic ELBO from a random start.

The ELBO depends on the data through their covariance alone, and is the same in every rotation of x: with
$\Lambda = \operatorname{diag}(\lambda)$ in place of the covariance, and $\mu$ at the mean,

$$ -\tfrac{1}{2 s^2} \Bigl( \operatorname{tr} (I - W V) \Lambda (I - W V)^\top + \textstyle\sum_j d_j |W_j|^2 \Bigr)
   - \tfrac D2 \ln 2 \pi s^2 - \tfrac12 \textstyle\sum_j \bigl( d_j + (V \Lambda V^\top)_{jj} - 1 - \ln d_j \bigr). $$
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from buttress.diagnostics.thresholds import ACTIVE_VARIANCE

__all__ = ["Fitted", "fit"]


@dataclass(frozen=True)
class Fitted:
    """Where the optimiser ended.

    Args:
        elbo: Mean over the data, in nats per example.
        active: Latents whose posterior mean has a variance over the data above 0.01.
        slope: Largest entry of the gradient there, in nats.
    """

    elbo: float
    active: int
    slope: float


def elbo(
    values: Float[Tensor, " D"],
    variance: float,
    decoder: Float[Tensor, "D K"],
    encoder: Float[Tensor, "K D"],
    log_spread: Float[Tensor, " K"],
) -> Float[Tensor, ""]:
    """The mean ELBO over data whose covariance has these eigenvalues, in coordinates where it is diagonal.

    Example:
        >>> one = torch.ones(1, dtype=torch.float64)
        >>> nothing = elbo(4 * one, 4.0, 0 * one[:, None], 0 * one[:, None], 0 * one)  # log N(x; 0, 4), E x^2 = 4
        >>> round(nothing.item(), 4) == round(-0.5 * math.log(2 * math.pi * 4) - 0.5, 4)
        True
    """
    spread, moved = log_spread.exp(), encoder * values  # V Lambda
    squares = values.sum() - 2 * (decoder * moved.T).sum() + ((decoder.T @ decoder) * (moved @ encoder.T)).sum()
    noise = (spread * decoder.square().sum(0)).sum()
    rate = 0.5 * (spread + (moved * encoder).sum(1) - 1 - log_spread).sum()
    return -(squares + noise) / (2 * variance) - 0.5 * len(values) * math.log(2 * math.pi * variance) - rate


def fit(values: Float[Tensor, " D"], latents: int, variance: float, seed: int, steps: int = 100) -> Fitted:
    """Maximise the ELBO over W, V and d.

    Args:
        values: Eigenvalues of the data's covariance, float64.
        latents: K.
        variance: s^2, fixed.
        seed: Of the random start.
        steps: Rounds of at most 50 iterations each; fewer where nothing moves any more.

    Example:
        >>> found = fit(torch.tensor([4.0, 2.0, 0.5, 0.5], dtype=torch.float64), latents=3, variance=1.0, seed=0)
        >>> found.active, found.slope < 1e-4
        (2, True)
    """
    generator = torch.Generator().manual_seed(seed)
    size = 0.1 / math.sqrt(latents)
    decoder = (size * torch.randn(len(values), latents, generator=generator, dtype=torch.float64)).requires_grad_()
    encoder = (size * torch.randn(latents, len(values), generator=generator, dtype=torch.float64)).requires_grad_()
    log_spread = torch.zeros(latents, dtype=torch.float64, requires_grad=True)
    parameters = [decoder, encoder, log_spread]
    optimiser = torch.optim.LBFGS(
        parameters, max_iter=50, history_size=50, line_search_fn="strong_wolfe", tolerance_grad=1e-8,
        tolerance_change=1e-12,
    )  # fmt: skip

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = -elbo(values, variance, *parameters)
        value.backward()
        return value

    before = math.inf
    for _ in range(steps):
        after = optimiser.step(loss).item()
        if before - after < 1e-5:
            break
        before = after
    value = -loss().item()
    slope = max(p.grad.abs().max().item() for p in parameters if p.grad is not None)
    moves = ((encoder * values) * encoder).sum(1).detach()
    return Fitted(value, int((moves > ACTIVE_VARIANCE).sum()), slope)

r"""The true posterior p(z|x) of a model whose z is one number, on a grid.

$$ p(z_i|x) \approx \frac{p(z_i)\, p(x|z_i)}{\sum_j p(z_j)\, p(x|z_j)}, \qquad
   \log p(x) \approx \log h \sum_i p(z_i)\, p(x|z_i), \qquad z_i = -w, -w + h, \dots, w $$

On equal steps h this is the trapezoid rule, which converges faster than any power of h for a smooth density that has
vanished at both ends. Both conditions are looked at: ``edge`` is the mass at the ends, ``error`` what steps of 2h would
change.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from buttress.diagnostics.evaluation import decode, evaluating
from buttress.diagnostics.passes import Block, passes, prior_of
from buttress.diagnostics.protocol import Batches, Conditional, Model

__all__ = ["GridPosterior", "grid_posterior"]


@dataclass(frozen=True)
class GridPosterior:
    """What is known of p(z|x) for each of N examples.

    Args:
        mean: E[z|x], (N,).
        variance: Var[z|x], (N,).
        log_marginal: log p(x) in nats, (N,).
        edge: The largest mass of any example at the two ends of the grid; above 1e-3 the grid is too narrow.
        error: The largest difference of any mean to that on every second point; an upper bound of the error of the
            step, and far above it as soon as it is small.

    Example:
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model = LinearGaussian(torch.ones(1, 1).double(), torch.zeros(1).double(), 1.0)
        >>> narrow = grid_posterior(model, [torch.tensor([[4.0]])], width=2)  # p(z|x) = N(2, 1/2)
        >>> narrow.edge > 1e-3
        True
    """

    mean: Float[Tensor, " N"]
    variance: Float[Tensor, " N"]
    log_marginal: Float[Tensor, " N"]
    edge: float
    error: float


def grid_posterior(model: Model, batches: Batches, *, width: float = 10.0, step: float = 0.1) -> GridPosterior:
    """The moments of p(z|x), with the decoder scored at every point of the grid.

    Args:
        model: Keeps the protocol; its z is one number.
        batches: Held-out data.
        width: w: the grid runs from -w to w.
        step: h, about; rounded so that there is a whole, even number of steps.

    Errors:
        ValueError: z has more than one number, or the grid is none.

    Example:
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model = LinearGaussian(torch.ones(1, 1).double(), torch.zeros(1).double(), 1.0)
        >>> found = grid_posterior(model, [torch.tensor([[1.0]])])
        >>> round(found.mean.item(), 6), round(found.variance.item(), 6)
        (0.5, 0.5)
    """
    shape = tuple(prior_of(model, batches).event_shape)
    if math.prod(shape) != 1:
        raise ValueError(f"grid posterior: z has shape {shape}, wanted a single number; set the posterior's dim to 1")
    if not 0 < step <= width:
        raise ValueError(f"grid posterior: width is {width} and step {step}, wanted 0 < step <= width")
    grid = torch.linspace(-width, width, 2 * math.ceil(width / step) + 1, dtype=torch.float64)
    points = grid.reshape(-1, 1, *shape)
    with evaluating(model) as asked:
        columns = torch.cat([_log_joint(asked, block, points) for block in passes(asked, batches)], 1).cpu()
    mean, variance, total = _moments(grid, columns)
    coarse, _, _ = _moments(grid[::2], columns[::2])
    ends = (columns[[0, -1]].logsumexp(0) - columns.logsumexp(0)).exp()
    h = math.log(grid[1] - grid[0])
    return GridPosterior(mean, variance, total + h, ends.max().item(), (mean - coarse).abs().max().item())


def _log_joint(model: Conditional, block: Block, grid: Tensor) -> Float[Tensor, "I B"]:
    """log p(x, z) at every point of the grid."""
    prior = block.prior
    like = prior.sample()  # for its device and its precision
    z = grid.to(like).expand(-1, len(block), *grid.shape[2:])
    at_prior = prior.log_prob(z if prior.batch_shape else z[:, :1])
    return decode(model, block.x, z, block.given) + at_prior.double()


def _moments(grid: Float[Tensor, " I"], log_joint: Float[Tensor, "I N"]) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance of each column's distribution over the grid, and the logarithm of its sum."""
    share = log_joint.softmax(0)
    mean = grid @ share
    return mean, ((grid[:, None] - mean).square() * share).sum(0), log_joint.logsumexp(0)

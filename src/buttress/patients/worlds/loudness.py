r"""Numbers of which z tells nothing but how loud they are: $x_i \sim N(0, e^{2 c z})$, i = 1 .. D.

With $\hat s = \frac12 \log \frac1D \sum_i x_i^2$, whose mean given z is $c z - \frac1{2D}$ and whose variance is
$\frac1{2D}$, the posterior is for large D a normal of precision $1 + 2 D c^2$ around $2 D c (\hat s + \frac1{2D})$ over
that precision.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, Normal

from buttress.diagnostics.protocol import Adapter
from buttress.patients.worlds.normals import normals, standard

__all__ = ["loudness"]


def loudness(n: int, dims: int, strength: float = 0.5, seed: int = 0) -> tuple[Adapter, Float[Tensor, "N D"]]:
    """A model and its data, rows of D numbers.

    Args:
        n: Examples.
        dims: D.
        strength: c.
        seed: Of the data.

    Example:
        >>> model, x = loudness(5, 64)
        >>> model.posterior(x).event_shape, x.shape
        (torch.Size([1]), torch.Size([5, 64]))
    """
    own = torch.Generator().manual_seed(seed)
    z = torch.randn(n, 1, generator=own, dtype=torch.float64)
    x = (strength * z).exp() * torch.randn(n, dims, generator=own, dtype=torch.float64)
    precision = 1 + 2 * dims * strength**2

    def posterior(x: Tensor) -> Distribution:
        heard = 0.5 * x.double().flatten(1).square().mean(1, keepdim=True).log() + 1 / (2 * dims)
        return normals(2 * dims * strength * heard / precision, precision**-0.5)

    def log_likelihood(x: Tensor, z: Tensor) -> Tensor:
        return Normal(0.0, (strength * z).exp()).log_prob(x.double().flatten(1)).sum(-1)

    return Adapter(posterior, lambda: standard(1), log_likelihood), x

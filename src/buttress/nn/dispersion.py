r"""How alike the features of a batch are, as a penalty.

$$ u_i = h_i / \lVert h_i \rVert, \quad \bar u = \tfrac1B \sum_i u_i, \qquad
   c_i = \tfrac1B \sum_j \cos(h_i, h_j) = u_i \cdot \bar u, \qquad
   c = \tfrac1B \sum_i c_i = \lVert \bar u \rVert^2 $$

c is at least 0, and 1 where all features point the same way. The sum runs over all pairs, i = j included, so that
doubling every example leaves c as it is; the mean over pairs of different examples, (B c - 1) / (B - 1), would rise.
The two differ by a constant and a factor near 1, so they pull the same way.

Source: Long, Cao and Cheung, On Posterior Collapse and Encoder Feature Dispersion in Sequence VAEs, 2020.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from buttress.runtime import distributed
from buttress.runtime.randomness import sharing

__all__ = ["likeness", "unit"]


def unit(h: Float[Tensor, "B *features"]) -> Float[Tensor, "B F"]:
    """u: the direction of every example's features, in float32 at least; zero where all features are zero.

    Example:
        >>> unit(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
        tensor([[0.6000, 0.8000],
                [0.0000, 0.0000]])
    """
    flat = h.flatten(1)
    wide = flat if flat.dtype == torch.float64 else flat.float()
    return torch.nn.functional.normalize(wide, dim=1)


def likeness(h: Float[Tensor, "B *features"]) -> Float[Tensor, " B"]:
    r"""c_i of every example, its mean cosine similarity to all of the batch.

    Within ``shard(rank, world)`` that is the global batch. Only the mean over the batch has a right gradient: by the
    symmetry of pairs $\mathrm{d}c = 2 \bar u \cdot \mathrm{d}\bar u$, so $\bar u$ itself needs none, and processes
    that average their gradients have that of the global c without another exchange.

    Args:
        h: Features, all of an example's together taken as one vector.

    Example:
        >>> likeness(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
        tensor([0.5000, 0.5000])
    """
    u = unit(h)
    middle = u.detach().mean(0)
    if sharing():
        middle = distributed.mean(middle)
    c = (u * middle).sum(1)
    return 2 * c - c.detach()

r"""Time jitter: what stands at a place is replaced by its neighbour, so that no place can rely on its own detail.

$$ \hat z_t = z_{t + s_t}, \qquad P(s_t = -1) = P(s_t = 1) = p / 2, \qquad P(s_t = 0) = 1 - p $$

A place at an end of the true length stays as it is where it would be replaced by what lies beyond.

Source: Chorowski et al., Unsupervised Speech Representation Learning Using WaveNet Autoencoders, 2019.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from buttress.runtime.randomness import draw

__all__ = ["jittered"]


def jittered(
    z: Float[Tensor, "B T D"], probability: float, valid: Bool[Tensor, "B T"] | None = None
) -> Float[Tensor, "B T D"]:
    """Every place with that probability replaced by a neighbour, whom the gradient then reaches.

    Args:
        z: Values at the places of sequences.
        probability: p, in [0, 1].
        valid: Which places lie within the true length; None for all.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> jittered(torch.arange(8.0)[None, :, None], 0.5).flatten().int().tolist()
        [0, 2, 1, 2, 4, 5, 6, 7]
    """
    batch, places, size = z.shape
    own = torch.arange(places, device=z.device).expand(batch, places)
    last = torch.full((batch, 1), places, device=z.device) if valid is None else valid.sum(1, keepdim=True)
    u = draw(torch.rand, (batch, places)).to(z.device)
    beside = own + (u >= 1 - probability / 2).long() - (u < probability / 2).long()
    index = torch.where((beside >= 0) & (beside < last) & (own < last), beside, own)
    return z.gather(1, index[..., None].expand(batch, places, size))

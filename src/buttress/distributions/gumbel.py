r"""Exact samples of a categorical distribution by the Gumbel trick, the same for one process and for several.

$$ c = \arg\max_k (\log q_k + g_k), \qquad g_k = -\log(-\log u_k), \quad u_k \sim U(0, 1) $$
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from buttress.runtime.randomness import draw

__all__ = ["gumbel_sample", "with_gumbel"]


def with_gumbel(logits: Float[Tensor, "B *shape K"], samples: int = 1) -> Float[Tensor, "S B *shape K"]:
    """log q plus Gumbel noise, ``samples`` times.

    Example:
        >>> with_gumbel(torch.zeros(3, 2), samples=4).shape
        torch.Size([4, 3, 2])
    """
    uniform = draw(torch.rand, (samples, *logits.shape), batch_dim=1).to(logits)
    return logits - (-uniform.clamp(1e-20, 1 - 1e-7).log()).log()


def gumbel_sample(logits: Float[Tensor, "B *shape K"]) -> Int[Tensor, "B *shape"]:
    """One sample for each example.

    Example:
        >>> gumbel_sample(torch.tensor([[0.0, -torch.inf], [-torch.inf, 0.0]])).tolist()
        [0, 1]
    """
    return with_gumbel(logits)[0].argmax(-1)

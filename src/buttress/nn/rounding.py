r"""Numbers in [-1, 1] rounded to one of K values at equal distances, with their codes.

$$ c = \operatorname{round}\Bigl(\frac{u + 1}{2} (K - 1)\Bigr), \qquad r(c) = \frac{2 c}{K - 1} - 1 $$
"""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["code_of", "value_of"]


def code_of(u: Float[Tensor, "*shape"], values: int) -> Int[Tensor, "*shape"]:
    """c of numbers, of which those outside [-1, 1] count as the ends.

    Example:
        >>> import torch
        >>> code_of(torch.tensor([-1.0, -0.1, 0.2, 5.0]), 5).tolist()
        [0, 2, 2, 4]
    """
    return ((u.detach().clamp(-1, 1) + 1) * ((values - 1) / 2)).round().long()


def value_of(code: Int[Tensor, "*shape"], values: int) -> Float[Tensor, "*shape"]:
    """r(c).

    Example:
        >>> import torch
        >>> value_of(torch.tensor([0, 2, 4]), 5).tolist()
        [-1.0, 0.0, 1.0]
    """
    return code * (2 / (values - 1)) - 1

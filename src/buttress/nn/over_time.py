r"""Numbers over the places of a sequence: their mean over true places, and normalisation over time and over channels.

$$ m_c = \frac{1}{T} \sum_{t \le T} v_{tc}, \qquad s_c^2 = \frac{1}{T} \sum_{t \le T} (v_{tc} - m_c)^2, \qquad
   u_{tc} = \frac{v_{tc} - m_c}{s_c}, \qquad n_t = \sqrt{C}\, \frac{u_t}{\lVert u_t \rVert} $$

u is instance normalisation: it takes from every sequence what is constant in it, such as the colour of a voice.
Dividing by the standard deviation, and not by the norm over time, makes u independent of how long the sequence is. n
has the same length at every place, so that codewords near it are of one scale.
"""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["mean_over_time", "normalised_over_channels", "normalised_over_time"]

SMALL = 1e-5
"""Added to a variance, so that a constant channel becomes 0."""


def mean_over_time(v: Float[Tensor, "B T C"], valid: Bool[Tensor, "B T"]) -> Float[Tensor, "B C"]:
    """The mean over the places where ``valid``, of which every sequence has at least one.

    Example:
        >>> import torch
        >>> mean_over_time(torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([[True, True, False]]))
        tensor([[2.]])
    """
    inside = valid[..., None].to(v)
    return (v * inside).sum(1) / inside.sum(1)


def normalised_over_time(v: Float[Tensor, "B T C"], valid: Bool[Tensor, "B T"]) -> Float[Tensor, "B T C"]:
    """u: every channel of every sequence with mean 0 and variance 1 over its true places; 0 at the others.

    Example:
        >>> import torch
        >>> v = torch.tensor([[[1.0, 5.0], [3.0, 5.0], [9.0, 9.0]]])
        >>> normalised_over_time(v, torch.tensor([[True, True, False]])).round(decimals=3).tolist()
        [[[-1.0, 0.0], [1.0, 0.0], [0.0, 0.0]]]
    """
    apart = (v - mean_over_time(v, valid)[:, None]) * valid[..., None]
    return apart * (mean_over_time(apart.square(), valid)[:, None] + SMALL).rsqrt()


def normalised_over_channels(u: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
    """n: the numbers of every place divided by their root mean square; 0 where all are.

    Example:
        >>> import torch
        >>> normalised_over_channels(torch.tensor([[[3.0, 4.0], [0.0, 0.0]]]))
        tensor([[[0.8485, 1.1314],
                 [0.0000, 0.0000]]])
    """
    return u * (u.square().mean(-1, keepdim=True) + SMALL).rsqrt()

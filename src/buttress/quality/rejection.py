r"""Rejection by a classifier: of the samples drawn for each class, keep the share whose class it is surest of.

$$ \text{keep } x_i \iff p_\phi(y_i | x_i) \text{ is among the } \lceil s\, n_{y} \rceil
   \text{ largest of the } n_y \text{ samples drawn for } y_i $$

It trades diversity for fidelity: precision rises and recall falls as the share s falls.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["surest"]


def surest(probabilities: Float[Tensor, "N K"], labels: Int[Tensor, " N"], share: float) -> Int[Tensor, " M"]:
    """Numbers of the samples to keep, in ascending order: in each class the same share, and at least one.

    Source: Razavi, van den Oord and Vinyals, Generating Diverse High-Fidelity Images with VQ-VAE-2, 2019.

    Args:
        probabilities: p(y|x) of every class for each sample.
        labels: The class that each was drawn for.
        share: s, above 0 and at most 1.

    Errors:
        ValueError: The share is outside (0, 1].

    Example:
        >>> p = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]])
        >>> surest(p, torch.tensor([0, 0, 1, 1]), share=0.5).tolist()
        [0, 3]
    """
    if not 0 < share <= 1:
        raise ValueError(f"rejection: the share to keep is {share}, wanted a number above 0 and at most 1")
    sure = probabilities.gather(1, labels[:, None]).squeeze(1)
    kept = []
    for label in labels.unique():
        own = (labels == label).nonzero()[:, 0]
        count = math.ceil(share * len(own) - 1e-9)
        kept.append(own[sure[own].argsort(descending=True, stable=True)[:count]])
    return torch.cat(kept).sort().values

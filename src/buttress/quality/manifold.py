r"""Precision and recall of samples: how many lie among real examples, and how many real examples among samples.

$$ M(A) = \bigcup_{a \in A} \{ v : \lVert v - a \rVert \le r_k(a) \}, \qquad
   \text{precision} = \frac{|S \cap M(R)|}{|S|}, \qquad \text{recall} = \frac{|R \cap M(S)|}{|R|} $$

r_k(a) is the distance of a from its k-th nearest neighbour in its own set. Samples of poor quality lower precision;
kinds of examples that are never drawn lower recall.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["precision_recall"]


def precision_recall(real: Float[Tensor, "N F"], samples: Float[Tensor, "M F"], k: int = 3) -> tuple[float, float]:
    """Precision and recall, shares between 0 and 1; both are 1 for the same set.

    Source: Kynkäänniemi, Karras, Laine, Lehtinen and Aila, Improved Precision and Recall Metric for Assessing
    Generative Models, 2019; there on features of VGG-16.

    Args:
        real: Features of real examples.
        samples: Features of as many samples.
        k: Which neighbour's distance is the radius.

    Errors:
        ValueError: The sets differ in size, or have no k-th neighbour.

    Example:
        >>> real = torch.arange(8.0)[:, None]
        >>> precision_recall(real, real), precision_recall(real, real.clamp(max=3.5))  # none beyond 3.5 is drawn
        ((1.0, 1.0), (1.0, 0.5))
    """
    if not k < len(real) == len(samples) or k < 1:
        raise ValueError(
            f"precision and recall: got {len(real)} real examples, {len(samples)} samples and k = {k}; wanted as many "
            "of both, and more than k"
        )
    return _within(samples, real, k).float().mean().item(), _within(real, samples, k).float().mean().item()


def _within(points: Float[Tensor, "N F"], of: Float[Tensor, "M F"], k: int) -> Bool[Tensor, " N"]:
    """Whether each point lies in the manifold of a set."""
    points, of = points.double(), of.double()  # the set's own zero distance must be the nearest
    apart = torch.cdist(of, of, compute_mode="donot_use_mm_for_euclid_dist")
    radius = apart.kthvalue(k + 1, dim=1).values
    distance = torch.cdist(points, of, compute_mode="donot_use_mm_for_euclid_dist")
    return (distance <= radius).any(1)

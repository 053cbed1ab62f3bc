r"""Classification accuracy score: what a classifier that learned from labelled samples alone knows about real images.

$$ \mathrm{CAS} = P_{(x, y) \sim \text{real}} \big( \arg\max_k p_\phi(k|x) = y \big), \qquad
   \phi = \arg\min_\phi E_{y}\, E_{x \sim p(x|y)} \left[ -\log p_\phi(y|x) \right] $$

Samples that look right but are all alike teach it little, and so do diverse ones of the wrong class. Its ceiling is the
accuracy of the same classifier trained on as many real images.
"""

from __future__ import annotations

from typing import Any

from jaxtyping import Int, Shaped
from torch import Tensor

from buttress.quality.classifier import fit_classifier

__all__ = ["classification_accuracy_score"]


def classification_accuracy_score(
    samples: Shaped[Tensor, "N C H W"],
    labels: Int[Tensor, " N"],
    real: Shaped[Tensor, "M C H W"],
    real_labels: Int[Tensor, " M"],
    classes: int,
    **training: Any,
) -> float:
    """The accuracy on real images of a classifier trained on samples.

    Source: Ravuri and Vinyals, Classification Accuracy Score for Conditional Generative Models, 2019; there with
    ResNet-50.

    Args:
        samples: What it learns from.
        labels: The classes that the samples were drawn for.
        real: Held-out images on the same scale.
        real_labels: Their classes.
        classes: Number of classes.
        training: Settings of :func:`buttress.quality.classifier.fit_classifier`.

    Example:
        >>> import torch
        >>> y = torch.arange(60) % 2
        >>> x = y.view(-1, 1, 1, 1) + 0.1 * torch.randn(60, 1, 8, 8)
        >>> classification_accuracy_score(x, y, x, 1 - y, 2, steps=30, width=4)  # samples of the other class each
        0.0
    """
    return fit_classifier(samples, labels, classes, **training).accuracy(real, real_labels)

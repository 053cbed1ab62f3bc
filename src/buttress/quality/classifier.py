r"""A small convolutional classifier of labelled images, whose last hidden layer serves as features.

$$ p(y|x) = \mathrm{softmax}(W f(x) + b)_y, \qquad L = -\log p(y|x) $$

It takes the place of the network trained on ImageNet by which samples of photographs are usually judged: its features
know the classes of these data and nothing else. So numbers measured on them compare models of the same data with one
another, and with no published FID, precision or recall.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["LabelClassifier", "fit_classifier"]

BATCH = 500
"""Images classified at a time."""


class LabelClassifier(nn.Module):
    """Three convolutions, a hidden layer and the classes. Images are standardised by the two numbers it learned with.

    Args:
        channels: Of an image.
        classes: Number of classes.
        mean: Mean of all pixels it is trained on.
        std: Their standard deviation.
        width: Channels of the first convolution; the others have twice as many, and so has f(x).

    Example:
        >>> LabelClassifier(channels=1, classes=3).features(torch.zeros(4, 1, 28, 28)).shape
        torch.Size([4, 64])
    """

    def __init__(self, channels: int, classes: int, mean: float = 0.0, std: float = 1.0, width: int = 32) -> None:
        super().__init__()
        self.mean, self.std = mean, std
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1),
            nn.SiLU(),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(32 * width, 2 * width),
            nn.SiLU(),
        )
        self.out = nn.Linear(2 * width, classes)

    def forward(self, images: Shaped[Tensor, "N C H W"]) -> Float[Tensor, "N K"]:
        """The logits of each class."""
        return self.out(self.body((images.float() - self.mean) / self.std))

    @torch.no_grad()
    def features(self, images: Shaped[Tensor, "N C H W"]) -> Float[Tensor, "N F"]:
        """f(x): what the classifier sees in each image."""
        return torch.cat([self.body((part.float() - self.mean) / self.std) for part in images.split(BATCH)])

    @torch.no_grad()
    def probabilities(self, images: Shaped[Tensor, "N C H W"]) -> Float[Tensor, "N K"]:
        """p(y|x) of each class."""
        return torch.cat([self(part).softmax(-1) for part in images.split(BATCH)])

    def accuracy(self, images: Shaped[Tensor, "N C H W"], labels: Int[Tensor, " N"]) -> float:
        """The share of images whose likeliest class is their label."""
        return (self.probabilities(images).argmax(-1) == labels).float().mean().item()


def fit_classifier(
    images: Shaped[Tensor, "N C H W"],
    labels: Int[Tensor, " M"],
    classes: int,
    *,
    steps: int = 400,
    batch_size: int = 64,
    learning_rate: float = 2e-3,
    width: int = 32,
    seed: int = 0,
    watch: Callable[[int, int], None] = lambda step, steps: None,
) -> LabelClassifier:
    """A classifier trained on labelled images by Adam, its rate falling to 0; the global random state is kept.

    Args:
        images: What it learns from, numbers on any scale.
        labels: Their classes, from 0.
        classes: Number of classes.
        steps: Of training.
        batch_size: Images in a step.
        learning_rate: Of Adam, at the start.
        width: See :class:`LabelClassifier`.
        seed: Of the weights and of the order.
        watch: Called with (step, steps) after each step.

    Errors:
        ValueError: No images, another number of labels, or a label that is none of the classes.

    Example:
        >>> labels = torch.arange(60) % 2
        >>> images = labels.view(-1, 1, 1, 1) + 0.1 * torch.randn(60, 1, 8, 8)
        >>> fit_classifier(images, labels, 2, steps=30, width=4).accuracy(images, labels)
        1.0
    """
    if not 0 < len(images) == len(labels):
        raise ValueError(f"classifier: got {len(images)} images and {len(labels)} labels, wanted one label an image")
    if not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise ValueError(f"classifier: labels from {labels.min()} to {labels.max()}, wanted 0 to {classes - 1}")
    with torch.random.fork_rng([]), torch.enable_grad():
        torch.manual_seed(seed)
        pixels = images.float()
        std = max(pixels.std().item(), 1e-6)
        model = LabelClassifier(images.shape[1], classes, pixels.mean().item(), std, width)
        adam = torch.optim.Adam(model.parameters(), lr=learning_rate)
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
        for step in range(steps):
            index = torch.randint(len(images), (batch_size,))
            adam.zero_grad()
            F.cross_entropy(model(images[index]), labels[index]).backward()
            adam.step()
            falling.step()
            watch(step + 1, steps)
    return model.eval()

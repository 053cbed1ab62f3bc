r"""A classifier of each frame of a sequence, such as of the phone that is spoken there: what content is judged by.

$$ p(y_t|x) = \mathrm{softmax}(W f(x)_t + b), \qquad f \text{ three convolutions over frames} $$

Trained on real sound with its labels and applied to sound that was made (converted to another speaker, say), it tells
whether what is said is still there. A frame sees about ten on each side.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["FrameClassifier", "fit_frame_classifier"]

BATCH = 200
"""Sequences classified at a time."""


class FrameClassifier(nn.Module):
    """Three convolutions and the classes. Frames are standardised by what it learned with.

    Args:
        bands: Numbers in a frame.
        classes: Number of classes.
        mean: Of each band, shape (bands,).
        std: The same.
        width: Channels of the convolutions.

    Example:
        >>> FrameClassifier(4, 3, torch.zeros(4), torch.ones(4), width=8)(torch.zeros(2, 7, 4)).shape
        torch.Size([2, 7, 3])
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, bands: int, classes: int, mean: Float[Tensor, " D"], std: Float[Tensor, " D"], width: int = 64
    ) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        layers = [
            (nn.Conv1d(a, width, 5, padding=2 * spread, dilation=spread), nn.SiLU(), nn.Dropout(0.2))
            for a, spread in ((bands, 1), (width, 2), (width, 2))
        ]
        self.body = nn.Sequential(*(part for layer in layers for part in layer))
        self.out = nn.Linear(width, classes)

    def forward(self, frames: Float[Tensor, "N T D"]) -> Float[Tensor, "N T K"]:
        """The logits of every frame."""
        return self.out(self.body(((frames - self.mean) / self.std).mT).mT)

    @torch.no_grad()
    def classes(self, frames: Float[Tensor, "N T D"]) -> Int[Tensor, "N T"]:
        """The likeliest class of every frame."""
        return torch.cat([self(part).argmax(-1) for part in frames.split(BATCH)])

    def accuracy(self, frames: Float[Tensor, "N T D"], labels: Int[Tensor, "N T"]) -> float:
        """The share of frames with a label whose likeliest class it is."""
        known = labels >= 0
        return (self.classes(frames)[known] == labels[known]).double().mean().item()


def fit_frame_classifier(
    frames: Float[Tensor, "N T D"],
    labels: Int[Tensor, "M T2"],
    classes: int,
    *,
    steps: int = 600,
    batch_size: int = 32,
    learning_rate: float = 3e-3,
    width: int = 64,
    seed: int = 0,
) -> FrameClassifier:
    """A classifier trained on labelled frames by Adam, its rate falling to 0; the global random state is kept.

    Args:
        frames: Sequences of one length.
        labels: The class of each frame, negative where it has none.
        classes: Number of classes.
        steps: Of training.
        batch_size: Sequences in a step.
        learning_rate: Of Adam, at the start.
        width: See :class:`FrameClassifier`.
        seed: Of the weights and of the order.

    Errors:
        ValueError: Labels of other shape than the frames, without any class, or that are none of the classes.

    Example:
        >>> labels = torch.arange(8).repeat(20, 1) // 4
        >>> frames = labels[..., None] + 0.1 * torch.randn(20, 8, 2)
        >>> fit_frame_classifier(frames, labels, 2, steps=60, width=8).accuracy(frames, labels) > 0.9
        True
    """
    if frames.shape[:2] != labels.shape or not 0 <= int(labels.max()) < classes:
        raise ValueError(
            f"frame classifier: frames of shape {tuple(frames.shape)} and labels of {tuple(labels.shape)} up to "
            f"{labels.max().item()}; wanted a label for each frame, from 0 to {classes - 1}"
        )
    with torch.random.fork_rng([]), torch.enable_grad():
        torch.manual_seed(seed)
        every = frames[labels >= 0]
        model = FrameClassifier(frames.shape[2], classes, every.mean(0), every.std(0).clamp(min=1e-3), width)
        adam = torch.optim.Adam(model.parameters(), lr=learning_rate)
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
        for _ in range(steps):
            index = torch.randint(len(frames), (batch_size,))
            adam.zero_grad()
            logits = model(frames[index]).flatten(0, 1)
            F.cross_entropy(logits, labels[index].flatten().clamp(min=-1), ignore_index=-1).backward()
            adam.step()
            falling.step()
    return model.eval()

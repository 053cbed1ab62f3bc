r"""z -> how well the true future of z can be told from others: what may stand where the decoder stands.

A contrastive model has no p(x|z). Its distortion is minus the log-softmax of the score of the true future among N
candidates, which is in nats too, or another loss that learns scores:

$$ d_{tk} = -\log \frac{\exp f_k(c_t, z_{t+k})}{\sum_{n=1}^{N} \exp f_k(c_t, z_n)}, \qquad
   I_{tk} \ge \log N - E[d_{tk}] $$

Source: van den Oord, Li and Vinyals, Representation Learning with Contrastive Predictive Coding, 2018. The bound holds
where the other candidates are independent of the context c_t.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from buttress.core.batch import EMPTY, Given
from buttress.core.likelihood import LikelihoodModule
from buttress.core.part import DataPart
from buttress.core.spec import DataSpec

__all__ = ["Contrast", "Critic", "CriticModule"]


@dataclass(frozen=True)
class Contrast:
    """How well a critic tells the true futures of a batch from other candidates, at each of K steps ahead.

    Args:
        loss: What is minimised, summed over the predictions of an example, in nats, shape (S, B, K): -log softmax of
            the true future, unless ``softmax`` is given.
        first: How many predictions give the true future the highest score, shape (S, B, K). Where m candidates share
            it, each counts 1 / m.
        predictions: How many predictions an example has, shape (B, K): none beyond its true length.
        candidates: N, the true future included.
        steps: How many positions ahead each of the K is.
        softmax: -log softmax of the true future, where the loss is another one.

    Example:
        >>> import math, torch
        >>> even = torch.full((1, 1, 2), 3 * math.log(4))  # three predictions at each of two steps
        >>> contrast = Contrast(even, torch.full((1, 1, 2), 0.75), torch.tensor([[3, 3]]), candidates=4, steps=(1, 2))
        >>> torch.allclose(contrast.distortion, torch.tensor(6 * math.log(4)))
        True
    """

    loss: Float[Tensor, "S B K"]
    first: Float[Tensor, "S B K"]
    predictions: Int[Tensor, "B K"]
    candidates: int
    steps: tuple[int, ...]
    softmax: Float[Tensor, "S B K"] | None = None

    @property
    def distortion(self) -> Float[Tensor, "S B"]:
        """The sum of the loss over all predictions, positions and steps alike, in nats per example."""
        return self.loss.sum(-1)

    @property
    def surprise(self) -> Float[Tensor, "S B K"]:
        """-log softmax of the true future, whatever the loss: what bounds the information of the context."""
        return self.loss if self.softmax is None else self.softmax


class CriticModule(nn.Module, ABC):
    """z -> distortion. In training it may draw; in eval mode an example's answer is its own and always the same.

    Example:
        >>> import torch
        >>> from buttress.core import Layout
        >>> from buttress.critics.contrastive import Contrastive
        >>> from buttress.likelihoods.gaussian import GaussianLikelihood
        >>> spec = DataSpec(Layout.frames(3, longest=8))
        >>> critic = Contrastive(steps=2, hidden=4).build(spec, (8, 5), GaussianLikelihood().build(spec))
        >>> found = critic(torch.randn(1, 6, 8, 5))  # S = 1 sample of B = 6 examples, 5 numbers at each of 8 positions
        >>> found.distortion.shape, found.predictions[0].tolist()
        (torch.Size([1, 6]), [7, 6])
    """

    likelihood: LikelihoodModule
    """How x is observed and read; its density is not used."""

    @abstractmethod
    def forward(
        self, z: Float[Tensor, "S B *z_shape"], valid: Bool[Tensor, "B *places"] | None = None, given: Given = EMPTY
    ) -> Contrast:
        """Compare the true futures with others.

        Args:
            z: What a decoder would read.
            valid: Which positions lie within the true length of their example; None for all.
            given: What is known beside x.
        """

    def check_batch(self, batch_size: int) -> None:
        """Refuse what batches of this many examples can't give; most critics want nothing of the kind.

        Args:
            batch_size: Examples in a training step, of all processes.

        Errors:
            ValueError: They are too few.
        """


class Critic(DataPart):
    """What stands where the decoder stands in a model without p(x|z); ``none`` for a decoder.

    Example:
        >>> from buttress.core import Layout
        >>> from buttress.critics.contrastive import Contrastive
        >>> Contrastive().misfit(Layout.table(3)), Contrastive().misfit(Layout.frames(3, longest=9))
        ('it needs one place axis, as sound and sentences have', '')
    """

    @abstractmethod
    def build(self, spec: DataSpec, z_shape: tuple[int, ...], likelihood: LikelihoodModule) -> CriticModule | None:
        """The module, for data and latents of these shapes; None where a decoder is wanted."""

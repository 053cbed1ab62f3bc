"""z -> p(x|z)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution

from buttress.core.batch import EMPTY, Given
from buttress.core.likelihood import LikelihoodModule
from buttress.core.part import DataPart
from buttress.core.spec import DataSpec

__all__ = ["Decoder", "DecoderModule"]


class DecoderModule(nn.Module, ABC):
    """z -> p(x|z). For an autoregressive one ``log_prob`` is teacher forcing and ``sample`` the cached loop.

    Example:
        >>> import torch
        >>> from buttress.core import DataSpec, Layout
        >>> from buttress.decoders.mlp import MlpDecoder
        >>> from buttress.likelihoods.bernoulli import Bernoulli
        >>> spec = DataSpec(Layout.table(3))
        >>> decoder = MlpDecoder(hidden=()).build(spec, (2,), Bernoulli().build(spec)).requires_grad_(False)
        >>> _ = decoder.out.weight.zero_(), decoder.out.bias.zero_()
        >>> log_p = decoder(torch.randn(4, 5, 2)).log_prob(torch.ones(5, 3))  # S = 4, B = 5; three fair coins
        >>> log_p.shape, log_p.exp().unique()
        (torch.Size([4, 5]), tensor([0.1250]))
    """

    likelihood: LikelihoodModule

    @abstractmethod
    def forward(self, z: Float[Tensor, "*rest"], given: Given = EMPTY) -> Distribution:
        """The distribution of x given z of shape (*batch, *z_shape): batch shape ``batch``, event shape that of x.

        ``log_prob(x)`` accepts x whose batch shape broadcasts to ``batch``, as (B, ...) does to (S, B, ...). The rows
        of ``given`` belong to the last dimension of ``batch``; most decoders read at most the true lengths.
        """

    def spaced(self, stride: int) -> None:
        """Be told how many places of x each place of z stands for, the last one for the rest; most need not know.

        The model calls it where z has the places of a strided encoder.
        """


class Decoder(DataPart):
    """z -> p(x|z).

    Example:
        >>> import torch
        >>> from buttress.decoders.mlp import MlpDecoder
        >>> from buttress.likelihoods.gaussian import GaussianLikelihood
        >>> from buttress.core import DataSpec, Layout
        >>> spec = DataSpec(Layout.table(3))
        >>> decoder = MlpDecoder(hidden=(8,)).build(spec, (2,), GaussianLikelihood().build(spec))
        >>> p = decoder(torch.zeros(4, 5, 2))  # z: (S, B, D)
        >>> p.batch_shape, p.event_shape
        (torch.Size([4, 5]), torch.Size([3]))
    """

    autoregressive: ClassVar[bool] = False

    @abstractmethod
    def build(self, spec: DataSpec, z_shape: tuple[int, ...], likelihood: LikelihoodModule) -> DecoderModule:
        """The module, for data and latents of these shapes."""

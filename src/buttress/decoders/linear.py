r"""p(x|z) with parameters W z + b: with a Gaussian of one variance, probabilistic PCA."""

from __future__ import annotations

from dataclasses import dataclass

from buttress.core import DataSpec, Decoder, Layout, LikelihoodModule
from buttress.decoders.mlp import MlpDecoder, MlpDecoderModule

__all__ = ["LinearDecoder"]


@dataclass(frozen=True)
class LinearDecoder(Decoder):
    """One linear layer, for images and tables.

    Source: Tipping and Bishop, Probabilistic Principal Component Analysis, 1999.

    Example:
        >>> import torch
        >>> from buttress.likelihoods.gaussian import GaussianLikelihood
        >>> spec = DataSpec(Layout.table(3))
        >>> decoder = LinearDecoder().build(spec, (2,), GaussianLikelihood().build(spec))
        >>> decoder(torch.zeros(7, 2)).event_shape, sum(p.numel() for p in decoder.parameters())  # W, b and sigma^2
        (torch.Size([3]), 10)
    """

    def misfit(self, layout: Layout) -> str:
        """See :class:`buttress.core.part.DataPart`."""
        return MlpDecoder().misfit(layout)

    def build(self, spec: DataSpec, z_shape: tuple[int, ...], likelihood: LikelihoodModule) -> MlpDecoderModule:
        """See :class:`buttress.core.Decoder`."""
        return MlpDecoder(hidden=()).build(spec, z_shape, likelihood)
